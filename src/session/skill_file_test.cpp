#include "session/skill_file.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "session/builtin_skills.h"

namespace tidegate::session {
namespace {

using namespace std::chrono_literals;

std::string file(std::string_view front, std::string_view body = "Do it.") {
  return "+++\n" + std::string{front} + "+++\n" + std::string{body};
}

std::string error_of(std::string_view text) {
  const auto skill = parse_skill_file(text, "x.md");
  return skill ? "" : skill.error();
}

TEST(skill_file, PRM_1_reads_all_it_may_say) {
  const auto skill = parse_skill_file(file(R"(name = " Polish "
description = "Better words."
version = "2.1"
input = "document"
model_class = "auxiliary"
timeout = "60s"
dependsOn = [" summarize ", "summarize", "", "builtin:chat"]
keywords = ["polish", "润色"]
author = "somebody else's key"
[output]
max_ratio = 2.5
forbid = ["code_fence", "html_tag", "As an AI"]
)",
                                           "\n\nDo it.\n\nWell.\n"),
                                      "polish.md");
  ASSERT_TRUE(skill) << skill.error();
  EXPECT_EQ(skill->name, "Polish");
  EXPECT_EQ(skill->description, "Better words.");
  EXPECT_EQ(skill->version, "2.1");
  EXPECT_EQ(skill->input, policy::skill_input::document);
  EXPECT_EQ(skill->model, policy::model_class::auxiliary);
  EXPECT_EQ(skill->timeout, 60s);
  EXPECT_EQ(skill->depends_on, (std::vector<std::string>{"summarize", "builtin:chat"}));
  EXPECT_EQ(skill->keywords, (std::vector<std::string>{"polish", "润色"}));
  EXPECT_EQ(skill->output.max_ratio, 2.5);
  EXPECT_TRUE(skill->output.forbid_code_fence);
  EXPECT_TRUE(skill->output.forbid_html_tag);
  EXPECT_EQ(skill->output.forbidden_texts, std::vector<std::string>{"As an AI"});
  EXPECT_EQ(skill->prompt, "Do it.\n\nWell.");
}

TEST(skill_file, little_is_required) {
  const auto skill = parse_skill_file(file("name = \"x\"\n"), "x.md");
  ASSERT_TRUE(skill);
  EXPECT_EQ(skill->version, "1.0.0");
  EXPECT_EQ(skill->input, policy::skill_input::selection);
  EXPECT_EQ(skill->model, std::nullopt);
  EXPECT_EQ(skill->timeout, std::nullopt);
  EXPECT_EQ(skill->output, policy::output_rules{});
}

TEST(skill_file, line_ends_and_a_byte_order_mark_do_not_matter) {
  const auto skill = parse_skill_file("\xEF\xBB\xBF+++\r\nname = \"x\"\r\n+++ \r\nDo it.\r\n", "x.md");
  ASSERT_TRUE(skill) << skill.error();
  EXPECT_EQ(skill->prompt, "Do it.");
}

TEST(skill_file, T144_a_timeout_of_121_seconds_is_invalid_and_of_120_is_not) {
  for (const char* over : {"\"121s\"", "\"121 s\"", "121000", "120001", "\"120001ms\"", "\"3m\""}) {
    EXPECT_EQ(error_of(file("name = \"x\"\ntimeout = " + std::string{over} + "\n")),
              "x.md:3: timeout is over 120,000 ms")
        << over;
  }
  for (const char* fits : {"\"120s\"", "120000", "\"2m\"", "\"120000\"", "1"}) {
    EXPECT_EQ(error_of(file("name = \"x\"\ntimeout = " + std::string{fits} + "\n")), "") << fits;
  }
  for (const char* odd :
       {"0", "-5", "\"\"", "\"s\"", "\"1h\"", "1.5", "true", "\"99999999999999999999s\"", "\"0s\""}) {
    EXPECT_TRUE(error_of(file("name = \"x\"\ntimeout = " + std::string{odd} + "\n"))
                    .starts_with("x.md:3: timeout is a"))
        << odd;
  }
}

TEST(skill_file, T144_errors_name_the_file_and_the_line) {
  EXPECT_EQ(error_of(""), "x.md:1: a skill file begins with a line +++");
  EXPECT_EQ(error_of("# Polish\n"), "x.md:1: a skill file begins with a line +++");
  EXPECT_EQ(error_of("+++\nname = \"x\"\n"), "x.md:1: no second line +++ closes the front matter");
  EXPECT_TRUE(error_of(file("name = \"x\"\nname = oops\n")).starts_with("x.md:3: "))
      << error_of(file("name = oops\n"));
  EXPECT_EQ(error_of(file("description = \"y\"\n")), "x.md:1: name is missing");
  EXPECT_EQ(error_of(file("name = \" \"\n")), "x.md:2: name is blank");
  EXPECT_EQ(error_of(file("name = 3\n")), "x.md:2: name is a string, not an integer");
  EXPECT_EQ(error_of(file("name = \"x\"\n\ninput = \"text\"\n")),
            "x.md:4: input is chat, selection or document");
  EXPECT_EQ(error_of(file("name = \"x\"\nmodel_class = \"big\"\n")),
            "x.md:3: model_class is primary or auxiliary");
  EXPECT_EQ(error_of(file("name = \"x\"\nkeywords = \"y\"\n")),
            "x.md:3: keywords is an array of at most 64 strings");
  EXPECT_EQ(error_of(file("name = \"x\"\ndependsOn = [1]\n")),
            "x.md:3: dependsOn is a string, not an integer");
  EXPECT_EQ(error_of(file("name = \"x\"\n[output]\nmax_ratio = 0\n")),
            "x.md:4: max_ratio is a number above 0");
  EXPECT_EQ(error_of(file("name = \"x\"\noutput = 3\n")),
            "x.md:3: output is a table of max_ratio and forbid");
  EXPECT_EQ(error_of(file("name = \"x\"\n", " \n\n")), "x.md:4: no prompt stands below the front matter");
  EXPECT_EQ(error_of(file("name = \"x\"\n", "\xff")), "x.md:1: the file is no UTF-8 text");
}

TEST(skill_file, sizes_are_bounded) {
  EXPECT_EQ(error_of(file("name = \"x\"\n", std::string(skill_file_bytes_max, 'a'))),
            "x.md:1: the file is larger than 65536 bytes");
  EXPECT_TRUE(
      error_of(file("name = \"" + std::string(101, 'x') + "\"\n")).contains("longer than 100 characters"));
  std::string words;
  for (int i = 0; i < 65; ++i) words += "\"" + std::to_string(i) + "\",";
  EXPECT_NE(error_of(file("name = \"x\"\nkeywords = [" + words + "]\n")), "");
  EXPECT_NE(error_of(file("name = \"x\"\nkeywords = " + std::string(20'000, '[') + "\n")), "");
}

TEST(skill_file, damaged_files_are_errors_never_more) {
  std::mt19937_64 random{144};
  int valid = 0;
  for (const embedded_skill& skill : embedded_skills()) {
    for (int i = 0; i < 300; ++i) {
      std::string text{skill.text};
      for (std::size_t hits = 1 + random() % 3; hits > 0; --hits) {
        const std::size_t at = random() % std::min<std::size_t>(text.size(), 400);
        switch (random() % 3) {
          case 0:
            text[at] = static_cast<char>(random() % 256);
            break;
          case 1:
            text.erase(at, 1 + random() % 20);
            break;
          default:
            text.insert(at, text.substr(random() % (at + 1), 1 + random() % 30));
        }
      }
      const auto read = parse_skill_file(text, "x.md");
      if (read) {
        ++valid;
      } else {
        EXPECT_TRUE(read.error().starts_with("x.md:"));
      }
    }
  }
  EXPECT_GT(valid, 100);
}

}  // namespace
}  // namespace tidegate::session
