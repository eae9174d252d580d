// Streams of the Responses dialect: encoder, decoder, watch.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "protocol/dialect/canonical_text_for_test.h"
#include "protocol/dialect/dialect.h"
#include "protocol/json/json.h"
#include "protocol/sse/sse.h"

namespace tidegate::protocol::dialect {
namespace {

using test::text_of;
using enum stream_event_kind;

const dialect& d = openai_responses();

stream_event event(stream_event_kind kind, std::string text = {}, std::uint32_t index = 0) {
  stream_event e;
  e.kind = kind;
  e.text = std::move(text);
  e.index = index;
  return e;
}

stream_event call(std::uint32_t index, std::string id, std::string name) {
  stream_event e = event(tool_start, "", index);
  e.id = std::move(id);
  e.name = std::move(name);
  return e;
}

stream_event finished(finish_reason why) {
  stream_event e = event(finish);
  e.finish = why;
  return e;
}

stream_event spent(struct usage tokens) {
  stream_event e = event(stream_event_kind::usage);
  e.tokens = tokens;
  return e;
}

std::string encode(const std::vector<stream_event>& events) {
  const auto encoder = d.encoder({.id = "run-1", .model = "asked-for", .created = 5, .asked = nullptr});
  std::string out;
  for (const stream_event& e : events) encoder->encode(e, out);
  return out;
}

std::vector<stream_event> decode(std::string_view bytes) {
  std::vector<stream_event> out;
  const auto decoder = d.decoder();
  sse::parser parser;
  const auto take = [&](const sse::event_view& e) {
    EXPECT_TRUE(decoder->decode(e, out)) << e.data;
    return true;
  };
  parser.feed(bytes, take);
  parser.finish(take);
  return out;
}

// One event a line, as data without event names.
std::vector<stream_event> decode_lines(std::string_view lines) {
  std::string bytes;
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    if (end != 0) sse::append_event(bytes, "", lines.substr(0, end));
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
  return decode(bytes);
}

struct written {
  std::vector<std::string> types;
  std::vector<std::string> data;
};

// Event name and data's type agree and sequence numbers count up from 0, or the test fails.
written parse_events(std::string_view bytes) {
  written out;
  sse::parser parser;
  parser.feed(bytes, [&](const sse::event_view& e) {
    const auto data = json::parse(e.data);
    EXPECT_TRUE(data.has_value()) << e.data;
    EXPECT_EQ(data->string_or("type", ""), e.type);
    EXPECT_EQ(data->int_at("sequence_number"), static_cast<std::int64_t>(out.types.size()));
    out.types.emplace_back(e.type);
    out.data.emplace_back(e.data);
    return true;
  });
  EXPECT_EQ(parser.rest(), "");
  return out;
}

std::string summary_of(const std::vector<stream_event>& events) {
  std::string out;
  for (const stream_event& e : events) {
    switch (e.kind) {
      case start:
        out += "start ";
        break;
      case text:
        out += "text:" + e.text + " ";
        break;
      case refusal:
        out += "refusal:" + e.text + " ";
        break;
      case thinking:
        out += "thinking:" + e.text + " ";
        break;
      case thinking_signature:
        out += "signature:" + e.text + " ";
        break;
      case redacted_thinking:
        out += "redacted:" + e.text + " ";
        break;
      case tool_start:
        out += "call" + std::to_string(e.index) + ":" + e.id + ":" + e.name + " ";
        break;
      case tool_arguments:
        out += "arguments" + std::to_string(e.index) + ":" + e.text + " ";
        break;
      case part_end:
        out += "| ";
        break;
      case stream_event_kind::usage:
        out += "usage:" + std::to_string(e.tokens.prompt) + "+" + std::to_string(e.tokens.completion) + " ";
        break;
      case finish:
        out += "finish" + std::to_string(static_cast<int>(e.finish)) + " ";
        break;
      case end:
        out += "end ";
        break;
      case error:
        out += "error:" + e.error_type + ":" + e.error_code + ":" + e.text + " ";
        break;
    }
  }
  return out;
}

TEST(openai_responses_encoder, text_has_the_vendors_event_sequence) {
  const written w = parse_events(encode({event(start), event(text, "Hel"), event(text, "lo"), event(part_end),
                                         finished(finish_reason::stop),
                                         spent({.prompt = 3, .completion = 2, .known = true}), event(end)}));
  EXPECT_EQ(w.types, (std::vector<std::string>{"response.created", "response.in_progress",
                                               "response.output_item.added", "response.content_part.added",
                                               "response.output_text.delta", "response.output_text.delta",
                                               "response.output_text.done", "response.content_part.done",
                                               "response.output_item.done", "response.completed"}));
  const auto last = json::parse(w.data.back());
  ASSERT_TRUE(last.has_value());
  const json::value response = last->find("response").value_or(json::value{});
  EXPECT_EQ(response.string_or("id", ""), "resp_run1");
  EXPECT_EQ(response.string_or("model", ""), "asked-for");
  EXPECT_EQ(response.path({"usage", "total_tokens"})->as_int(), 5);
  const auto whole = d.decode_reply(response);
  ASSERT_TRUE(whole.has_value());
  EXPECT_EQ(whole->parts.at(0).text, "Hello");
}

TEST(openai_responses_encoder, everything_written_is_read_back) {
  stream_event first = event(start);
  first.id = "resp_abc";
  first.name = "asked-for";
  const std::vector<stream_event> events{
      first,
      event(thinking, "let me "),
      event(thinking, "see"),
      event(thinking_signature, "sig=="),
      event(part_end),
      event(redacted_thinking, "opaque"),
      event(text, "I \"look\" \xF0\x9F\x8C\x8A\n"),
      event(part_end),
      event(text, "again"),
      event(part_end),
      event(refusal, "not that"),
      event(part_end),
      call(0, "call_a", "f"),
      event(tool_arguments, "{\"x\":", 0),
      event(tool_arguments, "1}", 0),
      call(1, "call_b", "g"),
      event(tool_arguments, "{}", 1),
      spent({.prompt = 9, .completion = 8, .cached = 2, .reasoning = 3, .known = true}),
      finished(finish_reason::tool_use),
      event(end),
  };
  const std::vector<stream_event> back = decode(encode(events));
  EXPECT_EQ(text_of(events), text_of(back));
  EXPECT_EQ(events, back);
}

TEST(openai_responses_encoder, interleaved_parallel_calls_keep_their_own_arguments) {
  const std::vector<stream_event> back =
      decode(encode({event(start), call(0, "a", "f"), call(1, "b", "g"), event(tool_arguments, "{\"n\":", 0),
                     event(tool_arguments, "{\"m\":", 1), event(tool_arguments, "0}", 0),
                     event(tool_arguments, "1}", 1), finished(finish_reason::tool_use), event(end)}));
  EXPECT_EQ(summary_of(back),
            "start call0:a:f call1:b:g arguments0:{\"n\": arguments1:{\"m\": arguments0:0} arguments1:1} "
            "finish3 end ");
}

TEST(openai_responses_encoder, a_call_without_arguments_has_an_empty_object) {
  const std::string bytes =
      encode({event(start), call(0, "", "f"), finished(finish_reason::tool_use), event(end)});
  EXPECT_EQ(summary_of(decode(bytes)), "start call0:tool-call-0:f arguments0:{} finish3 end ");
  const written w = parse_events(bytes);
  EXPECT_EQ(w.types[w.types.size() - 3], "response.function_call_arguments.done");
}

TEST(openai_responses_encoder, a_cut_answer_ends_incomplete) {
  const std::string bytes =
      encode({event(start), event(text, "half"), finished(finish_reason::length), event(end)});
  EXPECT_EQ(parse_events(bytes).types.back(), "response.incomplete");
  EXPECT_EQ(summary_of(decode(bytes)), "start text:half | finish2 end ");
  EXPECT_NE(bytes.find(R"("incomplete_details":{"reason":"max_output_tokens"})"), std::string::npos);
}

TEST(openai_responses_encoder, usage_may_come_before_or_behind_the_finish) {
  stream_event first = event(start);
  first.tokens = {.prompt = 4, .completion = 1, .known = true};
  EXPECT_EQ(summary_of(decode(encode({first, event(text, "x"), finished(finish_reason::stop), event(end)}))),
            "start text:x | usage:4+1 finish1 end ");
}

// GW-5: a broken stream never looks complete, and nothing follows the error.
TEST(openai_responses_encoder, nothing_follows_an_error) {
  stream_event broken = event(error, "went away");
  broken.error_type = "server_error";
  const std::string bytes = encode({event(start), event(text, "x"), broken, event(text, "y"), event(end)});
  EXPECT_EQ(parse_events(bytes).types.back(), "error");
  EXPECT_EQ(bytes.find("response.completed"), std::string::npos);
  EXPECT_EQ(summary_of(decode(bytes)), "start text:x error:server_error::went away ");
}

TEST(openai_responses_encoder, content_without_a_start_is_started) {
  EXPECT_EQ(summary_of(decode(encode({event(text, "x"), event(end)}))), "start text:x | finish1 end ");
}

TEST(openai_responses_encoder, keeps_no_more_than_its_bound) {
  const auto encoder = d.encoder({.id = "r", .model = "m", .asked = nullptr});
  std::string out;
  const stream_event big = event(text, std::string(1U << 20U, 'x'));
  encoder->encode(event(start), out);
  for (int i = 0; i < 65; ++i) {
    out.clear();
    encoder->encode(big, out);
  }
  EXPECT_TRUE(out.starts_with("event: error\n")) << out.substr(0, 100);
}

TEST(openai_responses_decoder, what_no_delta_said_the_items_end_says) {
  EXPECT_EQ(summary_of(decode_lines(R"({"type":"response.created","response":{"id":"r","model":"m"}}
{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","summary":[{"type":"summary_text","text":"a"},{"type":"summary_text","text":"b"}]}}
{"type":"response.output_item.done","output_index":1,"item":{"type":"message","content":[{"type":"output_text","text":"hi"}]}}
{"type":"response.output_item.done","output_index":2,"item":{"type":"function_call","call_id":"c","name":"f","arguments":"{\"a\":1}"}}
{"type":"response.completed","response":{"status":"completed","output":[],"usage":{"input_tokens":1,"output_tokens":2}}}
)")),
            "start thinking:a\n\nb | text:hi | call0:c:f arguments0:{\"a\":1} usage:1+2 finish3 end ");
}

TEST(openai_responses_decoder, an_end_alone_says_everything) {
  EXPECT_EQ(
      summary_of(decode_lines(
          R"({"type":"response.completed","response":{"id":"r","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"all"}]}]}})")),
      "start text:all | finish1 end ");
}

TEST(openai_responses_decoder, items_are_known_by_their_place_not_their_id) {
  EXPECT_EQ(
      summary_of(decode_lines(
          R"({"type":"response.output_item.added","output_index":3,"item":{"type":"function_call","id":"x","call_id":"c","name":"f","arguments":""}}
{"type":"response.function_call_arguments.delta","output_index":3,"item_id":"y","delta":"{}"}
{"type":"response.output_item.done","output_index":3,"item":{"type":"function_call","id":"z","call_id":"c","name":"f","arguments":"{}"}}
{"type":"response.completed","response":{"status":"completed"}}
)")),
      "start call0:c:f arguments0:{} finish3 end ");
}

TEST(openai_responses_decoder, the_same_reasoning_told_twice_is_passed_on_once) {
  EXPECT_EQ(summary_of(decode_lines(
                R"({"type":"response.reasoning_text.delta","output_index":0,"content_index":0,"delta":"full"}
{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"short"}
{"type":"response.reasoning_text.delta","output_index":0,"content_index":1,"delta":"more"}
{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning"}}
)")),
            "start thinking:full thinking:\n\nmore | ");
}

TEST(openai_responses_decoder, the_vendors_own_sealed_reasoning_stays_with_the_vendor) {
  EXPECT_EQ(
      summary_of(decode_lines(
          R"({"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","summary":[],"encrypted_content":"gAAA"}})")),
      "");
}

TEST(openai_responses_decoder, custom_tools_arguments_are_json) {
  EXPECT_EQ(
      summary_of(decode_lines(
          R"({"type":"response.output_item.added","output_index":0,"item":{"type":"custom_tool_call","call_id":"c","name":"calc","input":""}}
{"type":"response.custom_tool_call_input.delta","output_index":0,"delta":"4+4"}
{"type":"response.output_item.done","output_index":0,"item":{"type":"custom_tool_call","call_id":"c","name":"calc","input":"4+4"}}
)")),
      "start call0:c:calc arguments0:{\"input\":\"4+4\"} ");
}

TEST(openai_responses_decoder, errors_come_in_three_shapes) {
  EXPECT_EQ(summary_of(decode_lines(
                R"({"type":"error","code":"rate_limit_exceeded","message":"slow","param":null})")),
            "error::rate_limit_exceeded:slow ");
  EXPECT_EQ(
      summary_of(decode_lines(
          R"({"type":"error","error":{"type":"server_error","code":null,"message":"bad"},"sequence_number":3})")),
      "error:server_error::bad ");
  EXPECT_EQ(
      summary_of(decode_lines(
          R"({"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"x"},"usage":{"input_tokens":1,"output_tokens":0}}})")),
      "usage:1+0 error::server_error:x ");
  EXPECT_EQ(summary_of(decode_lines(R"({"error":{"type":"api_error","message":"y"}})")),
            "error:api_error::y ");
}

TEST(openai_responses_decoder, nothing_is_read_behind_the_end) {
  EXPECT_EQ(summary_of(decode_lines(R"({"type":"response.completed","response":{"status":"completed"}}
{"type":"response.output_text.delta","output_index":0,"delta":"late"}
)")),
            "start finish1 end ");
}

TEST(openai_responses_decoder, an_incomplete_answer_is_cut_whatever_else_it_says) {
  EXPECT_EQ(summary_of(decode_lines(R"({"type":"response.incomplete","response":{"status":"completed"}})")),
            "start finish2 end ");
  EXPECT_EQ(
      summary_of(decode_lines(
          R"({"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"content_filter"}}})")),
      "start finish4 end ");
}

TEST(openai_responses_decoder, too_many_items_break_the_stream) {
  const auto decoder = d.decoder();
  std::vector<stream_event> out;
  for (int i = 0; i < 5000; ++i) {
    const std::string data =
        R"({"type":"response.output_text.delta","output_index":)" + std::to_string(i) + R"(,"delta":"x"})";
    EXPECT_TRUE(decoder->decode(sse::event_view{.type = {}, .data = data, .id = {}, .raw = {}}, out));
  }
  ASSERT_FALSE(out.empty());
  EXPECT_EQ(out.back().kind, error);
  EXPECT_LT(out.size(), 4200U);
}

// STR-9.
TEST(openai_responses_decoder, broken_data_is_reported_and_skipped) {
  const auto decoder = d.decoder();
  std::vector<stream_event> out;
  const auto give = [&](std::string_view data) {
    return decoder->decode(sse::event_view{.type = {}, .data = data, .id = {}, .raw = {}}, out);
  };
  EXPECT_FALSE(give("{\"type\":"));
  EXPECT_FALSE(give("[]"));
  EXPECT_TRUE(give("[DONE]"));
  EXPECT_TRUE(give(R"({"type":"response.something_new","x":1})"));
  EXPECT_TRUE(out.empty());
  EXPECT_TRUE(give(R"({"type":"response.output_text.delta","delta":"x"})"));
  EXPECT_EQ(summary_of(out), "start text:x ");
}

event_meaning look(stream_watch& w, std::string_view type, std::string_view data) {
  return w.look(sse::event_view{.type = type, .data = data, .id = {}, .raw = {}});
}

constexpr std::string_view hello =
    R"({"type":"response.output_text.delta","output_index":0,"delta":"hello"})";

TEST(openai_responses_watch, content_begins_with_the_first_words_or_call) {
  struct row {
    std::string_view data;
    bool content;
  };
  const std::vector<row> rows{
      {R"({"type":"response.created","response":{"id":"r","output":[]}})", false},
      {R"({"type":"response.output_item.added","item":{"type":"message","content":[]}})", false},
      {R"({"type":"response.content_part.added","part":{"type":"output_text","text":""}})", false},
      {R"({"type":"response.output_text.delta","delta":""})", false},
      {R"({"type":"response.output_item.added","item":{"type":"web_search_call"}})", false},
      {R"({"type":"response.output_item.done","item":{"type":"reasoning","summary":[],"encrypted_content":"x"}})",
       false},
      {hello, true},
      {R"({"type":"response.reasoning_summary_text.delta","delta":"x"})", true},
      {R"({"type":"response.reasoning_text.delta","delta":"x"})", true},
      {R"({"type":"response.refusal.delta","delta":"x"})", true},
      {R"({"type":"response.function_call_arguments.delta","delta":"x"})", true},
      {R"({"type":"response.output_item.added","item":{"type":"function_call","name":"f"}})", true},
      {R"({"type":"response.output_item.done","item":{"type":"message","content":[{"text":"x"}]}})", true},
      {R"({"type":"response.content_part.done","part":{"type":"output_text","text":"x"}})", true},
      {R"({"type":"response.completed","response":{"output":[{"type":"message","content":[{"text":"x"}]}]}})",
       true},
  };
  for (const row& each : rows) {
    const auto w = d.watch();
    const event_meaning m = look(*w, "", each.data);
    EXPECT_EQ(m.content, each.content) << each.data;
    EXPECT_FALSE(m.malformed || m.error) << each.data;
  }
}

TEST(openai_responses_watch, ends_and_errors_are_seen_before_and_behind_content) {
  for (const bool content_first : {false, true}) {
    for (const std::string_view name : {"response.completed", "response.incomplete"}) {
      const auto w = d.watch();
      if (content_first) look(*w, "", hello);
      const std::string data = R"({"response" : {"usage":{"input_tokens":7,"output_tokens":3}},"type":")" +
                               std::string{name} + "\"}";
      const event_meaning m = look(*w, name, data);
      EXPECT_TRUE(m.end && m.finished && !m.error) << name;
      EXPECT_EQ(w->tokens().prompt, 7);
      EXPECT_EQ(w->tokens().completion, 3);
    }
    const auto w = d.watch();
    if (content_first) look(*w, "", hello);
    const event_meaning m =
        look(*w, "error", R"({"type":"error","error":{"type":"overloaded_error","message":"later"}})");
    EXPECT_TRUE(m.error && !m.end);
    EXPECT_EQ(w->error().type, "overloaded_error");
    const auto f = d.watch();
    if (content_first) look(*f, "", hello);
    const event_meaning n = look(
        *f, "", R"({"type":"response.failed","response":{"error":{"code":"server_error","message":"x"}}})");
    EXPECT_TRUE(n.error && !n.end);
    EXPECT_EQ(f->error().code, "server_error");
  }
}

TEST(openai_responses_watch, words_in_the_text_are_no_events) {
  const auto w = d.watch();
  look(*w, "", hello);
  for (const std::string_view data : {
           R"({"type":"response.output_text.delta","delta":"error"})",
           R"({"type":"response.output_text.delta","delta":"response"})",
           R"({"type":"response.output_text.delta","delta":"{\"type\":\"error\",\"error\":{}}"})",
           R"({"type":"response.output_text.done","text":"{\"response\":{\"usage\":{\"input_tokens\":9}}}"})",
       }) {
    const event_meaning m = look(*w, "", data);
    EXPECT_FALSE(m.error || m.end || m.malformed || m.finished) << data;
  }
  EXPECT_FALSE(w->tokens().known);
}

// STR-9.
TEST(openai_responses_watch, garbage_is_named_before_and_behind_content) {
  const auto w = d.watch();
  EXPECT_TRUE(look(*w, "", "{\"type\":").malformed);
  EXPECT_TRUE(look(*w, "", "nonsense").malformed);
  look(*w, "", hello);
  EXPECT_TRUE(look(*w, "", "{\"type\":").malformed);
  EXPECT_TRUE(look(*w, "response.output_text.delta", "nonsense").malformed);
  EXPECT_FALSE(look(*w, "", "[DONE]").malformed);
}

}  // namespace
}  // namespace tidegate::protocol::dialect
