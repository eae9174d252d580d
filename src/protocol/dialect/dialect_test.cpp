#include "protocol/dialect/dialect.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <string_view>

#include "kit/fixtures.h"
#include "protocol/dialect/shared.h"

namespace tidegate::protocol::dialect {
namespace {

json::value parsed(std::string_view text) {
  const auto v = json::parse(text);
  EXPECT_TRUE(v.has_value()) << text;
  return v.value_or(json::value{});
}

// FO-2
TEST(dialect_errors, server_words_are_availability) {
  for (const std::string_view word :
       {"overloaded_error", "server_error", "api_error", "internal_error", "timeout", "overloaded", "500",
        "502", "503", "504", "529", "engine_overloaded_error", "internal_server_error", "service_unavailable",
        "UNAVAILABLE"}) {
    EXPECT_EQ(classify({.type = std::string{word}, .code = {}, .message = {}}), error_kind::availability)
        << word;
    EXPECT_EQ(classify({.type = {}, .code = std::string{word}, .message = {}}), error_kind::availability)
        << word;
  }
}

TEST(dialect_errors, rate_limits_are_pushback_even_when_the_type_is_the_servers) {
  for (const std::string_view word :
       {"rate_limit_error", "rate_limit_exceeded", "429", "insufficient_quota", "RESOURCE_EXHAUSTED"}) {
    EXPECT_EQ(classify({.type = std::string{word}, .code = {}, .message = {}}), error_kind::rate_limit)
        << word;
  }
  EXPECT_EQ(classify({.type = "server_error", .code = "rate_limit_exceeded", .message = {}}),
            error_kind::rate_limit);
  EXPECT_EQ(classify({.type = "tokens", .code = "rate_limit_exceeded", .message = {}}),
            error_kind::rate_limit);
}

TEST(dialect_errors, everything_else_is_other) {
  EXPECT_EQ(classify({}), error_kind::other);
  EXPECT_EQ(classify({.type = "invalid_request_error", .code = "tool_use_failed", .message = {}}),
            error_kind::other);
  EXPECT_EQ(classify({.type = {}, .code = "400", .message = "overloaded"}), error_kind::other);
}

// RET-5
TEST(dialect_errors, a_providers_error_body_is_read_in_all_its_forms) {
  const upstream_error openai = read_error(R"({"error":{"message":"m","type":"t","code":"c","param":"p"}})");
  EXPECT_EQ(openai.message + openai.type + openai.code + openai.param, "mtcp");
  EXPECT_EQ(read_error(R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})").type,
            "overloaded_error");
  EXPECT_EQ(read_error(R"({"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}})").code, "429");
  EXPECT_EQ(read_error(R"([{"error":{"code":503,"message":"m"}}])").code, "503");
  EXPECT_EQ(read_error(R"({"error":"text"})").message, "text");
  EXPECT_EQ(read_error(R"({"message":"text","code":"c"})").code, "c");
  EXPECT_EQ(read_error(R"({"detail":"Invalid API Key"})").message, "Invalid API Key");
  EXPECT_EQ(read_error(R"({"detail":[{"loc":["body"],"msg":"field required"}]})").message, "field required");
}

TEST(dialect_errors, what_is_no_error_body_is_empty) {
  for (const std::string_view body : {"", "<html>502</html>", "5", "[]", "{}", "null", "{\"error\":null}"}) {
    const upstream_error read = read_error(body);
    EXPECT_TRUE(read.message.empty() && read.type.empty() && read.code.empty()) << body;
  }
}

TEST(dialect_errors, long_messages_are_cut_at_a_character) {
  std::string text;
  while (text.size() < 5000) text += "€";
  const upstream_error read = read_error("{\"message\":\"" + text + "\"}");
  EXPECT_LE(read.message.size(), 4096U);
  EXPECT_EQ(read.message.size() % 3, 0U);
}

TEST(dialect_errors, reported_bodies_are_read) {
  const auto text = kit::read_fixture("errors_reported/errors.json");
  if (!text.has_value()) GTEST_SKIP() << "no fixtures";
  std::size_t total = 0;
  std::size_t passed = 0;
  for (const json::value each : parsed(*text).elements()) {
    const std::string body = each.string_or("body", "");
    if (!body.starts_with('{')) continue;
    ++total;
    const upstream_error read = read_error(body);
    EXPECT_FALSE(read.message.empty()) << body;
    passed += read.message.empty() ? 0 : 1;
  }
  kit::report("errors_reported", passed, total);
}

// GW-2, interface section 5
TEST(dialect_errors, openai_bodies_carry_the_canonical_code) {
  foundation::failure f;
  f.code = foundation::error_code::ai_rate_limited;
  f.message = "slow down";
  f.details = R"({"source":"local"})";
  EXPECT_EQ(
      openai_chat().encode_error(f, "run", "trace"),
      R"({"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":"AI_RATE_LIMITED",)"
      R"("trace_id":"trace","run_id":"run","details":{"source":"local"}}})");
  const std::string streamed = openai_chat().encode_stream_error(f, "run", "trace");
  EXPECT_TRUE(streamed.starts_with("data: {\"error\":{")) << streamed;
  EXPECT_TRUE(streamed.ends_with("}}\n\n")) << streamed;
}

// Interface section 5: the canonical code stands in `code` whoever failed.
TEST(dialect_errors, a_kept_provider_error_keeps_its_words_beside_the_canonical_code) {
  foundation::failure f;
  f.code = foundation::error_code::llm_api_error;
  f.status = 404;
  f.message = "The model `x` does not exist";
  f.param = "model";
  f.upstream_type = "invalid_request_error";
  f.upstream_code = "model_not_found";
  EXPECT_EQ(
      openai_chat().encode_error(f, "", ""),
      R"({"error":{"message":"The model `x` does not exist","type":"invalid_request_error","param":"model",)"
      R"("code":"LLM_API_ERROR","provider_code":"model_not_found"}})");
}

TEST(dialect_errors, types_follow_the_status) {
  EXPECT_EQ(openai_error_type(400), "invalid_request_error");
  EXPECT_EQ(openai_error_type(413), "invalid_request_error");
  EXPECT_EQ(openai_error_type(401), "authentication_error");
  EXPECT_EQ(openai_error_type(402), "insufficient_quota");
  EXPECT_EQ(openai_error_type(403), "permission_error");
  EXPECT_EQ(openai_error_type(404), "not_found_error");
  EXPECT_EQ(openai_error_type(429), "rate_limit_error");
  EXPECT_EQ(openai_error_type(502), "server_error");
}

// USE-2
TEST(dialect_usage, reported_fields_are_read_under_all_their_names) {
  const auto read = [](std::string_view text) { return read_openai_usage(parsed(text)); };
  EXPECT_EQ(read(R"({"prompt_tokens":5,"completion_tokens":3})").prompt, 5);
  EXPECT_EQ(read(R"({"input_tokens":5,"output_tokens":3})").completion, 3);
  EXPECT_EQ(read(R"({"prompt_tokens":0,"input_tokens":9})").prompt, 0);
  EXPECT_EQ(read(R"({"prompt_tokens":9,"cached_tokens":2,"cache_read_input_tokens":4})").cached, 4);
  EXPECT_EQ(
      read(R"({"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":7},"cachedTokens":1})").cached, 7);
  EXPECT_EQ(read(R"({"prompt_tokens":9,"prompt_cache_hit_tokens":3})").cached, 3);
  EXPECT_EQ(read(R"({"prompt_tokens":2,"cached_tokens":5})").cached, 2);
  EXPECT_EQ(read(R"({"completion_tokens":9,"completion_tokens_details":{"reasoning_tokens":4}})").reasoning,
            4);
  EXPECT_EQ(read(R"({"prompt_tokens":9,"prompt_tokens_details":{"cache_write_tokens":6}})").cache_write, 6);
  EXPECT_FALSE(read("{}").known);
  EXPECT_FALSE(read("null").known);
  EXPECT_FALSE(read("5").known);
}

TEST(dialect_usage, numbers_that_make_no_sense_are_zero) {
  EXPECT_EQ(token_count(parsed("1e999")), 0);
  EXPECT_EQ(token_count(parsed("-5")), 0);
  EXPECT_EQ(token_count(parsed("\"7\"")), 0);
  EXPECT_EQ(token_count(std::nullopt), 0);
  EXPECT_EQ(token_count(parsed("12.0")), 12);
  EXPECT_EQ(token_count(parsed("1e3")), 1000);
  EXPECT_EQ(token_count(parsed("1e300")), token_count_max);
}

// USE-2: a fallback only stands in for a name that is missing.
TEST(dialect_usage, an_explicit_zero_wins_over_a_fallback) {
  const auto read = [](std::string_view text) { return read_openai_usage(parsed(text)); };
  EXPECT_EQ(read(R"({"prompt_tokens":9,"cached_tokens":0,"cachedTokens":5})").cached, 0);
  EXPECT_EQ(read(R"({"prompt_tokens":9,"cached_tokens":null,"cachedTokens":5})").cached, 5);
  EXPECT_EQ(read(R"({"prompt_tokens":9,"cached_tokens":0,"cache_read_input_tokens":5})").cached, 5);
  EXPECT_EQ(read(R"({"completion_tokens":0,"output_tokens":5,"prompt_tokens":1})").completion, 0);
}

TEST(dialect_usage, no_count_is_negative_or_beyond_its_bound) {
  constexpr std::string_view absurd[] = {
      "-1",  "-1e300", "1e300", "1e999", "9223372036854775807", "99999999999999999999999",
      "0.5", "\"7\"",  "[]",    "null"};
  for (const std::string_view count : absurd) {
    std::string openai = R"({"usage":{"prompt_tokens":#,"completion_tokens":#,"prompt_tokens_details":)"
                         R"({"cached_tokens":#,"cache_write_tokens":#},"completion_tokens_details":)"
                         R"({"reasoning_tokens":#}}})";
    std::string anthropic = R"({"usage":{"input_tokens":#,"output_tokens":#,"cache_read_input_tokens":#,)"
                            R"("cache_creation_input_tokens":#}})";
    for (std::string* body : {&openai, &anthropic}) {
      for (std::size_t at = 0; (at = body->find('#', at)) != std::string::npos;) body->replace(at, 1, count);
    }
    for (const usage& u :
         {openai_chat().usage_of(parsed(openai)), openai_responses().usage_of(parsed(openai)),
          anthropic_messages().usage_of(parsed(anthropic))}) {
      for (const std::int64_t n : {u.completion, u.cached, u.cache_write, u.reasoning}) {
        EXPECT_GE(n, 0) << count;
        EXPECT_LE(n, token_count_max) << count;
      }
      EXPECT_LE(u.prompt, 3 * token_count_max) << count;
      EXPECT_LE(u.cached + u.cache_write, u.prompt) << count;
    }
  }
}

// `prompt` means the same whoever reported it: cached and written ones included.
TEST(dialect_usage, the_same_call_reads_the_same_in_every_dialect) {
  const usage chat = openai_chat().usage_of(
      parsed(R"({"usage":{"prompt_tokens":100,"completion_tokens":7,)"
             R"("prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":30}}})"));
  const usage responses = openai_responses().usage_of(
      parsed(R"({"usage":{"input_tokens":100,"output_tokens":7,)"
             R"("input_tokens_details":{"cached_tokens":60,"cache_write_tokens":30}}})"));
  const usage messages = anthropic_messages().usage_of(
      parsed(R"({"usage":{"input_tokens":10,"output_tokens":7,)"
             R"("cache_read_input_tokens":60,"cache_creation_input_tokens":30}})"));
  EXPECT_EQ(chat, messages);
  EXPECT_EQ(chat, responses);
  EXPECT_EQ(chat.prompt, 100);
}

TEST(dialect_shared, data_urls_are_taken_apart) {
  const auto plain = parse_data_url("data:image/png;base64,QUJD");
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(plain->media_type, "image/png");
  EXPECT_EQ(plain->data, "QUJD");
  EXPECT_EQ(parse_data_url("DATA:text/plain;charset=utf-8;BASE64,QQ==")->media_type, "text/plain");
  EXPECT_EQ(parse_data_url("data:;base64,QQ==")->media_type, "text/plain");
  EXPECT_FALSE(parse_data_url("data:text/plain,hello").has_value());
  EXPECT_FALSE(parse_data_url("data:image/png;base64").has_value());
  EXPECT_FALSE(parse_data_url("https://a/data:image/png;base64,QQ==").has_value());
  EXPECT_EQ(make_data_url("image/png", "QUJD"), "data:image/png;base64,QUJD");
}

TEST(dialect_shared, arguments_are_always_an_object_where_one_is_needed) {
  EXPECT_EQ(arguments_as_object(""), "{}");
  EXPECT_EQ(arguments_as_object(" \n"), "{}");
  EXPECT_EQ(arguments_as_object(" {\"a\": 1} "), "{\"a\": 1}");
  EXPECT_EQ(arguments_as_object("[1]"), R"({"_raw":"[1]"})");
  EXPECT_EQ(arguments_as_object("{\"a\":"), R"({"_raw":"{\"a\":"})");
  EXPECT_EQ(arguments_as_text("  "), "{}");
  EXPECT_EQ(arguments_as_text("{\"a\":"), "{\"a\":");
}

TEST(dialect_shared, paths_name_the_place) {
  const field_path root;
  const field_path messages = root.member("messages");
  const field_path second = messages.element(1);
  const field_path content = second.member("content");
  EXPECT_EQ(content.element(0).text(), "messages[1].content[0]");
  EXPECT_EQ(root.text(), "");
}

TEST(dialect_shared, efforts_and_budgets_meet) {
  for (const std::string_view effort : {"low", "medium", "high"}) {
    EXPECT_EQ(effort_of_budget(*budget_of_effort(effort)), effort);
  }
  EXPECT_FALSE(budget_of_effort("none").has_value());
}

TEST(dialect_shared, every_dialect_has_its_path) {
  EXPECT_EQ(get(dialect_id::openai_chat).path(), "/v1/chat/completions");
  EXPECT_EQ(get(dialect_id::openai_responses).path(), "/v1/responses");
  EXPECT_EQ(get(dialect_id::anthropic_messages).path(), "/v1/messages");
}

}  // namespace
}  // namespace tidegate::protocol::dialect
