#include <gtest/gtest.h>

#include <array>
#include <initializer_list>
#include <set>
#include <string>

#include "foundation/error.h"
#include "foundation/ids.h"
#include "foundation/text.h"
#include "foundation/time.h"

namespace tidegate::foundation {
namespace {

TEST(ids, run_ids_are_uuid_v7_and_sort_by_time) {
  random_source random{1};
  std::string last;
  for (int ms = 0; ms < 1000; ++ms) {
    const std::string id = make_run_id(wall_time{milliseconds{1'795'425'214'000 + ms}}, random);
    ASSERT_EQ(id.size(), 36U);
    EXPECT_EQ(id[14], '7');
    EXPECT_NE(std::string_view{"89ab"}.find(id[19]), std::string_view::npos);
    EXPECT_LT(last, id);
    last = id;
  }
}

TEST(ids, trace_ids_are_never_all_zero_and_do_not_repeat) {
  random_source random{2};
  std::set<std::string> seen;
  for (int i = 0; i < 10'000; ++i) seen.insert(make_trace_id(random));
  EXPECT_EQ(seen.size(), 10'000U);
  EXPECT_FALSE(seen.contains(std::string(32, '0')));
}

// TRC-1; W3C Trace Context, section 3.2.
TEST(ids, only_a_valid_traceparent_names_the_trace) {
  const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  const std::string good = "00-" + trace + "-00f067aa0ba902b7-01";
  EXPECT_EQ(trace_id_of(good), trace);
  EXPECT_EQ(trace_id_of("cc-" + trace + "-00f067aa0ba902b7-01-what-comes-later"), trace);
  for (const auto& bad :
       std::initializer_list<std::string>{{},
                                          good + "-x",
                                          "ff" + good.substr(2),
                                          "00-" + std::string(32, '0') + "-00f067aa0ba902b7-01",
                                          "00-" + trace + "-0000000000000000-01",
                                          "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                                          good.substr(0, 54),
                                          "00_" + good.substr(3),
                                          "cc-" + trace + "-00f067aa0ba902b7-01x"}) {
    EXPECT_FALSE(trace_id_of(bad)) << bad;
  }
}

TEST(time, instants_are_written_as_rfc_3339) {
  EXPECT_EQ(to_rfc3339(wall_time{milliseconds{0}}), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(to_rfc3339(wall_time{milliseconds{1'795'425'214'123}}), "2026-11-23T09:13:34.123Z");
}

TEST(time, a_manual_clock_moves_only_when_told) {
  manual_clock clock;
  const instant before = clock.now();
  EXPECT_EQ(clock.now(), before);
  clock.advance(std::chrono::seconds{5});
  EXPECT_EQ(clock.now() - before, std::chrono::seconds{5});
}

TEST(random, draws_below_a_bound_cover_it_evenly) {
  random_source random{3};
  std::array<int, 10> counts{};
  for (int i = 0; i < 100'000; ++i) ++counts.at(static_cast<std::size_t>(random.below(10)));
  for (const int n : counts) EXPECT_NEAR(n, 10'000, 500);
  EXPECT_EQ(random.below(0), 0U);
  EXPECT_EQ(random.below(1), 0U);
}

TEST(text, numbers_are_digits_only_and_never_overflow) {
  EXPECT_EQ(parse_u64("18446744073709551615"), 18446744073709551615ULL);
  for (const std::string_view bad : {"", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616", "1.0"}) {
    EXPECT_FALSE(parse_u64(bad)) << bad;
  }
}

TEST(text, secrets_compare_by_content) {
  EXPECT_TRUE(equal_in_constant_time("abc", "abc"));
  EXPECT_FALSE(equal_in_constant_time("abc", "abd"));
  EXPECT_FALSE(equal_in_constant_time("abc", "ab"));
  EXPECT_TRUE(equal_in_constant_time("", ""));
}

// Requirements, section 3.
TEST(error, every_code_has_its_name_and_status) {
  EXPECT_EQ(name_of(error_code::ai_rate_limited), "AI_RATE_LIMITED");
  EXPECT_EQ(http_status_of(error_code::ai_rate_limited), 429);
  EXPECT_EQ(name_of(error_code::trace_persistence_degraded), "TRACE_PERSISTENCE_DEGRADED");
  EXPECT_EQ(http_status_of(error_code::cost_budget_exceeded), 402);
  EXPECT_TRUE(is_retryable(error_code::server_overloaded));
  EXPECT_FALSE(is_retryable(error_code::ai_auth_failed));
  failure kept;
  kept.code = error_code::llm_api_error;
  kept.status = 404;
  EXPECT_EQ(kept.http_status(), 404);
}

}  // namespace
}  // namespace tidegate::foundation
