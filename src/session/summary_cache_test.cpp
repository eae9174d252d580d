#include "session/summary_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace tidegate::session {
namespace {

using role = summary_cache::role;

summary_cache::waiter into(std::string& where) {
  return [&where](summary_cache::answer given) { where = given ? *given : "failed"; };
}

TEST(summary_cache, CHAT_8_identical_work_in_flight_is_shared) {
  summary_cache cache;
  std::string first;
  std::string second;
  std::string other;
  EXPECT_EQ(cache.ask("text", into(first)), role::settles);
  EXPECT_EQ(cache.ask("text", into(second)), role::waits);
  EXPECT_EQ(cache.ask("other", into(other)), role::settles);
  EXPECT_FALSE(cache.knows("text"));
  cache.settle("text", "short");
  EXPECT_EQ(first, "short");
  EXPECT_EQ(second, "short");
  EXPECT_EQ(other, "");
  EXPECT_TRUE(cache.knows("text"));
  std::string third;
  EXPECT_EQ(cache.ask("text", into(third)), role::told);
  EXPECT_EQ(third, "short");
}

TEST(summary_cache, a_failure_is_told_to_all_and_not_kept) {
  summary_cache cache;
  std::string first;
  std::string second;
  EXPECT_EQ(cache.ask("text", into(first)), role::settles);
  EXPECT_EQ(cache.ask("text", into(second)), role::waits);
  cache.settle("text", std::unexpected{foundation::failure{}});
  EXPECT_EQ(first, "failed");
  EXPECT_EQ(second, "failed");
  EXPECT_EQ(cache.ask("text", into(first)), role::settles) << "it is tried again";
}

TEST(summary_cache, CHAT_8_keeps_the_500_used_last) {
  summary_cache cache;
  std::string ignored;
  const auto put = [&](int n) {
    ASSERT_EQ(cache.ask(std::to_string(n), into(ignored)), role::settles);
    cache.settle(std::to_string(n), "s" + std::to_string(n));
  };
  for (int n = 0; n < 500; ++n) put(n);
  EXPECT_EQ(cache.ask("0", into(ignored)), role::told) << "used just now";
  put(500);
  EXPECT_EQ(cache.size(), 500U);
  EXPECT_TRUE(cache.knows("0"));
  EXPECT_FALSE(cache.knows("1"));
  EXPECT_TRUE(cache.knows("500"));
}

TEST(summary_cache, every_thread_is_told_and_each_text_summarised_once_while_kept) {
  summary_cache cache;
  std::atomic<int> told = 0;
  std::atomic<int> made = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        const std::string text = std::to_string(i);
        const auto mine = cache.ask(text, [&told, text](summary_cache::answer given) {
          if (given && *given == "short " + text) ++told;
        });
        if (mine != role::settles) continue;
        ++made;
        cache.settle(text, "short " + text);
      }
    });
  }
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(told, 2000);
  EXPECT_EQ(made, 500);
}

}  // namespace
}  // namespace tidegate::session
