#include "policy/rate_limit.h"

#include <algorithm>
#include <limits>

#include "foundation/check.h"

namespace tidegate::policy {

using foundation::duration;
using foundation::instant;
using foundation::milliseconds;
using foundation::wall_time;

namespace {

constexpr std::size_t capacity_min = 8;
constexpr auto window_ms = std::chrono::duration_cast<milliseconds>(rate_window);

bool expired(instant stamp, instant now) { return now - stamp >= rate_window; }

// How many of the oldest stamps no longer count.
std::size_t expired_count(const stamp_ring& ring, instant now) {
  std::size_t low = 0;
  std::size_t high = ring.size();
  if (low == high || !expired(ring.at(0), now)) return 0;
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    if (expired(ring.at(middle), now)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// The verdict for a ring whose first `gone` stamps have expired. With more units out than the limit allows
// (a lowered limit, reserved failover units) the wait is until enough of them are gone.
rate_limiter::verdict judge(const stamp_ring& ring, std::size_t gone, std::uint32_t limit, instant now) {
  const std::size_t counted = ring.size() - gone;
  if (limit == 0 || counted < limit) return {};
  const instant last_in_the_way = ring.at(gone + counted - limit);
  return {.admitted = false, .retry_after = last_in_the_way + rate_window - now};
}

// The age of a stamp as the wall clock tells it, clipped before anything is subtracted: a saved time may be
// any number.
milliseconds age_of(wall_time stamped, wall_time wall) {
  if (stamped >= wall) return milliseconds{0};
  return stamped <= wall - window_ms ? window_ms : wall - stamped;
}

}  // namespace

void stamp_ring::resize(std::size_t capacity) {
  std::vector<instant> moved(capacity);
  for (std::size_t i = 0; i < count_; ++i) moved[i] = at(i);
  slots_ = std::move(moved);
  head_ = 0;
}

void stamp_ring::insert(instant stamp) {
  if (count_ == slots_.size()) resize(std::max(capacity_min, slots_.size() * 2));
  std::size_t position = count_++;
  for (; position > 0 && slot(position - 1) > stamp; --position) slot(position) = slot(position - 1);
  slot(position) = stamp;
}

bool stamp_ring::erase(instant stamp) {
  std::size_t position = count_;
  while (position > 0 && at(position - 1) > stamp) --position;
  if (position == 0 || at(position - 1) != stamp) return false;
  for (; position < count_; ++position) slot(position - 1) = slot(position);
  --count_;
  return true;
}

void stamp_ring::expire(instant now) {
  const std::size_t gone = expired_count(*this, now);
  if (gone == 0) return;
  head_ = (head_ + gone) & (slots_.size() - 1);
  count_ -= gone;
  // An eighth, so that a load around a boundary does not resize with every call.
  if (slots_.size() > capacity_min && count_ < slots_.size() / 8) resize(slots_.size() / 2);
}

void stamp_ring::clear() {
  slots_.clear();
  slots_.shrink_to_fit();
  head_ = 0;
  count_ = 0;
}

stamp_ring& rate_limiter::ring(slot where) {
  TG_CHECK(where < rings_.size());
  return rings_[where];
}

const stamp_ring& rate_limiter::ring(slot where) const {
  TG_CHECK(where < rings_.size());
  return rings_[where];
}

rate_limiter::slot rate_limiter::enroll(std::string_view name) {
  if (const auto known = find(name)) return *known;
  const auto fresh = static_cast<slot>(rings_.size());
  rings_.emplace_back();
  names_.emplace(name, fresh);
  return fresh;
}

std::optional<rate_limiter::slot> rate_limiter::find(std::string_view name) const {
  const auto found = names_.find(name);
  if (found == names_.end()) return std::nullopt;
  return found->second;
}

rate_limiter::verdict rate_limiter::try_take(slot where, std::uint32_t limit, instant now) {
  stamp_ring& stamps = ring(where);
  if (limit == 0) return {};
  stamps.expire(now);
  const verdict said = judge(stamps, 0, limit, now);
  if (said.admitted) stamps.insert(now);
  return said;
}

rate_limiter::verdict rate_limiter::peek(slot where, std::uint32_t limit, instant now) const {
  const stamp_ring& stamps = ring(where);
  return judge(stamps, expired_count(stamps, now), limit, now);
}

void rate_limiter::stamp(slot where, instant now) {
  stamp_ring& stamps = ring(where);
  stamps.expire(now);
  stamps.insert(now);
}

void rate_limiter::give_back(slot where, instant stamped) { ring(where).erase(stamped); }

std::uint32_t rate_limiter::in_window(slot where, instant now) const {
  const stamp_ring& stamps = ring(where);
  const std::size_t counted = stamps.size() - expired_count(stamps, now);
  return static_cast<std::uint32_t>(
      std::min<std::size_t>(counted, std::numeric_limits<std::uint32_t>::max()));
}

std::vector<rate_limiter::saved> rate_limiter::snapshot(instant now, wall_time wall) const {
  std::vector<saved> all;
  for (const auto& [name, where] : names_) {
    const stamp_ring& stamps = ring(where);
    const std::size_t gone = expired_count(stamps, now);
    if (gone == stamps.size()) continue;
    saved& entry = all.emplace_back(saved{.name = name, .stamps = {}});
    entry.stamps.reserve(stamps.size() - gone);
    for (std::size_t i = gone; i < stamps.size(); ++i) {
      const duration age = std::max(duration{0}, now - stamps.at(i));
      entry.stamps.push_back(wall - std::chrono::floor<milliseconds>(age));
    }
  }
  return all;
}

void rate_limiter::restore(std::span<const saved> all, instant now, wall_time wall) {
  for (const saved& entry : all) {
    const slot where = enroll(entry.name);
    ring(where).clear();
    for (const wall_time stamped : entry.stamps) replay(where, stamped, now, wall);
  }
}

void rate_limiter::replay(slot where, wall_time stamped, instant now, wall_time wall) {
  const milliseconds age = age_of(stamped, wall);
  if (age < window_ms) ring(where).insert(now - age);
}

std::size_t rate_limiter::bytes(slot where) const { return sizeof(stamp_ring) + ring(where).bytes(); }

}  // namespace tidegate::policy
