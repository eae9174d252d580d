// COST-2: limits, verdicts and edges.
#include "policy/cost_guard.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace tidegate::policy {
namespace {

constexpr std::int64_t usd(double dollars) { return static_cast<std::int64_t>(dollars * 1e6 + 0.5); }

// T58: 0.95 + 0.10; total 5.0.
TEST(cost_guard, T58_both_limits_are_inclusive_and_the_hard_stop_goes_first) {
  const cost_limits limits;
  EXPECT_EQ(judge_cost(limits, usd(0.95)), cost_verdict::none);
  EXPECT_EQ(judge_cost(limits, usd(1.0) - 1), cost_verdict::none);
  EXPECT_EQ(judge_cost(limits, usd(1.0)), cost_verdict::warning);
  EXPECT_EQ(judge_cost(limits, usd(0.95) + usd(0.10)), cost_verdict::warning);
  EXPECT_EQ(judge_cost(limits, usd(5.0) - 1), cost_verdict::warning);
  EXPECT_EQ(judge_cost(limits, usd(5.0)), cost_verdict::hard_stop);
  const cost_limits equal{usd(2), usd(2), true};
  EXPECT_EQ(judge_cost(equal, usd(2)), cost_verdict::hard_stop);
}

TEST(cost_guard, a_disabled_guard_says_nothing) {
  const cost_limits off{0, 0, false};
  EXPECT_EQ(judge_cost(off, usd(1'000)), cost_verdict::none);
  const cost_limits strict{0, 0, true};
  EXPECT_EQ(judge_cost(strict, 0), cost_verdict::hard_stop) << "nothing may be spent";
}

TEST(cost_guard, limits_that_make_no_sense_are_refused) {
  EXPECT_EQ(cost_limits_of(1.0, 5.0, true), (cost_limits{usd(1), usd(5), true}));
  EXPECT_EQ(cost_limits_of(0.0, 0.0, false), (cost_limits{0, 0, false}));
  EXPECT_EQ(cost_limits_of(0.1234567, 0.1234574, true), (cost_limits{123'457, 123'457, true}));
  EXPECT_EQ(cost_limits_of(-0.01, 5.0, true), std::nullopt);
  EXPECT_EQ(cost_limits_of(1.0, -5.0, true), std::nullopt);
  EXPECT_EQ(cost_limits_of(5.01, 5.0, true), std::nullopt);
  EXPECT_EQ(cost_limits_of(std::numeric_limits<double>::quiet_NaN(), 5.0, true), std::nullopt);
  EXPECT_EQ(cost_limits_of(1.0, std::numeric_limits<double>::infinity(), true), std::nullopt);
  EXPECT_EQ(cost_limits_of(1.0, 1e300, true), std::nullopt);
}

TEST(cost_guard, an_alert_is_told_once_as_the_verdict_rises) {
  const cost_limits limits;
  cost_edge edge{limits, 0};
  EXPECT_EQ(edge.note(limits, usd(0.5)), std::nullopt);
  EXPECT_EQ(edge.note(limits, usd(1.0)), cost_verdict::warning);
  EXPECT_EQ(edge.note(limits, usd(2.0)), std::nullopt);
  EXPECT_EQ(edge.note(limits, usd(5.5)), cost_verdict::hard_stop);
  EXPECT_EQ(edge.note(limits, usd(6.0)), std::nullopt);
  const cost_limits raised{usd(1), usd(10), true};
  EXPECT_EQ(edge.note(raised, usd(6.0)), std::nullopt) << "falling back is no news";
  EXPECT_EQ(edge.note(raised, usd(10.0)), cost_verdict::hard_stop);
  EXPECT_EQ(edge.note(limits, 0), std::nullopt);
  EXPECT_EQ(edge.note(limits, usd(7.0)), cost_verdict::hard_stop) << "after a reset it is told again";
}

TEST(cost_guard, what_stood_before_a_restart_has_been_told) {
  const cost_limits limits;
  cost_edge edge{limits, usd(1.5)};
  EXPECT_EQ(edge.note(limits, usd(1.6)), std::nullopt);
  EXPECT_EQ(edge.note(limits, usd(5.0)), cost_verdict::hard_stop);
}

}  // namespace
}  // namespace tidegate::policy
