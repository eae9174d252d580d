#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "protocol/dialect/canonical_text_for_test.h"
#include "protocol/dialect/dialect.h"
#include "protocol/sse/sse.h"

namespace tidegate::protocol::dialect {
namespace {

using test::text_of;
using enum stream_event_kind;

// `delta` may be written over several lines for the reader's sake.
std::string chunk(std::string_view delta, std::string_view finish = "null", std::string_view more = {}) {
  std::string line =
      R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[)";
  line.append(R"({"index":0,"delta":)")
      .append(delta)
      .append(R"(,"finish_reason":)")
      .append(finish)
      .append("}]");
  line.append(more).append("}");
  std::erase(line, '\n');
  return "data: " + line + "\n\n";
}

std::vector<stream_event> decode(std::string_view bytes, std::size_t* malformed = nullptr) {
  std::vector<stream_event> out;
  sse::parser parser;
  const auto decoder = openai_chat().decoder();
  const auto take = [&](const sse::event_view& event) {
    if (!decoder->decode(event, out) && malformed != nullptr) ++*malformed;
    return true;
  };
  parser.feed(bytes, take);
  parser.finish(take);
  return out;
}

std::vector<event_meaning> watch(std::string_view bytes, stream_watch& watcher) {
  std::vector<event_meaning> out;
  sse::parser parser;
  const auto take = [&](const sse::event_view& event) {
    out.push_back(watcher.look(event));
    return true;
  };
  parser.feed(bytes, take);
  parser.finish(take);
  return out;
}

std::vector<stream_event_kind> kinds(const std::vector<stream_event>& events) {
  std::vector<stream_event_kind> out;
  for (const stream_event& each : events) out.push_back(each.kind);
  return out;
}

stream_event made(stream_event_kind kind, std::string text_value = {}, std::uint32_t index = 0) {
  stream_event out;
  out.kind = kind;
  out.text = std::move(text_value);
  out.index = index;
  return out;
}

std::string encode(const std::vector<stream_event>& events,
                   encode_context context = {.id = "run", .model = "m", .created = 5, .asked = nullptr}) {
  std::string out;
  const auto encoder = openai_chat().encoder(std::move(context));
  for (const stream_event& each : events) encoder->encode(each, out);
  return out;
}

constexpr std::string_view done = "data: [DONE]\n\n";

TEST(openai_chat_stream, text_finish_usage_and_end_are_read) {
  const auto events = decode(chunk(R"({"role":"assistant","content":""})") + chunk(R"({"content":"Hi"})") +
                             chunk("{}", R"("stop")") +
                             "data: {\"id\":\"chatcmpl-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,"
                             "\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":1}}}\n\n" +
                             std::string{done});
  ASSERT_EQ(kinds(events), (std::vector{start, text, finish, usage, end}));
  EXPECT_EQ(events[0].id, "chatcmpl-1");
  EXPECT_EQ(events[0].name, "m");
  EXPECT_EQ(events[1].text, "Hi");
  EXPECT_EQ(events[2].finish, finish_reason::stop);
  EXPECT_EQ(events[3].tokens.prompt, 3);
  EXPECT_EQ(events[3].tokens.cached, 1);
}

TEST(openai_chat_stream, fragments_of_calls_are_told_apart_by_index) {
  const auto events = decode(
      chunk(
          R"({"tool_calls":[{"index":1,"id":"a","type":"function","function":{"name":"f","arguments":""}}]})") +
      chunk(R"({"tool_calls":[{"index":4,"id":"b","function":{"name":"g","arguments":"{"}}]})") +
      chunk(
          R"({"tool_calls":[{"index":1,"function":{"arguments":"{}"}},{"index":4,"function":{"arguments":"}"}}]})"));
  ASSERT_EQ(kinds(events),
            (std::vector{start, tool_start, tool_start, tool_arguments, tool_arguments, tool_arguments}));
  EXPECT_EQ(events[1].index, 0U);
  EXPECT_EQ(events[2].index, 1U);
  EXPECT_EQ(events[4].index, 0U);
  EXPECT_EQ(events[4].text, "{}");
  EXPECT_EQ(events[5].index, 1U);
}

TEST(openai_chat_stream, parallel_calls_that_share_an_index_are_told_apart_by_id) {
  const auto events = decode(
      chunk(R"({"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}]})") +
      chunk(R"({"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":"{\"x\":2}"}}]})"));
  ASSERT_EQ(kinds(events), (std::vector{start, tool_start, tool_arguments, tool_start, tool_arguments}));
  EXPECT_EQ(events[3].index, 1U);
  EXPECT_EQ(events[3].id, "b");
}

TEST(openai_chat_stream, an_id_that_changes_with_every_fragment_is_one_call) {
  const auto events =
      decode(chunk(R"({"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]})") +
             chunk(R"({"tool_calls":[{"index":0,"id":"b","function":{"arguments":"}"}}]})"));
  ASSERT_EQ(kinds(events), (std::vector{start, tool_start, tool_arguments, tool_arguments}));
}

TEST(openai_chat_stream, calls_without_index_or_id_are_read) {
  const auto events = decode(chunk(R"({"tool_calls":[{"id":"a","function":{"name":"f","arguments":{"x":1}}},
                                     {"id":"b","function":{"name":"g","arguments":null}}]})") +
                             chunk(R"({"tool_calls":[{"function":{"arguments":"{}"}}]})") +
                             chunk(R"({"tool_calls":[{"function":{"name":"h"}}]})", R"("stop")"));
  ASSERT_EQ(kinds(events),
            (std::vector{start, tool_start, tool_arguments, tool_start, tool_arguments, tool_start, finish}));
  EXPECT_EQ(events[2].text, R"({"x":1})");
  EXPECT_EQ(events[4].index, 1U);
  EXPECT_EQ(events[5].id, "tool-call-2");
  EXPECT_EQ(events[6].finish, finish_reason::tool_use);
}

TEST(openai_chat_stream, arguments_before_the_name_wait_for_it) {
  const auto events =
      decode(chunk(R"({"tool_calls":[{"index":0,"id":"a","function":{"arguments":"{"}}]})") +
             chunk(R"({"tool_calls":[{"index":0,"function":{"name":"f","arguments":"}"}}]})"));
  ASSERT_EQ(kinds(events), (std::vector{start, tool_start, tool_arguments}));
  EXPECT_EQ(events[1].name, "f");
  EXPECT_EQ(events[2].text, "{}");
}

TEST(openai_chat_stream, the_older_function_call_is_a_call) {
  const auto events =
      decode(chunk(R"({"function_call":{"name":"f","arguments":""}})") +
             chunk(R"({"function_call":{"arguments":"{}"}})") + chunk("{}", R"("function_call")"));
  ASSERT_EQ(kinds(events), (std::vector{start, tool_start, tool_arguments, finish}));
  EXPECT_EQ(events[1].id, "tool-call-0");
  EXPECT_EQ(events[3].finish, finish_reason::tool_use);
}

TEST(openai_chat_stream, reasoning_under_its_three_names_is_thinking) {
  const auto events =
      decode(chunk(R"({"reasoning_content":"a"})") + chunk(R"({"reasoning":"b","content":null})") +
             chunk(R"({"content":[{"type":"thinking","thinking":[{"type":"text","text":"c"}]},
                                                  {"type":"text","text":"d"}]})") +
             chunk(R"({"reasoning":"e","reasoning_details":[{"type":"reasoning.text","text":"e",
                                       "format":"unknown"}]})"));
  ASSERT_EQ(kinds(events), (std::vector{start, thinking, thinking, thinking, text, thinking}));
  EXPECT_EQ(events[5].text, "e");
}

TEST(openai_chat_stream, a_finish_said_twice_counts_once_and_the_last_one_counts) {
  const auto twice = decode(chunk("{}", R"("stop")") + chunk("{}", R"("stop")"));
  EXPECT_EQ(kinds(twice), (std::vector{start, finish}));
  const auto changed = decode(chunk(R"({"content":"x"})", R"("stop")") + chunk("{}", R"("length")"));
  ASSERT_EQ(kinds(changed), (std::vector{start, text, finish, finish}));
  EXPECT_EQ(changed[3].finish, finish_reason::length);
}

TEST(openai_chat_stream, only_the_first_choice_is_told) {
  const auto events = decode(
      "data: {\"id\":\"x\",\"choices\":[{\"index\":1,\"delta\":{\"content\":\"no\"}},{\"index\":0,\"delta\":"
      "{\"content\":\"yes\"}}]}\n\n");
  ASSERT_EQ(kinds(events), (std::vector{start, text}));
  EXPECT_EQ(events[1].text, "yes");
}

TEST(openai_chat_stream, azures_prompt_chunk_does_not_start_the_answer) {
  const auto events =
      decode("data: {\"choices\":[],\"id\":\"\",\"model\":\"\",\"prompt_filter_results\":[]}\n\n" +
             chunk(R"({"content":"x"})"));
  ASSERT_EQ(kinds(events), (std::vector{start, text}));
  EXPECT_EQ(events[0].id, "chatcmpl-1");
}

TEST(openai_chat_stream, usage_in_its_odd_places_is_found) {
  const auto groq =
      decode(R"(data: {"id":"x","choices":[],"x_groq":{"usage":{"prompt_tokens":1,"completion_tokens":2}}})"
             "\n\n");
  ASSERT_EQ(kinds(groq), (std::vector{start, usage}));
  const auto moonshot = decode(
      R"(data: {"id":"x","choices":[{"index":0,"delta":{},"usage":{"prompt_tokens":1,"completion_tokens":2}}]})"
      "\n\n");
  ASSERT_EQ(kinds(moonshot), (std::vector{start, usage}));
}

TEST(openai_chat_stream, errors_of_every_form_are_read) {
  const auto object = decode(R"(data: {"error":{"message":"m","type":"server_error","code":502}})"
                             "\n\n" +
                             chunk("{}"));
  ASSERT_EQ(kinds(object), (std::vector{error}));
  EXPECT_EQ(object[0].error_code, "502");
  EXPECT_EQ(object[0].error_type, "server_error");
  const auto word = decode(R"(data: {"error":"broken"})"
                           "\n\n");
  ASSERT_EQ(kinds(word), (std::vector{error}));
  EXPECT_EQ(word[0].text, "broken");
  const auto typed = decode("event: error\ndata: {\"message\":\"m\",\"code\":\"overloaded\"}\n\n");
  ASSERT_EQ(kinds(typed), (std::vector{error}));
  EXPECT_EQ(typed[0].error_code, "overloaded");
  EXPECT_TRUE(decode("data: {\"error\":null,\"choices\":[]}\n\n").empty());
}

// STR-9
TEST(openai_chat_stream, bad_json_is_reported_and_skipped) {
  std::size_t malformed = 0;
  const auto events =
      decode("data: {\"choices\n\ndata: 5\n\ndata: hello\n\n: comment\n\n" + chunk(R"({"content":"x"})"),
             &malformed);
  EXPECT_EQ(malformed, 3U);
  EXPECT_EQ(kinds(events), (std::vector{start, text}));
}

TEST(openai_chat_stream, a_marker_without_finish_reason_finishes_with_stop) {
  const auto events = decode(chunk(R"({"content":"x"})") + std::string{done});
  ASSERT_EQ(kinds(events), (std::vector{start, text, finish, end}));
  EXPECT_EQ(events[2].finish, finish_reason::stop);
}

TEST(openai_chat_stream, calls_beyond_all_reason_are_dropped) {
  std::string bytes;
  for (int i = 0; i < 3000; ++i) {
    bytes += chunk(R"({"tool_calls":[{"index":)" + std::to_string(i) + R"(,"id":"c)" + std::to_string(i) +
                   R"(","function":{"name":"f","arguments":""}}]})");
  }
  EXPECT_EQ(decode(bytes).size(), 1025U);
}

TEST(openai_chat_stream, first_content_is_what_is_not_empty) {
  const auto watcher = openai_chat().watch();
  const auto seen =
      watch(chunk(R"({"role":"assistant","content":""})") + chunk(R"({"content":null})") +
                chunk(R"({"tool_calls":[]})") + ": ping\n\n" + chunk(R"({"reasoning_content":"a"})"),
            *watcher);
  ASSERT_EQ(seen.size(), 5U);
  EXPECT_FALSE(seen[0].content || seen[1].content || seen[2].content || seen[3].content);
  EXPECT_TRUE(seen[4].content);
  for (const std::string_view delta :
       {R"({"content":"a"})", R"({"refusal":"a"})", R"({"reasoning":"a"})",
        R"({"content":[{"type":"text","text":"a"}]})",
        R"({"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]})",
        R"({"function_call":{"name":"f","arguments":""}})"}) {
    const auto fresh = openai_chat().watch();
    EXPECT_TRUE(watch(chunk(delta), *fresh).at(0).content) << delta;
  }
}

TEST(openai_chat_stream, words_inside_of_text_are_not_mistaken) {
  const auto watcher = openai_chat().watch();
  const auto seen = watch(
      chunk(R"({"content":"a"})") +
          chunk(R"({"content":"\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":9} \"error\":{}"})") +
          chunk(R"({"content":"usage"})") + chunk(R"({"content":"[DONE]"})") +
          chunk(R"({"content":"\"finish_reason\":\"stop\""})") +
          chunk(
              R"({"tool_calls":[{"index":0,"function":{"arguments":{"error":{"a":1},"usage":{"prompt_tokens":3}}}}]})"),
      *watcher);
  ASSERT_EQ(seen.size(), 6U);
  for (const event_meaning& each : seen) {
    EXPECT_TRUE(each.content);
    EXPECT_FALSE(each.end || each.error || each.usage_only || each.malformed || each.finished);
  }
  EXPECT_FALSE(watcher->tokens().known);
}

TEST(openai_chat_stream, the_watch_finds_everything_after_content) {
  const auto watcher = openai_chat().watch();
  const auto seen =
      watch(chunk(R"({"content":"a"})") + chunk("{}", R"( "stop")", R"(,"usage" : null)") +
                "data: {\"choices\":[],\"usage\" : {\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n" +
                "data: gibberish\n\n" + std::string{done},
            *watcher);
  ASSERT_EQ(seen.size(), 5U);
  EXPECT_TRUE(seen[1].finished);
  EXPECT_FALSE(seen[1].usage_only);
  EXPECT_TRUE(seen[2].usage_only);
  EXPECT_TRUE(seen[3].malformed);
  EXPECT_TRUE(seen[4].end);
  EXPECT_EQ(watcher->tokens().completion, 4);
  const auto broken = openai_chat().watch();
  const auto errors = watch(
      chunk(R"({"content":"a"})") + "data: {\"error\":{\"message\":\"m\",\"type\":\"overloaded_error\"}}\n\n",
      *broken);
  EXPECT_TRUE(errors.at(1).error);
  EXPECT_EQ(broken->error().type, "overloaded_error");
}

// A key at every offset of the 16-byte blocks the scan works in.
TEST(openai_chat_stream, the_scan_misses_no_offset) {
  for (std::size_t pad = 0; pad < 70; ++pad) {
    const auto watcher = openai_chat().watch();
    const std::string filler(pad, 'x');
    const auto seen =
        watch(chunk(R"({"content":"a"})") + "data: {\"p\":\"" + filler +
                  "\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n" +
                  "data: {\"choices\":[{\"p\":\"" + filler + "\",\"finish_reason\":\"stop\"}]}\n\n",
              *watcher);
    EXPECT_TRUE(seen.at(1).usage_only) << pad;
    EXPECT_TRUE(seen.at(2).finished) << pad;
  }
}

TEST(openai_chat_stream, the_encoder_writes_what_the_sdks_read) {
  std::vector<stream_event> events{made(start), made(text, "Hi")};
  events[0].id = "msg_1";
  stream_event call = made(tool_start);
  call.id = "c1";
  call.name = "f";
  events.push_back(call);
  stream_event stop = made(finish);
  stop.finish = finish_reason::tool_use;
  events.push_back(stop);
  stream_event tokens = made(usage);
  tokens.tokens = {
      .prompt = 3, .completion = 2, .cached = 1, .cache_write = 0, .reasoning = 0, .known = true};
  events.push_back(tokens);
  events.push_back(made(end));
  const std::string head =
      R"(data: {"id":"chatcmpl-run","object":"chat.completion.chunk","created":5,"model":"m","choices":[)";
  const auto line = [&](std::string_view delta, std::string_view reason = "null") {
    return head + R"({"index":0,"delta":)" + std::string{delta} + R"(,"logprobs":null,"finish_reason":)" +
           std::string{reason} + R"(}],"usage":null})" + "\n\n";
  };
  EXPECT_EQ(
      encode(events),
      line(R"({"role":"assistant","content":"","refusal":null})") + line(R"({"content":"Hi"})") +
          line(
              R"({"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]})") +
          line(R"({"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]})") +
          line("{}", R"("tool_calls")") + head +
          R"(],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,)" +
          R"("prompt_tokens_details":{"cached_tokens":1},"completion_tokens_details":{"reasoning_tokens":0}}})" +
          "\n\n" + std::string{done});
}

TEST(openai_chat_stream, usage_is_written_only_where_it_was_asked_for) {
  stream_event tokens = made(usage);
  tokens.tokens = {
      .prompt = 3, .completion = 2, .cached = 0, .cache_write = 0, .reasoning = 0, .known = true};
  const std::string bytes =
      encode({made(start), made(text, "x"), tokens, made(end)},
             {.id = "r", .model = "m", .created = 1, .include_usage = false, .asked = nullptr});
  EXPECT_EQ(bytes.find("usage"), std::string::npos);
}

// GW-5
TEST(openai_chat_stream, nothing_follows_an_error) {
  stream_event broken = made(error, "gone");
  broken.error_type = "server_error";
  const std::string bytes = encode({made(start), made(text, "x"), broken, made(text, "y"), made(end)});
  EXPECT_TRUE(
      bytes.ends_with(R"(data: {"error":{"message":"gone","type":"server_error","param":null,"code":null}})"
                      "\n\n"));
  EXPECT_EQ(bytes.find("[DONE]"), std::string::npos);
}

TEST(openai_chat_stream, signatures_survive_the_way_out_and_back) {
  const std::vector<stream_event> events{made(start),
                                         made(thinking, "why"),
                                         made(thinking_signature, "sig"),
                                         made(redacted_thinking, "opaque"),
                                         made(text, "x"),
                                         made(end)};
  const auto back = decode(encode(events));
  ASSERT_EQ(kinds(back),
            (std::vector{start, thinking, thinking_signature, redacted_thinking, text, finish, end}));
  EXPECT_EQ(back[2].text, "sig");
  EXPECT_EQ(back[3].text, "opaque");
}

}  // namespace
}  // namespace tidegate::protocol::dialect
