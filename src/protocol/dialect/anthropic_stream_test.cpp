// Streams, replies and errors of the Messages dialect: STR-9, STR-10, USE-2, FO-2, GW-2, GW-5, T150.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "protocol/dialect/anthropic_messages.h"
#include "protocol/json/json.h"
#include "protocol/sse/sse.h"

namespace tidegate::protocol::dialect {
namespace {

using kind = stream_event_kind;

stream_event event_of(kind k, std::string text = {}, std::uint32_t index = 0) {
  stream_event e;
  e.kind = k;
  e.text = std::move(text);
  e.index = index;
  return e;
}

stream_event tool_start(std::uint32_t index, std::string id, std::string name) {
  stream_event e = event_of(kind::tool_start, {}, index);
  e.id = std::move(id);
  e.name = std::move(name);
  return e;
}

stream_event finish_of(finish_reason why) {
  stream_event e = event_of(kind::finish);
  e.finish = why;
  return e;
}

stream_event usage_of(usage tokens) {
  stream_event e = event_of(kind::usage);
  e.tokens = tokens;
  e.tokens.known = true;
  return e;
}

sse::event_view view_of(std::string_view type, std::string_view data) {
  sse::event_view view;
  view.type = type;
  view.data = data;
  return view;
}

std::string encode(const std::vector<stream_event>& events) {
  std::string out;
  const auto encoder = anthropic_messages().encoder({.id = "run", .model = "asked"});
  for (const stream_event& e : events) encoder->encode(e, out);
  return out;
}

std::vector<stream_event> decode(std::string_view bytes) {
  std::vector<stream_event> out;
  const auto decoder = anthropic_messages().decoder();
  sse::parser parser;
  const auto each = [&](const sse::event_view& e) {
    EXPECT_TRUE(decoder->decode(e, out));
    return true;
  };
  parser.feed(bytes, each);
  parser.finish(each);
  return out;
}

// "start 0 delta 0 stop 0 ...": the order of a stream's block events.
std::string skeleton(std::string_view bytes) {
  std::string out;
  sse::parser parser;
  parser.feed(bytes, [&](const sse::event_view& e) {
    const auto body = json::parse(e.data);
    EXPECT_TRUE(body && body->find("type")->equals(e.type)) << e.raw;
    const std::string type{e.type};
    if (!out.empty()) out += ' ';
    out += type.starts_with("content_block_")
               ? type.substr(14) + std::to_string(body->int_at("index").value_or(-1))
               : type;
    return true;
  });
  return out;
}

TEST(anthropic_encoder, text_is_a_whole_event_sequence) {
  const std::string bytes =
      encode({event_of(kind::start), event_of(kind::text, "Hel"), event_of(kind::text, "lo"),
              finish_of(finish_reason::stop), usage_of({.prompt = 9, .completion = 2, .cached = 4}),
              event_of(kind::end)});
  EXPECT_EQ(skeleton(bytes), "message_start start0 delta0 delta0 stop0 message_delta message_stop");
  EXPECT_TRUE(
      bytes.contains(R"("id":"msg_run","type":"message","role":"assistant","model":"asked","content":[])"));
  // OpenAI's usage comes behind the finish reason and must still be in message_delta.
  EXPECT_TRUE(bytes.contains(R"("stop_reason":"end_turn")"));
  EXPECT_TRUE(bytes.contains(
      R"("usage":{"input_tokens":5,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":2)"));
}

// T150: parallel calls whose fragments interleave become one block after the other.
TEST(anthropic_encoder, interleaved_calls_keep_their_arguments_and_one_block_open) {
  const std::string bytes =
      encode({event_of(kind::text, "go"), tool_start(0, "a", "f"), tool_start(1, "b", "g"),
              event_of(kind::tool_arguments, R"({"x":"}")", 0), event_of(kind::tool_arguments, R"({"y")", 1),
              event_of(kind::tool_arguments, "}", 0), event_of(kind::tool_arguments, ":2}", 1),
              finish_of(finish_reason::tool_use), event_of(kind::end)});
  EXPECT_EQ(
      skeleton(bytes),
      "message_start start0 delta0 stop0 start1 delta1 delta1 stop1 start2 delta2 delta2 stop2 message_delta "
      "message_stop");
  std::string first;
  std::string second;
  for (const stream_event& e : decode(bytes)) {
    if (e.kind == kind::tool_arguments) (e.index == 0 ? first : second) += e.text;
  }
  EXPECT_EQ(first, R"({"x":"}"})");
  EXPECT_EQ(second, R"({"y":2})");
}

TEST(anthropic_encoder, a_call_without_arguments_is_closed_at_the_finish) {
  const std::string bytes = encode(
      {tool_start(0, "", "f"), tool_start(1, "b", "g"), finish_of(finish_reason::stop), event_of(kind::end)});
  EXPECT_EQ(skeleton(bytes), "message_start start0 stop0 start1 stop1 message_delta message_stop");
  EXPECT_TRUE(bytes.contains(R"("id":"tool-call-0")"));
  // Agents on the official SDKs go by the stop reason: calls are never an end_turn.
  EXPECT_TRUE(bytes.contains(R"("stop_reason":"tool_use")"));
}

TEST(anthropic_encoder, thinking_text_and_redacted_thinking_are_blocks_of_their_own) {
  const std::string bytes = encode(
      {event_of(kind::thinking, "hm"), event_of(kind::thinking_signature, "sig"), event_of(kind::part_end),
       event_of(kind::redacted_thinking, "opaque"), event_of(kind::text, "a"), event_of(kind::part_end),
       event_of(kind::text, "b"), finish_of(finish_reason::length), event_of(kind::end)});
  EXPECT_EQ(skeleton(bytes),
            "message_start start0 delta0 delta0 stop0 start1 stop1 start2 delta2 stop2 start3 delta3 stop3 "
            "message_delta message_stop");
  EXPECT_TRUE(bytes.contains(R"({"type":"redacted_thinking","data":"opaque"})"));
  EXPECT_TRUE(bytes.contains(R"("stop_reason":"max_tokens")"));
}

// GW-5: a stream that broke never looks complete.
TEST(anthropic_encoder, nothing_follows_an_error) {
  stream_event broken = event_of(kind::error, "upstream is gone");
  broken.error_type = "server_error";
  const std::string bytes = encode({event_of(kind::text, "a"), broken, event_of(kind::end)});
  EXPECT_EQ(skeleton(bytes), "message_start start0 delta0 error");
  EXPECT_TRUE(
      bytes.contains(R"({"type":"error","error":{"type":"api_error","message":"upstream is gone"}})"));
}

TEST(anthropic_encoder, an_empty_answer_is_still_a_message) {
  EXPECT_EQ(skeleton(encode({event_of(kind::end)})), "message_start message_delta message_stop");
}

TEST(anthropic_encoder, waiting_fragments_are_bounded) {
  std::string out;
  const auto encoder = anthropic_messages().encoder({.id = "run", .model = "m"});
  encoder->encode(tool_start(0, "a", "f"), out);
  encoder->encode(tool_start(1, "b", "g"), out);
  const std::string chunk(std::size_t{1} << 20U, 'x');
  for (int i = 0; i < 10; ++i) encoder->encode(event_of(kind::tool_arguments, chunk, 1), out);
  EXPECT_GT(out.size(), std::size_t{8} << 20U);  // the second call has been let through
}

TEST(anthropic_decoder, blocks_calls_usage_and_end) {
  const auto events = decode(
      "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"c\","
      "\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":4,\"cache_creation_input_tokens\":5,"
      "\"output_tokens\":1}}}\n\n"
      "event: ping\ndata: {\"type\":\"ping\"}\n\n"
      "data: "
      "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"server_tool_use\"}}\n\n"
      "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\","
      "\"partial_json\":\"{}\"}}\n\n"
      "data: "
      "{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\","
      "\"name\":\"f\",\"input\":{}}}\n\n"
      "data: {\"type\":\"content_block_stop\",\"index\":1}\n\n"
      "data: "
      "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":8,"
      "\"output_tokens_details\":{\"thinking_tokens\":6}}}\n\n"
      "data: {\"type\":\"message_stop\"}\n\n");
  ASSERT_EQ(events.size(), 6U);
  EXPECT_EQ(events[0].id, "msg_1");
  EXPECT_EQ(events[0].tokens.prompt, 12);
  EXPECT_EQ(events[1].kind, kind::tool_start);
  EXPECT_EQ(events[2].text, "{}");
  EXPECT_EQ(events[3].tokens.prompt, 12);
  EXPECT_EQ(events[3].tokens.completion, 8);
  EXPECT_EQ(events[3].tokens.reasoning, 6);
  EXPECT_EQ(events[4].finish, finish_reason::tool_use);
  EXPECT_EQ(events[5].kind, kind::end);
}

// STR-9: bad JSON is reported and skipped; a lone block flood is no way to grow.
TEST(anthropic_decoder, malformed_data_is_reported) {
  const auto decoder = anthropic_messages().decoder();
  std::vector<stream_event> out;
  for (const std::string_view data : {"{", "nonsense", "[]", "\"x\"", "{\"type\":\"ping\"}}"}) {
    EXPECT_FALSE(decoder->decode(view_of("", data), out)) << data;
  }
  std::size_t accepted = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string start = R"({"type":"content_block_start","index":)" + std::to_string(i) +
                              R"(,"content_block":{"type":"text","text":""}})";
    accepted += decoder->decode(view_of("", start), out) ? 1U : 0U;
  }
  EXPECT_EQ(accepted, 64U);
  EXPECT_TRUE(out.empty());
}

TEST(anthropic_decoder, a_repeated_message_start_is_no_second_start) {
  const auto events = decode(
      "data: {\"type\":\"message_start\",\"message\":{\"id\":\"a\"}}\n\n"
      "data: {\"type\":\"message_start\",\"message\":{\"id\":\"b\"}}\n\n");
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].id, "a");
}

// FO-2: overloaded is the provider's availability, rate limits are pushback.
TEST(anthropic_watch, errors_of_a_running_stream_are_seen_and_classified) {
  const auto watch = anthropic_messages().watch();
  const event_meaning m = watch->look(view_of(
      "error",
      R"({"type":"error","error":{"details":null,"type":"overloaded_error","message":"Overloaded"} })"));
  EXPECT_TRUE(m.error);
  EXPECT_EQ(watch->error().type, "overloaded_error");
  EXPECT_EQ(watch->error().message, "Overloaded");
  EXPECT_EQ(classify(watch->error()), error_kind::availability);
}

TEST(anthropic_watch, content_is_text_thinking_or_a_call) {
  const auto first = [](std::string_view type, std::string_view data) {
    return anthropic_messages().watch()->look(view_of(type, data)).content;
  };
  EXPECT_FALSE(first("message_start", R"({"type":"message_start","message":{}})"));
  EXPECT_FALSE(
      first("content_block_start",
            R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})"));
  EXPECT_FALSE(first("content_block_delta",
                     R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}})"));
  EXPECT_TRUE(first("content_block_delta",
                    R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}})"));
  EXPECT_TRUE(
      first("content_block_delta",
            R"({"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"x"}})"));
  EXPECT_TRUE(
      first("content_block_start",
            R"({"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t"}})"));
}

TEST(anthropic_watch, words_inside_text_mean_nothing) {
  const auto watch = anthropic_messages().watch();
  const std::string data =
      R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\"message_stop\" \"error\" \"usage\":{\"output_tokens\":99}"}})";
  for (int i = 0; i < 2; ++i) {
    const event_meaning m = watch->look(view_of("content_block_delta", data));
    EXPECT_TRUE(m.content);
    EXPECT_FALSE(m.end || m.error || m.finished || m.malformed);
  }
  EXPECT_FALSE(watch->tokens().known);
}

TEST(anthropic_watch, streams_without_event_lines_are_understood) {
  const auto watch = anthropic_messages().watch();
  const std::string_view delta =
      R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}})";
  EXPECT_TRUE(watch->look(view_of("", delta)).content);
  EXPECT_TRUE(watch->look(view_of("", delta)).content);
  EXPECT_TRUE(watch->look(view_of("", R"({"type":"content_block_delta","index":0)")).malformed);
  EXPECT_TRUE(
      watch->look(view_of("", R"({ "usage":{"output_tokens":7}, "type" : "message_delta" })")).malformed ==
      false);
  EXPECT_EQ(watch->tokens().completion, 7);
  EXPECT_TRUE(watch->look(view_of("", R"({"type": "message_stop"})")).end);
}

TEST(anthropic_usage, an_explicit_zero_wins_and_absurd_numbers_are_bounded) {
  const auto read = [](std::string_view text) { return anthropic::merge_usage({}, *json::parse(text)); };
  EXPECT_EQ(read(R"({"input_tokens":0,"prompt_tokens":9})").prompt, 0);
  EXPECT_EQ(read(R"({"prompt_tokens":9,"completion_tokens":3})").completion, 3);
  EXPECT_EQ(read(R"({"input_tokens":-5,"output_tokens":1e999})").prompt, 0);
  EXPECT_EQ(
      read(R"({"input_tokens":9223372036854775807,"cache_read_input_tokens":9223372036854775807})").prompt,
      2'000'000'000'000);
  EXPECT_FALSE(read("{}").known);
}

TEST(anthropic_reply, parts_finish_and_usage) {
  const auto body = json::parse(
      R"({"id":"msg_1","type":"message","role":"assistant","model":"c","content":[
          {"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"a"},
          {"type":"server_tool_use","id":"x","name":"web_search","input":{}},
          {"type":"tool_use","id":"t","name":"f","input":{"a": 1}}],
          "stop_reason":"stop_sequence","stop_sequence":"END","usage":{"input_tokens":1,"output_tokens":2}})");
  ASSERT_TRUE(body);
  const auto r = anthropic_messages().decode_reply(*body);
  ASSERT_TRUE(r);
  ASSERT_EQ(r->parts.size(), 3U);
  EXPECT_EQ(r->parts[0].signature, "s");
  EXPECT_EQ(r->parts[2].data, R"({"a": 1})");  // the text the model wrote
  EXPECT_EQ(r->finish, finish_reason::stop_sequence);
  EXPECT_EQ(r->stop_sequence, "END");
  const std::string text = anthropic_messages().encode_reply(*r, {.id = "run", .model = "asked"});
  EXPECT_TRUE(
      text.starts_with(R"({"id":"msg_1","type":"message","role":"assistant","model":"asked","content":[)"));
  EXPECT_TRUE(text.contains(R"("stop_reason":"stop_sequence","stop_sequence":"END")"));
}

TEST(anthropic_reply, another_shape_is_refused) {
  for (const std::string_view text :
       {"{}", "[]", R"({"type":"error"})", R"({"type":"message","content":"x"})"}) {
    EXPECT_FALSE(anthropic_messages().has_reply_shape(*json::parse(text))) << text;
    EXPECT_FALSE(anthropic_messages().decode_reply(*json::parse(text))) << text;
  }
  EXPECT_FALSE(anthropic_messages().decode_reply(*json::parse(R"({"type":"message","content":[1]})")));
}

// GW-2: the endpoint's own error shape with the canonical code.
TEST(anthropic_errors, body_carries_type_code_and_ids) {
  foundation::failure f;
  f.code = foundation::error_code::ai_rate_limited;
  f.message = "slow down";
  f.details = R"({"source":"local"})";
  EXPECT_EQ(
      anthropic_messages().encode_error(f, "run", "trace"),
      R"({"type":"error","error":{"type":"rate_limit_error","message":"slow down"},"code":"AI_RATE_LIMITED",)"
      R"("request_id":"run","trace_id":"trace","details":{"source":"local"}})");
  EXPECT_TRUE(
      anthropic_messages().encode_stream_error(f, "run", "trace").starts_with("event: error\ndata: {"));
}

TEST(anthropic_errors, a_kept_status_keeps_the_vendors_type) {
  foundation::failure f;
  f.code = foundation::error_code::llm_api_error;
  f.status = 400;
  f.upstream_type = "billing_error";
  EXPECT_TRUE(anthropic_messages().encode_error(f, "r", "t").contains(R"("type":"billing_error")"));
  f.upstream_type = "tokens";  // a word that Anthropic's SDKs do not know
  EXPECT_TRUE(anthropic_messages().encode_error(f, "r", "t").contains(R"("type":"invalid_request_error")"));
  foundation::failure gone;
  gone.code = foundation::error_code::ai_provider_unavailable;
  EXPECT_TRUE(anthropic_messages().encode_error(gone, "r", "t").contains(R"("type":"overloaded_error")"));
}

}  // namespace
}  // namespace tidegate::protocol::dialect
