// checkpoints.jsonl, a line at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "journal/checkpoint.h"
#include "journal/files.h"

namespace tidegate::journal {

class checkpoint_lines {
 public:
  // A file that is not there has no lines.
  static io<checkpoint_lines> open(file_system& files, const std::string& path);

  struct line {
    std::uint64_t offset = 0;
    std::string text;  // without its line end
    bool complete = false;
    // Nothing for a text that is no checkpoint, or an incomplete one.
    std::optional<checkpoint> meaning;

    std::uint64_t end() const { return offset + text.size() + (complete ? 1 : 0); }
  };
  // The line that is next, without moving; nothing at the end.
  const std::optional<line>& front() const { return front_; }
  io<void> pop();
  std::uint64_t size() const { return size_; }
  // Behind the last complete line that was popped.
  std::uint64_t popped_to() const { return popped_to_; }
  // Where the last popped line began.
  std::uint64_t last_popped_at() const { return last_popped_at_; }

 private:
  checkpoint_lines() = default;
  io<void> read_front();
  io<bool> read_more();

  std::unique_ptr<file> file_;
  std::uint64_t size_ = 0;
  std::uint64_t read_to_ = 0;
  std::string window_;
  std::size_t at_ = 0;
  std::uint64_t popped_to_ = 0;
  std::uint64_t last_popped_at_ = 0;
  std::optional<line> front_;
};

}  // namespace tidegate::journal
