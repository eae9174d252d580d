// Deltas gathered into chunks (STR-3): a chunk is due at `deltas` of them or `window` after the first,
// whichever is earlier. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "foundation/time.h"

namespace tidegate::policy {

struct batch_settings {
  std::size_t deltas = 4;  // zero counts as one
  foundation::duration window = std::chrono::milliseconds{20};
};

class delta_batch {
 public:
  explicit delta_batch(batch_settings settings) noexcept : settings_{settings} {}

  // Empty deltas count for nothing.
  void add(std::string_view text, foundation::instant now) {
    if (text.empty()) return;
    if (count_++ == 0) due_ = now + settings_.window;
    pending_.append(text);
  }
  // There is a chunk to be sent.
  bool ready(foundation::instant now) const noexcept { return count_ > 0 && (full() || due_ <= now); }
  bool full() const noexcept {
    return count_ > 0 && (count_ >= settings_.deltas || settings_.window.count() <= 0);
  }
  bool empty() const noexcept { return count_ == 0; }
  // When what is pending must go; `never` when nothing is.
  foundation::instant due() const noexcept { return count_ == 0 ? foundation::never : due_; }
  std::string take() {
    count_ = 0;
    return std::exchange(pending_, {});
  }
  void discard() noexcept {
    count_ = 0;
    pending_.clear();
  }

 private:
  batch_settings settings_;
  std::string pending_;
  std::size_t count_ = 0;
  foundation::instant due_{};
};

}  // namespace tidegate::policy
