#include "policy/characters.h"

#include <gtest/gtest.h>

namespace tidegate::policy {
namespace {

TEST(characters, are_code_points_and_ill_formed_parts_count_once) {
  EXPECT_EQ(count_characters(""), 0);
  EXPECT_EQ(count_characters("aé中😀"), 4);
  EXPECT_EQ(count_characters("\xff\xfe"), 2);
  EXPECT_EQ(count_characters("\xe4\xbd"
                             "a"),
            2);
  EXPECT_EQ(first_characters("你好世界", 2), "你好");
  EXPECT_EQ(first_characters("ab", 5), "ab");
}

TEST(characters, blanks_of_all_scripts_are_trimmed) {
  EXPECT_EQ(trim_blanks(" \u3000\t你 好\u00a0\r\n"), "你 好");
  EXPECT_EQ(trim_blanks("\u3000\ufeff \n"), "");
  EXPECT_EQ(trim_blanks("\xff "), "\xff");
  EXPECT_EQ(trim_blanks(" \xe3\x80"), "\xe3\x80") << "half of a character is no blank";
  EXPECT_EQ(trim_blanks("a\x80\x80\x80\x80\x80 "), "a\x80\x80\x80\x80\x80");
  EXPECT_TRUE(is_blank_text("\u2003\n"));
  EXPECT_TRUE(is_blank_text(""));
  EXPECT_FALSE(is_blank_text(" ."));
}

// CAND-2.
TEST(candidate_summary, is_whole_up_to_120_characters) {
  EXPECT_EQ(candidate_summary(std::string(120, 'a')), std::string(120, 'a'));
  EXPECT_EQ(candidate_summary(std::string(121, 'a')), std::string(117, 'a') + "...");
  std::string chinese;
  for (int i = 0; i < 120; ++i) chinese += "雨";
  EXPECT_EQ(candidate_summary(chinese), chinese);
  EXPECT_EQ(count_characters(candidate_summary(chinese + "停")), 120);
}

TEST(candidate_summary, collapses_blanks) {
  EXPECT_EQ(candidate_summary("  a \n\n b\u3000\tc  "), "a b c");
  EXPECT_EQ(candidate_summary("\n \t"), "");
  EXPECT_EQ(candidate_summary(std::string(120, 'a') + "   \n"), std::string(120, 'a'))
      << "trailing blanks do not count";
  EXPECT_EQ(candidate_summary(std::string(119, 'a') + " \n b"), std::string(117, 'a') + "...");
  EXPECT_EQ(candidate_summary(std::string(10 << 20, 'x')).size(), 120U);
}

}  // namespace
}  // namespace tidegate::policy
