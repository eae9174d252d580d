// What every adapter promises of usage (usage_store.h), run against each.
#include <gtest/gtest.h>

#include <functional>

#include "kit/temporary_folder.h"
#include "storage/memory/memory_stores.h"
#include "storage/sqlite/sqlite_stores.h"
#include "storage/stores.h"

namespace tidegate::storage {
namespace {

struct adapter {
  const char* name;
  std::function<std::unique_ptr<stores>(const std::string& folder, std::shared_ptr<bool> broken)> make;
};

void PrintTo(const adapter& a, std::ostream* to) { *to << a.name; }

const adapter memory_adapter{"memory", [](const std::string&, auto broken) {
                               return memory::make(nullptr, {}, [broken] { return *broken; });
                             }};
const adapter sqlite_adapter{"sqlite", [](const std::string& folder, auto broken) {
                               sqlite::options where;
                               where.path = folder + "/tidegate.db";
                               auto made = sqlite::open(std::move(where), nullptr,
                                                        [broken](std::string_view) { return *broken; });
                               EXPECT_TRUE(made) << made.error();
                               return std::move(*made);
                             }};

constexpr std::int64_t day_ms = 86'400'000;
// The beginning of a UTC day.
wall_time at(std::int64_t ms) { return wall_time{std::chrono::milliseconds{19'675 * day_ms + ms}}; }

usage_call make_call(int n, const std::string& request, std::int64_t when = 0) {
  usage_call c;
  c.id = "call-" + std::to_string(n);
  c.key_id = "key";
  c.request_id = request;
  c.session_id = "project:p";
  c.model = "gpt-4o";
  c.skill_id = "builtin:polish";
  c.input_tokens = 100;
  c.output_tokens = 10;
  c.cached_tokens = 40;
  c.cache_hit = true;
  c.duration_ms = 1'234;
  c.micro_usd = 5'250;
  c.created_at = at(when);
  return c;
}

class usage_contract : public testing::TestWithParam<adapter> {
 protected:
  void SetUp() override { all_ = GetParam().make(folder_.path(), broken_); }
  usage_store& usage() { return all_->usage(); }
  result<void> record(std::vector<usage_call> calls) {
    return wait_for<void>([&](auto a) { usage().record(calls, std::move(a)); });
  }
  std::vector<std::string> listed(const usage_filter& filter = {}, std::size_t limit = 1'000) {
    std::vector<std::string> found;
    for (const usage_request& r : requests(filter, limit)) found.push_back(r.request_id);
    return found;
  }
  std::vector<usage_request> requests(const usage_filter& filter = {}, std::size_t limit = 1'000) {
    return wait_for<std::vector<usage_request>>([&](auto a) { usage().list(filter, limit, std::move(a)); })
        .value();
  }
  usage_totals totals(const usage_filter& filter = {}) {
    return wait_for<usage_totals>([&](auto a) { usage().totals(filter, std::move(a)); }).value();
  }
  std::int64_t count(const usage_filter& filter = {}) {
    std::int64_t sum = 0;
    for (const usage_sum& s : totals(filter).sums) sum += s.requests;
    return sum;
  }
  std::int64_t cost(const usage_filter& filter = {}) {
    std::int64_t sum = 0;
    for (const usage_sum& s : totals(filter).sums) sum += s.micro_usd;
    return sum;
  }
  std::size_t purge(std::int64_t before, std::size_t rows = 1'000) {
    return wait_for<std::size_t>([&](auto a) { usage().purge(at(before), rows, std::move(a)); }).value();
  }

  kit::temporary_folder folder_;
  std::shared_ptr<bool> broken_ = std::make_shared<bool>(false);
  std::unique_ptr<stores> all_;
};

using strings = std::vector<std::string>;

TEST_P(usage_contract, a_call_comes_back_as_it_was_recorded) {
  auto call = make_call(1, "r");
  call.warning = "COST_PRICING_STALE";
  ASSERT_TRUE(record({call}));
  const auto kept =
      wait_for<std::vector<usage_call>>([&](auto a) { usage().calls_of("key", "r", std::move(a)); });
  EXPECT_EQ(kept.value(), std::vector{call});
  EXPECT_EQ(requests(), (std::vector<usage_request>{{"r", "key", "gpt-4o", "builtin:polish", 100, 10, 40,
                                                     5'250, "COST_PRICING_STALE", at(0)}}));
  EXPECT_EQ(totals().started_at, at(0));
  EXPECT_EQ(totals({.key_id = "other"}).started_at, std::nullopt);
}

// T60
TEST_P(usage_contract, T60_one_request_id_is_one_request) {
  ASSERT_TRUE(record({make_call(1, "r"), make_call(2, "r", 5)}));
  const auto kept = requests();
  ASSERT_EQ(kept.size(), 1U);
  EXPECT_EQ(kept[0].input_tokens, 200);
  EXPECT_EQ(kept[0].micro_usd, 10'500);
  EXPECT_EQ(kept[0].created_at, at(0));
  EXPECT_EQ(count(), 1);
  EXPECT_EQ(cost(), 10'500);
  auto other = make_call(3, "r");
  other.key_id = "other";
  ASSERT_TRUE(record({other}));
  EXPECT_EQ(count(), 2) << "another key's request of that name is another request";
  EXPECT_EQ(count({.key_id = "key"}), 1);
}

// T59
TEST_P(usage_contract, T59_details_leave_the_list_and_totals_stay) {
  for (int i = 0; i < 510; ++i) ASSERT_TRUE(record({make_call(i, "r" + std::to_string(i), i)}));
  const auto kept = listed();
  ASSERT_EQ(kept.size(), 500U);
  EXPECT_EQ(kept.front(), "r509");
  EXPECT_EQ(kept.back(), "r10");
  EXPECT_EQ(count(), 510);
  EXPECT_EQ(cost(), 510 * 5'250);
  ASSERT_TRUE(record({make_call(1'000, "r3", 1'000)}));
  EXPECT_EQ(count(), 510) << "one request, also after its detail left the list";
  EXPECT_EQ(cost(), 511 * 5'250);
  EXPECT_EQ(listed(), kept);
}

TEST_P(usage_contract, each_key_has_its_newest_listed) {
  auto lonely = make_call(1, "mine");
  lonely.key_id = "lonely";
  ASSERT_TRUE(record({lonely}));
  std::vector<usage_call> busy;
  for (int i = 2; i < 600; ++i) busy.push_back(make_call(i, "r" + std::to_string(i)));
  ASSERT_TRUE(record(busy));
  EXPECT_EQ(listed({.key_id = "lonely"}), strings{"mine"});
  EXPECT_EQ(std::ranges::count(listed(), "mine"), 0);
}

TEST_P(usage_contract, filters_by_skill_and_since_inclusive) {
  auto chat = make_call(1, "chat", 10);
  chat.skill_id = "builtin:chat";
  ASSERT_TRUE(record({make_call(0, "old", 9), chat, make_call(2, "new", 11)}));
  EXPECT_EQ(listed(), (strings{"new", "chat", "old"}));
  EXPECT_EQ(listed({.since = at(10)}), (strings{"new", "chat"}));
  EXPECT_EQ(listed({.skill_id = "builtin:chat"}), strings{"chat"});
  EXPECT_EQ(listed({}, 2), (strings{"new", "chat"}));
  EXPECT_EQ(count({.since = at(10)}), 2);
  EXPECT_EQ(count({.since = at(11)}), 1);
  EXPECT_EQ(count({.since = at(12)}), 0);
  EXPECT_EQ(count({.skill_id = "builtin:chat", .since = at(10)}), 1);
  EXPECT_EQ(count({.skill_id = "nothing"}), 0);
}

TEST_P(usage_contract, totals_since_an_instant_join_days_and_calls) {
  ASSERT_TRUE(record({make_call(1, "a", -day_ms), make_call(2, "b", 5), make_call(3, "c", 7),
                      make_call(4, "d", day_ms), make_call(5, "d", 2 * day_ms)}));
  EXPECT_EQ(count({.since = at(-day_ms)}), 4);
  EXPECT_EQ(count({.since = at(6)}), 2);
  EXPECT_EQ(cost({.since = at(6)}), 3 * 5'250);
  EXPECT_EQ(count({.since = at(2 * day_ms)}), 0) << "a request counts at its first call";
  EXPECT_EQ(cost({.since = at(2 * day_ms)}), 5'250);
}

TEST_P(usage_contract, sums_are_apart_by_model_and_skill) {
  auto other = make_call(2, "b");
  other.model = "claude";
  auto failed = make_call(3, "c");
  failed.input_tokens = failed.output_tokens = failed.cached_tokens = failed.micro_usd = 0;
  ASSERT_TRUE(record({make_call(1, "a"), other, failed}));
  const auto sums = totals().sums;
  ASSERT_EQ(sums.size(), 2U);
  EXPECT_EQ(sums[0], (usage_sum{"claude", "builtin:polish", 5'250, 1, 100, 10, 40}));
  EXPECT_EQ(sums[1], (usage_sum{"gpt-4o", "builtin:polish", 5'250, 2, 100, 10, 40}));
}

TEST_P(usage_contract, a_request_is_listed_under_the_model_that_answered) {
  auto failed = make_call(1, "r");
  failed.model = "primary";
  failed.input_tokens = failed.output_tokens = 0;
  auto answered = make_call(2, "r");
  answered.model = "backup";
  auto again = failed;
  again.id = "call-3";
  ASSERT_TRUE(record({failed, answered, again}));
  EXPECT_EQ(requests().front().model, "backup");
}

TEST_P(usage_contract, the_same_call_twice_counts_once) {
  ASSERT_TRUE(record({make_call(1, "r")}));
  ASSERT_TRUE(record({make_call(1, "r"), make_call(2, "s")}));
  EXPECT_EQ(count(), 2);
  EXPECT_EQ(cost(), 2 * 5'250);
}

TEST_P(usage_contract, purging_takes_whole_days_and_leaves_totals) {
  ASSERT_TRUE(record({make_call(1, "a", -2 * day_ms), make_call(2, "b", -1), make_call(3, "c", 1)}));
  EXPECT_EQ(purge(10, 1), 1U) << "no more than it may";
  EXPECT_EQ(purge(10), 1U);
  EXPECT_EQ(purge(10), 0U) << "that day is not over";
  EXPECT_EQ(listed(), strings{"c"});
  EXPECT_EQ(count(), 3);
  EXPECT_EQ(cost(), 3 * 5'250);
  EXPECT_EQ(count({.since = at(-5)}), 2) << "a purged day counts whole";
  EXPECT_EQ(count({.since = at(1)}), 1);
  EXPECT_EQ(totals().started_at, at(-2 * day_ms));
}

TEST_P(usage_contract, a_failed_batch_leaves_nothing) {
  *broken_ = true;
  const auto given = record({make_call(1, "a"), make_call(2, "b")});
  ASSERT_FALSE(given);
  EXPECT_EQ(given.error().problem, store_problem::unavailable);
  *broken_ = false;
  EXPECT_EQ(count(), 0);
  EXPECT_EQ(listed(), strings{});
}

INSTANTIATE_TEST_SUITE_P(adapters, usage_contract, testing::Values(memory_adapter, sqlite_adapter),
                         [](const auto& info) { return std::string{info.param.name}; });

}  // namespace
}  // namespace tidegate::storage
