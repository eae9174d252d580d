#include "session/tool_arguments.h"

#include <gtest/gtest.h>

#include <string>

namespace tidegate::session {
namespace {

using policy::arguments_form;

TEST(tool_arguments, objects_other_values_and_what_is_no_json) {
  EXPECT_EQ(form_of_arguments(R"({"a":[1,{"b":null}]})"), arguments_form::object);
  EXPECT_EQ(form_of_arguments(" { } \n"), arguments_form::object);
  for (const char* text : {"[]", "null", "3", "\"{}\"", "true"}) {
    EXPECT_EQ(form_of_arguments(text), arguments_form::other) << text;
  }
  for (const char* text : {"", "{", R"({"a":"cut)", "{}{}", "{a:1}", "NaN"}) {
    EXPECT_EQ(form_of_arguments(text), arguments_form::unparsable) << text;
  }
  EXPECT_EQ(form_of_arguments(std::string(1 << 20, '[')), arguments_form::unparsable);
}

TEST(tool_arguments, T51_T52_fragments_become_an_object_or_null) {
  policy::tool_call_gatherer gathered;
  gathered.start(1, "b", "read");
  gathered.start(0, "a", "search");
  for (const char* part : {"{\"q\"", ":\"x", "\"}"}) gathered.arguments(0, part);
  gathered.arguments(1, "{\"path\":\"/no");
  const auto calls = gathered.finish(form_of_arguments);
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].arguments, R"({"q":"x"})");
  EXPECT_EQ(calls[0].form, arguments_form::object);
  EXPECT_EQ(calls[1].arguments, "null");
  EXPECT_EQ(policy::judge_calls(calls, std::vector<std::string>{"search", "read"}, 1, 5).value().code,
            foundation::error_code::tool_use_parse_failed);
}

}  // namespace
}  // namespace tidegate::session
