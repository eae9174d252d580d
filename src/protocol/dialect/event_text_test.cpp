// The words of raw events are the words that a decoder would have found.
#include "protocol/dialect/event_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "foundation/random.h"
#include "kit/fixtures.h"
#include "protocol/dialect/dialect.h"
#include "protocol/dialect/prompt_sink_for_test.h"

namespace tidegate::protocol::dialect {
namespace {

using test::remembering_sink;

std::string words_of(dialect_id speaks, std::initializer_list<std::string_view> events,
                     std::string_view type = {}) {
  event_text scanner{speaks};
  remembering_sink sink;
  for (const std::string_view data : events) {
    sse::event_view event;
    event.type = type;
    event.data = data;
    scanner.scan(event, sink);
  }
  return sink.words;
}

std::string chat_words(std::initializer_list<std::string_view> events) {
  return words_of(dialect_id::openai_chat, events);
}

TEST(event_text, chat_deltas) {
  EXPECT_EQ(
      chat_words(
          {R"({"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"}}]})",
           R"({"id":"x","choices":[{"index":0,"delta":{"content":"lo\n"},"finish_reason":null}]})",
           R"({"id":"x","choices":[{"index":0,"delta":{"content":"\u4f60"},"logprobs":{"content":[{"token":"no"}]}}]})"}),
      "Hello\n你");
  EXPECT_EQ(chat_words({R"({ "choices" : [ { "delta" : { "content" : "a \"quote\"" } } ] })"}),
            "a \"quote\"");
}

TEST(event_text, chat_tool_calls_and_reasoning) {
  EXPECT_EQ(
      chat_words(
          {R"({"choices":[{"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"look","arguments":"{\"a\""}}]}}]})"}),
      "look{\"a\"");
  EXPECT_EQ(
      chat_words(
          {R"({"choices":[{"delta":{"content":"","reasoning":"why","reasoning_details":[{"type":"reasoning.text","text":"why"}]}}]})"}),
      "why");
  EXPECT_EQ(
      chat_words(
          {R"({"choices":[{"delta":{"reasoning_details":[{"type":"reasoning.text","text":"why"}]}}]})"}),
      "why");
  EXPECT_EQ(
      chat_words(
          {R"({"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}}]})"}),
      "hm");
}

TEST(event_text, every_choice_counts) {
  EXPECT_EQ(chat_words(
                {R"({"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}]})"}),
            "ab");
}

// Perplexity repeats all that came before in `message`.
TEST(event_text, a_cumulative_message_beside_the_delta_does_not_count) {
  EXPECT_EQ(
      chat_words(
          {R"({"choices":[{"index":0,"message":{"content":"long before"},"delta":{"content":"fore"}}]})"}),
      "fore");
  EXPECT_EQ(chat_words({R"({"choices":[{"index":0,"message":{"role":"assistant","content":"whole"}}]})"}),
            "whole");
}

TEST(event_text, a_key_inside_of_a_string_is_no_key) {
  EXPECT_EQ(chat_words({R"({"choices":[{"delta":{"content":"{\"delta\":{\"content\":\"x\"}}"}}]})"}),
            R"({"delta":{"content":"x"}})");
  EXPECT_EQ(chat_words({R"({"object":"delta","choices":[{"delta":{"content":"y"}}]})"}), "y");
}

TEST(event_text, messages_deltas) {
  EXPECT_EQ(
      words_of(
          dialect_id::anthropic_messages,
          {R"({"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"look","input":{}}})",
           R"({"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}})",
           R"({"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hi"}})",
           R"({"type":"content_block_delta","index":2,"delta":{"type":"thinking_delta","thinking":"hm"}})",
           R"({"type":"content_block_delta","index":2,"delta":{"type":"signature_delta","signature":"QUJD"}})",
           R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":4}})"}),
      "look{\"a\":Hihm");
}

TEST(event_text, responses_deltas) {
  EXPECT_EQ(
      words_of(dialect_id::openai_responses,
               {R"({"type":"response.output_text.delta","item_id":"m","delta":"Hel","obfuscation":"zz"})",
                R"({"type":"response.output_text.delta","item_id":"m","delta":"lo"})",
                R"({"type":"response.output_text.done","item_id":"m","text":"Hello"})",
                R"({"type":"response.output_audio.delta","delta":"QUJDRA=="})",
                R"({"type":"response.function_call_arguments.delta","delta":"{}"})"}),
      "Hello{}");
  EXPECT_EQ(words_of(dialect_id::openai_responses, {R"({"delta":"a"})"}, "response.output_text.delta"), "a");
}

TEST(event_text, any_bytes_do_no_harm) {
  foundation::random_source random{7};
  const std::string_view seeds[] = {
      R"({"choices":[{"delta":{"content":"ab\u00e4\\","tool_calls":[{"function":{"arguments":"{\"x\":1}"}}]}}]})",
      R"({"type":"content_block_delta","delta":{"type":"text_delta","text":"ab\"c"}})",
      R"({"type":"response.output_text.delta","delta":"abc\n"})"};
  for (int round = 0; round < 20'000; ++round) {
    std::string data{seeds[static_cast<std::size_t>(round % 3)]};
    data.resize(random.below(data.size() + 1));
    for (int hits = 0; hits < 3 && !data.empty(); ++hits) {
      constexpr std::string_view alphabet = "\"\\{}[]:,u0 d";
      data[random.below(data.size())] = alphabet[random.below(alphabet.size())];
    }
    for (const dialect_id d :
         {dialect_id::openai_chat, dialect_id::openai_responses, dialect_id::anthropic_messages}) {
      // On the heap and exact, so that a read behind the end is caught.
      const std::vector<char> exact(data.begin(), data.end());
      static_cast<void>(words_of(d, {std::string_view{exact.data(), exact.size()}}));
    }
  }
}

// Against the decoders, on every recorded stream. More is found where the vendor's own tools were called,
// whose input the model wrote and the decoders leave out.
TEST(event_text, recorded_streams_say_what_their_decoders_say) {
  std::size_t streams = 0;
  std::size_t same = 0;
  std::size_t fewer = 0;
  for (const auto& path : kit::list_fixtures("exchanges", ".json")) {
    const auto text = kit::read_file(path);
    if (!text) continue;
    const auto parsed = json::parse(*text, 512);
    if (!parsed || parsed->find("stream").value_or(json::value{}).as_bool() != true) continue;
    const std::string api = parsed->string_or("api", "");
    if (api != "responses" && api != "messages" && api != "chat") continue;
    const dialect_id speaks = api == "responses"  ? dialect_id::openai_responses
                              : api == "messages" ? dialect_id::anthropic_messages
                                                  : dialect_id::openai_chat;
    const auto body = parsed->path({"response", "body"});
    const std::string bytes = body ? body->as_string().value_or("") : "";
    if (bytes.empty()) continue;
    event_text scanner{speaks};
    remembering_sink raw;
    const auto decoder = get(speaks).decoder();
    std::string decoded;
    const auto look = [&](const sse::event_view& event) {
      if (!event.dispatch) return true;
      scanner.scan(event, raw);
      std::vector<stream_event> events;
      decoder->decode(event, events);
      for (const stream_event& e : events) {
        if (e.kind == stream_event_kind::text || e.kind == stream_event_kind::refusal ||
            e.kind == stream_event_kind::thinking || e.kind == stream_event_kind::tool_arguments) {
          decoded += e.text;
        } else if (e.kind == stream_event_kind::redacted_thinking) {
          decoded += e.text.substr(0, e.text.size() / 4 * 3);
        } else if (e.kind == stream_event_kind::tool_start) {
          decoded += e.name;
        }
      }
      return true;
    };
    sse::parser parser;
    static_cast<void>(parser.feed(bytes, look));
    static_cast<void>(parser.finish(look));
    ++streams;
    const auto a = static_cast<std::int64_t>(raw.words.size());
    const auto b = static_cast<std::int64_t>(decoded.size());
    if (a < b - 16 - b / 50) ++fewer;
    if (std::abs(a - b) <= 16 + b / 50) {
      ++same;
    } else {
      std::printf("  differs: %s scanned %lld decoded %lld\n", path.filename().c_str(),
                  static_cast<long long>(a), static_cast<long long>(b));
    }
  }
  std::printf("event_text: %zu/%zu recorded streams\n", same, streams);
  EXPECT_EQ(fewer, 0U);
  EXPECT_GE(same * 100, streams * 90);
}

}  // namespace
}  // namespace tidegate::protocol::dialect
