#include "policy/output_check.h"

#include <gtest/gtest.h>

#include <string>

namespace tidegate::policy {
namespace {

output_rules rules_of(double ratio) {
  return {.max_ratio = ratio, .forbid_code_fence = true, .forbid_html_tag = true, .forbidden_texts = {}};
}

std::string repeat(std::string_view text, std::size_t times) {
  std::string all;
  for (; times > 0; --times) all += text;
  return all;
}

TEST(output_check, T82_ten_times_the_input_passes_and_one_character_more_does_not) {
  const std::string input = repeat("ab", 10);
  EXPECT_EQ(check_output(input, std::string(200, 'x'), rules_of(10)), output_fault::none);
  EXPECT_EQ(check_output(input, std::string(201, 'x'), rules_of(10)), output_fault::too_long);
  const std::string chinese = repeat("雨", 20);
  EXPECT_EQ(check_output(chinese, repeat("落", 200), rules_of(10)), output_fault::none);
  EXPECT_EQ(check_output(chinese, repeat("落", 201), rules_of(10)), output_fault::too_long);
}

TEST(output_check, an_input_counts_for_at_least_eight_characters) {
  EXPECT_EQ(check_output("", std::string(80, 'x'), rules_of(10)), output_fault::none);
  EXPECT_EQ(check_output("abc", std::string(81, 'x'), rules_of(10)), output_fault::too_long);
  EXPECT_EQ(check_output("abcdefghi", std::string(81, 'x'), rules_of(10)), output_fault::none);
  EXPECT_EQ(check_output("a", std::string(161, 'x'), rules_of(20)), output_fault::too_long);
}

TEST(output_check, chat_is_refused_empty_only) {
  EXPECT_EQ(check_output("hi", "", {}), output_fault::empty);
  EXPECT_EQ(check_output("hi", " \n\u3000", {}), output_fault::empty);
  EXPECT_EQ(check_output("hi", "```\n<b>" + std::string(5000, 'x'), {}), output_fault::none);
}

TEST(output_check, code_fences) {
  for (const char* text : {"```\ncode\n```", "see ```x```", "a\n~~~\nb", "   ~~~ sh", "x\r\n ~~~~"}) {
    EXPECT_TRUE(has_code_fence(text)) << text;
  }
  for (const char* text : {"a `word` here", "``two``", "wait ~~~ what", "    ~~~", ""}) {
    EXPECT_FALSE(has_code_fence(text)) << text;
  }
  EXPECT_EQ(check_output("hello there", "```\nx\n```", rules_of(10)), output_fault::code_fence);
}

TEST(output_check, html_tags) {
  for (const char* text : {"<p>", "a</div>b", "<br/>", "<br />", "<a href='x'>", "<IMG\nsrc=x>", "<my-tag>",
                           "<h1>", "<!-- note", "<!DOCTYPE html>", "1 < 2 <b>"}) {
    EXPECT_TRUE(has_html_tag(text)) << text;
  }
  for (const char* text : {"a < b > c", "1<2 and 3>2", "<3", "x <- y ->", "<>", "< p>", "</>", "《书》", "<p",
                           "a <b", "<e@mail.org>", "<p<", "<"}) {
    EXPECT_FALSE(has_html_tag(text)) << text;
  }
  EXPECT_EQ(check_output("hello there", "<em>hi</em>", rules_of(10)), output_fault::html_tag);
}

TEST(output_check, a_skill_may_forbid_texts_of_its_own) {
  const output_rules rules{.forbidden_texts = {"As an AI", "作为AI"}};
  EXPECT_EQ(check_output("x", "As an AI, I cannot", rules), output_fault::forbidden_text);
  EXPECT_EQ(check_output("x", "我作为AI", rules), output_fault::forbidden_text);
  EXPECT_EQ(check_output("x", "As a writer", rules), output_fault::none);
}

TEST(output_check, hostile_sizes_take_one_pass) {
  const std::size_t size = std::size_t{10} << 20;
  EXPECT_FALSE(has_html_tag(std::string(size, '<')));
  EXPECT_FALSE(has_html_tag(repeat("<a ", size / 3)));
  EXPECT_FALSE(has_code_fence(repeat(" ~~~", size / 4).insert(0, "x")));
  EXPECT_EQ(check_output("", std::string(size, '\xff'), rules_of(10)), output_fault::too_long);
}

}  // namespace
}  // namespace tidegate::policy
