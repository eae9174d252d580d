#include "policy/tool_rounds.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace tidegate::policy {
namespace {

// Enough of JSON for these tests: what opens and closes as an object is one.
arguments_form form_of(std::string_view text) {
  if (text.starts_with('{')) return text.ends_with('}') ? arguments_form::object : arguments_form::unparsable;
  return text == "null" || text == "[]" || text == "3" ? arguments_form::other : arguments_form::unparsable;
}

tool_call call(std::string id, std::string name, std::string arguments = "{}") {
  const auto form = form_of(arguments);
  return {std::move(id), std::move(name), std::move(arguments), form};
}

const std::vector<std::string> declared{"search", "read"};

TEST(tool_calls, T51_arguments_in_three_fragments_become_one_object) {
  tool_call_gatherer gathered;
  gathered.start(0, "call_1", "search");
  for (const char* part : {"{\"query\":", "\"ti", "de\"}"}) gathered.arguments(0, part);
  const auto calls = gathered.finish(form_of);
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0], (tool_call{"call_1", "search", "{\"query\":\"tide\"}", arguments_form::object, 0}));
  EXPECT_EQ(judge_calls(calls, declared, 1, 5), std::nullopt);
}

TEST(tool_calls, T52_truncated_arguments_become_null_and_no_tool_is_to_be_run) {
  tool_call_gatherer gathered;
  gathered.start(0, "call_1", "search");
  gathered.arguments(0, "{\"query\":\"ti");
  const auto calls = gathered.finish(form_of);
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].arguments, "null");
  EXPECT_EQ(calls[0].form, arguments_form::unparsable);
  EXPECT_EQ(calls[0].unparsable_bytes, 12U);
  const auto error = judge_calls(calls, declared, 1, 5);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, error_code::tool_use_parse_failed);
  EXPECT_FALSE(error->retryable);
}

TEST(tool_calls, are_ordered_by_index_and_named_by_it_where_the_provider_gave_no_id) {
  tool_call_gatherer gathered;
  gathered.arguments(2, "{}");
  gathered.start(0, "", "search");
  gathered.start(2, "late", "read");
  gathered.start(0, "", "ignored");
  const auto calls = gathered.finish(form_of);
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].id, "tool-call-0");
  EXPECT_EQ(calls[0].name, "search");
  EXPECT_EQ(calls[0].arguments, "{}") << "blank arguments are an empty object";
  EXPECT_EQ(calls[1].id, "late");
  EXPECT_EQ(calls[1].name, "read");
}

TEST(tool_calls, start_anew_after_a_reset) {
  tool_call_gatherer gathered;
  gathered.start(0, "a", "search");
  gathered.arguments(0, "{\"half");
  gathered.clear();
  EXPECT_TRUE(gathered.empty());
  EXPECT_EQ(gathered.bytes(), 0U);
  gathered.start(0, "b", "read");
  EXPECT_EQ(gathered.finish(form_of)[0].id, "b");
}

TEST(tool_calls, a_flood_of_them_is_bounded) {
  tool_call_gatherer gathered;
  for (std::uint32_t i = 0; i < 100'000; ++i) gathered.start(i, "x", "search");
  EXPECT_EQ(gathered.finish(form_of).size(), tool_call_gatherer::calls_max);
  const std::string mebibyte(std::size_t{1} << 20, 'a');
  for (int i = 0; i < 10; ++i) gathered.arguments(3, mebibyte);
  EXPECT_LE(gathered.bytes(), tool_call_gatherer::bytes_max);
  EXPECT_EQ(gathered.finish(form_of)[3].form, arguments_form::unparsable);
}

TEST(tool_rounds, arguments_that_are_no_object_end_the_run) {
  for (const char* arguments : {"[]", "null", "3", "{"}) {
    const std::vector<tool_call> calls{call("1", "search"), call("2", "read", arguments)};
    EXPECT_EQ(judge_calls(calls, declared, 1, 5).value().code, error_code::tool_use_parse_failed)
        << arguments;
  }
}

TEST(tool_rounds, T83_a_call_after_round_five_ends_the_run) {
  const std::vector<tool_call> calls{call("1", "search")};
  EXPECT_EQ(judge_calls(calls, declared, 5, 5), std::nullopt);
  EXPECT_EQ(judge_calls(calls, declared, 6, 5).value().code, error_code::tool_use_max_rounds_exceeded);
}

TEST(tool_rounds, results_are_put_in_the_order_of_the_calls) {
  const std::vector<tool_call> calls{call("a", "search"), call("b", "read"), call("c", "read")};
  const std::vector<tool_result> results{{"c", true, "3"}, {"a", true, "1"}, {"b", false, "no such file"}};
  const auto round = answer_calls(calls, declared, results);
  ASSERT_TRUE(round);
  ASSERT_EQ(round->answers.size(), 3U);
  EXPECT_EQ(round->answers[0], (answered_call{"a", "search", true, "1", std::nullopt}));
  EXPECT_EQ(round->answers[1].content, "no such file") << "what failed is passed to the model";
  EXPECT_EQ(round->answers[1].error.value().code, error_code::tool_use_execution_failed);
  EXPECT_EQ(round->answers[2].call_id, "c");
  EXPECT_EQ(round->error, std::nullopt);
}

TEST(tool_rounds, a_tool_nobody_declared_is_answered_by_the_gateway) {
  const std::vector<tool_call> calls{call("a", "launch"), call("b", "read")};
  EXPECT_EQ(judge_calls(calls, declared, 1, 5), std::nullopt);
  for (const bool answered : {false, true}) {
    std::vector<tool_result> results{{"b", true, "text"}};
    if (answered) results.push_back({"a", true, "done anyway"});
    const auto round = answer_calls(calls, declared, results);
    ASSERT_TRUE(round);
    EXPECT_FALSE(round->answers[0].success);
    EXPECT_EQ(round->answers[0].error.value().code, error_code::tool_use_tool_not_found);
    EXPECT_EQ(round->answers[0].content, "no tool of this name was declared");
    EXPECT_EQ(round->error, std::nullopt);
  }
  EXPECT_EQ(judge_calls(std::span{calls}.first(1), declared, 1, 5).value().code,
            error_code::tool_use_all_failed)
      << "nothing is left for the caller to run";
}

TEST(tool_rounds, a_round_of_which_everything_failed_ends_the_run) {
  const std::vector<tool_call> calls{call("a", "search"), call("x", "launch")};
  const auto round = answer_calls(calls, declared, std::vector<tool_result>{{"a", false, "down"}});
  ASSERT_TRUE(round);
  EXPECT_EQ(round->error.value().code, error_code::tool_use_all_failed);
  EXPECT_EQ(round->answers.size(), 2U);
}

TEST(tool_rounds, results_that_do_not_fit_the_calls_are_refused) {
  const std::vector<tool_call> calls{call("a", "search"), call("b", "read")};
  const std::vector<std::vector<tool_result>> wrong{
      {},
      {{"a", true, ""}},
      {{"a", true, ""}, {"z", true, ""}},
      {{"a", true, ""}, {"a", true, ""}, {"b", true, ""}},
  };
  for (const auto& results : wrong) {
    const auto round = answer_calls(calls, declared, results);
    ASSERT_FALSE(round);
    EXPECT_EQ(round.error().code, error_code::invalid_argument);
  }
}

// Fragments in any order of calls give what whole calls give.
TEST(tool_calls, agree_however_the_fragments_interleave) {
  std::mt19937_64 random{51};
  for (int round = 0; round < 2'000; ++round) {
    const std::size_t count = 1 + random() % 5;
    std::vector<std::string> whole;
    for (std::size_t i = 0; i < count; ++i)
      whole.push_back("{" + std::string(random() % 20, static_cast<char>('a' + i)) + "}");
    tool_call_gatherer gathered;
    std::vector<std::size_t> sent(count, 0);
    for (bool more = true; more;) {
      more = false;
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t rest = whole[i].size() - sent[i];
        const std::size_t part = std::min(rest, random() % 7);
        gathered.arguments(static_cast<std::uint32_t>(i), std::string_view{whole[i]}.substr(sent[i], part));
        sent[i] += part;
        more = more || sent[i] < whole[i].size();
      }
    }
    const auto calls = gathered.finish(form_of);
    ASSERT_EQ(calls.size(), count);
    for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(calls[i].arguments, whole[i]);
  }
}

}  // namespace
}  // namespace tidegate::policy
