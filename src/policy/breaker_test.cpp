#include "policy/breaker.h"

#include <gtest/gtest.h>

namespace tidegate::policy {
namespace {

using namespace std::chrono_literals;
using foundation::manual_clock;
using foundation::milliseconds;
using foundation::wall_time;

struct breaker_world : testing::Test {
  manual_clock clock;
  breaker circuit;

  ticket acquire() {
    const auto held = circuit.try_acquire(clock.now());
    EXPECT_TRUE(held.has_value());
    return held.value_or(ticket{});
  }
  void trip() {
    for (int i = 0; i < 3; ++i) circuit.on_failure(acquire(), clock.now());
    ASSERT_EQ(circuit.status(clock.now()), breaker_status::degraded);
  }
  breaker_refusal refusal() {
    const auto held = circuit.try_acquire(clock.now());
    EXPECT_FALSE(held.has_value());
    return held ? breaker_refusal::degraded : held.error();
  }
};

TEST_F(breaker_world, third_failure_in_a_row_trips_inclusive) {
  EXPECT_EQ(circuit.on_failure(acquire(), clock.now()), breaker_change::none);
  EXPECT_EQ(circuit.on_failure(acquire(), clock.now()), breaker_change::none);
  EXPECT_EQ(circuit.on_failure(acquire(), clock.now()), breaker_change::tripped);
  EXPECT_EQ(circuit.consecutive_failures(), 3U);
  EXPECT_EQ(circuit.degraded_at(clock.now()), clock.now());
}

TEST_F(breaker_world, t10_success_between_failures_starts_the_count_anew) {
  for (int i = 0; i < 2; ++i) circuit.on_failure(acquire(), clock.now());
  circuit.on_success(acquire(), clock.now());
  for (int i = 0; i < 2; ++i) circuit.on_failure(acquire(), clock.now());
  EXPECT_TRUE(circuit.closed());
  EXPECT_EQ(circuit.consecutive_failures(), 2U);
}

TEST_F(breaker_world, undecided_outcomes_neither_count_nor_clear) {
  for (int i = 0; i < 2; ++i) circuit.on_failure(acquire(), clock.now());
  circuit.on_undecided(acquire(), clock.now());
  EXPECT_EQ(circuit.consecutive_failures(), 2U);
  EXPECT_EQ(circuit.on_failure(acquire(), clock.now()), breaker_change::tripped);
}

TEST_F(breaker_world, t7_t8_window_ends_inclusive) {
  trip();
  clock.advance(899'999ms);
  EXPECT_EQ(refusal(), breaker_refusal::degraded);
  EXPECT_EQ(circuit.status(clock.now()), breaker_status::degraded);
  clock.advance(1ms);
  EXPECT_EQ(circuit.status(clock.now()), breaker_status::half_open);
  EXPECT_EQ(acquire().kind, leg_kind::probe);
}

TEST_F(breaker_world, half_open_admits_one_probe) {
  trip();
  clock.advance(900s);
  EXPECT_EQ(acquire().kind, leg_kind::probe);
  EXPECT_EQ(refusal(), breaker_refusal::probing);
  EXPECT_EQ(circuit.would_refuse(clock.now()), breaker_refusal::probing);
  clock.advance(29'999ms);
  EXPECT_EQ(refusal(), breaker_refusal::probing);
}

TEST_F(breaker_world, probe_success_recovers) {
  trip();
  clock.advance(900s);
  const ticket probe = acquire();
  EXPECT_EQ(circuit.on_success(probe, clock.now()), breaker_change::recovered_from_half_open);
  EXPECT_TRUE(circuit.closed());
  EXPECT_EQ(circuit.consecutive_failures(), 0U);
  EXPECT_FALSE(circuit.degraded_at(clock.now()).has_value());
}

TEST_F(breaker_world, t9_probe_failure_begins_a_full_window) {
  trip();
  clock.advance(1'000s);
  EXPECT_EQ(circuit.on_failure(acquire(), clock.now()), breaker_change::probe_failed);
  EXPECT_EQ(circuit.degraded_at(clock.now()), clock.now());
  clock.advance(899'999ms);
  EXPECT_EQ(refusal(), breaker_refusal::degraded);
  clock.advance(1ms);
  EXPECT_EQ(acquire().kind, leg_kind::probe);
}

TEST_F(breaker_world, undecided_probe_returns_the_permit) {
  trip();
  clock.advance(900s);
  circuit.on_undecided(acquire(), clock.now());
  EXPECT_EQ(circuit.status(clock.now()), breaker_status::half_open);
  EXPECT_EQ(acquire().kind, leg_kind::probe);
}

TEST_F(breaker_world, t107_expired_permit_is_a_failed_probe_and_its_result_is_void) {
  trip();
  clock.advance(900s);
  const ticket probe = acquire();
  clock.advance(30s);
  const auto expiry = clock.now();
  EXPECT_EQ(circuit.status(clock.now()), breaker_status::degraded);
  EXPECT_EQ(circuit.would_refuse(clock.now()), breaker_refusal::degraded);
  clock.advance(5s);
  EXPECT_EQ(circuit.on_success(probe, clock.now()), breaker_change::none);
  EXPECT_EQ(circuit.degraded_at(clock.now()), expiry);
  EXPECT_EQ(circuit.consecutive_failures(), 4U);
}

TEST_F(breaker_world, forgotten_permit_expires_when_its_time_is_over_not_when_somebody_looks) {
  trip();
  clock.advance(900s);
  acquire();
  clock.advance(30s + 899'999ms);
  EXPECT_EQ(refusal(), breaker_refusal::degraded);
  clock.advance(1ms);
  EXPECT_FALSE(circuit.would_refuse(clock.now()).has_value());
  EXPECT_EQ(acquire().kind, leg_kind::probe);
}

TEST_F(breaker_world, t108_results_from_before_the_trip_are_void) {
  const ticket early = acquire();
  trip();
  EXPECT_EQ(circuit.on_success(early, clock.now()), breaker_change::none);
  EXPECT_FALSE(circuit.closed());
  const auto failures = circuit.consecutive_failures();
  circuit.on_failure(early, clock.now());
  EXPECT_EQ(circuit.consecutive_failures(), failures);
}

TEST_F(breaker_world, undecided_leg_from_before_the_trip_does_not_free_a_permit) {
  const ticket early = acquire();
  trip();
  clock.advance(900s);
  acquire();
  circuit.on_undecided(early, clock.now());
  EXPECT_EQ(refusal(), breaker_refusal::probing);
}

TEST_F(breaker_world, last_resort_success_recovers_and_failure_leaves_the_window_alone) {
  trip();
  const auto since = circuit.degraded_at(clock.now());
  clock.advance(10s);
  const ticket first = circuit.acquire_anyway(clock.now());
  EXPECT_EQ(first.kind, leg_kind::last_resort);
  EXPECT_EQ(circuit.on_failure(first, clock.now()), breaker_change::none);
  EXPECT_EQ(circuit.degraded_at(clock.now()), since);
  EXPECT_EQ(circuit.on_success(circuit.acquire_anyway(clock.now()), clock.now()), breaker_change::recovered);
  EXPECT_TRUE(circuit.closed());
}

TEST_F(breaker_world, last_resort_beside_a_probe_does_not_end_the_probe_by_failing) {
  trip();
  clock.advance(900s);
  const ticket probe = acquire();
  const ticket beside = circuit.acquire_anyway(clock.now());
  EXPECT_EQ(beside.kind, leg_kind::last_resort);
  EXPECT_EQ(circuit.on_failure(beside, clock.now()), breaker_change::none);
  EXPECT_EQ(refusal(), breaker_refusal::probing);
  EXPECT_EQ(circuit.on_success(probe, clock.now()), breaker_change::recovered_from_half_open);
}

TEST_F(breaker_world, trip_permit_expiry_recovery_and_reset_raise_the_generation) {
  std::uint64_t last = circuit.generation();
  const auto raised = [&] {
    const bool up = circuit.generation() > last;
    last = circuit.generation();
    return up;
  };
  trip();
  EXPECT_TRUE(raised());
  clock.advance(900s);
  acquire();
  EXPECT_TRUE(raised());
  clock.advance(930s);
  const ticket second = acquire();  // the first permit expired, then a new one
  EXPECT_TRUE(raised());
  circuit.on_success(second, clock.now());
  EXPECT_TRUE(raised());
  circuit.reset();
  EXPECT_TRUE(raised());
}

TEST_F(breaker_world, t110_reset_closes_and_voids_tickets) {
  const ticket early = acquire();
  trip();
  circuit.reset();
  EXPECT_TRUE(circuit.closed());
  EXPECT_EQ(circuit.consecutive_failures(), 0U);
  circuit.on_failure(early, clock.now());
  EXPECT_EQ(circuit.consecutive_failures(), 0U);
}

TEST_F(breaker_world, t95_snapshot_and_restore_keep_state_and_rest) {
  trip();
  clock.advance(300s);
  const auto saved = circuit.snapshot(clock.now(), clock.wall());
  manual_clock later{clock.wall() + 100s};
  breaker restored;
  restored.restore(saved, later.now(), later.wall());
  EXPECT_EQ(restored.consecutive_failures(), 3U);
  EXPECT_EQ(restored.generation(), circuit.generation());
  later.advance(499'999ms);
  EXPECT_EQ(restored.status(later.now()), breaker_status::degraded);
  later.advance(1ms);
  EXPECT_EQ(restored.status(later.now()), breaker_status::half_open);
}

TEST_F(breaker_world, nfr2_rest_is_clipped_to_the_window) {
  trip();
  const auto saved = circuit.snapshot(clock.now(), clock.wall());
  for (const wall_time wall : {clock.wall() - 24h, wall_time::min()}) {
    breaker early;
    early.restore(saved, clock.now(), wall);
    EXPECT_EQ(early.would_refuse(clock.now() + 899'999ms), breaker_refusal::degraded);
    EXPECT_FALSE(early.would_refuse(clock.now() + 900s).has_value());
  }
  breaker late;
  late.restore(saved, clock.now(), clock.wall() + 10'000h);
  EXPECT_FALSE(late.would_refuse(clock.now()).has_value());
}

TEST_F(breaker_world, snapshot_with_a_probe_under_way_restores_as_due) {
  trip();
  clock.advance(900s);
  acquire();
  breaker restored;
  restored.restore(circuit.snapshot(clock.now(), clock.wall()), clock.now(), clock.wall());
  EXPECT_EQ(restored.try_acquire(clock.now()).value().kind, leg_kind::probe);
}

TEST_F(breaker_world, closed_snapshot_keeps_the_count) {
  circuit.on_failure(acquire(), clock.now());
  breaker restored;
  restored.restore(circuit.snapshot(clock.now(), clock.wall()), clock.now(), clock.wall());
  EXPECT_TRUE(restored.closed());
  EXPECT_EQ(restored.consecutive_failures(), 1U);
}

TEST(breaker_settings, thresholds_hold) {
  manual_clock clock;
  breaker circuit{{.failure_threshold = 1, .half_open_after = 2s, .probe_permit = 1s}};
  EXPECT_EQ(circuit.on_failure(circuit.try_acquire(clock.now()).value(), clock.now()),
            breaker_change::tripped);
  clock.advance(2s);
  EXPECT_EQ(circuit.try_acquire(clock.now()).value().kind, leg_kind::probe);
  circuit.configure({.failure_threshold = 1, .half_open_after = 10s, .probe_permit = 5s});
  clock.advance(4s);
  EXPECT_EQ(circuit.would_refuse(clock.now()), breaker_refusal::probing);
  clock.advance(1s);
  EXPECT_EQ(circuit.would_refuse(clock.now()), breaker_refusal::degraded);
}

}  // namespace
}  // namespace tidegate::policy
