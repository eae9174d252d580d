#include "policy/health.h"

#include <gtest/gtest.h>

namespace tidegate::policy {
namespace {

using namespace std::chrono_literals;
using foundation::duration;
using foundation::manual_clock;

struct health_world : testing::Test {
  manual_clock clock;
  health_bank bank;
  provider_index p = bank.enroll({"openai", "https://h", 7});

  void trip(health_bank& in) {
    breaker& circuit = in.breaker_of(p);
    for (int i = 0; i < 3; ++i) circuit.on_failure(circuit.try_acquire(clock.now()).value(), clock.now());
  }
};

TEST_F(health_world, same_identity_keeps_its_state) {
  trip(bank);
  EXPECT_EQ(bank.enroll({"openai", "https://h", 7}), p);
  EXPECT_FALSE(bank.breaker_of(p).closed());
  EXPECT_EQ(bank.size(), 1U);
}

TEST_F(health_world, t110_new_url_or_credential_starts_as_new) {
  for (const provider_identity& changed :
       {provider_identity{"openai", "https://other", 7}, {"openai", "https://other", 8}}) {
    trip(bank);
    bank.cool_down(p, "m", 7s, clock.now());
    EXPECT_EQ(bank.enroll(changed), p);
    EXPECT_TRUE(bank.breaker_of(p).closed());
    EXPECT_EQ(bank.breaker_of(p).consecutive_failures(), 0U);
    EXPECT_EQ(bank.cooldown_rest(p, "m", clock.now()), duration::zero());
  }
}

TEST_F(health_world, t16_instances_do_not_share_health) {
  health_bank other;
  other.enroll({"openai", "https://h", 7});
  trip(bank);
  EXPECT_FALSE(bank.breaker_of(p).closed());
  EXPECT_TRUE(other.breaker_of(p).closed());
}

TEST_F(health_world, fo4_cooldown_has_a_default_and_a_cap_and_ends_inclusive) {
  EXPECT_EQ(bank.cool_down(p, "none", std::nullopt, clock.now()), 5s);
  EXPECT_EQ(bank.cool_down(p, "long", 999s, clock.now()), 300s);
  EXPECT_EQ(bank.cool_down(p, "negative", -4s, clock.now()), 0s);
  EXPECT_EQ(bank.cooldown_rest(p, "none", clock.now() + 4'999ms), 1ms);
  EXPECT_EQ(bank.cooldown_rest(p, "none", clock.now() + 5s), 0s);
  EXPECT_EQ(bank.cooldown_until(p, clock.now()), clock.now() + 300s);
  EXPECT_FALSE(bank.cooldown_until(p, clock.now() + 300s).has_value());
}

TEST_F(health_world, cooldown_belongs_to_the_target_and_is_never_shortened) {
  bank.cool_down(p, "a", 60s, clock.now());
  bank.cool_down(p, "a", 1s, clock.now());
  EXPECT_EQ(bank.cooldown_rest(p, "a", clock.now()), 60s);
  EXPECT_EQ(bank.cooldown_rest(p, "b", clock.now()), 0s);
}

TEST_F(health_world, cooldowns_are_bounded) {
  bank.cool_down(p, "soonest", 1s, clock.now());
  for (std::size_t i = 0; i < 10 * health_bank::cooldowns_max; ++i) {
    bank.cool_down(p, "model-" + std::to_string(i), 10s, clock.now());
  }
  EXPECT_EQ(bank.cooldown_rest(p, "soonest", clock.now()), 0s);
  EXPECT_EQ(bank.snapshot(clock.now(), clock.wall()).front().cooldowns.size(), health_bank::cooldowns_max);
}

TEST_F(health_world, t95_snapshot_and_restore_keep_breakers_and_cooldowns) {
  trip(bank);
  bank.cool_down(p, "m", 60s, clock.now());
  const auto saved = bank.snapshot(clock.now(), clock.wall());
  health_bank fresh;
  fresh.enroll({"openai", "https://h", 7});
  clock.advance(20s);
  fresh.restore(saved, clock.now(), clock.wall());
  EXPECT_FALSE(fresh.breaker_of(p).closed());
  EXPECT_EQ(fresh.cooldown_rest(p, "m", clock.now()), 40s);
  health_bank clipped;
  clipped.enroll({"openai", "https://h", 7});
  clipped.restore(saved, clock.now(), clock.wall() - 1000h);
  EXPECT_EQ(clipped.cooldown_rest(p, "m", clock.now()), 300s);
}

TEST_F(health_world, restore_passes_over_other_identities) {
  trip(bank);
  const auto saved = bank.snapshot(clock.now(), clock.wall());
  health_bank fresh;
  fresh.enroll({"openai", "https://h", 8});
  fresh.restore(saved, clock.now(), clock.wall());
  EXPECT_TRUE(fresh.breaker_of(p).closed());
}

}  // namespace
}  // namespace tidegate::policy
