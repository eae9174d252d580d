#include "policy/compaction.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "policy/tokens.h"

namespace tidegate::policy {
namespace {

// Texts of so many tokens, owned here.
struct chat {
  std::vector<std::string> texts;
  std::vector<history_message> messages;

  chat(std::initializer_list<std::pair<chat_role, std::size_t>> shape) {
    for (const auto& [role, tokens] : shape) texts.emplace_back(tokens * 4, 'x');
    std::size_t i = 0;
    for (const auto& [role, tokens] : shape) messages.push_back({role, texts[i++]});
  }
};

constexpr auto user = chat_role::user;
constexpr auto assistant = chat_role::assistant;
bool nothing_is_known(std::size_t) { return false; }

std::vector<std::size_t> indexes(std::initializer_list<std::size_t> list) { return list; }

TEST(compaction, CHAT_8_a_summary_takes_at_most_three_tenths_rounded_up) {
  EXPECT_EQ(summary_tokens_max(0), 0);
  EXPECT_EQ(summary_tokens_max(1), 1);
  EXPECT_EQ(summary_tokens_max(10), 3);
  EXPECT_EQ(summary_tokens_max(11), 4);
  EXPECT_EQ(summary_tokens_max(100), 30);
}

TEST(compaction, what_fits_is_left_alone) {
  const chat c{{user, 100}, {assistant, 100}};
  const auto plan = plan_compaction("", c.messages, "", 200, 8, nothing_is_known);
  EXPECT_EQ(plan.first, 0U);
  EXPECT_TRUE(plan.replace.empty());
}

TEST(compaction, the_oldest_turn_goes_first_and_in_it_the_longest_message) {
  const chat c{{user, 100}, {assistant, 200}, {user, 300}, {assistant, 100}};
  // 700 in all. 200 -> 60 saves 140, 100 -> 30 saves 70, 300 -> 90 saves 210.
  EXPECT_EQ(plan_compaction("", c.messages, "", 600, 8, nothing_is_known).replace, indexes({1}));
  EXPECT_EQ(plan_compaction("", c.messages, "", 560, 8, nothing_is_known).replace, indexes({1}))
      << "equality fits";
  EXPECT_EQ(plan_compaction("", c.messages, "", 559, 8, nothing_is_known).replace, indexes({1, 0}));
  EXPECT_EQ(plan_compaction("", c.messages, "", 489, 8, nothing_is_known).replace, indexes({1, 0, 2}));
  EXPECT_EQ(plan_compaction("", c.messages, "", 210, 8, nothing_is_known).replace, indexes({1, 0, 2, 3}));
}

TEST(compaction, what_does_not_fit_even_so_is_dropped_by_turns) {
  const chat c{{user, 100}, {assistant, 200}, {user, 300}, {assistant, 100}};
  const auto plan = plan_compaction("", c.messages, "", 209, 8, nothing_is_known);
  EXPECT_EQ(plan.first, 2U);
  EXPECT_EQ(plan.replace, indexes({2}));
  EXPECT_EQ(plan_compaction("", c.messages, "", 10, 8, nothing_is_known).first, 4U);
  EXPECT_EQ(plan_compaction("ssss", c.messages, "qqqq", 210, 8, nothing_is_known).first, 2U)
      << "system and current count";
}

TEST(compaction, only_so_many_summaries_are_asked_for_and_known_ones_are_free) {
  const chat c{{user, 100}, {assistant, 200}, {user, 300}, {assistant, 100}};
  const auto plan = plan_compaction("", c.messages, "", 489, 2, nothing_is_known);
  EXPECT_EQ(plan.first, 2U) << "three would be needed";
  EXPECT_TRUE(plan.replace.empty());
  EXPECT_EQ(plan_compaction("", c.messages, "", 489, 2, [](std::size_t i) { return i == 1; }).replace,
            indexes({1, 0, 2}));
}

TEST(compaction, short_messages_and_leading_answers_are_not_summarised) {
  const chat c{{assistant, 500}, {user, 31}, {assistant, 32}};
  const auto plan = plan_compaction("", c.messages, "", 60, 8, nothing_is_known);
  EXPECT_EQ(plan.first, 1U) << "an answer to nothing is dropped";
  EXPECT_EQ(plan.replace, indexes({2}));
}

// Whatever the chat: the plan fits, keeps to its bounds, begins with a user's message, and sends no less than
// dropping alone would.
TEST(compaction, plans_fit_their_budget_on_random_chats) {
  std::mt19937_64 random{8};
  for (int round = 0; round < 5'000; ++round) {
    std::vector<std::string> texts(random() % 12);
    std::vector<history_message> messages;
    for (std::string& text : texts) text.assign(random() % 400, 'x');
    for (const std::string& text : texts) messages.push_back({random() % 2 == 0 ? user : assistant, text});
    const auto budget = static_cast<std::int64_t>(random() % 600);
    const std::size_t asked_max = random() % 5;
    const auto plan = plan_compaction("abcd", messages, "abcd", budget, asked_max, nothing_is_known);
    ASSERT_LE(plan.replace.size(), asked_max);
    ASSERT_EQ(std::set(plan.replace.begin(), plan.replace.end()).size(), plan.replace.size());
    if (plan.first < messages.size()) ASSERT_EQ(messages[plan.first].role, user);
    std::int64_t sum = 2;
    for (std::size_t i = plan.first; i < messages.size(); ++i) {
      const std::int64_t tokens = estimate_tokens(messages[i].text);
      const bool replaced = std::ranges::find(plan.replace, i) != plan.replace.end();
      sum += replaced ? summary_tokens_max(tokens) : tokens;
    }
    if (plan.first < messages.size()) ASSERT_LE(sum, budget);
    ASSERT_LE(plan.first, keep_history("abcd", messages, "abcd", budget).first);
  }
}

}  // namespace
}  // namespace tidegate::policy
