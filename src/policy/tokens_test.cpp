#include "policy/tokens.h"

#include <gtest/gtest.h>

namespace tidegate::policy {
namespace {

// BUD-9, T27.
TEST(tokens, estimates_the_published_vectors_exactly) {
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

}  // namespace
}  // namespace tidegate::policy
