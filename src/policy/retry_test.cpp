#include "policy/retry.h"

#include <gtest/gtest.h>

namespace tidegate::policy {
namespace {

using namespace std::chrono_literals;
using foundation::instant;
using foundation::milliseconds;
using foundation::never;
using foundation::random_source;
using foundation::wall_time;

using waits = std::vector<milliseconds>;

const waits defaults{1s, 2s, 4s};
const instant start{std::chrono::hours{1}};

// Every wait of a leg whose transport fails for ever, with nothing but the waits taking time.
std::vector<foundation::duration> waits_of(const retry_settings& settings, instant deadline,
                                           std::uint64_t seed = 1) {
  random_source random{seed};
  std::vector<foundation::duration> out;
  instant now = start;
  while (const auto wait = next_wait(settings, out.size(), deadline, now, random)) {
    out.push_back(*wait);
    now += *wait;
  }
  return out;
}

TEST(retry, t17_t18_default_waits_then_stop) {
  EXPECT_EQ(waits_of({.jitter_percent = 0}, never), (std::vector<foundation::duration>{1s, 2s, 4s}));
}

TEST(retry, t19_backoff_list_sets_count_and_waits) {
  EXPECT_EQ(waits_of({.backoff = backoff_or_default("7,11"), .jitter_percent = 0}, never),
            (std::vector<foundation::duration>{7ms, 11ms}));
}

TEST(retry, no_leg_makes_more_than_three) {
  EXPECT_EQ(waits_of({.backoff = backoff_or_default("1,2,3,4,5")}, never).size(), 3U);
}

TEST(retry, t20_unreadable_lists_fall_back) {
  EXPECT_EQ(backoff_or_default("7,11"), (waits{7ms, 11ms}));
  EXPECT_EQ(backoff_or_default("5"), (waits{5ms}));
  for (const std::string_view bad : {"5;6", "0", "7, 11", "", ",", "7,", ",7", "7,,9", "a", "-1", "+1", "1.5",
                                     "0x7", "7,0", "86400001", "99999999999999999999999999"}) {
    EXPECT_EQ(backoff_or_default(bad), defaults) << bad;
    EXPECT_FALSE(parse_backoff(bad).has_value()) << bad;
  }
}

TEST(retry, jitter_stays_within_ten_percent_and_varies) {
  bool below = false;
  bool above = false;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto first = waits_of({}, never, seed).front();
    EXPECT_GE(first, 900ms);
    EXPECT_LE(first, 1'100ms);
    below = below || first < 950ms;
    above = above || first > 1'050ms;
  }
  EXPECT_TRUE(below && above);
}

TEST(retry, t131_wait_that_would_pass_the_deadline_is_not_begun) {
  const retry_settings settings{.jitter_percent = 0};
  EXPECT_TRUE(waits_of(settings, start + 999ms).empty());
  EXPECT_TRUE(waits_of(settings, start + 1s).empty()) << "no time would be left for the call";
  EXPECT_EQ(waits_of(settings, start + 1'001ms).size(), 1U);
  EXPECT_EQ(waits_of(settings, start + 3'001ms).size(), 2U);
  EXPECT_TRUE(waits_of(settings, start - 1s).empty());
  EXPECT_TRUE(waits_of(settings, instant::min()).empty());
}

TEST(retry, ret4_statuses_only_on_demand_and_only_429_and_5xx) {
  random_source random{1};
  retry_settings settings{.jitter_percent = 0};
  const auto wait = [&](int status, std::size_t made, std::optional<foundation::duration> after = {}) {
    return next_status_wait(settings, status, made, after, start + 1h, start, random);
  };
  EXPECT_FALSE(wait(503, 0).has_value());
  settings.retry_on_status = true;
  EXPECT_EQ(wait(503, 0), 1s);
  EXPECT_EQ(wait(429, 1), 2s);
  EXPECT_EQ(wait(429, 0, 7s), 7s);
  EXPECT_EQ(wait(429, 2, 7s), 7s);
  EXPECT_FALSE(wait(429, 3, 7s).has_value());
  EXPECT_FALSE(wait(429, 0, 1h).has_value());
  for (const int status : {200, 302, 400, 401, 403, 404, 600})
    EXPECT_FALSE(wait(status, 0).has_value()) << status;
}

TEST(retry_after, seconds_and_dates) {
  const wall_time wall{std::chrono::sys_days{std::chrono::year{1994} / 11 / 6} + 8h + 49min + 30s};
  EXPECT_EQ(parse_retry_after("7", wall), 7s);
  EXPECT_EQ(parse_retry_after(" 0 ", wall), 0s);
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", wall), 7s);
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:30 GMT", wall + 5s), 0s);
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 9994 08:49:30 GMT", wall), 24h * 366);
  EXPECT_EQ(parse_retry_after("99999999999999999999999", wall), 24h * 366);
  for (const std::string_view bad :
       {"", " ", "-1", "1.5", "7s", "soon", "Sun, 06 Nov 1994 08:49:37 CET", "+7"}) {
    EXPECT_FALSE(parse_retry_after(bad, wall).has_value()) << bad;
  }
}

TEST(http_date, strict_form) {
  using std::chrono::sys_days;
  using std::chrono::year;
  EXPECT_EQ(parse_http_date("Thu, 29 Feb 2024 23:59:60 GMT"), wall_time{sys_days{year{2024} / 3 / 1}});
  EXPECT_EQ(parse_http_date("Mon, 01 Jan 0001 00:00:00 GMT"), wall_time{sys_days{year{1} / 1 / 1}});
  for (const std::string_view bad :
       {"Thu, 29 Feb 2023 00:00:00 GMT", "Thu, 32 Jan 2023 00:00:00 GMT", "Thu, 00 Jan 2023 00:00:00 GMT",
        "Thu, 01 Jan 2023 24:00:00 GMT", "Thu, 01 Jan 2023 00:60:00 GMT", "thu, 01 Jan 2023 00:00:00 GMT",
        "Thu, 01 anF 2023 00:00:00 GMT", "Thu, 1 Jan 2023 00:00:00 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
        "Thu, 01 Jan 2023 00:00:00 GMT "}) {
    EXPECT_FALSE(parse_http_date(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace tidegate::policy
