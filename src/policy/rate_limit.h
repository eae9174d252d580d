// Exact sliding windows of 60,000 ms (RL-1 to RL-4): one per client key and, where limited, per provider.
//
// Not thread safe; the owner locks. Every stamp inside the window is kept, 8 bytes each, so that no caller
// ever gets more than its limit in any 60,000 ms. Names are chosen by the operator, hence few; a name's
// stamps are bounded by its limit plus the units that are stamped without asking (RL-3: at most one per
// admitted run).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/time.h"

namespace tidegate::policy {

inline constexpr foundation::duration rate_window = std::chrono::minutes{1};

// The stamps of one window in ascending order: a ring that grows and shrinks with its load.
class stamp_ring {
 public:
  std::size_t size() const { return count_; }
  // The stamp at `position` from the oldest. Needs position < size().
  foundation::instant at(std::size_t position) const {
    return slots_[(head_ + position) & (slots_.size() - 1)];
  }
  // Keeps the order even when `stamp` is older than the newest: callers read their clock before they lock.
  void insert(foundation::instant stamp);
  // Removes one stamp equal to `stamp`; false when there is none.
  bool erase(foundation::instant stamp);
  // Drops every stamp that is rate_window old at `now`; exactly that old has expired.
  void expire(foundation::instant now);
  void clear();
  std::size_t bytes() const { return slots_.capacity() * sizeof(foundation::instant); }

 private:
  foundation::instant& slot(std::size_t position) { return slots_[(head_ + position) & (slots_.size() - 1)]; }
  void resize(std::size_t capacity);

  std::vector<foundation::instant> slots_;  // a power of two, or empty
  std::size_t head_ = 0;
  std::size_t count_ = 0;
};

class rate_limiter {
 public:
  using slot = std::uint32_t;

  // retry_after: the wait after which the same call would have found a free unit; zero when admitted.
  struct verdict {
    bool admitted = true;
    foundation::duration retry_after{};
  };

  // What survives a restart (RL-4). Stamps are wall times, rounded so that none expires early.
  struct saved {
    std::string name;
    std::vector<foundation::wall_time> stamps;
  };

  // A name keeps its slot for ever.
  slot enroll(std::string_view name);
  std::optional<slot> find(std::string_view name) const;

  // Takes a unit, or says how long to wait. limit 0: none, always admitted and nothing is stamped.
  verdict try_take(slot where, std::uint32_t limit, foundation::instant now);
  // What try_take would say, without taking.
  verdict peek(slot where, std::uint32_t limit, foundation::instant now) const;
  // Counts without asking: the reserved first failover leg (RL-3). Not for names without a limit.
  void stamp(slot where, foundation::instant now);
  // Undoes a try_take or stamp made at `stamped`: a refusal later in the same admission costs nothing
  // (RES-5).
  void give_back(slot where, foundation::instant stamped);
  // Units that count at `now`.
  std::uint32_t in_window(slot where, foundation::instant now) const;

  // Names without stamps are left out.
  std::vector<saved> snapshot(foundation::instant now, foundation::wall_time wall) const;
  // Replaces the stamps of the saved names, enrolling those that are new here. The age of each stamp is
  // clipped to [0, rate_window], whatever the wall clock did meanwhile (NFR-2).
  void restore(std::span<const saved> all, foundation::instant now, foundation::wall_time wall);
  // Adds one stamp that a record of `stamped` tells of; clipped as in restore.
  void replay(slot where, foundation::wall_time stamped, foundation::instant now, foundation::wall_time wall);

  // What one name's window takes on the heap, for the memory figures.
  std::size_t bytes(slot where) const;

 private:
  stamp_ring& ring(slot where);
  const stamp_ring& ring(slot where) const;

  std::map<std::string, slot, std::less<>> names_;
  std::vector<stamp_ring> rings_;
};

}  // namespace tidegate::policy
