// A journal for tests of the gateway on simulated time: keeps records in memory and can be told to fail.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/record_log.h"

namespace tidegate::kit {

class recorded_journal final : public gateway::record_log {
 public:
  void append(gateway::stage s, std::string_view payload) override {
    if (on_append) on_append(payload);
    if (!broken_) lines_.emplace_back(s, payload);
  }
  runtime::task<bool> durable(gateway::stage s) override {
    if (s != gateway::stage::note) waits_.push_back({s, lines_.size()});
    if (fail_at_ != 0 && lines_.size() >= fail_at_) broken_ = true;
    co_return !broken_;
  }
  bool stopped() const noexcept override { return broken_; }

  // Before each record is taken; may throw, as memory that runs out does.
  std::function<void(std::string_view)> on_append;

  // From now on nothing is taken any more.
  void break_now() { broken_ = true; }
  // Fails the first wait once so many records were appended.
  void break_after(std::size_t records) { fail_at_ = records; }

  std::vector<std::string> of(std::string_view event) const {
    const std::string opening = R"({"event":")" + std::string{event} + '"';
    std::vector<std::string> found;
    for (const auto& [s, line] : lines_) {
      if (line.starts_with(opening)) found.push_back(line);
    }
    return found;
  }
  std::vector<std::string> lines() const {
    std::vector<std::string> all;
    for (const auto& [s, line] : lines_) all.push_back(line);
    return all;
  }
  struct wait {
    gateway::stage what;
    std::size_t records;  // how many stood before it
  };
  const std::vector<wait>& waits() const { return waits_; }

 private:
  std::vector<std::pair<gateway::stage, std::string>> lines_;
  std::vector<wait> waits_;
  bool broken_ = false;
  std::size_t fail_at_ = 0;
};

}  // namespace tidegate::kit
