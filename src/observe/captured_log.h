// A log sink for tests: keeps lines in memory.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "observe/log.h"

namespace tidegate::observe {

class captured_log final : public log_sink {
 public:
  void append(std::string_view line) noexcept override {
    const std::scoped_lock lock{mutex_};
    lines_.emplace_back(line.substr(0, line.find('\n')));
  }
  void count_dropped() noexcept override {
    const std::scoped_lock lock{mutex_};
    ++dropped_;
  }
  void flush() override {}

  // Without their line ends.
  std::vector<std::string> lines() const {
    const std::scoped_lock lock{mutex_};
    return lines_;
  }
  // Lines of that event.
  std::vector<std::string> of(std::string_view event) const {
    const std::string needle = "\"event\":\"" + std::string{event} + '"';
    std::vector<std::string> found;
    for (const std::string& line : lines()) {
      if (line.find(needle) != std::string::npos) found.push_back(line);
    }
    return found;
  }
  bool contains(std::string_view text) const {
    for (const std::string& line : lines()) {
      if (line.find(text) != std::string::npos) return true;
    }
    return false;
  }
  std::size_t dropped() const {
    const std::scoped_lock lock{mutex_};
    return dropped_;
  }
  void clear() {
    const std::scoped_lock lock{mutex_};
    lines_.clear();
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
  std::size_t dropped_ = 0;
};

}  // namespace tidegate::observe
