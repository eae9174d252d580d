// Targets that cannot carry a request (FO-10), and runs whose configuration has been replaced (FO-1, FO-7).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "policy/failover.h"

namespace tidegate::policy {
namespace {

using namespace std::chrono_literals;
using foundation::duration;
using foundation::manual_clock;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr auto after_trip = failover_mode::after_trip;
constexpr auto immediate = failover_mode::immediate;

const leg_result up{};
const leg_result down = result_of_status(503);
const leg_result limited = result_of_status(429);

struct world {
  explicit world(std::size_t providers) {
    for (std::uint32_t i = 0; i < providers; ++i) {
      const provider_index p = bank.enroll({"provider-" + std::to_string(i), "https://h", i + 1});
      targets.push_back({p, i + 1, "model"});
    }
  }
  void degrade(std::size_t target) {
    breaker& circuit = bank.breaker_of(targets[target].provider);
    while (circuit.closed()) circuit.on_failure(circuit.try_acquire(clock.now()).value(), clock.now());
  }

  manual_clock clock;
  health_bank bank;
  std::vector<target_ref> targets;
};

struct told {
  std::vector<std::size_t> called;
  std::vector<std::string> switches;
  run_verdict verdict = run_verdict::success;
  std::uint32_t legs = 0;
};

// `script` by target; nothing: the request cannot be said to it.
told run(world& w, failover_mode mode, const std::vector<std::optional<leg_result>>& script) {
  told out;
  failover_plan plan{mode, w.targets};
  for (;;) {
    const step s = plan.next(w.bank, w.clock.now());
    if (s.what == step_kind::finish) {
      out.verdict = s.verdict;
      out.legs = plan.legs();
      return out;
    }
    if (!script.at(s.target)) {
      plan.cannot_carry(w.bank, w.clock.now());
      continue;
    }
    out.called.push_back(s.target);
    EXPECT_EQ(s.leg, out.called.size());
    plan.report(w.bank, *script[s.target], std::nullopt, w.clock.now());
    for (const health_event& e : plan.events()) {
      if (e.kind != event_kind::failover) continue;
      out.switches.push_back(std::to_string(e.from) + '>' + std::to_string(e.to) + ' ' +
                             std::string{name_of(e.reason)});
    }
    plan.clear_events();
  }
}

TEST(failover_fit, a_backup_that_cannot_carry_the_request_is_skipped_for_the_next) {
  for (const auto mode : {after_trip, immediate}) {
    world w{3};
    if (mode == after_trip) {
      for (int i = 0; i < 2; ++i) run(w, mode, {down, {}, up});
    }
    const told r = run(w, mode, {down, {}, up});
    EXPECT_THAT(r.called, ElementsAre(0, 2));
    EXPECT_EQ(r.verdict, run_verdict::success);
    EXPECT_EQ(r.legs, 2U);
    EXPECT_THAT(r.switches, ElementsAre("0>2 primary_unavailable"));
  }
}

TEST(failover_fit, behind_unfit_backups_the_last_failure_stands) {
  world w{3};
  EXPECT_EQ(run(w, immediate, {down, {}, {}}).verdict, run_verdict::unavailable);
  EXPECT_EQ(run(w, immediate, {result_of_status(401), {}, {}}).verdict, run_verdict::last_error);
  EXPECT_EQ(run(w, immediate, {limited, {}, {}}).verdict, run_verdict::rate_limited)
      << "every target that fits rests";
}

TEST(failover_fit, none_fits_only_where_every_target_was_found_unfit) {
  for (const auto mode : {after_trip, immediate}) {
    world w{3};
    const told r = run(w, mode, {std::nullopt, std::nullopt, std::nullopt});
    EXPECT_THAT(r.called, IsEmpty());
    EXPECT_EQ(r.verdict, run_verdict::unfit);
    EXPECT_EQ(r.legs, 0U);
    EXPECT_THAT(r.switches, IsEmpty());
  }
}

TEST(failover_fit, the_first_target_that_fits_is_no_switch) {
  world w{3};
  EXPECT_THAT(run(w, immediate, {{}, up, up}).switches, IsEmpty());
  const told r = run(w, immediate, {{}, down, up});
  EXPECT_THAT(r.called, ElementsAre(1, 2));
  EXPECT_THAT(r.switches, ElementsAre("1>2 primary_unavailable"));
  w.degrade(1);
  EXPECT_THAT(run(w, immediate, {{}, up, up}).switches, ElementsAre("1>2 primary_degraded"));
}

// FO-8: to this run there is no other provider, and none that is healthy.
TEST(failover_fit, a_degraded_target_is_tried_where_the_healthy_one_cannot_carry_the_request) {
  world w{2};
  w.degrade(0);
  EXPECT_THAT(run(w, after_trip, {up, {}}).called, ElementsAre(0));

  world probed{2};
  probed.degrade(0);
  probed.clock.advance(15min);
  failover_plan prober{after_trip, probed.targets};
  ASSERT_EQ(prober.next(probed.bank, probed.clock.now()).kind, leg_kind::probe);
  EXPECT_THAT(run(probed, after_trip, {up, {}}).called, ElementsAre(0));
}

TEST(failover_fit, an_unfit_target_keeps_no_permit_and_tells_of_no_probe) {  // FO-6
  world w{2};
  w.degrade(0);
  w.clock.advance(15min);
  failover_plan plan{after_trip, w.targets};
  ASSERT_EQ(plan.next(w.bank, w.clock.now()).kind, leg_kind::probe);
  plan.cannot_carry(w.bank, w.clock.now());
  EXPECT_THAT(plan.events(), IsEmpty());
  EXPECT_EQ(plan.next(w.bank, w.clock.now()).target, 1U);
  failover_plan next{after_trip, w.targets};
  EXPECT_EQ(next.next(w.bank, w.clock.now()).kind, leg_kind::probe);
}

TEST(failover_fit, any_mixture_of_fit_health_and_rest_calls_each_fit_target_at_most_once) {
  for (unsigned mask = 0; mask < 1U << 12; ++mask) {
    world w{4};
    std::vector<std::optional<leg_result>> script(4);
    bool any_fits = false;
    bool any_rests = false;  // whether that one fits is not found out
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned bits = mask >> (3 * i) & 7U;
      if ((bits & 1U) != 0) script[i] = down;
      any_fits = any_fits || script[i].has_value();
      if ((bits & 2U) != 0) w.degrade(i);
      if ((bits & 4U) == 0) continue;
      any_rests = true;
      w.bank.cool_down(w.targets[i].provider, "model", 10s, w.clock.now());
    }
    for (const auto mode : {after_trip, immediate}) {
      const told r = run(w, mode, script);
      if (any_fits) EXPECT_NE(r.verdict, run_verdict::unfit) << mask;
      if (!any_fits && !any_rests) EXPECT_EQ(r.verdict, run_verdict::unfit) << mask;
      std::vector<std::size_t> once = r.called;
      std::ranges::sort(once);
      EXPECT_TRUE(std::ranges::adjacent_find(once) == once.end()) << mask;
      for (const std::string& s : r.switches) EXPECT_FALSE(s.ends_with(' ')) << mask << ": " << s;
    }
  }
}

// A reload between two legs: the run goes on under the configuration that it began with.
TEST(failover_fit, later_legs_of_a_replaced_configuration_judge_nobody) {
  world w{3};
  failover_plan old{immediate, w.targets};
  ASSERT_EQ(old.next(w.bank, w.clock.now()).target, 0U);
  w.bank.enroll({"provider-1", "https://elsewhere", 2});
  old.report(w.bank, down, std::nullopt, w.clock.now());
  ASSERT_EQ(old.next(w.bank, w.clock.now()).target, 1U);
  old.report(w.bank, down, std::nullopt, w.clock.now());
  EXPECT_EQ(w.bank.breaker_of(1).consecutive_failures(), 0U);
  EXPECT_EQ(old.next(w.bank, w.clock.now()).target, 2U);
}

TEST(failover_fit, a_replaced_endpoint_neither_trips_nor_recovers_nor_probes_its_successor) {
  world w{1};
  w.degrade(0);
  const std::vector<target_ref> replaced = w.targets;
  w.bank.enroll({"provider-0", "https://elsewhere", 1});
  w.targets[0].epoch = w.bank.epoch_of(0);
  ASSERT_NE(w.targets[0].epoch, replaced[0].epoch);
  const auto call = [&](const leg_result& result, bool content) {
    failover_plan plan{after_trip, replaced};
    const step s = plan.next(w.bank, w.clock.now());
    EXPECT_EQ(s.kind, leg_kind::normal);
    if (content) plan.content_started(w.bank, w.clock.now());
    plan.report(w.bank, result, std::nullopt, w.clock.now());
    EXPECT_THAT(plan.events(), IsEmpty());
  };
  for (int i = 0; i < 5; ++i) call(down, i % 2 == 0);
  EXPECT_TRUE(w.bank.breaker_of(0).closed());
  w.degrade(0);
  w.clock.advance(15min);
  const auto generation = w.bank.breaker_of(0).generation();
  call(up, false);
  call(up, true);
  EXPECT_EQ(w.bank.breaker_of(0).generation(), generation) << "no probe was taken, nothing has recovered";
  EXPECT_EQ(run(w, after_trip, {up}).verdict, run_verdict::success);
  EXPECT_TRUE(w.bank.breaker_of(0).closed());
}

TEST(failover_fit, pushback_of_a_replaced_endpoint_gives_its_successor_no_rest) {  // FO-4
  world w{1};
  const std::vector<target_ref> replaced = w.targets;
  w.bank.enroll({"provider-0", "https://elsewhere", 1});
  w.targets[0].epoch = w.bank.epoch_of(0);
  failover_plan old{immediate, replaced};
  ASSERT_EQ(old.next(w.bank, w.clock.now()).what, step_kind::call);
  old.report(w.bank, limited, duration{7s}, w.clock.now());
  const step end = old.next(w.bank, w.clock.now());
  EXPECT_EQ(end.verdict, run_verdict::rate_limited);
  EXPECT_EQ(end.retry_after, duration{7s});
  EXPECT_EQ(run(w, immediate, {up}).verdict, run_verdict::success);
  // The other way round: the present one's rest is not the old one's.
  w.bank.cool_down(0, "model", 7s, w.clock.now());
  failover_plan older{immediate, replaced};
  EXPECT_EQ(older.next(w.bank, w.clock.now()).what, step_kind::call);
  older.abandon(w.bank, false, w.clock.now());
}

}  // namespace
}  // namespace tidegate::policy
