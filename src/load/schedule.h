// When calls are due. Pure: an index and settings in, a point in time out.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "load/trace.h"

namespace tidegate::load {

using foundation::duration;

class schedule {
 public:
  // `connections` callers that each wait for their answer: always due.
  static schedule closed_loop(duration length);
  // One call every 1/rate seconds.
  static schedule fixed_rate(double calls_per_second, duration length);
  // The trace's own arrivals, `speed` times as fast.
  static schedule replay(std::vector<trace_call> calls, double speed, duration length);

  bool open_loop() const noexcept { return open_; }
  duration length() const noexcept { return length_; }
  // Since the start; nothing for a call that falls behind the run's length. Closed loop: never used.
  std::optional<duration> due(std::uint64_t index) const;
  // The traced call, nullptr without a trace.
  const trace_call* traced(std::uint64_t index) const;

 private:
  bool open_ = false;
  double scale_ = 1.0;  // nanoseconds between calls, or the factor on a trace's times
  duration length_{};
  std::vector<trace_call> trace_;
};

}  // namespace tidegate::load
