// Offline use of a journal: verify it, walk through it, follow it. Reads only; works beside a running writer.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "journal/segment_reader.h"
#include "journal/survey.h"

namespace tidegate::journal {

// take_survey, and again where retention took a segment away meanwhile.
survey verify(file_system& files, const survey_request& request);

// Where shipped checkpoints cannot be read.
struct shipped_fault {
  std::size_t line = 0;
  std::string what;
};
// A checkpoints file's text, or one line of it.
std::expected<std::vector<checkpoint>, shipped_fault> read_shipped(std::string_view text);

// Goes through the records from the first to the last, then on from there when called again. It checks what
// one record shows (checksum, sequence), not the chain.
class walker {
 public:
  walker(file_system& files, std::string dir) : files_{files}, dir_{std::move(dir)} {}

  // Calls `visit` for every record that is there by now and was not visited; it returns false to stop. A
  // record that is being written is left for the next call. The text of a failure names the place.
  std::expected<void, std::string> go_on(const std::function<bool(const record_view&)>& visit);
  // So that the next call begins with the segment that holds record `sequence` (or the first one kept).
  std::expected<void, std::string> seek(std::uint64_t sequence);
  // Of the last record on disk by the segments' names and the last segment's records; 0: none.
  std::expected<std::uint64_t, std::string> last();

 private:
  std::expected<std::vector<std::uint64_t>, std::string> segments();
  std::expected<bool, std::string> read_on(const std::function<bool(const record_view&)>& visit, bool newest);

  file_system& files_;
  std::string dir_;
  std::uint64_t segment_ = 0;
  std::uint64_t offset_ = 0;
  std::uint64_t next_ = 0;
};

}  // namespace tidegate::journal
