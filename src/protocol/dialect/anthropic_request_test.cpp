// RTE-3 and GW-1: what a Messages request says, what is said to Anthropic for a caller of another dialect.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "protocol/dialect/anthropic_messages.h"
#include "protocol/dialect/anthropic_tokens.h"
#include "protocol/json/json.h"

namespace tidegate::protocol::dialect {
namespace {

std::expected<request, complaint> decode(std::string_view text) {
  const auto body = json::parse(text);
  EXPECT_TRUE(body) << text;
  return anthropic_messages().decode_request(*body);
}

request decoded(std::string_view text) {
  auto r = decode(text);
  EXPECT_TRUE(r) << (r ? "" : r.error().message);
  return r ? std::move(*r) : request{};
}

std::string encoded(const request& r) {
  const auto text = anthropic_messages().encode_request(r, "");
  EXPECT_TRUE(text) << (text ? "" : text.error().message);
  EXPECT_TRUE(text && json::validate(*text));
  return text.value_or("");
}

part text_part(std::string text) {
  part p;
  p.text = std::move(text);
  return p;
}

part call_part(std::string id, std::string name, std::string arguments) {
  part p;
  p.kind = part_kind::tool_call;
  p.id = std::move(id);
  p.name = std::move(name);
  p.data = std::move(arguments);
  return p;
}

part result_part(std::string id, std::string text) {
  part p;
  p.kind = part_kind::tool_result;
  p.id = std::move(id);
  p.content.push_back(text_part(std::move(text)));
  return p;
}

tool tool_of(std::string name) {
  tool t;
  t.name = std::move(name);
  return t;
}

reasoning effort_of(std::string effort) {
  reasoning r;
  r.effort = std::move(effort);
  return r;
}

request asking(std::string text) {
  request r;
  r.model = "claude";
  r.messages.push_back({.from = role::user, .parts = {text_part(std::move(text))}});
  return r;
}

TEST(anthropic_request, string_and_block_content_mean_the_same) {
  const request a = decoded(R"({"model":"m","system":"s","messages":[{"role":"user","content":"hi"}]})");
  const request b = decoded(
      R"({"model":"m","system":[{"type":"text","text":"s"}],
          "messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]})");
  ASSERT_EQ(a.messages.size(), 1U);
  EXPECT_EQ(a.messages[0].parts[0].text, "hi");
  EXPECT_EQ(encoded(a), encoded(b));
}

TEST(anthropic_request, a_wrong_type_is_a_complaint_that_names_the_path) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"({"messages":[]})", "model"},
      {R"({"model":"m"})", "messages"},
      {R"({"model":"m","messages":[]})", "messages"},
      {R"({"model":"m","messages":{}})", "messages"},
      {R"({"model":"m","messages":[1]})", "messages[0]"},
      {R"({"model":"m","messages":[{"role":"tool","content":"x"}]})", "messages[0].role"},
      {R"({"model":"m","messages":[{"role":"user"}]})", "messages[0].content"},
      {R"({"model":"m","messages":[{"role":"user","content":5}]})", "messages[0].content"},
      {R"({"model":"m","messages":[{"role":"user","content":[{"type":"text"}]}]})",
       "messages[0].content[0].text"},
      {R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":1}]}]})",
       "messages[0].content[0].text"},
      {R"({"model":"m","messages":[{"role":"user","content":[{"type":"video"}]}]})",
       "messages[0].content[0].type"},
      {R"({"model":"m","messages":[{"role":"user","content":[{"type":"tool_use","id":"a","name":"b","input":{}}]}]})",
       "messages[0].content[0].type"},
      {R"({"model":"m","messages":[{"role":"user","content":[{"type":"tool_result"}]}]})",
       "messages[0].content[0].tool_use_id"},
      {R"({"model":"m","messages":[{"role":"user","content":[{"type":"image","source":{"type":"file","file_id":"f"}}]}]})",
       "messages[0].content[0].source.type"},
      {R"({"model":"m","max_tokens":"9","messages":[{"role":"user","content":"x"}]})", "max_tokens"},
      {R"({"model":"m","stream":"yes","messages":[{"role":"user","content":"x"}]})", "stream"},
      {R"({"model":"m","temperature":"0","messages":[{"role":"user","content":"x"}]})", "temperature"},
      {R"({"model":"m","stop_sequences":["a",1],"messages":[{"role":"user","content":"x"}]})",
       "stop_sequences[1]"},
      {R"({"model":"m","tools":[{"type":"web_search_20250305","name":"w"}],"messages":[{"role":"user","content":"x"}]})",
       "tools[0].type"},
      {R"({"model":"m","tools":[{"input_schema":{}}],"messages":[{"role":"user","content":"x"}]})",
       "tools[0].name"},
      {R"({"model":"m","tool_choice":{"type":"maybe"},"messages":[{"role":"user","content":"x"}]})",
       "tool_choice.type"},
      {R"({"model":"m","thinking":{"type":"enabled"},"messages":[{"role":"user","content":"x"}]})",
       "thinking.budget_tokens"},
      {R"({"model":"m","container":"c","messages":[{"role":"user","content":"x"}]})", "container"},
      {R"({"model":"m","system":[{"type":"image","source":{"type":"url","url":"u"}}],"messages":[{"role":"user","content":"x"}]})",
       "system[0]"},
  };
  for (const auto& [text, param] : cases) {
    const auto r = decode(text);
    ASSERT_FALSE(r) << text;
    EXPECT_EQ(r.error().param, param) << text;
    EXPECT_FALSE(r.error().message.empty());
  }
}

TEST(anthropic_request, too_many_elements_are_refused) {
  const auto repeated = [](std::string text, std::string_view unit, std::string_view tail) {
    for (int i = 0; i < 70'000; ++i) text += unit;
    return decode(text.append(tail));
  };
  const auto blocks =
      repeated(R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"x"})",
               R"(,{"type":"text","text":"x"})", "]}]}");
  ASSERT_FALSE(blocks);
  EXPECT_EQ(blocks.error().param, "messages[0].content[65535]");
  const auto stops = repeated(
      R"({"model":"m","messages":[{"role":"user","content":"x"}],"stop_sequences":["a")", R"(,"a")", "]}");
  ASSERT_FALSE(stops);
  EXPECT_EQ(stops.error().param, "stop_sequences[65536]");
}

TEST(anthropic_request, the_last_of_equal_keys_counts) {
  EXPECT_EQ(decoded(R"({"model":"a","model":"b","messages":[{"role":"user","content":"x"}]})").model, "b");
}

TEST(anthropic_request, summary_needs_no_translation) {
  const auto body = json::parse(R"({"model":"m","stream":true,"max_tokens":7,"messages":1})");
  const auto s = anthropic_messages().summarize(*body);
  ASSERT_TRUE(s);
  EXPECT_EQ(s->model, "m");
  EXPECT_TRUE(s->stream);
  EXPECT_EQ(s->max_tokens, 7);
  EXPECT_EQ(s->max_tokens_field, "max_tokens");
  const auto bad = anthropic_messages().summarize(*json::parse(R"({"model":3})"));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().param, "model");
}

TEST(anthropic_request, a_system_message_inside_the_conversation_joins_the_system_text) {
  const request r = decoded(
      R"({"model":"m","system":"a","messages":[{"role":"user","content":"x"},{"role":"system","content":"b"}]})");
  ASSERT_EQ(r.system.size(), 2U);
  EXPECT_EQ(r.system[1].text, "b");
  EXPECT_EQ(r.messages.size(), 1U);
}

TEST(anthropic_request, documents_of_text_become_text) {
  const request r = decoded(
      R"({"model":"m","messages":[{"role":"user","content":[
          {"type":"document","title":"T","source":{"type":"text","media_type":"text/plain","data":"body"}},
          {"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"QQ=="}},
          {"type":"search_result","title":"S","source":"http://x","content":[{"type":"text","text":"found"}]}]}]})");
  ASSERT_EQ(r.messages[0].parts.size(), 3U);
  EXPECT_EQ(r.messages[0].parts[0].text, "T\nbody");
  EXPECT_EQ(r.messages[0].parts[1].kind, part_kind::file);
  EXPECT_EQ(r.messages[0].parts[2].text, "S\nhttp://x\nfound");
}

// RTE-3: roles alternate; consecutive tool results share one user message and stand before its text.
TEST(anthropic_request, turns_alternate_and_tool_results_lead) {
  request r = asking("q");
  r.messages.push_back({.from = role::assistant, .parts = {text_part("a1")}});
  r.messages.push_back(
      {.from = role::assistant, .parts = {call_part("c1", "f", "{\"x\":1}"), call_part("c2", "g", "")}});
  r.messages.push_back({.from = role::user, .parts = {result_part("c1", "r1")}});
  r.messages.push_back({.from = role::user, .parts = {text_part("and")}});
  r.messages.push_back({.from = role::user, .parts = {result_part("c2", "r2")}});
  EXPECT_TRUE(encoded(r).contains(
      R"("messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"text","text":"a1"},)"
      R"({"type":"tool_use","id":"c1","name":"f","input":{"x":1}},{"type":"tool_use","id":"c2","name":"g","input":{}}]},)"
      R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"r1"},)"
      R"({"type":"tool_result","tool_use_id":"c2","content":"r2"},{"type":"text","text":"and"}]}])"))
      << encoded(r);
}

TEST(anthropic_request, foreign_tool_ids_are_spelled_alike_in_call_and_result) {
  request r = asking("q");
  r.messages.push_back({.from = role::assistant, .parts = {call_part("functions.f:0", "f", "{}")}});
  r.messages.push_back({.from = role::user, .parts = {result_part("functions.f:0", "r")}});
  const std::string text = encoded(r);
  EXPECT_TRUE(text.contains(R"("id":"functions_2ef_3a0")"));
  EXPECT_TRUE(text.contains(R"("tool_use_id":"functions_2ef_3a0")"));
}

TEST(anthropic_request, arguments_that_are_no_object_are_kept_as_raw_text) {
  request r = asking("q");
  r.messages.push_back({.from = role::assistant, .parts = {call_part("c", "f", "{\"cut")}});
  EXPECT_TRUE(encoded(r).contains(R"("input":{"_raw":"{\"cut"})"));
}

TEST(anthropic_request, blank_text_and_unsigned_thinking_are_not_sent) {
  request r = asking("q");
  part unsigned_thinking = text_part("hm");
  unsigned_thinking.kind = part_kind::thinking;
  part foreign = unsigned_thinking;
  foreign.signature = "gAAAAABencrypted";
  part own = unsigned_thinking;
  own.signature = "EqoB";
  r.messages.push_back(
      {.from = role::assistant, .parts = {unsigned_thinking, foreign, own, text_part(" \n")}});
  EXPECT_TRUE(encoded(r).contains(
      R"({"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"EqoB"}]})"))
      << encoded(r);
  EXPECT_FALSE(anthropic_messages().encode_request(asking(" "), ""));
}

TEST(anthropic_request, max_tokens_is_always_there) {
  EXPECT_TRUE(encoded(asking("q")).contains(R"("max_tokens":4096)"));
  request r = asking("q");
  r.thinking = effort_of("medium");
  EXPECT_TRUE(encoded(r).contains(R"("max_tokens":8192)"));
  EXPECT_TRUE(encoded(r).contains(R"("thinking":{"type":"enabled","budget_tokens":4096})"));
}

// The gateway's own cap must not silently turn off the thinking that was asked for.
TEST(anthropic_request, an_effort_shrinks_to_half_of_the_bound) {
  request r = asking("q");
  r.thinking = effort_of("medium");
  r.max_tokens = 4097;
  EXPECT_TRUE(encoded(r).contains(R"("budget_tokens":4096)"));
  r.max_tokens = 4096;
  EXPECT_TRUE(encoded(r).contains(R"("budget_tokens":2048)"));
  EXPECT_TRUE(encoded(r).contains(R"("max_tokens":4096)"));
  r.max_tokens = 2047;
  EXPECT_FALSE(encoded(r).contains("thinking"));
}

TEST(anthropic_request, thinking_stays_off_where_the_api_refuses_it) {
  request r = asking("q");
  r.thinking = effort_of("low");
  r.temperature = 0.5;
  EXPECT_FALSE(encoded(r).contains("temperature"));
  request forced = r;
  forced.tools.push_back(tool_of("f"));
  forced.tool_choice = tool_choice_mode::required;
  EXPECT_FALSE(encoded(forced).contains("thinking"));
  EXPECT_TRUE(encoded(forced).contains(R"("temperature":0.5)"));
  request loop = r;
  loop.messages.push_back({.from = role::assistant, .parts = {call_part("c", "f", "{}")}});
  loop.messages.push_back({.from = role::user, .parts = {result_part("c", "r")}});
  EXPECT_FALSE(encoded(loop).contains("thinking"));
}

// One pass however the parts lie: results are never shifted through what came before them.
TEST(anthropic_request, a_turn_of_very_many_parts_is_sorted_in_linear_time) {
  request r = asking("q");
  for (int i = 0; i < 200'000; ++i) {
    r.messages[0].parts.push_back(text_part("t"));
    r.messages[0].parts.push_back(result_part("c", "r"));
  }
  EXPECT_FALSE(encoded(r).empty());
}

TEST(anthropic_request, an_absurd_budget_is_bounded) {
  request r = asking("q");
  r.thinking.emplace().budget_tokens = INT64_MAX;
  EXPECT_TRUE(encoded(r).contains(R"("budget_tokens":1000000000)"));
}

TEST(anthropic_request, temperature_is_clamped_to_one) {
  request r = asking("q");
  r.temperature = 1.7;
  EXPECT_TRUE(encoded(r).contains(R"("temperature":1)"));
}

TEST(anthropic_request, schemas_say_that_they_are_objects) {
  request r = asking("q");
  r.tools.push_back(tool_of("f"));
  r.tools.back().description = "d";
  r.tools.push_back(tool_of("g"));
  r.tools.back().parameters = R"({"properties":{"type":{"type":"string"}}})";
  const std::string text = encoded(r);
  EXPECT_TRUE(text.contains(R"({"name":"f","description":"d","input_schema":{"type":"object"}})")) << text;
  EXPECT_TRUE(text.contains(R"("input_schema":{"properties":{"type":{"type":"string"}},"type":"object"})"))
      << text;
}

TEST(anthropic_request, tool_choice_and_parallel_use) {
  request r = asking("q");
  r.tool_choice = tool_choice_mode::required;
  EXPECT_FALSE(encoded(r).contains("tool_choice"));  // the API refuses a choice without tools
  r.tools.push_back(tool_of("f"));
  r.parallel_tool_calls = false;
  EXPECT_TRUE(encoded(r).contains(R"("tool_choice":{"type":"any","disable_parallel_tool_use":true})"));
  r.tool_choice = tool_choice_mode::unset;
  EXPECT_TRUE(encoded(r).contains(R"("tool_choice":{"type":"auto","disable_parallel_tool_use":true})"));
  r.tool_choice = tool_choice_mode::named;
  r.tool_choice_name = "f";
  r.parallel_tool_calls.reset();
  EXPECT_TRUE(encoded(r).contains(R"("tool_choice":{"type":"tool","name":"f"})"));
}

TEST(anthropic_request, structured_output_and_its_limits) {
  request r = asking("q");
  r.format.emplace().kind = format_kind::json_schema;
  r.format->schema = R"({"type":"object"})";
  EXPECT_TRUE(
      encoded(r).contains(R"("output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}})"));
  r.format->kind = format_kind::json_object;
  const auto refused = anthropic_messages().encode_request(r, "");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().param, "response_format");
}

TEST(anthropic_request, text_files_are_decoded_and_other_files_refused) {
  request r = asking("q");
  part file;
  file.kind = part_kind::file;
  file.name = "a.txt";
  file.media_type = "text/plain";
  file.data = "aGVsbG8=";
  r.messages[0].parts.push_back(file);
  EXPECT_TRUE(encoded(r).contains(
      R"({"type":"document","title":"a.txt","source":{"type":"text","media_type":"text/plain","data":"hello"}})"));
  r.messages[0].parts.back().media_type = "audio/wav";
  EXPECT_FALSE(anthropic_messages().encode_request(r, ""));
}

TEST(anthropic_tokens, a_count_body_needs_no_max_tokens) {
  const auto r =
      decode_count_tokens(*json::parse(R"({"model":"m","messages":[{"role":"user","content":"x"}]})"));
  ASSERT_TRUE(r);
  EXPECT_FALSE(r->max_tokens);
  EXPECT_EQ(encode_token_count(12), R"({"input_tokens":12})");
  EXPECT_EQ(decode_token_count(*json::parse(R"({"input_tokens":14})")), 14);
  EXPECT_EQ(decode_token_count(*json::parse(R"({"input_tokens":-1})")), std::nullopt);
  EXPECT_EQ(decode_token_count(*json::parse("[]")), std::nullopt);
}

}  // namespace
}  // namespace tidegate::protocol::dialect
