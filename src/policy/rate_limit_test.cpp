#include "policy/rate_limit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

#include "foundation/random.h"

namespace tidegate::policy {
namespace {

using namespace std::chrono_literals;
using foundation::duration;
using foundation::instant;
using foundation::wall_time;

const instant start{1h};
const wall_time wall_start{1'700'000'000'000ms};

// T21, S2(b)
TEST(rate_limit, sixty_pass_and_the_next_passes_when_the_oldest_is_exactly_a_window_old) {
  rate_limiter limiter;
  const auto key = limiter.enroll("key");
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(limiter.try_take(key, 60, start + i * 1ms).admitted);
  const auto refused = limiter.try_take(key, 60, start + 59'999ms);
  EXPECT_FALSE(refused.admitted);
  EXPECT_EQ(refused.retry_after, 1ms);
  EXPECT_TRUE(limiter.try_take(key, 60, start + 60'000ms).admitted);
  EXPECT_FALSE(limiter.try_take(key, 60, start + 60'000ms).admitted) << "the second oldest is 59,999 ms old";
}

TEST(rate_limit, a_refusal_is_not_stamped) {
  rate_limiter limiter;
  const auto key = limiter.enroll("key");
  ASSERT_TRUE(limiter.try_take(key, 1, start).admitted);
  for (int i = 1; i < 60; ++i) ASSERT_FALSE(limiter.try_take(key, 1, start + i * 1s).admitted);
  EXPECT_TRUE(limiter.try_take(key, 1, start + 60s).admitted);
}

TEST(rate_limit, the_wait_told_is_exact) {
  rate_limiter limiter;
  const auto key = limiter.enroll("key");
  for (int i = 0; i < 5; ++i) limiter.try_take(key, 5, start + i * 7s);
  const instant now = start + 30s;
  const auto refused = limiter.try_take(key, 5, now);
  ASSERT_FALSE(refused.admitted);
  EXPECT_FALSE(limiter.peek(key, 5, now + refused.retry_after - 1ns).admitted);
  EXPECT_TRUE(limiter.peek(key, 5, now + refused.retry_after).admitted);
  // With the limit lowered below what is out, the wait is until enough units are gone.
  const auto lowered = limiter.peek(key, 2, now);
  EXPECT_FALSE(limiter.peek(key, 2, now + lowered.retry_after - 1ns).admitted);
  EXPECT_TRUE(limiter.peek(key, 2, now + lowered.retry_after).admitted);
}

TEST(rate_limit, no_limit_admits_and_stamps_nothing) {
  rate_limiter limiter;
  const auto key = limiter.enroll("key");
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(limiter.try_take(key, 0, start).admitted);
  EXPECT_EQ(limiter.in_window(key, start), 0U);
}

// RL-3, T22
TEST(rate_limit, a_reserved_failover_unit_is_never_refused_and_counts_against_later_runs) {
  rate_limiter limiter;
  const auto key = limiter.enroll("key");
  ASSERT_TRUE(limiter.try_take(key, 1, start).admitted);
  limiter.stamp(key, start + 1s);
  EXPECT_EQ(limiter.in_window(key, start + 1s), 2U);
  EXPECT_EQ(limiter.try_take(key, 1, start + 60s).retry_after, 1s);
  EXPECT_TRUE(limiter.try_take(key, 1, start + 61s).admitted);
}

// RES-5
TEST(rate_limit, a_unit_given_back_is_free_at_once) {
  rate_limiter limiter;
  const auto key = limiter.enroll("key");
  ASSERT_TRUE(limiter.try_take(key, 2, start).admitted);
  ASSERT_TRUE(limiter.try_take(key, 2, start + 1s).admitted);
  limiter.give_back(key, start);
  EXPECT_EQ(limiter.in_window(key, start + 1s), 1U);
  EXPECT_TRUE(limiter.try_take(key, 2, start + 1s).admitted);
  limiter.give_back(key, start);
  EXPECT_EQ(limiter.in_window(key, start + 1s), 2U) << "what was given back once is gone";
}

TEST(rate_limit, names_do_not_share_windows) {
  rate_limiter limiter;
  const auto one = limiter.enroll("one");
  const auto two = limiter.enroll("two");
  EXPECT_EQ(limiter.enroll("one"), one);
  ASSERT_TRUE(limiter.try_take(one, 1, start).admitted);
  EXPECT_TRUE(limiter.try_take(two, 1, start).admitted);
}

TEST(rate_limit, callers_that_read_their_clock_before_the_lock_keep_it_exact) {
  rate_limiter limiter;
  const auto key = limiter.enroll("key");
  limiter.stamp(key, start + 5ms);
  limiter.stamp(key, start);
  EXPECT_EQ(limiter.in_window(key, start + 60'000ms), 1U);
  EXPECT_EQ(limiter.in_window(key, start + 60'005ms), 0U);
}

// RL-4, NFR-2
TEST(rate_limit, state_survives_a_restart) {
  rate_limiter before;
  const auto key = before.enroll("key");
  before.enroll("idle");
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(before.try_take(key, 3, start + i * 10s).admitted);
  const auto saved = before.snapshot(start + 30s, wall_start + 30s);
  ASSERT_EQ(saved.size(), 1U) << "names without stamps are not kept";

  rate_limiter after;
  const instant now{5s};  // another boot, another timeline
  after.restore(saved, now, wall_start + 40s);
  const auto again = after.enroll("key");
  EXPECT_EQ(after.in_window(again, now), 3U);
  EXPECT_EQ(after.try_take(again, 3, now).retry_after, 20s);
  EXPECT_TRUE(after.try_take(again, 3, now + 20s).admitted);
}

TEST(rate_limit, rests_are_clipped_to_the_window_whatever_the_wall_clock_did) {
  const std::vector<rate_limiter::saved> saved{
      {"future", {wall_time::max()}}, {"past", {wall_time::min()}}, {"edge", {wall_start, wall_start + 1ms}}};
  rate_limiter limiter;
  limiter.restore(saved, start, wall_start + 60s);
  const auto future = limiter.enroll("future");
  EXPECT_EQ(limiter.peek(future, 1, start).retry_after, 60s);
  EXPECT_EQ(limiter.in_window(limiter.enroll("past"), start), 0U);
  EXPECT_EQ(limiter.in_window(limiter.enroll("edge"), start), 1U) << "exactly a window old has expired";
}

TEST(rate_limit, no_saved_stamp_expires_early_for_rounding) {
  rate_limiter before;
  const auto key = before.enroll("key");
  before.stamp(key, start);
  const auto saved = before.snapshot(start + 59'999'999'999ns, wall_start);
  rate_limiter after;
  after.restore(saved, start, wall_start);
  EXPECT_EQ(after.in_window(after.enroll("key"), start), 1U);
}

TEST(rate_limit, memory_follows_the_load_down) {
  rate_limiter limiter;
  const auto key = limiter.enroll("key");
  for (int i = 0; i < 100'000; ++i) limiter.stamp(key, start + i * 1us);
  EXPECT_GE(limiter.bytes(key), 800'000U);
  for (int i = 0; i < 100; ++i) limiter.try_take(key, 1, start + 2min + i * 1min);
  EXPECT_LE(limiter.bytes(key), 1'024U);
}

// The plainest limiter there is: all stamps of a name, looked through one by one.
struct plain_window {
  std::vector<instant> stamps;

  void forget_old(instant now) {
    std::erase_if(stamps, [&](instant s) { return now - s >= 60s; });
  }
  std::size_t counted(instant now) const {
    return static_cast<std::size_t>(std::ranges::count_if(stamps, [&](instant s) { return now - s < 60s; }));
  }
  // The smallest wait from now after which fewer than `limit` count.
  duration wait(std::uint32_t limit, instant now) const {
    std::vector<duration> rests;
    for (const instant s : stamps) {
      if (now - s < 60s) rests.push_back(60s - (now - s));
    }
    std::ranges::sort(rests);
    return rests[rests.size() - limit];
  }
};

// One random event against both; how many answers differed.
struct comparison {
  static constexpr std::size_t names = 16;
  rate_limiter limiter;
  std::vector<plain_window> plain{names};
  std::vector<rate_limiter::slot> slots;
  instant now = start;
  wall_time wall = wall_start;
  std::size_t differences = 0;

  comparison() {
    for (std::size_t i = 0; i < names; ++i) slots.push_back(limiter.enroll("key-" + std::to_string(i)));
  }

  void pass_time(foundation::random_source& random) {
    constexpr std::array<std::int64_t, 8> steps{0, 0, 1, 3, 40, 700, 1'500, 60'000};
    const std::uint64_t which = random.below(1'000);
    const auto step =
        foundation::milliseconds{which < 7 ? steps[which] : static_cast<std::int64_t>(random.below(80))};
    now += step;
    wall += step;
  }

  void event(foundation::random_source& random) {
    pass_time(random);
    const std::size_t name = random.below(names);
    const auto limit = static_cast<std::uint32_t>(1 + name * 4);
    const auto slot = slots[name];
    plain_window& want = plain[name];
    const std::uint64_t kind = random.below(100);
    if (kind < 80) {
      want.forget_old(now);
      const bool free = want.stamps.size() < limit;
      const auto said = limiter.try_take(slot, limit, now);
      differences += said.admitted != free;
      if (!said.admitted && !free) differences += said.retry_after != want.wait(limit, now);
      if (free) want.stamps.push_back(now);
    } else if (kind < 85) {
      limiter.stamp(slot, now);
      want.stamps.push_back(now);
    } else if (kind < 92) {
      if (want.stamps.empty()) return;
      const std::size_t which = random.below(want.stamps.size());
      limiter.give_back(slot, want.stamps[which]);
      want.stamps.erase(want.stamps.begin() + static_cast<std::ptrdiff_t>(which));
    } else {
      differences += limiter.in_window(slot, now) != want.counted(now);
    }
  }

  // Everything but whole milliseconds is random here, so a restart must change nothing.
  void restart() {
    const auto saved = limiter.snapshot(now, wall);
    limiter = {};
    for (std::size_t i = 0; i < names; ++i) slots[i] = limiter.enroll("key-" + std::to_string(i));
    limiter.restore(saved, now, wall);
    for (plain_window& window : plain) window.forget_old(now);
  }
};

TEST(rate_limit, agrees_with_a_plain_reference_over_ten_million_events) {
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  constexpr std::size_t events = 1'000'000;
#else
  constexpr std::size_t events = 10'000'000;
#endif
  foundation::random_source random{20'261'123};
  comparison both;
  for (std::size_t i = 0; i < events; ++i) {
    both.event(random);
    if (i % 100'003 == 0) both.restart();
    ASSERT_EQ(both.differences, 0U) << "event " << i;
  }
  const auto busiest = both.slots.back();
  std::cout << "rate_limit: " << events << " events, " << both.differences
            << " differences; memory of a key with limit " << 1 + (comparison::names - 1) * 4 << ": "
            << both.limiter.bytes(busiest) << " bytes\n";
  EXPECT_LE(both.limiter.bytes(busiest), 2'048U);
}

}  // namespace
}  // namespace tidegate::policy
