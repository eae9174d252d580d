// At most `limit` chunks in any sliding second to one subscriber (STR-11): what is over it is dropped, and
// told of once a second at most. Exact: every chunk that was let through in the last second is remembered,
// chunks of one instant together, so it never holds more than `limit` stamps. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

#include "foundation/time.h"

namespace tidegate::policy {

inline constexpr foundation::duration push_second = std::chrono::seconds{1};

class push_window {
 public:
  // Zero counts as one.
  explicit push_window(std::uint32_t limit) noexcept : limit_{limit == 0 ? 1 : limit} {}

  struct verdict {
    bool admitted = true;
    // To be logged: chunks dropped since the last report, this one included. Once a window, with its first
    // drop; the drops behind it are part of the next report.
    std::optional<std::uint64_t> report;
  };
  // A chunk to be sent or, when it is not admitted, dropped.
  verdict offer(foundation::instant now);
  // A chunk is dropped for another reason (a full buffer); counts and is told as one that was not admitted.
  std::optional<std::uint64_t> drop(foundation::instant now);
  // Takes a unit if there is one. For what may wait instead of being dropped: nothing is counted as dropped.
  bool take(foundation::instant now);
  // When take() has a chance at the earliest.
  foundation::instant free_at(foundation::instant now);

  std::uint32_t limit() const noexcept { return limit_; }

 private:
  struct stamp {
    foundation::instant at;
    std::uint32_t count;
  };
  void expire(foundation::instant now);

  std::uint32_t limit_;
  std::uint32_t in_window_ = 0;
  std::deque<stamp> stamps_;  // oldest first
  std::optional<foundation::instant> reported_;
  std::uint64_t unreported_ = 0;
};

}  // namespace tidegate::policy
