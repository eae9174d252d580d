#include "load/trace.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

#include "load/schedule.h"

namespace tidegate::load {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(trace, times_count_from_the_first_call) {
  const auto calls = parse_trace(
      "TIMESTAMP,ContextTokens,GeneratedTokens\n"
      "2023-11-16 23:59:59.9799600,4808,10\n"
      "2023-11-17 00:00:00.0799600,3180,8\n");
  ASSERT_TRUE(calls) << calls.error();
  ASSERT_EQ(calls->size(), 2U);
  EXPECT_EQ((*calls)[0].at, duration::zero());
  EXPECT_EQ((*calls)[0].context_llm_tokens, 4808U);
  EXPECT_EQ((*calls)[0].generated_llm_tokens, 10U);
  EXPECT_EQ((*calls)[1].at, milliseconds{100});
}

TEST(trace, needs_no_header_and_takes_zones_and_carriage_returns) {
  const auto calls = parse_trace("2024-05-10 00:00:01+00:00,1,2\r\n\r\n2024-05-10T00:00:00.5Z,3,4");
  ASSERT_TRUE(calls) << calls.error();
  ASSERT_EQ(calls->size(), 2U);
  EXPECT_EQ((*calls)[0].context_llm_tokens, 3U) << "in order of time";
  EXPECT_EQ((*calls)[1].at, milliseconds{500});
}

TEST(trace, names_the_line_that_is_wrong) {
  const std::string good = "2023-11-16 18:17:03.97,1,2\n";
  for (const char* bad :
       {"x", "2023-11-16 18:17:03.97,1", "2023-11-16 18:17:03.97,1,", "2023-11-16 18:17:03.97,-1,2",
        "2023-13-16 18:17:03.97,1,2", "2023-02-30 18:17:03.97,1,2", "2023-11-16 25:17:03.97,1,2",
        "2023-11-16 18:17:03.,1,2", "2023-11-16 18:17:03.0123456789,1,2", "2023-11-16 18:17,1,2",
        "2023-11-16 18:17:03.97,1,2,3", "2023-11-16 18:17:03.97,99999999999,2",
        "2023-11-16 18:17:03.97+02:00,1,2"}) {
    const auto calls = parse_trace(good + bad + "\n" + good);
    ASSERT_FALSE(calls) << bad;
    EXPECT_TRUE(calls.error().starts_with("line 2: ")) << calls.error();
  }
  EXPECT_FALSE(parse_trace(""));
  EXPECT_FALSE(parse_trace("TIMESTAMP,ContextTokens,GeneratedTokens\n"));
}

TEST(trace, recorded_production_traces_are_read_whole) {
  const char* given = std::getenv("TIDEGATE_FIXTURES");
  const std::filesystem::path folder =
      (given != nullptr ? std::filesystem::path{given}
                        : std::filesystem::path{TIDEGATE_SOURCE_DIR} / "../shared/fixtures") /
      "traces";
  std::size_t read = 0;
  std::size_t all = 0;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator{folder, missing}) {
    if (entry.path().extension() != ".csv") continue;
    ++all;
    std::ifstream file{entry.path(), std::ios::binary};
    const std::string csv{std::istreambuf_iterator<char>{file}, {}};
    const auto calls = parse_trace(csv);
    ASSERT_TRUE(calls) << entry.path() << ": " << calls.error();
    const auto lines = static_cast<std::size_t>(std::count(csv.begin(), csv.end(), '\n'));
    EXPECT_NEAR(static_cast<double>(calls->size()), static_cast<double>(lines), 1.0);
    ++read;
  }
  std::printf("azure_traces: %zu/%zu\n", read, all);
}

TEST(schedule, a_fixed_rate_spreads_calls_evenly_and_ends) {
  const schedule when = schedule::fixed_rate(4, seconds{1});
  EXPECT_TRUE(when.open_loop());
  EXPECT_EQ(when.due(0), duration::zero());
  EXPECT_EQ(when.due(3), milliseconds{750});
  EXPECT_EQ(when.due(4), std::nullopt);
}

TEST(schedule, a_replay_keeps_the_trace_shape_at_another_speed) {
  std::vector<trace_call> calls{{seconds{0}, 1, 1}, {seconds{10}, 2, 2}, {seconds{40}, 3, 3}};
  const schedule when = schedule::replay(std::move(calls), 10, seconds{3});
  EXPECT_EQ(when.due(1), seconds{1});
  EXPECT_EQ(when.traced(1)->context_llm_tokens, 2U);
  EXPECT_EQ(when.due(2), std::nullopt) << "behind the run's end";
  EXPECT_EQ(when.due(3), std::nullopt);
  EXPECT_EQ(when.traced(3), nullptr);
}

}  // namespace
}  // namespace tidegate::load
