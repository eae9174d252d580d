#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "protocol/dialect/canonical_text_for_test.h"
#include "protocol/dialect/dialect.h"
#include "protocol/json/json.h"

namespace tidegate::protocol::dialect {
namespace {

json::value parsed(std::string_view text) {
  const auto v = json::parse(text);
  EXPECT_TRUE(v.has_value()) << text;
  return v.value_or(json::value{});
}

reply decoded(std::string_view text) {
  const auto result = openai_chat().decode_reply(parsed(text));
  EXPECT_TRUE(result.has_value()) << (result.has_value() ? "" : result.error().message);
  return result.value_or(reply{});
}

reply with_message(std::string_view message, std::string_view finish = "\"stop\"") {
  return decoded(R"({"id":"chatcmpl-1","choices":[{"index":0,"message":)" + std::string{message} +
                 R"(,"finish_reason":)" + std::string{finish} + "}]}");
}

part made(part_kind kind, std::string text) {
  part out;
  out.kind = kind;
  out.text = std::move(text);
  return out;
}

const encode_context context{
    .id = "run", .model = "asked", .created = 5, .include_usage = true, .asked = nullptr};

TEST(openai_chat_reply, the_body_of_a_plain_answer_is_read) {
  const reply r = decoded(
      R"({"id":"chatcmpl-1","object":"chat.completion","created":7,"model":"gpt-x","choices":[{"index":0,
    "message":{"role":"assistant","content":"Hi","refusal":null},"finish_reason":"length"}],
    "usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}})");
  EXPECT_EQ(r.id, "chatcmpl-1");
  EXPECT_EQ(r.model, "gpt-x");
  EXPECT_EQ(r.created, 7);
  ASSERT_EQ(r.parts.size(), 1U);
  EXPECT_EQ(r.parts[0].text, "Hi");
  EXPECT_EQ(r.finish, finish_reason::length);
  EXPECT_EQ(r.tokens.completion, 2);
}

TEST(openai_chat_reply, calls_make_the_finish_tool_use) {
  const std::string_view call =
      R"({"content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]})";
  for (const std::string_view finish : {R"("stop")", R"("tool_calls")", R"("")", "null"}) {
    const reply r = with_message(call, finish);
    EXPECT_EQ(r.finish, finish_reason::tool_use) << finish;
    ASSERT_EQ(r.parts.size(), 1U);
    EXPECT_EQ(r.parts[0].data, "{\"x\":1}");
  }
  EXPECT_EQ(with_message(call, R"("length")").finish, finish_reason::length);
}

TEST(openai_chat_reply, odd_calls_are_read) {
  const reply r = with_message(
      R"({"tool_calls":[{"function":{"name":"f","arguments":{"a":1}}},{"function":{"name":"g"}},{"custom":{"name":"h"}}]})");
  ASSERT_EQ(r.parts.size(), 2U);
  EXPECT_EQ(r.parts[0].id, "tool-call-0");
  EXPECT_EQ(r.parts[0].data, R"({"a":1})");
  EXPECT_EQ(r.parts[1].data, "{}");
  const reply older =
      with_message(R"({"content":null,"function_call":{"name":"f","arguments":"{}"}})", R"("function_call")");
  ASSERT_EQ(older.parts.size(), 1U);
  EXPECT_EQ(older.finish, finish_reason::tool_use);
  EXPECT_TRUE(with_message(R"({"content":"","function_call":{"name":"","arguments":""}})").parts.empty());
}

TEST(openai_chat_reply, reasoning_comes_before_the_text) {
  const reply r = with_message(R"({"content":"x","reasoning_content":"why"})");
  ASSERT_EQ(r.parts.size(), 2U);
  EXPECT_EQ(r.parts[0].kind, part_kind::thinking);
  const reply signed_later = with_message(R"({"content":"x","reasoning":"why","reasoning_details":[
    {"type":"reasoning.text","signature":"s","format":"anthropic-claude-v1"}]})");
  ASSERT_EQ(signed_later.parts.size(), 2U);
  EXPECT_EQ(signed_later.parts[0].text, "why");
  EXPECT_EQ(signed_later.parts[0].signature, "s");
}

TEST(openai_chat_reply, the_choice_with_index_0_is_the_answer) {
  const reply r =
      decoded(R"({"choices":[{"index":1,"message":{"content":"b"}},{"index":0,"message":{"content":"a"}}]})");
  ASSERT_EQ(r.parts.size(), 1U);
  EXPECT_EQ(r.parts[0].text, "a");
}

TEST(openai_chat_reply, a_filtered_answer_needs_no_message) {
  const reply r = decoded(R"({"choices":[{"index":0,"finish_reason":"content_filter"}]})");
  EXPECT_EQ(r.finish, finish_reason::content_filter);
  EXPECT_TRUE(r.parts.empty());
}

TEST(openai_chat_reply, other_shapes_are_refused) {
  for (const std::string_view body :
       {"[]", "{}", "5", R"({"choices":[]})", R"({"choices":null})", R"({"choices":[{"index":0}]})",
        R"({"choices":[{"message":"x"}]})", R"({"error":{"message":"x"}})"}) {
    EXPECT_FALSE(openai_chat().has_reply_shape(parsed(body))) << body;
    EXPECT_FALSE(openai_chat().decode_reply(parsed(body)).has_value()) << body;
  }
}

TEST(openai_chat_reply, the_encoder_writes_what_the_sdks_read) {
  reply r;
  r.id = "msg_1";
  r.parts = {made(part_kind::thinking, "why"), made(part_kind::text, "a"), made(part_kind::text, "b")};
  part call = made(part_kind::tool_call, {});
  call.id = "c";
  call.name = "f";
  r.parts.push_back(call);
  r.finish = finish_reason::tool_use;
  r.tokens = {.prompt = 9, .completion = 2, .cached = 4, .cache_write = 3, .reasoning = 1, .known = true};
  EXPECT_EQ(
      openai_chat().encode_reply(r, context),
      R"({"id":"chatcmpl-run","object":"chat.completion","created":5,"model":"asked","choices":[{"index":0,)"
      R"("message":{"role":"assistant","content":"ab","refusal":null,"reasoning_content":"why","tool_calls":)"
      R"([{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},"logprobs":null,)"
      R"("finish_reason":"tool_calls"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,)"
      R"("prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":3},)"
      R"("completion_tokens_details":{"reasoning_tokens":1}}})");
}

TEST(openai_chat_reply, an_empty_answer_has_empty_content_and_a_refusal_none) {
  reply r;
  EXPECT_NE(openai_chat().encode_reply(r, context).find(R"("content":"","refusal":null)"), std::string::npos);
  r.parts = {made(part_kind::refusal, "no")};
  EXPECT_NE(openai_chat().encode_reply(r, context).find(R"("content":null,"refusal":"no")"),
            std::string::npos);
}

TEST(openai_chat_reply, signed_and_redacted_thinking_survive) {
  reply r;
  part first = made(part_kind::thinking, "why");
  first.signature = "s";
  part second = made(part_kind::redacted_thinking, {});
  second.data = "opaque";
  r.parts = {first, second, made(part_kind::text, "x")};
  r.finish = finish_reason::stop;
  const reply back = decoded(openai_chat().encode_reply(r, context));
  EXPECT_EQ(test::text_of(back), test::text_of(r));
}

}  // namespace
}  // namespace tidegate::protocol::dialect
