#include "session/judge_reply.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "policy/characters.h"

namespace tidegate::session {
namespace {

using policy::judge_finding;
using policy::judge_severity;
using findings = std::vector<judge_finding>;

TEST(judge_reply, T66_other_severities_and_empty_labels_are_dropped) {
  EXPECT_EQ(read_judge_reply(R"([{"severity":"critical","label":"x"},{"severity":"high","label":""}])"),
            findings{});
  EXPECT_EQ(read_judge_reply(R"([{"severity":"HIGH","label":"x"},{"severity":"low","label":" \u3000"}])"),
            findings{});
  EXPECT_EQ(read_judge_reply(R"([{"severity":"low","label":3},{"label":"x"},"high",null,[]])"), findings{});
}

TEST(judge_reply, JDG_3_the_outermost_array_is_read_whatever_surrounds_it) {
  const findings two{{judge_severity::high, "age changes"}, {judge_severity::medium, "时态不一"}};
  const std::string array =
      R"([ {"severity":"high","label":" age changes "}, {"label":"时态不一","severity":"medium","note":[1]} ])";
  EXPECT_EQ(read_judge_reply(array), two);
  EXPECT_EQ(read_judge_reply("```json\n" + array + "\n```"), two);
  EXPECT_EQ(read_judge_reply("Two faults, see [1] and [brackets:\n" + array + "\nHope this helps [smile]."),
            two);
  EXPECT_EQ(read_judge_reply("{\"findings\":" + array + "}"), two);
  EXPECT_EQ(read_judge_reply(R"([{"severity":"low","label":"a ] in \"quotes\" ["}])"),
            (findings{{judge_severity::low, "a ] in \"quotes\" ["}}));
}

TEST(judge_reply, no_array_means_no_findings) {
  for (const char* text :
       {"", "No faults.", "[]", "[", "]", "[[[[", "{\"severity\":\"high\",\"label\":\"x\"}",
        "[{\"severity\":\"high\",\"label\":\"cut"}) {
    EXPECT_EQ(read_judge_reply(text), findings{}) << text;
  }
}

TEST(judge_reply, findings_and_labels_are_bounded) {
  std::string many = "[";
  for (int i = 0; i < 1000; ++i)
    many += (i == 0 ? "" : ",") + std::string{R"({"severity":"low","label":"l"})"};
  EXPECT_EQ(read_judge_reply(many + "]").size(), judge_findings_max);
  const auto long_label =
      read_judge_reply(R"([{"severity":"low","label":")" + std::string(5'000, 'x') + "\"}]");
  ASSERT_EQ(long_label.size(), 1U);
  EXPECT_EQ(long_label[0].label.size(), judge_label_characters_max);
}

TEST(judge_reply, hostile_replies_end_soon) {
  const std::size_t size = std::size_t{10} << 20;
  EXPECT_EQ(read_judge_reply(std::string(size, '[')), findings{});
  EXPECT_EQ(read_judge_reply(std::string(size / 2, '[') + std::string(size / 2, ']')), findings{});
  std::string quotes;
  while (quotes.size() < size) quotes += "[\"";
  EXPECT_EQ(read_judge_reply(quotes), findings{});
  std::mt19937_64 random{66};
  constexpr std::string_view letters = "[]{}\",:\\ severitylabelhigh\xff";
  for (int i = 0; i < 20'000; ++i) {
    std::string noise;
    for (std::size_t n = random() % 60; n > 0; --n) noise += letters[random() % letters.size()];
    EXPECT_LE(read_judge_reply(noise).size(), judge_findings_max);
  }
}

TEST(judge_reply, the_prompt_asks_in_the_readers_language_and_fences_the_material) {
  const auto en = make_judge_prompt("He left.", "A quiet book.", policy::judge_locale::en);
  EXPECT_NE(en.system.find("JSON array"), std::string::npos);
  EXPECT_EQ(en.user, "<summary>\nA quiet book.\n</summary>\n\n<passage>\nHe left.\n</passage>");
  const auto zh = make_judge_prompt("他走了。", "第一人称", policy::judge_locale::zh);
  EXPECT_NE(zh.system.find("JSON 数组"), std::string::npos);
  for (const char* word : {"constraint", "character", "style", "coherence", "repetition"}) {
    EXPECT_NE(en.system.find(word), std::string::npos);
    EXPECT_NE(zh.system.find(word), std::string::npos);
  }
}

}  // namespace
}  // namespace tidegate::session
