#include "policy/tokens.h"
#include "kit/scenario_table.h"

#include <gtest/gtest.h>

namespace tidegate::policy {
namespace {

// BUD-9, T27.
TEST(tokens, T27_estimates_the_published_vectors_exactly) {
  EXPECT_EQ(estimate_tokens("hello world"), 3);
  EXPECT_EQ(estimate_tokens("你好世界"), 6);
  EXPECT_EQ(estimate_tokens("hello 你好"), 5);
  EXPECT_EQ(estimate_tokens("a"), 1);
  EXPECT_EQ(estimate_tokens("中"), 2);
  EXPECT_EQ(estimate_tokens("あいう"), 5);
  EXPECT_EQ(estimate_tokens("안녕"), 3);
  EXPECT_EQ(estimate_tokens(""), 0);
}

TEST(tokens, other_scripts_count_their_bytes) {
  EXPECT_EQ(estimate_tokens("éé"), 1);
  EXPECT_EQ(estimate_tokens("😀"), 1);
  EXPECT_EQ(estimate_tokens("😀😀😀"), 3);
}

TEST(tokens, several_texts_are_rounded_once) {
  token_estimate sum;
  for (int i = 0; i < 8; ++i) sum.add("a");
  EXPECT_EQ(sum.tokens(), 2);
}

TEST(tokens, any_bytes_are_counted) {
  EXPECT_GT(estimate_tokens("\xff\xfe\xc3"), 0);
  EXPECT_GT(estimate_tokens("\xe4\xbd"), 0);
}

TEST(tokens, T28_trims_to_whole_graphemes_within_the_budget) {
  EXPECT_EQ(trim_to_tokens("你好世界", 3), "你好");
  EXPECT_EQ(trim_to_tokens("hello", 1), "hell");
  EXPECT_EQ(trim_to_tokens("hello", 1.9), "hell");
  EXPECT_EQ(trim_to_tokens("hello", 2), "hello");
  EXPECT_EQ(trim_to_tokens("hello", 0.5), "");
  EXPECT_EQ(trim_to_tokens("", 5), "");
  // A family of four joined emoji is one grapheme: all of it or nothing.
  const std::string family = "\U0001F468\u200D\U0001F469\u200D\U0001F467\u200D\U0001F466";
  EXPECT_EQ(trim_to_tokens("ab" + family, 3), "ab");
  EXPECT_EQ(trim_to_tokens("ab" + family, 8), "ab" + family);
  EXPECT_EQ(trim_to_tokens("e\u0301e\u0301", 1), "e\u0301") << "a letter keeps its accent";
  EXPECT_EQ(trim_to_tokens("ab\xff", 100), "ab");
}

}  // namespace
}  // namespace tidegate::policy
