#include "gateway/trace_feed.h"

#include <gtest/gtest.h>

#include <utility>

#include "foundation/time.h"
#include "observe/captured_log.h"

namespace tidegate::gateway {
namespace {

// Keeps batches until it is told to answer.
class held_traces final : public storage::trace_store {
 public:
  void put(std::vector<storage::trace_record> batch, storage::done<void> answer) override {
    batches.push_back(std::move(batch));
    answers.push_back(std::move(answer));
  }
  void get(std::string, storage::done<std::optional<storage::trace_record>>) override {}
  void put_feedback(storage::feedback_record, storage::done<storage::feedback_outcome>) override {}
  void feedback_of(std::string, storage::done<std::vector<storage::stored_feedback>>) override {}
  void is_strong_negative(std::string, storage::done<bool>) override {}
  void purge(storage::wall_time, std::size_t, storage::done<std::size_t>) override {}

  std::vector<std::vector<storage::trace_record>> batches;
  std::vector<storage::done<void>> answers;
};

storage::trace_record named(std::string id, std::size_t bytes = 0) {
  storage::trace_record t;
  t.run_id = std::move(id);
  if (bytes != 0) t.input_text = std::string(bytes, 'x');
  return t;
}

struct fixture {
  foundation::manual_clock clock;
  observe::captured_log lines;
  observe::logger log{lines, clock};
  held_traces store;
  trace_feed feed{store, log};
};

TEST(trace_feed, what_comes_while_the_store_is_busy_goes_together) {
  fixture f;
  for (const char* id : {"a", "b", "c"}) f.feed.keep(named(id));
  ASSERT_EQ(f.store.batches.size(), 1U);
  EXPECT_EQ(f.store.batches[0].size(), 1U);
  f.store.answers[0]({});
  ASSERT_EQ(f.store.batches.size(), 2U);
  EXPECT_EQ(f.store.batches[1].size(), 2U);
  f.store.answers[1]({});
  f.feed.flush();
  EXPECT_EQ(f.store.batches.size(), 2U);
}

TEST(trace_feed, beyond_its_bounds_traces_are_given_up_and_the_log_says_so) {
  fixture f;
  f.feed.keep(named("first"));
  f.feed.keep(named("large", trace_feed::pending_bytes_max));
  f.feed.keep(named("one more", 1));
  EXPECT_EQ(f.lines.of("ai_trace_persistence_degraded").size(), 1U);
  f.store.answers[0]({});
  EXPECT_EQ(f.store.batches[1].size(), 1U);
  f.feed.keep(named("room again", 1));
  f.store.answers[1]({});
  EXPECT_EQ(f.store.batches[2].size(), 1U);
  f.store.answers[2](storage::fail(storage::store_problem::unavailable, "scripted"));
  EXPECT_EQ(f.lines.of("ai_trace_persistence_degraded").size(), 2U);
  f.feed.flush();
}

}  // namespace
}  // namespace tidegate::gateway
