// What a run of the generator found.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "load/histogram.h"

namespace tidegate::load {

struct report {
  duration elapsed{};
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;
  // Under way when the time was over; in neither of the above.
  std::uint64_t unfinished = 0;
  // Due by the schedule but never sent, because every connection was busy to the end.
  std::uint64_t unsent = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t events = 0;
  // Of completed calls. In an open loop from the moment the call was due, so a stalled server is not
  // flattered by the calls that could not be sent meanwhile.
  histogram latency;
  histogram first_event;
  histogram gap;
  // Failed calls by reason; at most error_kinds_max, the rest under "other".
  std::map<std::string, std::uint64_t, std::less<>> errors;

  static constexpr std::size_t error_kinds_max = 64;
  void add_error(const std::string& reason);
  double calls_per_second() const;
};

// A table for people.
std::string to_text(const report& r);
// One JSON object; times in milliseconds.
std::string to_json(const report& r, std::string_view url);
// "12.3 s  4,512 calls/s  3 failed", for a progress line.
std::string to_progress(const report& r);

}  // namespace tidegate::load
