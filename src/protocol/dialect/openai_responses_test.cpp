// The Responses dialect, promise by promise: requests, whole replies, errors. Streams:
// openai_responses_stream_test.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "protocol/dialect/canonical_text_for_test.h"
#include "protocol/dialect/dialect.h"
#include "protocol/json/json.h"

namespace tidegate::protocol::dialect {
namespace {

using test::text_of;

const dialect& d = openai_responses();

json::value parsed(std::string_view text) {
  const auto v = json::parse(text);
  EXPECT_TRUE(v.has_value()) << text;
  return v.value_or(json::value{});
}

request read(std::string_view body) {
  const auto r = d.decode_request(parsed(body));
  EXPECT_TRUE(r.has_value()) << r.error().param << ": " << r.error().message;
  return r.value_or(request{});
}

std::string complaint_of(std::string_view body) {
  const auto r = d.decode_request(parsed(body));
  if (r.has_value()) return "no complaint";
  EXPECT_FALSE(r.error().message.empty());
  return r.error().param;
}

part make(part_kind kind, std::string text) {
  part out;
  out.kind = kind;
  out.text = std::move(text);
  return out;
}

TEST(openai_responses_request, input_of_one_string_is_one_user_message) {
  const request r = read(R"({"model":"m","input":"hello"})");
  ASSERT_EQ(r.messages.size(), 1U);
  EXPECT_EQ(r.messages[0].from, role::user);
  EXPECT_EQ(r.messages[0].parts, std::vector{make(part_kind::text, "hello")});
  EXPECT_FALSE(r.stream);
  EXPECT_TRUE(r.stream_usage);
}

TEST(openai_responses_request, system_voices_join_the_instructions_in_order) {
  const request r = read(R"({"model":"m","instructions":"one","input":[
    {"role":"developer","content":"two"},{"role":"user","content":"hi"},
    {"type":"message","role":"system","content":[{"type":"input_text","text":"three"}]}]})");
  ASSERT_EQ(r.system.size(), 3U);
  EXPECT_EQ(r.system[0].text + r.system[1].text + r.system[2].text, "onetwothree");
  EXPECT_EQ(r.messages.size(), 1U);
}

TEST(openai_responses_request, a_tool_turn_becomes_one_message_a_side) {
  const request r = read(R"({"model":"m","input":[
    {"role":"user","content":[{"type":"input_text","text":"weather?"}]},
    {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"gAAA"},
    {"type":"message","id":"msg_1","role":"assistant","status":"completed",
     "content":[{"type":"output_text","text":"looking","annotations":[]}]},
    {"type":"function_call","call_id":"a","name":"f","arguments":"{\"x\": 1}"},
    {"type":"function_call","call_id":"b","name":"g","arguments":""},
    {"type":"function_call_output","call_id":"a","output":"sun"},
    {"type":"function_call_output","call_id":"b","output":[
      {"type":"input_text","text":"see"},{"type":"input_image","image_url":"data:image/png;base64,QUJD"}]},
    {"role":"user","content":"and now?"}]})");
  ASSERT_EQ(r.messages.size(), 4U);
  const std::vector<part>& turn = r.messages[1].parts;
  ASSERT_EQ(turn.size(), 4U);
  EXPECT_EQ(turn[0].kind, part_kind::thinking);
  EXPECT_EQ(turn[0].text, "hm");
  EXPECT_EQ(turn[0].encrypted_content, "gAAA");
  EXPECT_EQ(turn[0].signature, "") << "another vendor would refuse it as a signature of its own";
  EXPECT_EQ(turn[2].data, "{\"x\": 1}") << "the exact text the model wrote";
  EXPECT_EQ(turn[3].data, "{}");
  const std::vector<part>& results = r.messages[2].parts;
  ASSERT_EQ(results.size(), 2U) << "results in a row belong to one message (RTE-3)";
  EXPECT_EQ(results[0].content, std::vector{make(part_kind::text, "sun")});
  ASSERT_EQ(results[1].content.size(), 2U);
  EXPECT_EQ(results[1].content[1].media_type, "image/png");
  EXPECT_EQ(results[1].content[1].data, "QUJD");
  EXPECT_EQ(r.messages[3].parts[0].text, "and now?");
}

TEST(openai_responses_request, documents_come_as_data_or_url) {
  const request r = read(R"({"model":"m","input":[{"role":"user","content":[
    {"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,QQ=="},
    {"type":"input_file","filename":"b.txt","file_data":"Qg=="},
    {"type":"input_file","file_url":"https://x/y.pdf"},
    {"type":"input_image","image_url":"https://x/y.png","detail":"low"}]}]})");
  const std::vector<part>& parts = r.messages.at(0).parts;
  ASSERT_EQ(parts.size(), 4U);
  EXPECT_EQ(parts[0].media_type + parts[0].data + parts[0].name, "application/pdfQQ==a.pdf");
  EXPECT_EQ(parts[1].media_type + parts[1].data, "text/plainQg==");
  EXPECT_EQ(parts[2].url, "https://x/y.pdf");
  EXPECT_EQ(parts[3].url + parts[3].detail, "https://x/y.pnglow");
}

TEST(openai_responses_request, settings_are_read) {
  const request r =
      read(R"({"model":"m","input":"x","stream":true,"max_output_tokens":50,"temperature":0.5,"top_p":1,
    "parallel_tool_calls":false,"tool_choice":{"type":"function","name":"f"},"safety_identifier":"who","user":"old",
    "service_tier":"flex","reasoning":{"effort":"low","summary":"auto"},
    "tools":[{"type":"function","name":"f","description":"does","parameters":{"type":"object"},"strict":true}],
    "text":{"verbosity":"low","format":{"type":"json_schema","name":"n","schema":{"a":1},"strict":true}}})");
  EXPECT_TRUE(r.stream);
  EXPECT_EQ(r.max_tokens, 50);
  EXPECT_EQ(r.temperature, 0.5);
  EXPECT_EQ(r.top_p, 1.0);
  EXPECT_EQ(r.parallel_tool_calls, false);
  EXPECT_EQ(r.tool_choice, tool_choice_mode::named);
  EXPECT_EQ(r.tool_choice_name, "f");
  EXPECT_EQ(r.user, "who");
  EXPECT_EQ(r.service_tier, "flex");
  ASSERT_TRUE(r.thinking.has_value());
  EXPECT_EQ(r.thinking->effort, "low");
  ASSERT_EQ(r.tools.size(), 1U);
  EXPECT_EQ(r.tools[0].name + r.tools[0].description + r.tools[0].parameters, R"(fdoes{"type":"object"})");
  EXPECT_EQ(r.tools[0].strict, true);
  ASSERT_TRUE(r.format.has_value());
  EXPECT_EQ(r.format->kind, format_kind::json_schema);
  EXPECT_EQ(r.format->schema, R"({"a":1})");
}

TEST(openai_responses_request, nulls_and_hints_are_no_settings) {
  const request r = read(R"({"model":"m","input":"x","stream":null,"max_output_tokens":null,"tools":null,
    "tool_choice":null,"text":{"format":{"type":"text"},"verbosity":"low"},"reasoning":{"effort":null},
    "previous_response_id":null,"conversation":null,"background":false,"top_logprobs":0,"truncation":"auto",
    "include":["reasoning.encrypted_content"],"store":true,"metadata":{"a":"b"},"prompt_cache_key":"k","unheard":1})");
  EXPECT_FALSE(r.max_tokens.has_value());
  EXPECT_FALSE(r.format.has_value());
  EXPECT_FALSE(r.thinking.has_value());
  EXPECT_EQ(r.tool_choice, tool_choice_mode::unset);
}

TEST(openai_responses_request, what_cannot_be_said_elsewhere_is_named) {
  struct row {
    std::string_view body;
    std::string_view param;
  };
  const std::vector<row> rows{
      {R"({"input":"x"})", "model"},
      {R"({"model":1,"input":"x"})", "model"},
      {R"({"model":"m"})", "input"},
      {R"({"model":"m","input":5})", "input"},
      {R"({"model":"m","input":"x","stream":"yes"})", "stream"},
      {R"({"model":"m","input":"x","max_output_tokens":0})", "max_output_tokens"},
      {R"({"model":"m","input":"x","temperature":"hot"})", "temperature"},
      {R"({"model":"m","input":"x","instructions":[]})", "instructions"},
      {R"({"model":"m","input":"x","previous_response_id":"resp_1"})", "previous_response_id"},
      {R"({"model":"m","input":"x","conversation":{"id":"c"}})", "conversation"},
      {R"({"model":"m","input":"x","prompt":{"id":"p"}})", "prompt"},
      {R"({"model":"m","input":"x","background":true})", "background"},
      {R"({"model":"m","input":"x","top_logprobs":3})", "top_logprobs"},
      {R"({"model":"m","input":"x","include":["message.output_text.logprobs"]})", "include"},
      {R"({"model":"m","input":"x","tools":[{"type":"function","name":"f"},{"type":"web_search"}]})",
       "tools[1].type"},
      {R"({"model":"m","input":"x","tools":[{"type":"function"}]})", "tools[0].name"},
      {R"({"model":"m","input":"x","tools":{}})", "tools"},
      {R"({"model":"m","input":"x","tool_choice":{"type":"web_search"}})", "tool_choice.type"},
      {R"({"model":"m","input":"x","tool_choice":"some"})", "tool_choice"},
      {R"({"model":"m","input":"x","text":{"format":{"type":"json_schema","name":"n"}}})",
       "text.format.schema"},
      {R"({"model":"m","input":"x","text":{"format":{"type":"grammar"}}})", "text.format.type"},
      {R"({"model":"m","input":"x","reasoning":{"effort":3}})", "reasoning.effort"},
      {R"({"model":"m","input":[{"type":"item_reference","id":"msg_1"}]})", "input[0].type"},
      {R"({"model":"m","input":[{"type":"computer_call"}]})", "input[0].type"},
      {R"({"model":"m","input":[{"type":"custom_tool_call","call_id":"c","name":"n","input":"x"}]})",
       "input[0].type"},
      {R"({"model":"m","input":"x","tools":[{"type":"custom","name":"n"}]})", "tools[0].type"},
      {R"({"model":"m","input":[7]})", "input[0]"},
      {R"({"model":"m","input":[{"role":"critic","content":"x"}]})", "input[0].role"},
      {R"({"model":"m","input":[{"role":"user"}]})", "input[0].content"},
      {R"({"model":"m","input":[{"role":"user","content":[{"type":"input_audio"}]}]})",
       "input[0].content[0].type"},
      {R"({"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":4}]}]})",
       "input[0].content[0].text"},
      {R"({"model":"m","input":[{"role":"user","content":[{"type":"input_image","file_id":"f"}]}]})",
       "input[0].content[0].file_id"},
      {R"({"model":"m","input":[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]})",
       "input[0].content[0].file_id"},
      {R"({"model":"m","input":[{"role":"assistant","content":[{"type":"input_image","image_url":"u"}]}]})",
       "input[0].content[0].type"},
      {R"({"model":"m","input":[{"type":"function_call","name":"f","arguments":"{}"}]})", "input[0].call_id"},
      {R"({"model":"m","input":[{"type":"function_call","call_id":"c","name":"f","arguments":{}}]})",
       "input[0].arguments"},
      {R"({"model":"m","input":[{"type":"function_call_output","call_id":"c"}]})", "input[0].output"},
  };
  for (const row& each : rows) EXPECT_EQ(complaint_of(each.body), each.param) << each.body;
}

TEST(openai_responses_request, summary_tells_what_routing_needs) {
  const auto s = d.summarize(parsed(R"({"model":"m","stream":true,"max_output_tokens":7,"input":"x"})"));
  ASSERT_TRUE(s.has_value());
  EXPECT_EQ(s->model, "m");
  EXPECT_TRUE(s->stream);
  EXPECT_TRUE(s->stream_usage);
  EXPECT_EQ(s->max_tokens, 7);
  EXPECT_EQ(s->max_tokens_field, "max_output_tokens");
  EXPECT_EQ(d.summarize(parsed(R"({"model":"m"})"))->max_tokens_field, "");
  EXPECT_EQ(d.summarize(parsed(R"({"stream":true})")).error().param, "model");
}

TEST(openai_responses_request, stop_sequences_have_no_place) {
  request r;
  r.model = "m";
  r.stop = {"END"};
  const auto encoded = d.encode_request(r, {});
  ASSERT_FALSE(encoded.has_value());
  EXPECT_EQ(encoded.error().param, "stop");
}

TEST(openai_responses_request, foreign_thinking_is_not_sent_to_the_vendor) {
  request r;
  r.model = "m";
  part unsigned_thought = make(part_kind::thinking, "secret");
  part signed_thought = unsigned_thought;
  signed_thought.signature = "anthropic";
  part redacted = make(part_kind::redacted_thinking, "");
  redacted.data = "opaque";
  r.messages.push_back(
      {role::assistant, {unsigned_thought, signed_thought, redacted, make(part_kind::text, "t")}});
  const auto encoded = d.encode_request(r, {});
  ASSERT_TRUE(encoded.has_value());
  EXPECT_EQ(encoded->find("secret"), std::string::npos) << *encoded;
  EXPECT_EQ(encoded->find("opaque"), std::string::npos) << *encoded;
  EXPECT_NE(encoded->find(R"("store":false)"), std::string::npos);
}

TEST(openai_responses_reply, another_vendors_thinking_comes_back_with_the_next_request) {
  reply r;
  r.parts = {make(part_kind::thinking, "so"), make(part_kind::redacted_thinking, ""),
             make(part_kind::text, "hi")};
  r.parts[0].signature = "sig";
  r.parts[1].data = "opaque";
  const std::string body = d.encode_reply(r, {.id = "run", .model = "m", .asked = nullptr});
  const json::value output = parsed(body).find("output").value_or(json::value{});
  const request next = read(R"({"model":"m","input":)" + std::string{output.raw()} + "}");
  ASSERT_EQ(next.messages.size(), 1U);
  ASSERT_EQ(next.messages[0].parts.size(), 3U);
  EXPECT_EQ(next.messages[0].parts[0].signature, "sig");
  EXPECT_EQ(next.messages[0].parts[0].text, "so");
  EXPECT_EQ(next.messages[0].parts[1].kind, part_kind::redacted_thinking);
  EXPECT_EQ(next.messages[0].parts[1].data, "opaque");
}

TEST(openai_responses_reply, is_a_whole_response_object) {
  const request asked =
      read(R"({"model":"m","input":"x","instructions":"be","temperature":0.5,"metadata":{"a":"b"},
    "tools":[{"type":"function","name":"f"}],"tool_choice":"required","text":{"verbosity":"low"},"truncation":"auto"})");
  reply r;
  r.parts = {make(part_kind::text, "one"), make(part_kind::text, "two"), make(part_kind::tool_call, "")};
  r.parts[2].id = "call_1";
  r.parts[2].name = "f";
  r.finish = finish_reason::tool_use;
  r.tokens = {.prompt = 10, .completion = 4, .cached = 3, .cache_write = 2, .reasoning = 1, .known = true};
  const std::string body =
      d.encode_reply(r, {.id = "0198-run", .model = "asked-for", .created = 99, .asked = &asked});
  const json::value v = parsed(body);
  EXPECT_EQ(v.string_or("id", ""), "resp_0198run");
  EXPECT_EQ(v.string_or("object", ""), "response");
  EXPECT_EQ(v.string_or("status", ""), "completed");
  EXPECT_EQ(v.string_or("model", ""), "asked-for");
  EXPECT_EQ(v.int_at("created_at"), 99);
  EXPECT_EQ(v.string_or("instructions", ""), "be");
  EXPECT_EQ(v.find("temperature")->raw(), "0.5");
  EXPECT_EQ(v.find("metadata")->raw(), R"({"a":"b"})");
  EXPECT_EQ(v.find("tools")->raw(), R"([{"type":"function","name":"f"}])");
  EXPECT_EQ(v.string_or("tool_choice", ""), "required");
  EXPECT_EQ(v.string_or("truncation", ""), "auto");
  for (const std::string_view key :
       {"error", "incomplete_details", "previous_response_id", "max_output_tokens", "top_p", "user"}) {
    ASSERT_TRUE(v.find(key).has_value()) << key;
    EXPECT_TRUE(v.find(key)->is_null()) << key;
  }
  EXPECT_EQ(v.path({"usage", "input_tokens"})->raw(), "10");
  EXPECT_EQ(v.path({"usage", "input_tokens_details", "cached_tokens"})->raw(), "3");
  EXPECT_EQ(v.path({"usage", "input_tokens_details", "cache_write_tokens"})->raw(), "2");
  EXPECT_EQ(v.path({"usage", "output_tokens_details", "reasoning_tokens"})->raw(), "1");
  EXPECT_EQ(v.path({"usage", "total_tokens"})->raw(), "14");
  std::vector<std::string> types;
  for (const json::value item : v.find("output")->elements()) types.push_back(item.string_or("type", ""));
  EXPECT_EQ(types, (std::vector<std::string>{"message", "function_call"}));
  EXPECT_NE(body.find(R"("arguments":"{}")"), std::string::npos);
  EXPECT_EQ(d.usage_of(v), r.tokens);
  EXPECT_TRUE(d.has_reply_shape(v));
}

TEST(openai_responses_reply, a_cut_answer_is_incomplete_and_says_why) {
  for (const auto& [finish, reason] : {std::pair{finish_reason::length, "max_output_tokens"},
                                       {finish_reason::content_filter, "content_filter"}}) {
    reply r;
    r.parts = {make(part_kind::text, "one")};
    r.finish = finish;
    const std::string body = d.encode_reply(r, {.id = "x", .model = "m", .asked = nullptr});
    const json::value v = parsed(body);
    EXPECT_EQ(v.string_or("status", ""), "incomplete");
    EXPECT_TRUE(v.path({"incomplete_details", "reason"})->equals(reason));
    EXPECT_TRUE(v.find("usage")->is_null());
    EXPECT_EQ(d.decode_reply(v)->finish, finish);
  }
}

TEST(openai_responses_reply, oddities_of_providers_are_read) {
  const auto r =
      d.decode_reply(parsed(R"({"id":"r","created_at":12.0,"model":"m","status":"complete","output":[
    {"type":"reasoning","content":[{"type":"reasoning_text","text":"full"}],"summary":[{"text":"short"}]},
    {"type":"web_search_call","status":"completed"},
    {"type":"message","content":"plain"},
    {"type":"message","content":[{"type":"refusal","refusal":"no"},{"type":"output_text","text":""}]},
    {"type":"custom_tool_call","call_id":"c","name":"calc","input":"4 \" 4"},
    {"type":"function_call","id":"fc_1","name":"f","arguments":{"a":1}}],
    "usage":{"input_tokens":5.0,"output_tokens":-1}})"));
  ASSERT_TRUE(r.has_value());
  EXPECT_EQ(r->created, 12);
  ASSERT_EQ(r->parts.size(), 6U) << text_of(*r);
  EXPECT_EQ(r->parts[0].text, "full");
  EXPECT_EQ(r->parts[1].text, "plain");
  EXPECT_EQ(r->parts[2].kind, part_kind::refusal);
  EXPECT_EQ(r->parts[4].data, R"({"input":"4 \" 4"})");
  EXPECT_EQ(r->parts[5].id, "fc_1");
  EXPECT_EQ(r->parts[5].data, R"({"a":1})");
  EXPECT_EQ(r->finish, finish_reason::tool_use);
  EXPECT_EQ(r->tokens.prompt, 5);
  EXPECT_EQ(r->tokens.completion, 0);
}

TEST(openai_responses_reply, wrong_shapes_are_no_replies) {
  EXPECT_FALSE(d.decode_reply(parsed(R"({"choices":[]})")).has_value());
  EXPECT_FALSE(d.has_reply_shape(parsed(R"({"choices":[]})")));
  const auto failed = d.decode_reply(
      parsed(R"({"status":"failed","output":[],"error":{"code":"server_error","message":"broke"}})"));
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().message, "broke");
}

// GW-2, GW-5.
TEST(openai_responses_error, bodies_and_stream_events_carry_the_canonical_code) {
  foundation::failure f;
  f.code = foundation::error_code::ai_rate_limited;
  f.message = "slow \"down\"";
  f.details = R"({"source":"local"})";
  const std::string text = d.encode_error(f, "run", "trace");
  const json::value body = parsed(text);
  EXPECT_TRUE(body.path({"error", "code"})->equals("AI_RATE_LIMITED"));
  EXPECT_TRUE(body.path({"error", "type"})->equals("rate_limit_error"));
  EXPECT_TRUE(body.path({"error", "trace_id"})->equals("trace"));

  const std::string event = d.encode_stream_error(f, "run", "trace");
  ASSERT_TRUE(event.starts_with("event: error\ndata: {")) << event;
  ASSERT_TRUE(event.ends_with("}\n\n")) << event;
  const std::string_view data = std::string_view{event}.substr(19, event.size() - 21);
  const json::value v = parsed(data);
  EXPECT_EQ(v.string_or("type", ""), "error");
  EXPECT_EQ(v.string_or("code", ""), "AI_RATE_LIMITED");
  EXPECT_EQ(v.string_or("message", ""), f.message);
  EXPECT_TRUE(v.path({"error", "message"})->equals(f.message));
  EXPECT_TRUE(v.find("param")->is_null());
}

}  // namespace
}  // namespace tidegate::protocol::dialect
