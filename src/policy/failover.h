// Which target a run calls next, and when it gives up (FO-3 to FO-12). One plan per run, inside its
// coroutine.
//
//   failover_plan plan{mode, targets};
//   for (;;) {
//     step s = plan.next(bank, now);              // under the bank's lock
//     if (s.what == step_kind::finish) break;     // s.verdict says how to answer
//     ... the request (it cannot be said to this target: plan.cannot_carry), budgets, rate limit (full:
//     plan.local_limited), journal plan.events(), plan.clear_events(), the call ...
//     plan.report(bank, result, retry_after, now);
//   }
//
// Every call step must be ended by exactly one of report, cannot_carry, local_limited or abandon, else a
// probe's permit is held until it expires. Not thread safe. No allocation for up to 64 targets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "foundation/time.h"
#include "policy/breaker.h"
#include "policy/health.h"
#include "policy/outcome.h"

namespace tidegate::policy {

enum class failover_mode : std::uint8_t { after_trip, immediate };

// 0 = no credential; otherwise two targets with equal ids send the same secret.
using credential_id = std::uint32_t;

// One usable target of the route, in priority order. `model` keys the cooldown and must outlive the plan.
struct target_ref {
  provider_index provider = 0;
  credential_id credential = 0;
  std::string_view model;
  endpoint_epoch epoch = 0;  // the bank's when the configuration of this run was enrolled
};

enum class switch_reason : std::uint8_t {
  none,
  primary_unavailable,
  primary_degraded,
  half_open_probe_failed,
  primary_cooldown,
  primary_auth_failed,
  primary_local_limit,
};
// "primary_unavailable", ...; "" for none.
std::string_view name_of(switch_reason reason);

enum class event_kind : std::uint8_t {
  degraded,         // ai_provider_degraded: provider, failures, detail
  failover,         // ai_provider_failover: from, to, reason
  half_open_probe,  // ai_provider_half_open_probe: provider
  probe_failed,     // no event of its own name: a full new window began; for metrics and the saved state
  recovered,        // ai_provider_recovered: provider, from_half_open
};

struct health_event {
  event_kind kind = event_kind::degraded;
  provider_index provider = 0;  // whose health it is; for failover the provider switched to
  std::uint32_t failures = 0;   // degraded
  bool from_half_open = false;  // recovered
  std::size_t from = 0;         // failover: target positions in the plan's list
  std::size_t to = 0;
  switch_reason reason = switch_reason::none;  // failover
  std::string_view detail{};                   // degraded: the failure's reason, static text
};

enum class step_kind : std::uint8_t { call, finish };

enum class run_verdict : std::uint8_t {
  success,       // the last report was a success
  unavailable,   // AI_PROVIDER_UNAVAILABLE: the last leg failed by availability, or none could be made
  rate_limited,  // AI_RATE_LIMITED{source:"upstream"}: retry_after is set
  local_limit,   // AI_RATE_LIMITED{source:"local"}: retry_after as given to local_limited
  last_error,    // the last leg's own error passes through (auth, neutral)
  broken,        // the leg failed after content: the stream cannot be taken back (GW-5, STR-8)
  unfit,         // no target can carry the request
  abandoned,     // abandon was called
};

struct step {
  step_kind what = step_kind::finish;

  // call
  std::size_t target = 0;  // position in the list
  std::uint32_t leg = 0;   // 1 for the run's first leg; cannot_carry and local_limited take its number back
  leg_kind kind = leg_kind::normal;
  switch_reason reason = switch_reason::none;  // set when this leg switches away from `from`
  std::size_t from = 0;                        // the target called before, else the first that fits
  bool transport_retries_allowed = true;       // RET-2

  // finish
  run_verdict verdict = run_verdict::unavailable;
  std::optional<foundation::duration> retry_after{};  // a wait after which a call has a chance, where known
};

// Positions of a list; no heap up to 64.
class position_set {
 public:
  explicit position_set(std::size_t size) : more_(size > 64 ? (size - 1) / 64 : 0) {}
  bool contains(std::size_t i) const { return ((i < 64 ? first_ : more_[i / 64 - 1]) >> (i % 64) & 1U) != 0; }
  void insert(std::size_t i) { (i < 64 ? first_ : more_[i / 64 - 1]) |= std::uint64_t{1} << (i % 64); }

 private:
  std::uint64_t first_ = 0;
  std::vector<std::uint64_t> more_;
};

class failover_plan {
 public:
  // `targets` are the route's usable targets (RES-3, RES-4), at least one; the list must outlive the plan.
  // `legs_before`: legs that the run has made already, under a plan whose stream broke (STR-8).
  failover_plan(failover_mode mode, std::span<const target_ref> targets, std::uint32_t legs_before = 0);

  // The next leg to make, or how the run ends. Emits half_open_probe and failover for a call. After a finish
  // it keeps answering the same. Must not be called while a leg is under way.
  step next(health_bank& bank, foundation::instant now);

  // The leg has ended. `retry_after` is the provider's, where it named one (pushback).
  void report(health_bank& bank, const leg_result& result, std::optional<foundation::duration> retry_after,
              foundation::instant now);
  // The leg has shown its first content: a probe has succeeded (FO-6) and no other target is called any more
  // (FO-12).
  void content_started(health_bank& bank, foundation::instant now);
  // The leg was not made: the request says something that this target's dialect cannot. To this run the
  // target is none, and the next one is its turn, in either mode (FO-10). Takes back the undrained events of
  // this leg.
  void cannot_carry(health_bank& bank, foundation::instant now);
  // The leg was not made: its provider's window is full (RL-1). `immediate` goes on to the next target;
  // otherwise the run ends. Takes back the undrained events of this leg.
  void local_limited(health_bank& bank, std::optional<foundation::duration> retry_after,
                     foundation::instant now);
  // The run ends here for reasons of its own (client left, cancelled, budget refused). Permits return;
  // nothing counts. Takes back the undrained events of a leg that was not made (`leg_made` false). Allowed at
  // any moment.
  void abandon(health_bank& bank, bool leg_made, foundation::instant now);

  // Events since the last clear, oldest first. To be journalled before the leg they cause (TRC-2).
  std::span<const health_event> events() const;
  void clear_events();

  // A call step has not been ended yet.
  bool under_way() const { return under_way_; }
  // Legs made so far, those before this plan among them.
  std::uint32_t legs() const { return legs_; }
  failover_mode mode() const { return mode_; }
  std::span<const target_ref> targets() const { return targets_; }

 private:
  // At most two events a decision and one a report; a caller that drains after each leg never spills.
  static constexpr std::size_t events_inline = 4;

  struct choice {
    std::size_t target;
    ticket held;
  };
  std::optional<choice> choose(health_bank& bank, foundation::instant now);
  std::optional<choice> choose_in_order(health_bank& bank, foundation::instant now);
  std::optional<choice> choose_recovered(health_bank& bank, foundation::instant now);
  std::optional<choice> choose_last_resort(health_bank& bank, foundation::instant now);
  breaker& circuit_of(health_bank& bank, std::size_t target) const;
  const breaker& circuit_of(const health_bank& bank, std::size_t target) const;
  static foundation::duration rest_of(const health_bank& bank, const target_ref& target,
                                      foundation::instant now);
  void find_sole_provider();
  bool all_unfit() const;
  bool callable(const health_bank& bank, std::size_t target, foundation::instant now) const;
  bool last_resort_is_due(const health_bank& bank) const;
  bool resting(const health_bank& bank, std::size_t target, foundation::instant now) const;
  bool another_target(const health_bank& bank, const choice& current, foundation::instant now) const;
  void pass_over(std::size_t target, switch_reason why);
  switch_reason why_passed_over(const health_bank& bank, std::size_t target, foundation::instant now) const;
  step start(const health_bank& bank, const choice& chosen, foundation::instant now);
  std::optional<foundation::duration> shortest_rest(const health_bank& bank, foundation::instant now,
                                                    bool& all_resting) const;
  step give_up(const health_bank& bank, foundation::instant now);
  step finish(run_verdict verdict, std::optional<foundation::duration> retry_after = std::nullopt);

  void touch_health(health_bank& bank, const leg_result& result, foundation::instant now);
  void emit_change(const health_bank& bank, breaker_change change, std::string_view detail);
  void decide(health_bank& bank, leg_outcome outcome, std::optional<foundation::duration> retry_after,
              foundation::instant now);
  void leave(switch_reason why, run_verdict verdict, std::optional<foundation::duration> rest = std::nullopt);
  void exclude_credential(credential_id credential);
  void emit(const health_event& event);
  void withdraw_leg_events();

  failover_mode mode_;
  bool sole_provider_ = true;  // no fit target of another provider: FO-8's "no other target"
  bool under_way_ = false;
  bool content_ = false;
  std::uint32_t legs_before_ = 0;
  std::uint32_t legs_ = 0;
  std::size_t cursor_ = 0;  // first target not yet considered in order
  std::size_t current_ = 0;
  std::size_t from_ = 0;
  switch_reason from_reason_ = switch_reason::none;
  ticket held_;
  // How the run would end if nothing else could be called: the last leg's verdict.
  run_verdict last_verdict_ = run_verdict::unavailable;
  std::optional<foundation::duration> last_rest_;
  std::optional<step> final_;
  std::span<const target_ref> targets_;
  position_set used_;      // called, locally limited or unfit in this run
  position_set unfit_;     // cannot carry the request
  position_set excluded_;  // bears a credential that was refused in this run

  std::size_t event_count_ = 0;
  std::size_t leg_events_ = 0;  // how many of the newest belong to the leg under way
  std::array<health_event, events_inline> events_;
  std::vector<health_event> spilled_;  // all events once they no longer fit
};

}  // namespace tidegate::policy
