#include "policy/push_window.h"

#include <gtest/gtest.h>

#include <vector>

#include "foundation/random.h"

namespace tidegate::policy {
namespace {

using namespace std::chrono_literals;
using foundation::instant;

const instant start{1h};

TEST(push_window, T53_what_is_over_the_limit_is_dropped_and_told_of_once) {
  push_window window{2};
  EXPECT_TRUE(window.offer(start).admitted);
  EXPECT_TRUE(window.offer(start).admitted);
  const auto third = window.offer(start + 1ms);
  EXPECT_FALSE(third.admitted);
  EXPECT_EQ(third.report, 1U);
  const auto fourth = window.offer(start + 2ms);
  EXPECT_FALSE(fourth.admitted);
  EXPECT_FALSE(fourth.report.has_value());
}

TEST(push_window, a_chunk_is_forgotten_when_it_is_exactly_a_second_old) {
  push_window window{1};
  ASSERT_TRUE(window.offer(start).admitted);
  EXPECT_FALSE(window.offer(start + 1s - 1ns).admitted);
  EXPECT_EQ(window.free_at(start + 1ms), start + 1s);
  EXPECT_TRUE(window.offer(start + 1s).admitted);
}

TEST(push_window, the_next_report_holds_what_the_last_one_could_not) {
  push_window window{1};
  window.offer(start);
  EXPECT_EQ(window.offer(start).report, 1U);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(window.offer(start + 1ms).report.has_value());
  window.offer(start + 1s);
  EXPECT_EQ(window.offer(start + 1s).report, 6U);
}

TEST(push_window, waiting_for_a_unit_drops_nothing) {
  push_window window{1};
  EXPECT_TRUE(window.take(start));
  EXPECT_FALSE(window.take(start));
  EXPECT_EQ(window.drop(start + 1ms), 1U) << "the first that was dropped";
  EXPECT_TRUE(window.take(start + 1s));
}

TEST(push_window, never_more_than_the_limit_in_any_second) {
  foundation::random_source random{7};
  push_window window{50};
  std::vector<instant> passed;
  instant now = start;
  for (int i = 0; i < 20'000; ++i) {
    now += static_cast<int>(random.below(15)) * 1ms;
    if (!window.offer(now).admitted) continue;
    passed.push_back(now);
    if (passed.size() > 50) {
      EXPECT_GE(now - passed[passed.size() - 51], 1s);
    }
  }
  EXPECT_GT(passed.size(), 5'000U);
}

}  // namespace
}  // namespace tidegate::policy
