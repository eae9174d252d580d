#include "policy/failover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tidegate::policy {
namespace {

using namespace std::chrono_literals;
using foundation::duration;
using foundation::manual_clock;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr auto after_trip = failover_mode::after_trip;
constexpr auto immediate = failover_mode::immediate;

// What a scripted target answers.
struct answer {
  leg_result result;
  std::optional<duration> retry_after{};
};

const answer up{};
const answer down{result_of_status(503)};
const answer bad{result_of_status(400)};
const answer refused{result_of_status(401)};
const answer canceled{result_of(local_end::canceled)};

answer limited(std::optional<duration> retry_after = std::nullopt) {
  return {result_of_status(429), retry_after};
}

struct record {
  std::vector<std::size_t> called;
  run_verdict verdict = run_verdict::success;
  std::optional<duration> retry_after;
  std::vector<std::string> events;
  std::vector<bool> retries_allowed;
};

std::string text_of(const health_event& e) {
  const std::string provider = std::to_string(e.provider);
  switch (e.kind) {
    case event_kind::degraded:
      return "degraded " + provider + " " + std::to_string(e.failures) + " " + std::string{e.detail};
    case event_kind::failover:
      return "failover " + std::to_string(e.from) + ">" + std::to_string(e.to) + " " +
             std::string{name_of(e.reason)};
    case event_kind::half_open_probe:
      return "probe " + provider;
    case event_kind::probe_failed:
      return "probe_failed " + provider;
    case event_kind::recovered:
      return "recovered " + provider + (e.from_half_open ? " half_open" : "");
  }
  return {};
}

// Providers 0..n-1, one target each, unless a test changes `targets`.
struct world {
  explicit world(std::size_t providers, failover_mode of = after_trip) : mode{of} {
    for (std::uint32_t i = 0; i < providers; ++i) {
      const provider_index p = bank.enroll({"provider-" + std::to_string(i), "https://h", i + 1});
      targets.push_back({p, i + 1, "model"});
    }
  }

  failover_plan plan() const { return failover_plan{mode, targets}; }

  record run(const std::vector<answer>& script) {
    record out;
    failover_plan p = plan();
    for (;;) {
      const step s = p.next(bank, clock.now());
      collect(p, out);
      if (s.what == step_kind::finish) {
        out.verdict = s.verdict;
        out.retry_after = s.retry_after;
        return out;
      }
      out.called.push_back(s.target);
      out.retries_allowed.push_back(s.transport_retries_allowed);
      const answer& a = script.at(s.target);
      p.report(bank, a.result, a.retry_after, clock.now());
      collect(p, out);
    }
  }

  static void collect(failover_plan& p, record& out) {
    for (const health_event& e : p.events()) out.events.push_back(text_of(e));
    p.clear_events();
  }

  void degrade(std::size_t target) {
    breaker& circuit = bank.breaker_of(targets[target].provider);
    while (circuit.closed()) circuit.on_failure(circuit.try_acquire(clock.now()).value(), clock.now());
  }
  breaker_status status(std::size_t target) const {
    return bank.breaker_of(targets[target].provider).status(clock.now());
  }
  std::uint32_t failures(std::size_t target) const {
    return bank.breaker_of(targets[target].provider).consecutive_failures();
  }

  manual_clock clock;
  health_bank bank;
  failover_mode mode;
  std::vector<target_ref> targets;
};

TEST(failover, s1_s4_third_failure_switches_and_the_window_ends_with_a_probe) {
  world w{2};
  for (int i = 0; i < 2; ++i) {
    const record r = w.run({down, up});
    EXPECT_THAT(r.called, ElementsAre(0));
    EXPECT_EQ(r.verdict, run_verdict::unavailable);
    EXPECT_THAT(r.events, IsEmpty());
  }
  const record third = w.run({down, up});
  EXPECT_THAT(third.called, ElementsAre(0, 1));
  EXPECT_EQ(third.verdict, run_verdict::success);
  EXPECT_THAT(third.events, ElementsAre("degraded 0 3 http_503", "failover 0>1 primary_unavailable"));
  w.clock.advance(900'001ms);
  const record fourth = w.run({up, up});
  EXPECT_THAT(fourth.called, ElementsAre(0));
  EXPECT_EQ(fourth.verdict, run_verdict::success);
  EXPECT_THAT(fourth.events, ElementsAre("probe 0", "recovered 0 half_open"));
}

TEST(failover, s3_both_down_is_unavailable) {
  world w{2};
  EXPECT_EQ(w.run({down, down}).verdict, run_verdict::unavailable);
}

TEST(failover, t7_degraded_is_not_touched_inside_its_window) {
  world w{2};
  w.degrade(0);
  w.clock.advance(899'999ms);
  const record r = w.run({up, up});
  EXPECT_THAT(r.called, ElementsAre(1));
  EXPECT_THAT(r.events, ElementsAre("failover 0>1 primary_degraded"));
}

TEST(failover, t8_t9_probe_at_the_end_of_the_window_and_a_full_new_one_when_it_fails) {
  for (const auto mode : {after_trip, immediate}) {
    world w{2, mode};
    w.degrade(0);
    w.clock.advance(900s);
    const record probe = w.run({down, up});
    EXPECT_THAT(probe.called, ElementsAre(0, 1));
    EXPECT_EQ(probe.verdict, run_verdict::success);
    EXPECT_THAT(probe.events,
                ElementsAre("probe 0", "probe_failed 0", "failover 0>1 half_open_probe_failed"));
    w.clock.advance(899'999ms);
    EXPECT_THAT(w.run({up, up}).called, ElementsAre(1));
    w.clock.advance(1ms);
    EXPECT_THAT(w.run({up, up}).called, ElementsAre(0));
  }
}

TEST(failover, t10_success_clears_the_count) {
  world w{2};
  for (const answer& a : {down, down, up, down, down}) w.run({a, up});
  EXPECT_EQ(w.status(0), breaker_status::healthy);
  EXPECT_EQ(w.failures(0), 2U);
}

TEST(failover, t11_auth_passes_through_and_leaves_health_alone) {
  world w{2};
  for (int i = 0; i < 5; ++i) {
    const record r = w.run({refused, up});
    EXPECT_THAT(r.called, ElementsAre(0));
    EXPECT_EQ(r.verdict, run_verdict::last_error);
  }
  EXPECT_EQ(w.failures(0), 0U);
}

TEST(failover, t12_pushback_passes_through_without_failover_or_cooldown) {
  world w{2};
  const record r = w.run({limited(7s), up});
  EXPECT_THAT(r.called, ElementsAre(0));
  EXPECT_EQ(r.verdict, run_verdict::rate_limited);
  EXPECT_EQ(r.retry_after, 7s);
  EXPECT_EQ(w.run({limited(), up}).retry_after, 5s);
  EXPECT_THAT(w.run({up, up}).called, ElementsAre(0));
}

TEST(failover, t13_t14_backup_errors_when_the_primary_is_degraded) {
  for (const auto mode : {after_trip, immediate}) {
    world w{2, mode};
    w.degrade(0);
    const record auth = w.run({up, refused});
    EXPECT_THAT(auth.called, ElementsAre(1));
    EXPECT_EQ(auth.verdict, run_verdict::last_error);
    const record unavailable = w.run({up, down});
    EXPECT_THAT(unavailable.called, ElementsAre(1));
    EXPECT_EQ(unavailable.verdict, run_verdict::unavailable);
  }
}

TEST(failover, t15_without_backup_a_degraded_provider_is_tried_and_recovers) {
  world w{1};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(w.run({down}).verdict, run_verdict::unavailable);
  EXPECT_EQ(w.status(0), breaker_status::degraded);
  const record again = w.run({down});
  EXPECT_THAT(again.called, ElementsAre(0));
  EXPECT_EQ(w.failures(0), 4U);
  const record r = w.run({up});
  EXPECT_THAT(r.called, ElementsAre(0));
  EXPECT_EQ(r.verdict, run_verdict::success);
  EXPECT_THAT(r.events, ElementsAre("recovered 0"));
}

TEST(failover, fo8_a_sole_provider_is_tried_even_beside_its_probe) {
  world w{1};
  w.degrade(0);
  w.clock.advance(900s);
  failover_plan probe = w.plan();
  EXPECT_EQ(probe.next(w.bank, w.clock.now()).kind, leg_kind::probe);
  failover_plan beside = w.plan();
  EXPECT_EQ(beside.next(w.bank, w.clock.now()).kind, leg_kind::last_resort);
}

TEST(failover, t18_a_leg_with_retries_counts_once) {
  world w{2};
  w.run({{result_of(transport_fault::reset)}, up});
  EXPECT_EQ(w.failures(0), 1U);
}

TEST(failover, t90_t91_neutral_outcomes_leave_health_alone) {
  for (const auto mode : {after_trip, immediate}) {
    world w{2, mode};
    for (int i = 0; i < 5; ++i) {
      for (const answer& a : {bad, canceled}) {
        const record r = w.run({a, up});
        EXPECT_THAT(r.called, ElementsAre(0));
        EXPECT_EQ(r.verdict, run_verdict::last_error);
      }
    }
    EXPECT_EQ(w.failures(0), 0U);
  }
}

TEST(failover, t92_of_twenty_runs_one_probes_and_nineteen_use_the_backup) {
  world w{2};
  w.degrade(0);
  w.clock.advance(900s);
  int probes = 0;
  int backups = 0;
  std::vector<failover_plan> plans(20, w.plan());
  for (failover_plan& p : plans) {
    const step s = p.next(w.bank, w.clock.now());
    probes += s.target == 0 && s.kind == leg_kind::probe ? 1 : 0;
    backups += s.target == 1 && s.reason == switch_reason::primary_degraded ? 1 : 0;
  }
  EXPECT_EQ(probes, 1);
  EXPECT_EQ(backups, 19);
}

TEST(failover, t93_t109_streamed_probe_succeeds_at_first_content) {
  world w{2};
  w.degrade(0);
  failover_plan degraded = w.plan();
  EXPECT_EQ(degraded.next(w.bank, w.clock.now()).target, 1U);
  w.clock.advance(900s);
  failover_plan p = w.plan();
  p.next(w.bank, w.clock.now());
  p.content_started(w.bank, w.clock.now());
  EXPECT_EQ(w.status(0), breaker_status::healthy);
  record seen;
  world::collect(p, seen);
  EXPECT_THAT(seen.events, ElementsAre("probe 0", "recovered 0 half_open"));
  w.clock.advance(60s);  // longer than the permit: the stream may take its time
  p.report(w.bank, {}, std::nullopt, w.clock.now());
  EXPECT_EQ(p.next(w.bank, w.clock.now()).verdict, run_verdict::success);
}

TEST(failover, fo12_nothing_switches_after_content_and_the_cut_counts_once) {
  for (const auto mode : {after_trip, immediate}) {
    world w{2, mode};
    w.degrade(0);
    w.clock.advance(900s);
    failover_plan p = w.plan();
    p.next(w.bank, w.clock.now());
    p.content_started(w.bank, w.clock.now());
    p.report(w.bank, result_of(reply_fault::cut), std::nullopt, w.clock.now());
    EXPECT_EQ(p.next(w.bank, w.clock.now()).verdict, run_verdict::broken);
    EXPECT_EQ(w.failures(0), 1U);
  }
}

TEST(failover, t98_wrong_shape_ends_the_run_uncounted_and_non_json_counts) {
  world w{2};
  EXPECT_EQ(w.run({{result_of(reply_fault::wrong_shape)}, up}).verdict, run_verdict::last_error);
  EXPECT_EQ(w.failures(0), 0U);
  EXPECT_EQ(w.run({{result_of(reply_fault::not_as_asked)}, up}).verdict, run_verdict::unavailable);
  EXPECT_EQ(w.failures(0), 1U);
}

TEST(failover, t101_immediate_switches_each_time_and_counts_each_time) {
  world w{2, immediate};
  for (std::uint32_t i = 1; i <= 3; ++i) {
    EXPECT_EQ(w.status(0), breaker_status::healthy);
    const record r = w.run({down, up});
    EXPECT_THAT(r.called, ElementsAre(0, 1));
    EXPECT_EQ(r.verdict, run_verdict::success);
    EXPECT_EQ(w.failures(0), i);
  }
  EXPECT_EQ(w.status(0), breaker_status::degraded);
}

TEST(failover, t102_pushback_rests_the_target_for_its_retry_after) {
  const std::vector<std::pair<std::optional<duration>, duration>> cases{
      {7s, 7s}, {std::nullopt, 5s}, {999s, 300s}};
  for (const auto& [retry_after, rest] : cases) {
    world w{2, immediate};
    const record first = w.run({limited(retry_after), up});
    EXPECT_THAT(first.called, ElementsAre(0, 1));
    EXPECT_THAT(first.events, ElementsAre("failover 0>1 primary_cooldown"));
    w.clock.advance(rest - 1ms);
    const record resting = w.run({up, up});
    EXPECT_THAT(resting.called, ElementsAre(1));
    EXPECT_THAT(resting.events, ElementsAre("failover 0>1 primary_cooldown"));
    w.clock.advance(1ms);
    EXPECT_THAT(w.run({up, up}).called, ElementsAre(0));
    EXPECT_EQ(w.failures(0), 0U);
  }
}

TEST(failover, t103_all_resting_answers_the_shortest_rest) {
  world w{3, immediate};
  const record r = w.run({limited(9s), limited(4s), limited(60s)});
  EXPECT_THAT(r.called, ElementsAre(0, 1, 2));
  EXPECT_EQ(r.verdict, run_verdict::rate_limited);
  EXPECT_EQ(r.retry_after, 4s);
  w.clock.advance(1s);
  const record none = w.run({up, up, up});
  EXPECT_THAT(none.called, IsEmpty());
  EXPECT_EQ(none.verdict, run_verdict::rate_limited);
  EXPECT_EQ(none.retry_after, 3s);
}

TEST(failover, fo4_the_last_error_is_the_answer) {
  world w{2, immediate};
  EXPECT_EQ(w.run({limited(9s), down}).verdict, run_verdict::unavailable);
  w.clock.advance(9s);
  EXPECT_EQ(w.run({down, refused}).verdict, run_verdict::last_error);
  const record pushed = w.run({refused, limited(6s)});
  EXPECT_EQ(pushed.verdict, run_verdict::rate_limited);
  EXPECT_EQ(pushed.retry_after, 6s);
}

TEST(failover, t104_a_refused_credential_is_not_used_again_in_the_run) {
  world w{3, immediate};
  w.targets[1].credential = w.targets[0].credential;
  const record r = w.run({refused, up, up});
  EXPECT_THAT(r.called, ElementsAre(0, 2));
  EXPECT_THAT(r.events, ElementsAre("failover 0>2 primary_auth_failed"));
  EXPECT_THAT(w.run({up, up, up}).called, ElementsAre(0)) << "the next run may";
}

TEST(failover, keyless_targets_do_not_share_a_credential) {
  world w{2, immediate};
  for (target_ref& t : w.targets) t.credential = 0;
  EXPECT_THAT(w.run({refused, up}).called, ElementsAre(0, 1));
}

TEST(failover, t106_three_targets_two_degraded) {
  for (const auto mode : {after_trip, immediate}) {
    world w{3, mode};
    w.degrade(0);
    w.degrade(1);
    const record r = w.run({up, up, up});
    EXPECT_THAT(r.called, ElementsAre(2));
    EXPECT_THAT(r.events, ElementsAre("failover 0>2 primary_degraded"));
  }
}

TEST(failover, fo10_the_rules_hold_between_each_target_and_the_next) {
  world w{3};
  w.degrade(0);
  for (int i = 0; i < 2; ++i) EXPECT_THAT(w.run({up, down, up}).called, ElementsAre(1));
  const record r = w.run({up, down, up});
  EXPECT_THAT(r.called, ElementsAre(1, 2));
  EXPECT_THAT(r.events, ElementsAre("failover 0>1 primary_degraded", "degraded 1 3 http_503",
                                    "failover 1>2 primary_unavailable"));
}

TEST(failover, t107_hung_probe_loses_its_permit_but_its_client_is_answered) {
  world w{2};
  w.degrade(0);
  w.clock.advance(900s);
  failover_plan hung = w.plan();
  hung.next(w.bank, w.clock.now());
  w.clock.advance(30s);
  EXPECT_EQ(w.status(0), breaker_status::degraded);
  EXPECT_THAT(w.run({up, up}).called, ElementsAre(1));
  hung.clear_events();
  hung.report(w.bank, {}, std::nullopt, w.clock.now());
  EXPECT_THAT(hung.events(), IsEmpty());
  EXPECT_EQ(hung.next(w.bank, w.clock.now()).verdict, run_verdict::success);
  EXPECT_EQ(w.status(0), breaker_status::degraded);
  w.clock.advance(899'999ms);
  EXPECT_THAT(w.run({up, up}).called, ElementsAre(1));
  w.clock.advance(1ms);
  EXPECT_THAT(w.run({up, up}).called, ElementsAre(0));
}

TEST(failover, t108_success_from_before_the_trip_does_not_heal) {
  world w{2};
  failover_plan early = w.plan();
  early.next(w.bank, w.clock.now());
  w.degrade(0);
  early.report(w.bank, {}, std::nullopt, w.clock.now());
  EXPECT_EQ(w.status(0), breaker_status::degraded);
  EXPECT_EQ(early.next(w.bank, w.clock.now()).verdict, run_verdict::success);
}

TEST(failover, a_failure_beside_another_runs_trip_also_goes_to_the_backup) {
  world w{2};
  failover_plan early = w.plan();
  early.next(w.bank, w.clock.now());
  w.degrade(0);
  const auto failures = w.failures(0);
  early.report(w.bank, down.result, std::nullopt, w.clock.now());
  EXPECT_EQ(early.next(w.bank, w.clock.now()).target, 1U);
  EXPECT_EQ(w.failures(0), failures) << "its generation is over";
}

TEST(failover, t110_new_url_or_key_is_called_at_once_with_no_failures) {
  world w{2};
  w.degrade(0);
  w.bank.enroll({"provider-0", "https://elsewhere", 1});
  EXPECT_EQ(w.failures(0), 0U);
  EXPECT_THAT(w.run({up, up}).called, ElementsAre(0));
}

TEST(failover, t111_all_degraded_tries_each_once_in_order_and_success_recovers) {
  for (const auto mode : {after_trip, immediate}) {
    world w{2, mode};
    w.degrade(0);
    const auto since = w.bank.breaker_of(0).degraded_at(w.clock.now());
    w.degrade(1);
    w.clock.advance(10s);
    const record r = w.run({down, up});
    EXPECT_THAT(r.called, ElementsAre(0, 1));
    EXPECT_EQ(r.verdict, run_verdict::success);
    EXPECT_THAT(r.events, ElementsAre("failover 0>1 primary_unavailable", "recovered 1"));
    EXPECT_EQ(w.status(1), breaker_status::healthy);
    EXPECT_EQ(w.bank.breaker_of(0).degraded_at(w.clock.now()), since);
  }
}

TEST(failover, fo8_all_degraded_and_down_tries_each_once) {
  world w{3};
  for (std::size_t i = 0; i < 3; ++i) w.degrade(i);
  const record r = w.run({down, down, down});
  EXPECT_THAT(r.called, ElementsAre(0, 1, 2));
  EXPECT_EQ(r.verdict, run_verdict::unavailable);
}

TEST(failover, fo8_all_degraded_passes_over_the_one_under_probe) {
  world w{2};
  w.degrade(0);
  w.clock.advance(600s);
  w.degrade(1);
  w.clock.advance(300s);
  failover_plan probe = w.plan();
  EXPECT_EQ(probe.next(w.bank, w.clock.now()).kind, leg_kind::probe);
  const record r = w.run({up, down});
  EXPECT_THAT(r.called, ElementsAre(1));
  EXPECT_EQ(r.verdict, run_verdict::unavailable);
}

TEST(failover, fo8_with_every_target_under_probe_nothing_is_called) {
  world w{2};
  w.degrade(0);
  w.degrade(1);
  w.clock.advance(900s);
  failover_plan first = w.plan();
  first.next(w.bank, w.clock.now());
  failover_plan second = w.plan();
  EXPECT_EQ(second.next(w.bank, w.clock.now()).target, 1U);
  const record r = w.run({up, up});
  EXPECT_THAT(r.called, IsEmpty());
  EXPECT_EQ(r.verdict, run_verdict::unavailable);
}

TEST(failover, fo8_failed_probe_goes_on_to_a_degraded_backup) {
  world w{2};
  w.degrade(0);
  w.clock.advance(600s);
  w.degrade(1);
  w.clock.advance(300s);
  const record r = w.run({down, up});
  EXPECT_THAT(r.called, ElementsAre(0, 1));
  EXPECT_THAT(r.events,
              ElementsAre("probe 0", "probe_failed 0", "failover 0>1 half_open_probe_failed", "recovered 1"));
}

TEST(failover, fo8_backup_that_trips_leaves_only_degraded_ones_and_they_are_tried) {
  world w{2};
  w.degrade(0);
  w.run({up, down});
  w.run({up, down});
  const record r = w.run({up, down});
  EXPECT_THAT(r.called, ElementsAre(1, 0));
  EXPECT_EQ(r.verdict, run_verdict::success);
  EXPECT_EQ(w.status(0), breaker_status::healthy);
}

TEST(failover, degraded_primary_is_tried_when_the_healthy_backup_rests) {
  world w{2, immediate};
  w.bank.cool_down(1, "model", 60s, w.clock.now());
  w.degrade(0);
  const record r = w.run({up, up});
  EXPECT_THAT(r.called, ElementsAre(0));
  EXPECT_EQ(r.verdict, run_verdict::success);
}

TEST(failover, degraded_primary_is_not_touched_when_the_backup_pushes_back) {
  world w{2, immediate};
  w.degrade(0);
  const record r = w.run({up, limited(7s)});
  EXPECT_THAT(r.called, ElementsAre(1));
  EXPECT_EQ(r.verdict, run_verdict::rate_limited);
  EXPECT_EQ(r.retry_after, 7s);
}

TEST(failover, resting_and_degraded_all_around_names_the_shortest_rest) {
  world w{2, immediate};
  w.degrade(0);
  w.degrade(1);
  w.bank.cool_down(0, "model", 20s, w.clock.now());
  w.bank.cool_down(1, "model", 30s, w.clock.now());
  const record r = w.run({up, up});
  EXPECT_THAT(r.called, IsEmpty());
  EXPECT_EQ(r.verdict, run_verdict::rate_limited);
  EXPECT_EQ(r.retry_after, 20s);
}

TEST(failover, probe_pushback_returns_the_permit_and_rests_the_target) {
  world w{2, immediate};
  w.degrade(0);
  w.clock.advance(900s);
  EXPECT_THAT(w.run({limited(7s), up}).called, ElementsAre(0, 1));
  EXPECT_EQ(w.status(0), breaker_status::half_open);
  EXPECT_THAT(w.run({up, up}).called, ElementsAre(1));
  w.clock.advance(7s);
  EXPECT_THAT(w.run({up, up}).events, ElementsAre("probe 0", "recovered 0 half_open"));
}

TEST(failover, fo6_undecided_probe_lets_the_next_run_probe) {
  for (const answer& a : {bad, refused, limited(), canceled}) {
    world w{2};
    w.degrade(0);
    w.clock.advance(900s);
    EXPECT_THAT(w.run({a, up}).called, ElementsAre(0));
    EXPECT_THAT(w.run({up, up}).events, ElementsAre("probe 0", "recovered 0 half_open"));
  }
}

TEST(failover, rl1_full_provider_window_moves_on_in_immediate_mode_only) {
  world w{2, immediate};
  failover_plan p = w.plan();
  p.next(w.bank, w.clock.now());
  p.local_limited(w.bank, 3s, w.clock.now());
  const step s = p.next(w.bank, w.clock.now());
  EXPECT_EQ(s.target, 1U);
  EXPECT_EQ(s.leg, 1U);
  EXPECT_EQ(s.reason, switch_reason::primary_local_limit);
  p.local_limited(w.bank, 4s, w.clock.now());
  EXPECT_THAT(p.events(), IsEmpty()) << "no leg was made, no switch happened";
  const step end = p.next(w.bank, w.clock.now());
  EXPECT_EQ(end.verdict, run_verdict::local_limit);
  EXPECT_EQ(end.retry_after, 4s);
  w.mode = after_trip;
  failover_plan q = w.plan();
  q.next(w.bank, w.clock.now());
  q.local_limited(w.bank, 3s, w.clock.now());
  EXPECT_EQ(q.next(w.bank, w.clock.now()).verdict, run_verdict::local_limit);
}

TEST(failover, local_limit_returns_a_permit_and_takes_its_events_back) {
  world w{2, immediate};
  w.degrade(0);
  w.clock.advance(900s);
  failover_plan p = w.plan();
  EXPECT_EQ(p.next(w.bank, w.clock.now()).kind, leg_kind::probe);
  p.local_limited(w.bank, 3s, w.clock.now());
  EXPECT_THAT(p.events(), IsEmpty());
  EXPECT_THAT(w.run({up, up}).events, ElementsAre("probe 0", "recovered 0 half_open"));
}

TEST(failover, abandoned_runs_return_their_permit_and_count_nothing) {
  for (const bool leg_made : {false, true}) {
    world w{2};
    w.degrade(0);
    w.clock.advance(900s);
    failover_plan p = w.plan();
    p.next(w.bank, w.clock.now());
    p.abandon(w.bank, leg_made, w.clock.now());
    EXPECT_EQ(p.legs(), leg_made ? 1U : 0U);
    EXPECT_EQ(p.events().size(), leg_made ? 1U : 0U);
    EXPECT_EQ(p.next(w.bank, w.clock.now()).verdict, run_verdict::abandoned);
    EXPECT_THAT(w.run({up, up}).called, ElementsAre(0));
  }
}

TEST(failover, t138_ret2_no_transport_retry_while_there_is_another_target) {
  world w{2, immediate};
  EXPECT_THAT(w.run({down, up}).retries_allowed, ElementsAre(false, true));
  w.degrade(1);
  EXPECT_THAT(w.run({up, up}).retries_allowed, ElementsAre(true)) << "the other one is not to be touched";
  w.degrade(0);
  EXPECT_THAT(w.run({down, up}).retries_allowed, ElementsAre(false, false))
      << "legs of last resort are made once";
  world cautious{2, after_trip};
  EXPECT_THAT(cautious.run({up, up}).retries_allowed, ElementsAre(true));
}

TEST(failover, a_target_that_recovers_meanwhile_is_used_before_a_degraded_one) {
  world w{3, immediate};
  for (std::size_t i = 0; i < 2; ++i) w.degrade(i);
  failover_plan p = w.plan();
  EXPECT_EQ(p.next(w.bank, w.clock.now()).target, 2U);
  w.bank.breaker_of(1).reset();
  p.report(w.bank, down.result, std::nullopt, w.clock.now());
  const step s = p.next(w.bank, w.clock.now());
  EXPECT_EQ(s.target, 1U);
  EXPECT_EQ(s.kind, leg_kind::normal);
}

TEST(failover, any_number_of_targets_and_undrained_events) {
  world w{200, immediate};
  failover_plan p = w.plan();
  for (std::size_t i = 0; i < 200; ++i) {
    const step s = p.next(w.bank, w.clock.now());
    ASSERT_EQ(s.target, i);
    if (i == 199) {
      p.local_limited(w.bank, 1s, w.clock.now());
    } else {
      p.report(w.bank, down.result, std::nullopt, w.clock.now());
    }
  }
  EXPECT_EQ(p.next(w.bank, w.clock.now()).verdict, run_verdict::local_limit);
  EXPECT_EQ(p.events().size(), 198U);
  EXPECT_EQ(text_of(p.events().back()), "failover 197>198 primary_unavailable");
}

TEST(failover, a_finished_plan_keeps_its_verdict) {
  world w{2};
  failover_plan p = w.plan();
  p.next(w.bank, w.clock.now());
  p.report(w.bank, down.result, std::nullopt, w.clock.now());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(p.next(w.bank, w.clock.now()).verdict, run_verdict::unavailable);
  p.abandon(w.bank, true, w.clock.now());
  EXPECT_EQ(p.next(w.bank, w.clock.now()).verdict, run_verdict::unavailable);
}

}  // namespace
}  // namespace tidegate::policy
