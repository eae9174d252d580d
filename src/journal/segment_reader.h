// Reads a segment from a place in it to its end, a chunk at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "journal/files.h"
#include "journal/record.h"

namespace tidegate::journal {

class segment_reader {
 public:
  enum class step : std::uint8_t { record, end, broken };

  static io<segment_reader> open(file_system& files, const std::string& path, std::uint64_t offset = 0);

  // Of what is read next.
  std::uint64_t offset() const { return offset_; }
  // Of the file, when it was opened or last looked at.
  std::uint64_t size() const { return size_; }
  // Takes note of what was appended since.
  io<void> look_again();

  // Up to `size` bytes from here on, without moving.
  io<std::string_view> peek(std::size_t size);
  // At least `size` bytes, where there are so many, and whatever else is at hand.
  io<std::string_view> peek_all(std::size_t size);
  void skip(std::size_t size) { offset_ += size; }
  // `record`: found() holds, until the next call, and the place is behind it. `broken`: the place stays.
  io<step> next();
  const parsed_record& found() const { return found_; }
  record_fault fault() const { return fault_; }

 private:
  segment_reader() = default;

  std::unique_ptr<file> file_;
  std::uint64_t size_ = 0;
  std::uint64_t offset_ = 0;
  // What was read, from `window_at_` on.
  std::string window_;
  std::uint64_t window_at_ = 0;
  parsed_record found_{};
  record_fault fault_ = record_fault::incomplete;
};

}  // namespace tidegate::journal
