#include "policy/breaker.h"

#include <algorithm>
#include <limits>

namespace tidegate::policy {

using foundation::duration;
using foundation::instant;
using foundation::wall_time;

bool breaker::permit_expired(instant now) const {
  return state_ == state::probing && now - permit_at_ >= settings_.probe_permit;
}

bool breaker::probe_due(instant now) const {
  return state_ == state::open && now - degraded_at_ >= settings_.half_open_after;
}

void breaker::open_window(instant since) {
  state_ = state::open;
  degraded_at_ = since;
  ++generation_;
}

void breaker::close() {
  state_ = state::closed;
  failures_ = 0;
  ++generation_;
}

void breaker::count_failure() {
  if (failures_ < std::numeric_limits<std::uint32_t>::max()) ++failures_;
}

// The window starts when the permit ended, not when somebody looked: the same as if a timer had watched it.
void breaker::reclaim(instant now) {
  if (!permit_expired(now)) return;
  count_failure();
  open_window(permit_at_ + settings_.probe_permit);
}

std::expected<ticket, breaker_refusal> breaker::try_acquire(instant now) {
  if (state_ == state::closed) return ticket{generation_, leg_kind::normal};
  reclaim(now);
  if (state_ == state::probing) return std::unexpected{breaker_refusal::probing};
  if (!probe_due(now)) return std::unexpected{breaker_refusal::degraded};
  state_ = state::probing;
  permit_at_ = now;
  ++generation_;
  return ticket{generation_, leg_kind::probe};
}

std::optional<breaker_refusal> breaker::would_refuse(instant now) const {
  if (state_ == state::closed) return std::nullopt;
  if (state_ == state::probing && !permit_expired(now)) return breaker_refusal::probing;
  if (now - *degraded_at(now) >= settings_.half_open_after) return std::nullopt;
  return breaker_refusal::degraded;
}

ticket breaker::acquire_anyway(instant now) {
  const auto held = try_acquire(now);
  return held ? *held : ticket{generation_, leg_kind::last_resort};
}

breaker_change breaker::on_success(ticket held, instant now) {
  reclaim(now);
  if (held.generation != generation_) return breaker_change::none;
  if (state_ == state::closed) {
    failures_ = 0;
    return breaker_change::none;
  }
  close();
  return held.kind == leg_kind::probe ? breaker_change::recovered_from_half_open : breaker_change::recovered;
}

breaker_change breaker::on_failure(ticket held, instant now) {
  reclaim(now);
  if (held.generation != generation_) return breaker_change::none;
  count_failure();
  if (state_ == state::closed) {
    if (failures_ < settings_.failure_threshold) return breaker_change::none;
    open_window(now);
    return breaker_change::tripped;
  }
  // A last resort that fails leaves the window alone (FO-8).
  if (state_ != state::probing || held.kind != leg_kind::probe) return breaker_change::none;
  open_window(now);
  return breaker_change::probe_failed;
}

void breaker::on_undecided(ticket held, instant now) {
  reclaim(now);
  if (held.generation != generation_ || held.kind != leg_kind::probe) return;
  if (state_ == state::probing) state_ = state::open;
}

void breaker::reset() { close(); }

breaker_status breaker::status(instant now) const {
  if (state_ == state::closed) return breaker_status::healthy;
  return would_refuse(now) == breaker_refusal::degraded ? breaker_status::degraded
                                                        : breaker_status::half_open;
}

std::optional<instant> breaker::degraded_at(instant now) const {
  if (state_ == state::closed) return std::nullopt;
  return permit_expired(now) ? permit_at_ + settings_.probe_permit : degraded_at_;
}

breaker_snapshot breaker::snapshot(instant now, wall_time wall) const {
  breaker current = *this;
  current.reclaim(now);
  breaker_snapshot saved{
      .consecutive_failures = current.failures_, .generation = current.generation_, .degraded_at = {}};
  if (const auto since = current.degraded_at(now)) {
    saved.degraded_at = wall - std::chrono::duration_cast<foundation::milliseconds>(now - *since);
  }
  return saved;
}

void breaker::restore(const breaker_snapshot& saved, instant now, wall_time wall) {
  failures_ = saved.consecutive_failures;
  generation_ = std::max(generation_, saved.generation);
  state_ = saved.degraded_at ? state::open : state::closed;
  if (!saved.degraded_at) return;
  // Clipped in milliseconds first: a foreign wall clock may be further away than nanoseconds can count.
  const auto window = std::chrono::ceil<foundation::milliseconds>(settings_.half_open_after);
  foundation::milliseconds elapsed{0};
  if (wall > *saved.degraded_at) elapsed = std::min(wall - *saved.degraded_at, window);
  degraded_at_ = now - std::min<duration>(elapsed, settings_.half_open_after);
}

}  // namespace tidegate::policy
