#include "policy/push_window.h"

#include <utility>

namespace tidegate::policy {

void push_window::expire(foundation::instant now) {
  while (!stamps_.empty() && now - stamps_.front().at >= push_second) {
    in_window_ -= stamps_.front().count;
    stamps_.pop_front();
  }
}

bool push_window::take(foundation::instant now) {
  expire(now);
  if (in_window_ >= limit_) return false;
  ++in_window_;
  // Threads read their clocks before they lock: a stamp that would go back joins the newest.
  if (!stamps_.empty() && stamps_.back().at >= now) {
    ++stamps_.back().count;
  } else {
    stamps_.push_back({now, 1});
  }
  return true;
}

push_window::verdict push_window::offer(foundation::instant now) {
  if (take(now)) return {};
  return {.admitted = false, .report = drop(now)};
}

std::optional<std::uint64_t> push_window::drop(foundation::instant now) {
  ++unreported_;
  if (reported_.has_value() && now - *reported_ < push_second) return std::nullopt;
  reported_ = now;
  return std::exchange(unreported_, 0);
}

foundation::instant push_window::free_at(foundation::instant now) {
  expire(now);
  return in_window_ < limit_ ? now : stamps_.front().at + push_second;
}

}  // namespace tidegate::policy
