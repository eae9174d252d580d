#include "load/histogram.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "foundation/random.h"

namespace tidegate::load {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

TEST(histogram, is_empty_at_first) {
  const histogram values;
  EXPECT_EQ(values.count(), 0U);
  EXPECT_EQ(values.percentile(50), duration::zero());
  EXPECT_EQ(values.mean(), duration::zero());
  EXPECT_EQ(values.min(), duration::zero());
  EXPECT_EQ(values.max(), duration::zero());
}

TEST(histogram, is_exact_for_small_values) {
  histogram values;
  for (int ns = 1; ns <= 200; ++ns) values.record(duration{ns});
  EXPECT_EQ(values.percentile(50), duration{100});
  EXPECT_EQ(values.percentile(99), duration{198});
  EXPECT_EQ(values.percentile(100), duration{200});
  EXPECT_EQ(values.percentile(0), duration{1});
  EXPECT_EQ(values.mean(), duration{100});
}

TEST(histogram, reads_at_most_one_percent_high_and_never_low) {
  foundation::random_source random{7};
  for (int round = 0; round < 50; ++round) {
    histogram values;
    std::vector<std::int64_t> all;
    for (int i = 0; i < 2000; ++i) {
      const auto ns = static_cast<std::int64_t>(std::exp(random.unit() * 27));  // 1 ns to 9 minutes
      all.push_back(ns);
      values.record(duration{ns});
    }
    std::ranges::sort(all);
    for (const double percent : {1.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
      const auto place = static_cast<std::size_t>(std::ceil(percent / 100.0 * 2000.0)) - 1;
      const auto exact = static_cast<double>(all[place]);
      const auto read = static_cast<double>(values.percentile(percent).count());
      EXPECT_GE(read, exact);
      EXPECT_LE(read, exact * 1.01 + 1);
    }
  }
}

TEST(histogram, clamps_what_lies_outside) {
  histogram values;
  values.record(duration{-5});
  values.record(std::chrono::hours{100});
  EXPECT_EQ(values.min(), duration::zero());
  EXPECT_EQ(values.max(), histogram::longest);
  EXPECT_EQ(values.percentile(100), histogram::longest);
}

TEST(histogram, merges_to_what_one_would_have_recorded) {
  histogram a;
  histogram b;
  histogram both;
  for (int i = 1; i <= 1000; ++i) {
    (i % 3 == 0 ? a : b).record(microseconds{i});
    both.record(microseconds{i});
  }
  a.merge(b);
  EXPECT_EQ(a.count(), both.count());
  EXPECT_EQ(a.mean(), both.mean());
  EXPECT_EQ(a.min(), both.min());
  EXPECT_EQ(a.max(), both.max());
  for (const double percent : {10.0, 50.0, 99.0}) EXPECT_EQ(a.percentile(percent), both.percentile(percent));
}

}  // namespace
}  // namespace tidegate::load
