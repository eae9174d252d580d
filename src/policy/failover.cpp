#include "policy/failover.h"

#include <algorithm>

#include "foundation/check.h"

namespace tidegate::policy {

using foundation::duration;
using foundation::instant;

std::string_view name_of(switch_reason reason) {
  switch (reason) {
    case switch_reason::none:
      return "";
    case switch_reason::primary_unavailable:
      return "primary_unavailable";
    case switch_reason::primary_degraded:
      return "primary_degraded";
    case switch_reason::half_open_probe_failed:
      return "half_open_probe_failed";
    case switch_reason::primary_cooldown:
      return "primary_cooldown";
    case switch_reason::primary_auth_failed:
      return "primary_auth_failed";
    case switch_reason::primary_local_limit:
      return "primary_local_limit";
  }
  return "";
}

failover_plan::failover_plan(failover_mode mode, std::span<const target_ref> targets,
                             std::uint32_t legs_before)
    : mode_{mode},
      legs_before_{legs_before},
      legs_{legs_before},
      targets_{targets},
      used_{targets.size()},
      unfit_{targets.size()},
      excluded_{targets.size()} {
  TG_CHECK(!targets.empty());
  find_sole_provider();
}

breaker& failover_plan::circuit_of(health_bank& bank, std::size_t target) const {
  return bank.breaker_of(targets_[target].provider, targets_[target].epoch);
}

const breaker& failover_plan::circuit_of(const health_bank& bank, std::size_t target) const {
  return bank.breaker_of(targets_[target].provider, targets_[target].epoch);
}

// Rests were given to the present endpoint.
duration failover_plan::rest_of(const health_bank& bank, const target_ref& target, instant now) {
  if (bank.epoch_of(target.provider) != target.epoch) return duration::zero();
  return bank.cooldown_rest(target.provider, target.model, now);
}

void failover_plan::find_sole_provider() {
  std::optional<provider_index> only;
  sole_provider_ = true;
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    if (unfit_.contains(i)) continue;
    sole_provider_ = sole_provider_ && only.value_or(targets_[i].provider) == targets_[i].provider;
    only = targets_[i].provider;
  }
}

bool failover_plan::all_unfit() const {
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    if (!unfit_.contains(i)) return false;
  }
  return true;
}

step failover_plan::next(health_bank& bank, instant now) {
  if (final_) return *final_;
  TG_CHECK(!under_way_);
  if (const auto chosen = choose(bank, now)) return start(bank, *chosen, now);
  return give_up(bank, now);
}

std::optional<failover_plan::choice> failover_plan::choose(health_bank& bank, instant now) {
  if (const auto chosen = choose_in_order(bank, now)) return chosen;
  if (const auto chosen = choose_recovered(bank, now)) return chosen;
  if (!last_resort_is_due(bank)) return std::nullopt;
  return choose_last_resort(bank, now);
}

// FO-5, FO-6, FO-10: each target is considered once, in priority order.
std::optional<failover_plan::choice> failover_plan::choose_in_order(health_bank& bank, instant now) {
  while (cursor_ < targets_.size()) {
    const std::size_t i = cursor_++;
    if (excluded_.contains(i)) {
      pass_over(i, switch_reason::primary_auth_failed);
    } else if (resting(bank, i, now)) {
      pass_over(i, switch_reason::primary_cooldown);
    } else if (const auto held = circuit_of(bank, i).try_acquire(now)) {
      return choice{i, *held};
    } else {
      pass_over(i, switch_reason::primary_degraded);
    }
  }
  return std::nullopt;
}

// A target that was passed over may have recovered through another run while a later one was called.
std::optional<failover_plan::choice> failover_plan::choose_recovered(health_bank& bank, instant now) {
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    breaker& circuit = circuit_of(bank, i);
    if (circuit.closed() && callable(bank, i, now)) return choice{i, circuit.acquire_anyway(now)};
  }
  return std::nullopt;
}

// FO-8: whatever is degraded, once each, but never beside somebody's probe unless there is no other provider.
std::optional<failover_plan::choice> failover_plan::choose_last_resort(health_bank& bank, instant now) {
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    if (!callable(bank, i, now)) continue;
    breaker& circuit = circuit_of(bank, i);
    if (!sole_provider_ && circuit.would_refuse(now) == breaker_refusal::probing) continue;
    return choice{i, circuit.acquire_anyway(now)};
  }
  return std::nullopt;
}

bool failover_plan::callable(const health_bank& bank, std::size_t target, instant now) const {
  return !used_.contains(target) && !excluded_.contains(target) && !resting(bank, target, now);
}

// A degraded target is not touched while this run has a healthy one (FO-5), also when that one has just
// failed without tripping. A healthy one that rests, whose credential is refused or that cannot carry the
// request is none to this run.
bool failover_plan::last_resort_is_due(const health_bank& bank) const {
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    if (used_.contains(i) && !unfit_.contains(i) && circuit_of(bank, i).closed()) return false;
  }
  return true;
}

// Cooldowns belong to `immediate`: after_trip never switches for pushback (FO-3), so it has nothing to skip.
bool failover_plan::resting(const health_bank& bank, std::size_t target, instant now) const {
  if (mode_ != failover_mode::immediate) return false;
  return rest_of(bank, targets_[target], now) > duration::zero();
}

// RET-2: whether this run would go on if the leg failed by availability.
bool failover_plan::another_target(const health_bank& bank, const choice& current, instant now) const {
  for (std::size_t i = cursor_; i < targets_.size(); ++i) {
    if (callable(bank, i, now) && !circuit_of(bank, i).would_refuse(now)) return true;
  }
  if (current.held.kind == leg_kind::normal || !last_resort_is_due(bank)) return false;
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    const bool probed = circuit_of(bank, i).would_refuse(now) == breaker_refusal::probing;
    if (i != current.target && callable(bank, i, now) && !probed) return true;
  }
  return false;
}

// The primary's reason stands for the run until some leg has been made.
void failover_plan::pass_over(std::size_t target, switch_reason why) {
  if (legs_ == legs_before_ && target == from_) from_reason_ = why;
}

step failover_plan::start(const health_bank& bank, const choice& chosen, instant now) {
  used_.insert(chosen.target);
  under_way_ = true;
  content_ = false;
  current_ = chosen.target;
  held_ = chosen.held;
  ++legs_;
  step s{.what = step_kind::call, .target = chosen.target, .leg = legs_, .kind = held_.kind, .from = from_};
  // A provider whose breaker is open is asked once: it is known to fail, and its caller is owed a quick
  // answer (DEG-1).
  s.transport_retries_allowed = chosen.held.kind != leg_kind::last_resort &&
                                (mode_ == failover_mode::after_trip || !another_target(bank, chosen, now));
  leg_events_ = 0;
  const provider_index provider = targets_[chosen.target].provider;
  if (chosen.target != from_) {
    s.reason = from_reason_;
    emit({.kind = event_kind::failover,
          .provider = provider,
          .from = from_,
          .to = chosen.target,
          .reason = s.reason});
    ++leg_events_;
  }
  if (held_.kind == leg_kind::probe) {
    emit({.kind = event_kind::half_open_probe, .provider = provider});
    ++leg_events_;
  }
  return s;
}

std::optional<duration> failover_plan::shortest_rest(const health_bank& bank, instant now,
                                                     bool& all_resting) const {
  std::optional<duration> shortest;
  all_resting = true;
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    if (unfit_.contains(i)) continue;
    const duration rest = rest_of(bank, targets_[i], now);
    if (rest <= duration::zero()) {
      all_resting = false;
    } else if (!shortest || rest < *shortest) {
      shortest = rest;
    }
  }
  return shortest;
}

step failover_plan::give_up(const health_bank& bank, instant now) {
  if (all_unfit()) return finish(run_verdict::unfit);
  const bool nothing_tried = legs_ == legs_before_ && last_verdict_ == run_verdict::unavailable;
  if (mode_ == failover_mode::immediate && (nothing_tried || last_verdict_ == run_verdict::rate_limited)) {
    bool all_resting = false;
    const auto shortest = shortest_rest(bank, now, all_resting);
    if (all_resting) return finish(run_verdict::rate_limited, shortest);
    if (nothing_tried) return finish(run_verdict::unavailable, shortest);
  }
  return finish(last_verdict_, last_rest_);
}

step failover_plan::finish(run_verdict verdict, std::optional<duration> retry_after) {
  step s;
  s.leg = legs_;
  s.target = current_;
  s.from = from_;
  s.verdict = verdict;
  s.retry_after = retry_after;
  final_ = s;
  return s;
}

void failover_plan::report(health_bank& bank, const leg_result& result, std::optional<duration> retry_after,
                           instant now) {
  TG_CHECK(under_way_);
  under_way_ = false;
  leg_events_ = 0;
  touch_health(bank, result, now);
  decide(bank, result.outcome, retry_after, now);
}

void failover_plan::touch_health(health_bank& bank, const leg_result& result, instant now) {
  breaker& circuit = circuit_of(bank, current_);
  switch (result.outcome) {
    case leg_outcome::success:
      emit_change(bank, circuit.on_success(held_, now), {});
      break;
    case leg_outcome::availability_failure:
      emit_change(bank, circuit.on_failure(held_, now), result.reason);
      break;
    case leg_outcome::pushback:
    case leg_outcome::auth:
    case leg_outcome::neutral:
      circuit.on_undecided(held_, now);
      break;
  }
}

void failover_plan::emit_change(const health_bank& bank, breaker_change change, std::string_view detail) {
  const provider_index provider = targets_[current_].provider;
  switch (change) {
    case breaker_change::none:
      break;
    case breaker_change::tripped:
      emit({.kind = event_kind::degraded,
            .provider = provider,
            .failures = circuit_of(bank, current_).consecutive_failures(),
            .detail = detail});
      break;
    case breaker_change::probe_failed:
      emit({.kind = event_kind::probe_failed, .provider = provider});
      break;
    case breaker_change::recovered:
    case breaker_change::recovered_from_half_open:
      emit({.kind = event_kind::recovered,
            .provider = provider,
            .from_half_open = change == breaker_change::recovered_from_half_open});
      break;
  }
}

void failover_plan::decide(health_bank& bank, leg_outcome outcome, std::optional<duration> retry_after,
                           instant now) {
  const bool immediate = mode_ == failover_mode::immediate;
  const target_ref& t = targets_[current_];
  switch (outcome) {
    case leg_outcome::success:
      finish(run_verdict::success);
      return;
    case leg_outcome::neutral:
      leave(switch_reason::none, run_verdict::last_error);
      break;
    case leg_outcome::pushback: {
      const bool rests = immediate && bank.epoch_of(t.provider) == t.epoch;
      const duration rest =
          rests ? bank.cool_down(t.provider, t.model, retry_after, now) : bank.rest_of(retry_after);
      leave(switch_reason::primary_cooldown, run_verdict::rate_limited, rest);
      break;
    }
    case leg_outcome::auth:
      exclude_credential(t.credential);
      leave(switch_reason::primary_auth_failed, run_verdict::last_error);
      break;
    case leg_outcome::availability_failure:
      leave(held_.kind == leg_kind::probe ? switch_reason::half_open_probe_failed
                                          : switch_reason::primary_unavailable,
            run_verdict::unavailable);
      break;
  }
  if (content_) {
    finish(run_verdict::broken, last_rest_);
    return;
  }
  // FO-3: only a tripped provider, a failed probe and a failed last resort give the run to the next target.
  // The trip may be another run's that failed at the same time.
  const bool tripped = held_.kind != leg_kind::normal || !circuit_of(bank, current_).closed();
  const bool goes_on = outcome == leg_outcome::availability_failure ? immediate || tripped : immediate;
  if (outcome == leg_outcome::neutral || !goes_on) finish(last_verdict_, last_rest_);
}

void failover_plan::leave(switch_reason why, run_verdict verdict, std::optional<duration> rest) {
  from_ = current_;
  from_reason_ = why;
  last_verdict_ = verdict;
  last_rest_ = rest;
}

void failover_plan::content_started(health_bank& bank, instant now) {
  TG_CHECK(under_way_);
  if (content_) return;
  content_ = true;
  leg_events_ = 0;
  if (held_.kind != leg_kind::probe) return;
  breaker& circuit = circuit_of(bank, current_);
  const breaker_change change = circuit.on_success(held_, now);
  if (change == breaker_change::none) return;
  emit_change(bank, change, {});
  // The leg itself raised the generation; a cut after content still counts (STR-8), as of any other leg.
  held_ = ticket{circuit.generation(), leg_kind::normal};
}

// Until a leg has been made the run's primary is the first target that fits: there was nothing to switch
// from.
void failover_plan::cannot_carry(health_bank& bank, instant now) {
  TG_CHECK(under_way_);
  under_way_ = false;
  withdraw_leg_events();
  --legs_;
  circuit_of(bank, current_).on_undecided(held_, now);
  unfit_.insert(current_);
  find_sole_provider();
  if (legs_ != legs_before_ || current_ != from_ || all_unfit()) return;
  while (unfit_.contains(from_)) ++from_;
  from_reason_ = why_passed_over(bank, from_, now);
}

// Of a target that fits, before any leg; none: its turn is still to come.
switch_reason failover_plan::why_passed_over(const health_bank& bank, std::size_t target, instant now) const {
  if (target >= cursor_) return switch_reason::none;
  if (used_.contains(target)) return switch_reason::primary_local_limit;
  return resting(bank, target, now) ? switch_reason::primary_cooldown : switch_reason::primary_degraded;
}

void failover_plan::local_limited(health_bank& bank, std::optional<duration> retry_after, instant now) {
  TG_CHECK(under_way_);
  under_way_ = false;
  withdraw_leg_events();
  --legs_;
  circuit_of(bank, current_).on_undecided(held_, now);
  pass_over(current_, switch_reason::primary_local_limit);
  last_verdict_ = run_verdict::local_limit;
  last_rest_ = retry_after;
  if (mode_ == failover_mode::after_trip) finish(last_verdict_, last_rest_);
}

void failover_plan::abandon(health_bank& bank, bool leg_made, instant now) {
  if (under_way_) {
    under_way_ = false;
    circuit_of(bank, current_).on_undecided(held_, now);
    if (!leg_made) {
      withdraw_leg_events();
      --legs_;
    }
  }
  if (!final_) finish(run_verdict::abandoned);
}

void failover_plan::exclude_credential(credential_id credential) {
  if (credential == 0) return;
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    if (targets_[i].credential == credential) excluded_.insert(i);
  }
}

std::span<const health_event> failover_plan::events() const {
  if (!spilled_.empty()) return spilled_;
  return std::span{events_}.first(event_count_);
}

void failover_plan::clear_events() {
  event_count_ = 0;
  leg_events_ = 0;
  spilled_.clear();
}

void failover_plan::emit(const health_event& event) {
  if (spilled_.empty() && event_count_ < events_.size()) {
    events_[event_count_++] = event;
    return;
  }
  if (spilled_.empty()) spilled_.assign(events_.begin(), events_.end());
  spilled_.push_back(event);
}

void failover_plan::withdraw_leg_events() {
  for (; leg_events_ > 0; --leg_events_) {
    if (spilled_.empty()) {
      --event_count_;
    } else {
      spilled_.pop_back();
    }
  }
}

}  // namespace tidegate::policy
