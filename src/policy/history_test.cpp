#include "policy/history.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <string>
#include <vector>

#include "policy/tokens.h"

namespace tidegate::policy {
namespace {

constexpr auto user = chat_role::user;
constexpr auto assistant = chat_role::assistant;

// CHAT-7 word for word: drop the oldest until all fits, then the assistant's messages in front.
std::size_t first_kept_plainly(std::string_view system, const std::vector<history_message>& history,
                               std::string_view current, std::int64_t budget) {
  std::deque<history_message> left{history.begin(), history.end()};
  const auto sum = [&] {
    std::int64_t tokens = estimate_tokens(system) + estimate_tokens(current);
    for (const history_message& each : left) tokens += estimate_tokens(each.text);
    return tokens;
  };
  while (!left.empty() && sum() > budget) left.pop_front();
  while (!left.empty() && left.front().role == assistant) left.pop_front();
  return history.size() - left.size();
}

TEST(history, T74_the_newest_that_fit_are_kept_and_system_and_current_always) {
  const std::vector<history_message> four{{user, "a"}, {assistant, "b"}, {user, "c"}, {assistant, "d"}};
  const auto kept = keep_history("s", four, "q", 4);
  EXPECT_EQ(kept.first, 2U);
  EXPECT_EQ(kept.tokens, 4);
  const auto none = keep_history("s", four, "q", 1);
  EXPECT_EQ(none.first, 4U);
  EXPECT_EQ(none.tokens, 2);
  EXPECT_EQ(keep_history("s", four, "q", 6).first, 0U) << "equality fits";
}

TEST(history, never_begins_with_the_assistant) {
  const std::vector<history_message> turns{{user, "a"}, {assistant, "b"}, {assistant, "c"}, {user, "d"}};
  EXPECT_EQ(keep_history("", turns, "", 3).first, 3U);
  EXPECT_EQ(keep_history("", turns, "", 3).tokens, 1);
  const std::vector<history_message> greeted{{assistant, "hello"}, {user, "a"}};
  EXPECT_EQ(keep_history("", greeted, "", 100).first, 1U);
  const std::vector<history_message> monologue{{assistant, "a"}, {assistant, "b"}};
  EXPECT_EQ(keep_history("", monologue, "", 100).first, 2U);
}

TEST(history, empty_histories_and_budgets_below_everything_are_fine) {
  EXPECT_EQ(keep_history("s", {}, "q", 100).first, 0U);
  const std::vector<history_message> one{{user, ""}};
  EXPECT_EQ(keep_history("s", one, "q", 0).first, 1U);
  EXPECT_EQ(keep_history("s", one, "q", -5).first, 1U);
  EXPECT_EQ(keep_history("", one, "", 0).first, 0U);
}

TEST(history, agrees_with_the_plain_reading_on_random_chats) {
  std::mt19937_64 random{74};
  const std::vector<std::string> words{"", "a", "tide", "hello world", "你好世界", "😀😀😀", "\xff\xff"};
  for (int round = 0; round < 20'000; ++round) {
    std::vector<history_message> chat(random() % 12);
    for (auto& each : chat) each = {random() % 2 == 0 ? user : assistant, words[random() % words.size()]};
    const std::string& system = words[random() % words.size()];
    const std::string& current = words[random() % words.size()];
    const auto budget = static_cast<std::int64_t>(random() % 40);
    const auto kept = keep_history(system, chat, current, budget);
    ASSERT_EQ(kept.first, first_kept_plainly(system, chat, current, budget)) << "round " << round;
    std::int64_t tokens = estimate_tokens(system) + estimate_tokens(current);
    for (std::size_t i = kept.first; i < chat.size(); ++i) tokens += estimate_tokens(chat[i].text);
    ASSERT_EQ(kept.tokens, tokens);
    if (kept.first < chat.size()) ASSERT_LE(kept.tokens, budget);
  }
}

}  // namespace
}  // namespace tidegate::policy
