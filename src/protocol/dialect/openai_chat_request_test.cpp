#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "protocol/dialect/canonical_text_for_test.h"
#include "protocol/dialect/dialect.h"
#include "protocol/json/json.h"

namespace tidegate::protocol::dialect {
namespace {

std::expected<request, complaint> decode(std::string_view text) {
  const auto body = json::parse(text);
  EXPECT_TRUE(body.has_value()) << text;
  return openai_chat().decode_request(body.value_or(json::value{}));
}

request decoded(std::string_view text) {
  auto result = decode(text);
  EXPECT_TRUE(result.has_value()) << (result.has_value()
                                          ? ""
                                          : result.error().param + ": " + result.error().message);
  return result.value_or(request{});
}

std::string refused_param(std::string_view text) {
  const auto result = decode(text);
  EXPECT_FALSE(result.has_value()) << text;
  return result.has_value() ? "" : result.error().param;
}

std::string with_messages(std::string_view messages) {
  return R"({"model":"m","messages":)" + std::string{messages} + "}";
}

std::string encoded(const request& r, std::string_view max_tokens_field = "max_completion_tokens") {
  const auto result = openai_chat().encode_request(r, max_tokens_field);
  EXPECT_TRUE(result.has_value()) << (result.has_value() ? "" : result.error().message);
  const std::string text = result.value_or("{}");
  EXPECT_TRUE(json::validate(text).has_value()) << text;
  return text;
}

part text_part(std::string text) {
  part made;
  made.text = std::move(text);
  return made;
}

TEST(openai_chat_request, summary_reads_what_the_gateway_needs) {
  const auto body = json::parse(
      R"({"messages":[],"model":"gpt","stream":true,"stream_options":{"include_usage":true},"max_tokens":7})");
  const auto summary = openai_chat().summarize(*body);
  ASSERT_TRUE(summary.has_value());
  EXPECT_EQ(summary->model, "gpt");
  EXPECT_TRUE(summary->stream);
  EXPECT_TRUE(summary->stream_usage);
  EXPECT_EQ(summary->max_tokens, 7);
  EXPECT_EQ(summary->max_tokens_field, "max_tokens");
}

TEST(openai_chat_request, max_completion_tokens_wins_over_max_tokens) {
  const auto body = json::parse(R"({"model":"m","max_tokens":7,"max_completion_tokens":9})");
  const auto summary = openai_chat().summarize(*body);
  ASSERT_TRUE(summary.has_value());
  EXPECT_EQ(summary->max_tokens, 9);
  EXPECT_EQ(summary->max_tokens_field, "max_completion_tokens");
}

TEST(openai_chat_request, null_members_are_missing_members) {
  const request r =
      decoded(R"({"model":"m","messages":[{"role":"user","content":"x","name":null}],"stream":null,
    "max_tokens":null,"temperature":null,"stop":null,"tools":null,"tool_choice":null,"response_format":null,
    "stream_options":null,"n":null,"logprobs":null,"user":null})");
  EXPECT_FALSE(r.stream);
  EXPECT_FALSE(r.max_tokens.has_value());
  EXPECT_TRUE(r.stop.empty());
  EXPECT_FALSE(r.format.has_value());
}

TEST(openai_chat_request, wrong_types_are_named_with_their_path) {
  EXPECT_EQ(refused_param(R"({"model":5,"messages":[]})"), "model");
  EXPECT_EQ(refused_param(R"({"messages":[]})"), "model");
  EXPECT_EQ(refused_param(R"({"model":"m"})"), "messages");
  EXPECT_EQ(refused_param(R"({"model":"m","messages":{}})"), "messages");
  EXPECT_EQ(refused_param(R"({"model":"m","messages":[]})"), "messages");
  EXPECT_EQ(refused_param(R"({"model":"m","messages":[],"stream":"yes"})"), "stream");
  EXPECT_EQ(refused_param(R"({"model":"m","messages":[],"max_tokens":0})"), "max_tokens");
  EXPECT_EQ(refused_param(R"({"model":"m","messages":[],"max_tokens":1.5})"), "max_tokens");
  EXPECT_EQ(refused_param(R"({"model":"m","messages":[],"temperature":"hot"})"), "temperature");
  EXPECT_EQ(refused_param(R"({"model":"m","messages":[],"stop":[1]})"), "stop[0]");
  EXPECT_EQ(refused_param(R"({"model":"m","messages":[],"stream_options":{"include_usage":1}})"),
            "stream_options.include_usage");
  EXPECT_EQ(refused_param(with_messages(R"([5])")), "messages[0]");
  EXPECT_EQ(refused_param(with_messages(R"([{"role":"robot","content":"x"}])")), "messages[0].role");
  EXPECT_EQ(refused_param(with_messages(R"([{"role":"user","content":5}])")), "messages[0].content");
  EXPECT_EQ(refused_param(with_messages(
                R"([{"role":"user","content":"x"},{"role":"user","content":[{"type":"text"}]}])")),
            "messages[1].content[0].text");
  EXPECT_EQ(refused_param(with_messages(R"([{"role":"assistant","content":7}])")), "messages[0].content");
  EXPECT_EQ(refused_param(with_messages(R"([{"role":"assistant","tool_calls":[{"id":"a"}]}])")),
            "messages[0].tool_calls[0].function");
  EXPECT_EQ(refused_param(with_messages(R"([{"role":"tool","content":"x"}])")), "messages[0].tool_call_id");
}

TEST(openai_chat_request, what_no_other_dialect_has_is_refused_by_name) {
  const auto with = [](std::string_view member) {
    return R"({"model":"m","messages":[{"role":"user","content":"x"}],)" + std::string{member} + "}";
  };
  EXPECT_EQ(refused_param(with(R"("n":2)")), "n");
  EXPECT_EQ(refused_param(with(R"("logprobs":true)")), "logprobs");
  EXPECT_EQ(refused_param(with(R"("top_logprobs":3)")), "top_logprobs");
  EXPECT_EQ(refused_param(with(R"("modalities":["text","audio"])")), "modalities");
  EXPECT_EQ(refused_param(with(R"("audio":{"voice":"a","format":"wav"})")), "audio");
  EXPECT_EQ(refused_param(with(R"("web_search_options":{})")), "web_search_options");
  EXPECT_EQ(refused_param(with(R"("tools":[{"type":"custom","custom":{"name":"x"}}])")), "tools[0].type");
  EXPECT_EQ(
      refused_param(with_messages(
          R"([{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"","format":"wav"}}]}])")),
      "messages[0].content[0].type");
  EXPECT_EQ(
      refused_param(with_messages(R"([{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}])")),
      "messages[0].content[0].file.file_id");
}

TEST(openai_chat_request, hints_without_counterpart_are_dropped) {
  const request r =
      decoded(R"({"model":"m","messages":[{"role":"user","content":"x"}],"seed":1,"logit_bias":{"1":2},
    "frequency_penalty":0.5,"presence_penalty":0.5,"metadata":{"a":"b"},"store":true,"verbosity":"low","n":1,
    "prediction":{"type":"content","content":"x"},"logprobs":false,"modalities":["text"],"unheard_of":[1,2]})");
  EXPECT_EQ(r.messages.size(), 1U);
}

TEST(openai_chat_request, system_and_developer_messages_are_gathered_in_order) {
  const request r = decoded(with_messages(R"([{"role":"system","content":"a"},{"role":"user","content":"u"},
    {"role":"developer","content":[{"type":"text","text":"b"},{"type":"text","text":"c"}]}])"));
  ASSERT_EQ(r.system.size(), 3U);
  EXPECT_EQ(r.system[0].text + r.system[1].text + r.system[2].text, "abc");
  EXPECT_EQ(r.messages.size(), 1U);
}

// RTE-3
TEST(openai_chat_request, tool_results_in_a_row_become_one_user_message) {
  const request r = decoded(with_messages(R"([{"role":"user","content":"go"},
    {"role":"assistant","content":null,"tool_calls":[
      {"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}},
      {"id":"b","type":"function","function":{"name":"g","arguments":""}}]},
    {"role":"tool","tool_call_id":"a","content":"1"},
    {"role":"tool","tool_call_id":"b","content":[{"type":"text","text":"2"}]},
    {"role":"user","content":"and?"}])"));
  ASSERT_EQ(r.messages.size(), 4U);
  ASSERT_EQ(r.messages[1].parts.size(), 2U);
  EXPECT_EQ(r.messages[1].parts[0].data, "{\"x\": 1}");
  EXPECT_EQ(r.messages[1].parts[1].data, "{}");
  ASSERT_EQ(r.messages[2].parts.size(), 2U);
  EXPECT_EQ(r.messages[2].from, role::user);
  EXPECT_EQ(r.messages[2].parts[0].id, "a");
  EXPECT_EQ(r.messages[2].parts[1].content.at(0).text, "2");
  EXPECT_EQ(r.messages[3].parts.at(0).text, "and?");
}

TEST(openai_chat_request, arguments_given_as_an_object_are_kept_as_text) {
  const request r = decoded(with_messages(
      R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{"a": [1]}}}]}])"));
  EXPECT_EQ(r.messages.at(0).parts.at(0).data, R"({"a": [1]})");
  EXPECT_EQ(r.messages.at(0).parts.at(0).id, "tool-call-0");
}

TEST(openai_chat_request, older_functions_are_tools) {
  const request r = decoded(R"({"model":"m","functions":[{"name":"f","parameters":{"type":"object"}}],
    "function_call":{"name":"f"},"messages":[{"role":"user","content":"x"},
    {"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},
    {"role":"function","name":"f","content":"ok"}]})");
  ASSERT_EQ(r.tools.size(), 1U);
  EXPECT_EQ(r.tools[0].parameters, R"({"type":"object"})");
  EXPECT_EQ(r.tool_choice, tool_choice_mode::named);
  EXPECT_EQ(r.tool_choice_name, "f");
  ASSERT_EQ(r.messages.size(), 3U);
  EXPECT_FALSE(r.messages[1].parts.at(0).id.empty());
  EXPECT_EQ(r.messages[1].parts.at(0).id, r.messages[2].parts.at(0).id);
  EXPECT_EQ(refused_param(with_messages(R"([{"role":"function","name":"f","content":"ok"}])")),
            "messages[0].role");
}

TEST(openai_chat_request, allowed_tools_leave_only_the_allowed) {
  const request r = decoded(R"({"model":"m","messages":[{"role":"user","content":"x"}],
    "tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b"}}],
    "tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required",
      "tools":[{"type":"function","function":{"name":"b"}}]}}})");
  ASSERT_EQ(r.tools.size(), 1U);
  EXPECT_EQ(r.tools[0].name, "b");
  EXPECT_EQ(r.tool_choice, tool_choice_mode::required);
}

TEST(openai_chat_request, images_and_files_are_read_from_urls_and_data) {
  const request r = decoded(with_messages(R"([{"role":"user","content":[
    {"type":"image_url","image_url":{"url":"https://a/b.png","detail":"low"}},
    {"type":"image_url","image_url":"data:image/png;base64,QUJD"},
    {"type":"file","file":{"filename":"x.pdf","file_data":"data:application/pdf;base64,QUJD"}},
    {"type":"file","file":{"filename":"notes.txt","file_data":"QUJD"}},
    {"type":"document_url","document_url":"https://a/d.pdf"}]}])"));
  const std::vector<part>& parts = r.messages.at(0).parts;
  ASSERT_EQ(parts.size(), 5U);
  EXPECT_EQ(parts[0].url, "https://a/b.png");
  EXPECT_EQ(parts[0].detail, "low");
  EXPECT_EQ(parts[1].media_type, "image/png");
  EXPECT_EQ(parts[1].data, "QUJD");
  EXPECT_EQ(parts[2].name, "x.pdf");
  EXPECT_EQ(parts[2].media_type, "application/pdf");
  EXPECT_EQ(parts[3].media_type, "text/plain");
  EXPECT_EQ(parts[3].data, "QUJD");
  EXPECT_EQ(parts[4].url, "https://a/d.pdf");
}

TEST(openai_chat_request, reasoning_settings_of_all_kinds_are_read) {
  const auto with = [](std::string_view member) {
    return decoded(R"({"model":"m","messages":[{"role":"user","content":"x"}],)" + std::string{member} + "}")
        .thinking.value_or(reasoning{});
  };
  EXPECT_EQ(with(R"("reasoning_effort":"high")").effort, "high");
  EXPECT_EQ(with(R"("reasoning":{"effort":"low"})").effort, "low");
  EXPECT_EQ(with(R"("reasoning":{"max_tokens":2000})").budget_tokens, 2000);
  EXPECT_EQ(with(R"("thinking":{"type":"disabled"})").enabled, false);
  EXPECT_EQ(with(R"("enable_thinking":true)").enabled, true);
}

TEST(openai_chat_request, signed_thinking_of_earlier_turns_is_kept) {
  const request r =
      decoded(with_messages(R"([{"role":"assistant","content":"x","reasoning":"why","reasoning_details":[
    {"type":"reasoning.text","text":"why","signature":"s","format":"anthropic-claude-v1"},
    {"type":"reasoning.encrypted","data":"d","format":"anthropic-claude-v1"},
    {"type":"reasoning.encrypted","data":"other","format":"openai-responses-v1"}]}])"));
  const std::vector<part>& parts = r.messages.at(0).parts;
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_EQ(parts[0].signature, "s");
  EXPECT_EQ(parts[1].kind, part_kind::redacted_thinking);
  EXPECT_EQ(parts[1].data, "d");
  EXPECT_EQ(parts[2].text, "x");
}

TEST(openai_chat_request, too_many_elements_are_refused) {
  const auto repeated = [](std::string head, std::string_view unit, std::string_view tail) {
    for (int i = 0; i < 70'000; ++i) head += unit;
    return head.append(tail);
  };
  const std::string message = R"({"role":"user","content":"x"})";
  EXPECT_EQ(refused_param(with_messages(repeated("[" + message, "," + message, "]"))), "messages[65536]");
  EXPECT_EQ(refused_param(with_messages(repeated(R"([{"role":"user","content":[{"type":"text","text":""})",
                                                 R"(,{"type":"text","text":""})", "]}]"))),
            "messages[0].content[65535]");
  EXPECT_EQ(refused_param(repeated(R"({"model":"m","messages":[{"role":"user","content":"x"}],"stop":["")",
                                   R"(,"")", "]}")),
            "stop[65536]");
}

TEST(openai_chat_request, the_last_of_equal_members_wins) {
  EXPECT_EQ(decoded(R"({"model":"a","messages":[{"role":"user","content":"x"}],"model":"b"})").model, "b");
}

TEST(openai_chat_request, encoded_tools_results_and_choice_have_openais_form) {
  request r;
  r.model = "gpt";
  r.system.push_back(text_part("be brief"));
  r.max_tokens = 5;
  r.tools.push_back({.name = "f",
                     .description = "d",
                     .parameters = R"({"type":"object"})",
                     .strict = {},
                     .cache_control = {}});
  r.tool_choice = tool_choice_mode::named;
  r.tool_choice_name = "f";
  r.parallel_tool_calls = false;
  part call;
  call.kind = part_kind::tool_call;
  call.id = "c1";
  call.name = "f";
  part result;
  result.kind = part_kind::tool_result;
  result.id = "c1";
  result.content.push_back(text_part("42"));
  r.messages.push_back({.from = role::assistant, .parts = {call}});
  r.messages.push_back({.from = role::user, .parts = {result, text_part("go on")}});
  EXPECT_EQ(
      encoded(r),
      R"({"model":"gpt","messages":[{"role":"system","content":"be brief"},)"
      R"({"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",)"
      R"("function":{"name":"f","arguments":"{}"}}]},)"
      R"({"role":"tool","tool_call_id":"c1","content":"42"},{"role":"user","content":"go on"}],)"
      R"("max_completion_tokens":5,"tools":[{"type":"function","function":{"name":"f","description":"d",)"
      R"("parameters":{"type":"object"}}}],"parallel_tool_calls":false,)"
      R"("tool_choice":{"type":"function","function":{"name":"f"}}})");
}

TEST(openai_chat_request, the_target_chooses_the_name_of_the_token_bound) {
  request r;
  r.max_tokens = 5;
  EXPECT_NE(encoded(r, "max_tokens").find("\"max_tokens\":5"), std::string::npos);
  EXPECT_NE(encoded(r, "max_completion_tokens").find("\"max_completion_tokens\":5"), std::string::npos);
}

// GW-6
TEST(openai_chat_request, a_streamed_request_always_asks_for_usage) {
  request r;
  r.stream = true;
  EXPECT_NE(encoded(r).find(R"("stream":true,"stream_options":{"include_usage":true})"), std::string::npos);
}

TEST(openai_chat_request, pictures_of_a_tool_follow_its_results) {
  request r;
  part image;
  image.kind = part_kind::image;
  image.media_type = "image/png";
  image.data = "QUJD";
  part first;
  first.kind = part_kind::tool_result;
  first.id = "a";
  first.content.push_back(image);
  part second;
  second.kind = part_kind::tool_result;
  second.id = "b";
  second.content.push_back(text_part("2"));
  r.messages.push_back({.from = role::user, .parts = {first, second}});
  EXPECT_NE(encoded(r).find(R"([{"role":"tool","tool_call_id":"a","content":""},)"
                            R"({"role":"tool","tool_call_id":"b","content":"2"},)"
                            R"({"role":"user","content":[{"type":"text","text":"Returned by tool call a:"},)"
                            R"({"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}}]}])"),
            std::string::npos);
}

TEST(openai_chat_request, reasoning_is_never_sent_back) {
  request r;
  part thinking;
  thinking.kind = part_kind::thinking;
  thinking.text = "secret";
  r.messages.push_back({.from = role::assistant, .parts = {thinking, text_part("x")}});
  r.messages.push_back({.from = role::assistant, .parts = {thinking}});
  EXPECT_NE(encoded(r).find(R"("messages":[{"role":"assistant","content":"x"}])"), std::string::npos);
}

TEST(openai_chat_request, budgets_become_levels) {
  const auto effort = [](reasoning thinking) {
    request r;
    r.thinking = std::move(thinking);
    const std::string text = encoded(r);
    const auto body = json::parse(text);
    return body->string_or("reasoning_effort", "-");
  };
  EXPECT_EQ(effort({.enabled = true, .effort = {}, .budget_tokens = 2048}), "low");
  EXPECT_EQ(effort({.enabled = true, .effort = {}, .budget_tokens = 2049}), "medium");
  EXPECT_EQ(effort({.enabled = true, .effort = {}, .budget_tokens = 8193}), "high");
  EXPECT_EQ(effort({.enabled = true, .effort = {}, .budget_tokens = {}}), "medium");
  EXPECT_EQ(effort({.enabled = false, .effort = {}, .budget_tokens = {}}), "-");
  EXPECT_EQ(effort({.enabled = {}, .effort = "xhigh", .budget_tokens = {}}), "xhigh");
  EXPECT_EQ(effort({.enabled = {}, .effort = "adaptive", .budget_tokens = {}}), "-");
}

TEST(openai_chat_request, more_than_four_stop_sequences_cannot_be_said) {
  request r;
  r.stop = {"1", "2", "3", "4"};
  EXPECT_NE(encoded(r).find(R"("stop":["1","2","3","4"])"), std::string::npos);
  r.stop.emplace_back("5");
  const auto result = openai_chat().encode_request(r, "max_tokens");
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().param, "stop_sequences");
}

TEST(openai_chat_request, a_document_by_url_cannot_be_said) {
  request r;
  part file;
  file.kind = part_kind::file;
  file.url = "https://a/b.pdf";
  r.messages.push_back({.from = role::user, .parts = {file}});
  EXPECT_FALSE(openai_chat().encode_request(r, "max_tokens").has_value());
}

TEST(openai_chat_request, structured_output_is_kept_and_named) {
  const request r = decoded(R"({"model":"m","messages":[{"role":"user","content":"x"}],"response_format":
    {"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object"}}}})");
  ASSERT_TRUE(r.format.has_value());
  EXPECT_EQ(r.format->schema, R"({"type":"object"})");
  EXPECT_NE(encoded(r).find(R"("response_format":{"type":"json_schema","json_schema":{"name":"n",)"
                            R"("schema":{"type":"object"},"strict":true}})"),
            std::string::npos);
  request unnamed = r;
  unnamed.format->name.clear();
  EXPECT_NE(encoded(unnamed).find(R"("name":"response")"), std::string::npos);
}

TEST(openai_chat_request, choice_and_parallelism_are_left_out_without_tools) {
  request r;
  r.parallel_tool_calls = true;
  r.tool_choice = tool_choice_mode::automatic;
  EXPECT_EQ(encoded(r), R"({"model":"","messages":[]})");
}

}  // namespace
}  // namespace tidegate::protocol::dialect
