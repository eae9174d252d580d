#include "policy/skill_choice.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace tidegate::policy {
namespace {

struct pack {
  std::vector<std::string> none;
  std::vector<std::string> polish{"polish", "润色"};
  std::vector<std::string> rewrite{"rewrite", "rephrase", "改写"};
  std::vector<std::string> summarize{"summarize", "sum up", "总结"};
  std::vector<std::string> translate{"translate", "翻译"};
  std::vector<choosable_skill> skills{{"chat", none},
                                      {"polish", polish},
                                      {"rewrite", rewrite},
                                      {"summarize", summarize},
                                      {"translate", translate}};

  std::string_view choose(std::string_view text, bool selection = false) const {
    return choose_skill(text, selection, skills);
  }
};

TEST(skill_choice, T145_a_blank_id_is_chosen_for) {
  const pack p;
  EXPECT_EQ(p.choose("", true), "polish");
  EXPECT_EQ(p.choose(" \u3000\n", true), "polish");
  EXPECT_EQ(p.choose("don't translate"), "chat");
  EXPECT_EQ(p.choose("translate"), "translate");
  EXPECT_EQ(p.choose(""), "chat");
}

TEST(skill_choice, a_short_wish_to_rewrite_a_selection_means_rewrite) {
  const pack p;
  EXPECT_EQ(p.choose("polish and rewrite", true), "rewrite");
  EXPECT_EQ(p.choose("polish and rewrite", false), "polish");
  EXPECT_EQ(p.choose("1234567 rewrite now", true), "rewrite") << "19 characters";
  EXPECT_EQ(p.choose("polish, rewrite this", true), "polish") << "20 characters";
  EXPECT_EQ(p.choose("请润色并改写一二三四五六七八九十一二三", true), "rewrite");
  EXPECT_EQ(p.choose("请润色并改写一二三四五六七八九十一二三四", true), "polish");
  EXPECT_EQ(p.choose("don't rewrite", true), "chat");
}

TEST(skill_choice, the_pack_order_ranks_and_words_are_whole) {
  const pack p;
  EXPECT_EQ(p.choose("Please TRANSLATE and Polish it"), "polish");
  EXPECT_EQ(p.choose("mistranslate"), "chat");
  EXPECT_EQ(p.choose("translated"), "chat");
  EXPECT_EQ(p.choose("h\u00e9translate"), "chat");
  EXPECT_EQ(p.choose("(translate)"), "translate");
  EXPECT_EQ(p.choose("帮我translate一下"), "translate");
  EXPECT_EQ(p.choose("帮我翻译一下"), "translate");
  EXPECT_EQ(p.choose("can you sum up this"), "summarize");
}

TEST(skill_choice, an_odd_count_of_negations_in_the_clause_turns_a_keyword_off) {
  const pack p;
  EXPECT_EQ(p.choose("do not translate this"), "chat");
  EXPECT_EQ(p.choose("No translate"), "chat");
  EXPECT_EQ(p.choose("NEVER ever translate"), "chat");
  EXPECT_EQ(p.choose("don\u2019t translate"), "chat");
  EXPECT_EQ(p.choose("don't not translate"), "translate") << "two";
  EXPECT_EQ(p.choose("never don't not translate"), "chat") << "three";
  EXPECT_EQ(p.choose("I don't care, translate it"), "translate") << "another clause";
  EXPECT_EQ(p.choose("not polish but translate"), "translate");
  EXPECT_EQ(p.choose("translate, don't polish"), "translate");
  EXPECT_EQ(p.choose("translate not"), "translate") << "only what stands before counts";
  EXPECT_EQ(p.choose("nothing to translate"), "translate") << "a longer word is no negation";
  EXPECT_EQ(p.choose("don't translate. Translate!"), "translate") << "one that is not negated is enough";
}

TEST(skill_choice, negations_in_chinese) {
  const pack p;
  EXPECT_EQ(p.choose("不要翻译"), "chat");
  EXPECT_EQ(p.choose("别翻译"), "chat");
  EXPECT_EQ(p.choose("请勿翻译"), "chat");
  EXPECT_EQ(p.choose("不能不翻译"), "translate");
  EXPECT_EQ(p.choose("不要润色，翻译就好"), "translate");
  EXPECT_EQ(p.choose("不要润色但翻译"), "translate");
  EXPECT_EQ(p.choose("别润色、翻译"), "chat") << "an enumeration is one clause";
  EXPECT_EQ(p.choose("翻译，不要润色"), "translate");
}

TEST(skill_choice, any_bytes_of_any_size_are_read_once) {
  const pack p;
  const std::size_t size = std::size_t{10} << 20;
  EXPECT_EQ(p.choose(std::string(size, 't')), "chat");
  std::string almost;
  while (almost.size() < size) almost += "translat polis 翻 ";
  EXPECT_EQ(p.choose(almost), "chat");
  EXPECT_EQ(p.choose(std::string(size, '\xe4')), "chat");
  std::mt19937_64 random{145};
  for (int i = 0; i < 2'000; ++i) {
    std::string noise;
    for (std::size_t n = random() % 60; n > 0; --n) noise += static_cast<char>(random() % 256);
    EXPECT_FALSE(p.choose(noise, random() % 2 == 0).empty());
  }
}

TEST(skill_choice, T81_the_class_of_a_model_follows_the_id_where_the_skill_says_nothing) {
  EXPECT_EQ(class_of_skill("builtin:summarize", std::nullopt), model_class::auxiliary);
  EXPECT_EQ(class_of_skill("builtin:polish", std::nullopt), model_class::primary);
  EXPECT_EQ(class_of_skill("global:Extract-Names", std::nullopt), model_class::auxiliary);
  EXPECT_EQ(class_of_skill("global:rewrite-title", std::nullopt), model_class::auxiliary);
  EXPECT_EQ(class_of_skill("builtin:rewrite", std::nullopt), model_class::primary);
  EXPECT_EQ(class_of_skill("builtin:summarize", model_class::primary), model_class::primary);
  EXPECT_EQ(class_of_skill("builtin:polish", model_class::auxiliary), model_class::auxiliary);
}

TEST(skill_choice, leaf_ids_stand_behind_the_last_colon) {
  EXPECT_EQ(leaf_of("builtin:polish"), "polish");
  EXPECT_EQ(leaf_of("a:b:c"), "c");
  EXPECT_EQ(leaf_of("polish"), "polish");
  EXPECT_EQ(leaf_of("x:"), "");
}

TEST(skill_choice, PRM_2_material_that_a_skill_needs) {
  EXPECT_EQ(find_gap(skill_input::selection, {.input = " \n"}), material_gap::blank_selection);
  EXPECT_EQ(find_gap(skill_input::selection, {.input = "a"}), material_gap::none);
  EXPECT_EQ(find_gap(skill_input::selection, {.selection = "a"}), material_gap::none);
  EXPECT_EQ(find_gap(skill_input::document, {.input = "a", .project_id = "p"}), material_gap::no_document);
  EXPECT_EQ(find_gap(skill_input::document, {.input = "a", .document_id = "d"}), material_gap::no_document);
  EXPECT_EQ(find_gap(skill_input::document, {.project_id = "p", .document_id = "d"}), material_gap::none);
  EXPECT_EQ(find_gap(skill_input::chat, {}), material_gap::none);
}

TEST(skill_choice, input_and_selection_become_one_user_message) {
  EXPECT_EQ(user_message_of({.input = "a text"}), "a text");
  EXPECT_EQ(user_message_of({.input = " ", .selection = "picked"}), "picked");
  EXPECT_EQ(user_message_of({.input = "same", .selection = "same"}), "same");
  EXPECT_EQ(user_message_of({.input = "shorter", .selection = "picked"}),
            "<instruction>\nshorter\n</instruction>\n\n<text>\npicked\n</text>");
  EXPECT_EQ(subject_of({.input = "shorter", .selection = "picked"}), "picked");
  EXPECT_EQ(subject_of({.input = "text"}), "text");
}

TEST(skill_choice, names_read_back) {
  for (const auto input : {skill_input::chat, skill_input::selection, skill_input::document}) {
    EXPECT_EQ(skill_input_named(name_of(input)), input);
  }
  for (const auto value : {model_class::primary, model_class::auxiliary}) {
    EXPECT_EQ(model_class_named(name_of(value)), value);
  }
  EXPECT_EQ(skill_input_named("text"), std::nullopt);
  EXPECT_EQ(model_class_named(""), std::nullopt);
}

}  // namespace
}  // namespace tidegate::policy
