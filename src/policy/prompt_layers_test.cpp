#include "policy/prompt_layers.h"

#include <gtest/gtest.h>

namespace tidegate::policy {
namespace {

TEST(prompt_layers, T75_six_layers_stand_in_a_fixed_order) {
  EXPECT_EQ(assemble_prompt({.identity = "one",
                             .user_rules = "two",
                             .skill = "three",
                             .mode_hint = "four",
                             .memory = "five",
                             .context = "six"}),
            "one\n\ntwo\n\nthree\n\nfour\n\nfive\n\nsix");
}

TEST(prompt_layers, T75_blank_layers_leave_no_trace) {
  EXPECT_EQ(assemble_prompt({.identity = " \n\u3000", .mode_hint = mode_hint(run_mode::plan)}),
            mode_hint(run_mode::plan));
  EXPECT_EQ(assemble_prompt({.user_rules = "rules", .memory = "\t\n", .context = "context"}),
            "rules\n\ncontext");
  EXPECT_EQ(assemble_prompt({}), "");
}

TEST(prompt_layers, one_blank_line_stands_between_two_whatever_surrounds_them) {
  EXPECT_EQ(assemble_prompt({.identity = "\n\na\n b\n\n", .skill = "\r\n c \r\n"}), "a\n b\n\nc");
}

TEST(prompt_layers, plan_and_agent_have_hints_and_ask_has_none) {
  EXPECT_NE(mode_hint(run_mode::plan), "");
  EXPECT_NE(mode_hint(run_mode::agent), "");
  EXPECT_NE(mode_hint(run_mode::agent), mode_hint(run_mode::plan));
  EXPECT_EQ(mode_hint(run_mode::ask), "");
  for (const auto mode : {run_mode::ask, run_mode::plan, run_mode::agent}) {
    EXPECT_EQ(run_mode_named(name_of(mode)), mode);
  }
  EXPECT_EQ(run_mode_named("Agent"), std::nullopt);
}

TEST(prompt_layers, an_identity_has_five_closed_blocks_and_five_roles) {
  const std::string whole =
      "<identity>a</identity><writing_awareness>b</writing_awareness><role_fluidity>ghostwriter muse editor "
      "actor "
      "painter</role_fluidity><behavior>c</behavior><context_awareness>d</context_awareness>";
  EXPECT_TRUE(is_whole_identity(whole));
  for (const char* part : {"<identity>", "</behavior>", "muse", "painter", "<context_awareness>"}) {
    std::string broken = whole;
    broken.erase(broken.find(part), std::string_view{part}.size());
    EXPECT_FALSE(is_whole_identity(broken)) << part;
  }
  EXPECT_FALSE(is_whole_identity(""));
}

}  // namespace
}  // namespace tidegate::policy
