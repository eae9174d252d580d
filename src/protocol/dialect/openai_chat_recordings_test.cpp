// The Chat Completions dialect against recorded traffic of OpenAI, Azure and some twenty imitators.
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "kit/fixtures.h"
#include "protocol/dialect/canonical_text_for_test.h"
#include "protocol/dialect/dialect.h"
#include "protocol/json/json.h"
#include "protocol/sse/sse.h"

namespace tidegate::protocol::dialect {
namespace {

using test::text_of;

struct recorded {
  std::string name;
  std::string request;
  std::string response;
  bool stream = false;
  std::int64_t status = 200;
};

bool speaks_chat(const std::string& name) { return name.find(".chat.") != std::string::npos; }

std::vector<recorded> exchanges() {
  std::vector<recorded> out;
  for (const std::filesystem::path& path : kit::list_fixtures("exchanges", ".json")) {
    const std::string name = path.filename().string();
    if (!speaks_chat(name)) continue;
    const std::string text = kit::read_file(path).value_or("{}");
    const auto file = json::parse(text);
    if (!file.has_value()) continue;
    recorded made;
    made.name = name;
    if (const auto body = file->path({"request", "body"})) made.request = body->as_string().value_or("");
    if (const auto body = file->path({"response", "body"})) made.response = body->as_string().value_or("");
    if (const auto status = file->path({"response", "status"})) made.status = status->as_int().value_or(0);
    made.stream = name.find(".stream.") != std::string::npos;
    out.push_back(std::move(made));
  }
  return out;
}

// Fixtures of Vercel's providers that speak this dialect: bodies, and streams as one chunk a line.
std::vector<recorded> vercel_fixtures() {
  std::vector<recorded> out;
  for (const std::string_view folder :
       {"alibaba", "deepseek", "groq", "mistral", "moonshotai", "openai-compatible", "perplexity"}) {
    for (const std::filesystem::path& path : kit::list_fixtures("fixtures_vercel/" + std::string{folder})) {
      recorded made;
      made.name = std::string{folder} + "/" + path.filename().string();
      const std::string text = kit::read_file(path).value_or("");
      made.stream = path.extension() != ".json";
      if (path.extension() == ".txt") {
        for (std::size_t at = 0; at < text.size();) {
          const std::size_t end = std::min(text.find('\n', at), text.size());
          if (end > at) made.response += "data: " + text.substr(at, end - at) + "\n\n";
          at = end + 1;
        }
        made.response += "data: [DONE]\n\n";
      } else {
        made.response = text;
      }
      out.push_back(std::move(made));
    }
  }
  return out;
}

struct exception_row {
  std::string_view name;
  std::string_view reason;
};

// Requests that ask for what no other dialect has: refused with the parameter's name.
constexpr std::array request_exceptions{
    exception_row{"bedrock-mantle.chat.json.200.01.json", "audio input"},
    exception_row{"openai.chat.json.200.09.json", "audio output"},
    exception_row{"openai.chat.json.200.14.json", "audio input"},
    exception_row{"openai.chat.json.400.01.json", "audio input"},
    exception_row{"openai.chat.json.400.04.json", "web_search_options"},
    exception_row{"openrouter.chat.json.200.01.json", "server tool openrouter:advisor"},
    exception_row{"openrouter.chat.json.200.13.json", "server tool openrouter:web_search"},
    exception_row{"openrouter.chat.stream.200.14.json", "server tool openrouter:web_search"},
    exception_row{"openrouter.chat.stream.200.15.json", "server tool openrouter:advisor"},
    exception_row{"openai.chat.json.200.35.json", "n > 1"},
    exception_row{"openai.chat.json.200.36.json", "n > 1"},
    exception_row{"openai.chat.json.200.41.json", "n > 1"},
    exception_row{"openai.chat.json.200.42.json", "n > 1"},
    exception_row{"openai.chat.stream.200.09.json", "n > 1"},
    exception_row{"openai.chat.stream.200.12.json", "n > 1"},
};

// Streams that end by [DONE] without a finish reason: the decoder says "stop" at the marker.
constexpr std::array unfinished_streams{
    exception_row{"snowflake.chat.stream.200.01.json", "no finish reason on the wire"},
    exception_row{"snowflake.chat.stream.200.02.json", "no finish reason on the wire"},
};

template <std::size_t N>
bool is_listed(const std::array<exception_row, N>& rows, std::string_view name) {
  for (const exception_row& each : rows) {
    if (each.name == name) return true;
  }
  return false;
}

bool is_exception(std::string_view name) { return is_listed(request_exceptions, name); }

// What the encoder leaves out on purpose: reasoning of earlier turns, settings OpenAI refuses or does not
// have.
request comparable(request r) {
  for (message& each : r.messages) {
    std::erase_if(each.parts, [](const part& p) {
      return p.kind == part_kind::thinking || p.kind == part_kind::redacted_thinking;
    });
  }
  std::erase_if(r.messages, [](const message& m) { return m.from == role::assistant && m.parts.empty(); });
  r.thinking.reset();
  if (r.tools.empty()) {
    r.parallel_tool_calls.reset();
    r.tool_choice = tool_choice_mode::unset;
  }
  for (message& each : r.messages) {
    for (part& p : each.parts) {
      if (p.kind == part_kind::file && p.name.empty()) p.name = "document.pdf";
    }
  }
  return r;
}

TEST(openai_chat_recordings, requests_come_back_equal) {
  const dialect& chat = openai_chat();
  std::size_t passed = 0;
  std::size_t total = 0;
  std::size_t refused = 0;
  for (const recorded& each : exchanges()) {
    const auto body = json::parse(each.request);
    ASSERT_TRUE(body.has_value()) << each.name;
    ++total;
    const auto first = chat.decode_request(*body);
    if (!first.has_value()) {
      EXPECT_TRUE(is_exception(each.name))
          << each.name << ": " << first.error().param << " " << first.error().message;
      EXPECT_FALSE(first.error().param.empty()) << each.name;
      ++refused;
      continue;
    }
    EXPECT_FALSE(is_exception(each.name)) << each.name << " is readable after all";
    const auto encoded = chat.encode_request(*first, "max_tokens");
    ASSERT_TRUE(encoded.has_value()) << each.name << ": " << encoded.error().message;
    const auto again = json::parse(*encoded);
    ASSERT_TRUE(again.has_value()) << each.name << "\n" << *encoded;
    const auto second = chat.decode_request(*again);
    ASSERT_TRUE(second.has_value()) << each.name << ": " << second.error().message;
    const bool equal = text_of(comparable(*first)) == text_of(comparable(*second));
    EXPECT_EQ(text_of(comparable(*first)), text_of(comparable(*second))) << each.name;
    passed += equal ? 1 : 0;
  }
  kit::report("openai_chat requests", passed, total);
  kit::report("openai_chat requests refused with reason", refused, request_exceptions.size());
}

TEST(openai_chat_recordings, replies_are_read_whole) {
  const dialect& chat = openai_chat();
  std::size_t passed = 0;
  std::size_t total = 0;
  std::vector<recorded> all = exchanges();
  for (recorded& each : vercel_fixtures()) all.push_back(std::move(each));
  for (const recorded& each : all) {
    if (each.stream || each.status != 200) continue;
    const auto body = json::parse(each.response);
    ASSERT_TRUE(body.has_value()) << each.name;
    // Vercel keeps replies of the Responses API in some of these folders.
    if (!body->find("choices").has_value()) continue;
    ++total;
    EXPECT_TRUE(chat.has_reply_shape(*body)) << each.name;
    const auto first = chat.decode_reply(*body);
    ASSERT_TRUE(first.has_value()) << each.name << ": " << first.error().message;
    EXPECT_TRUE(first->tokens.known) << each.name;
    EXPECT_EQ(text_of(first->tokens), text_of(chat.usage_of(*body))) << each.name;
    const std::string encoded =
        chat.encode_reply(*first, {.id = "1", .model = "m", .created = 1, .asked = nullptr});
    const auto again = json::parse(encoded);
    ASSERT_TRUE(again.has_value()) << each.name << "\n" << encoded;
    const auto second = chat.decode_reply(*again);
    ASSERT_TRUE(second.has_value()) << each.name;
    // Parts of one kind are joined by the encoder.
    EXPECT_EQ(text_of(first->tokens), text_of(second->tokens)) << each.name;
    EXPECT_EQ(first->finish, second->finish) << each.name;
    const auto joined = [](const reply& r, part_kind kind) {
      std::string out;
      for (const part& p : r.parts)
        out += p.kind == kind ? p.text + p.id + p.name + p.data + p.signature : "";
      return out;
    };
    bool equal = true;
    for (const part_kind kind : {part_kind::text, part_kind::refusal, part_kind::thinking,
                                 part_kind::redacted_thinking, part_kind::tool_call}) {
      equal = equal && joined(*first, kind) == joined(*second, kind);
      EXPECT_EQ(joined(*first, kind), joined(*second, kind)) << each.name;
    }
    passed += equal ? 1 : 0;
  }
  kit::report("openai_chat replies", passed, total);
}

struct observed {
  std::vector<stream_event> events;
  bool content = false;
  bool end = false;
  bool error = false;
  bool finished = false;
  std::size_t malformed_seen = 0;
  std::size_t malformed_decoded = 0;
  usage tokens;
};

// Feeds the bytes in pieces of `step(…)` to the parser, the watch and the decoder.
template <class Step>
observed observe(std::string_view bytes, Step&& step) {
  observed out;
  sse::parser parser;
  const auto watch = openai_chat().watch();
  const auto decoder = openai_chat().decoder();
  const auto take = [&](const sse::event_view& event) {
    const event_meaning meaning = watch->look(event);
    out.content = out.content || meaning.content;
    out.end = out.end || meaning.end;
    out.error = out.error || meaning.error;
    out.finished = out.finished || meaning.finished;
    out.malformed_seen += meaning.malformed ? 1 : 0;
    out.malformed_decoded += decoder->decode(event, out.events) ? 0 : 1;
    return true;
  };
  for (std::size_t at = 0; at < bytes.size();) {
    const std::string piece{bytes.substr(at, step())};
    parser.feed(piece, take);
    at += piece.size();
  }
  parser.finish(take);
  out.tokens = watch->tokens();
  return out;
}

// Text by kind, calls, the last finish and the last usage: what a caller gets out of a stream.
std::string essence(const std::vector<stream_event>& events) {
  std::string text;
  std::string refusal;
  std::string thinking;
  std::vector<std::string> calls;
  finish_reason finish = finish_reason::none;
  usage tokens;
  std::string rest;
  for (const stream_event& each : events) {
    switch (each.kind) {
      case stream_event_kind::text:
        text += each.text;
        break;
      case stream_event_kind::refusal:
        refusal += each.text;
        break;
      case stream_event_kind::thinking:
        thinking += each.text;
        break;
      case stream_event_kind::thinking_signature:
      case stream_event_kind::redacted_thinking:
        rest += each.text + "\n";
        break;
      case stream_event_kind::tool_start:
        calls.push_back(each.id + " " + each.name + " ");
        break;
      case stream_event_kind::tool_arguments:
        calls.at(each.index) += each.text;
        break;
      case stream_event_kind::usage:
        tokens = each.tokens;
        break;
      case stream_event_kind::finish:
        finish = each.finish;
        break;
      case stream_event_kind::end:
        rest += "end\n";
        break;
      case stream_event_kind::error:
        rest += each.error_type + each.error_code + each.text;
        break;
      case stream_event_kind::start:
      case stream_event_kind::part_end:
        break;
    }
  }
  for (std::string& each : calls) rest += (each.ends_with(' ') ? each + "{}" : each) + "\n";
  return text + "|" + refusal + "|" + thinking + "|" + rest + std::to_string(static_cast<int>(finish)) +
         text_of(tokens);
}

bool has_event(const std::vector<stream_event>& events, stream_event_kind kind) {
  for (const stream_event& each : events) {
    if (each.kind == kind) return true;
  }
  return false;
}

bool has_content(const std::vector<stream_event>& events) {
  using enum stream_event_kind;
  for (const stream_event_kind kind : {text, refusal, thinking, redacted_thinking, tool_start}) {
    if (has_event(events, kind)) return true;
  }
  return false;
}

usage last_usage(const std::vector<stream_event>& events) {
  usage out;
  for (const stream_event& each : events) {
    if (each.kind == stream_event_kind::usage) out = each.tokens;
  }
  return out;
}

// STR-9, and the watch and the decoder tell the same story.
TEST(openai_chat_recordings, streams_read_the_same_under_every_split) {
  std::size_t passed = 0;
  std::size_t total = 0;
  std::vector<recorded> all = exchanges();
  for (recorded& each : vercel_fixtures()) all.push_back(std::move(each));
  for (const recorded& each : all) {
    if (!each.stream || each.status != 200) continue;
    ++total;
    const observed whole = observe(each.response, [&] { return each.response.size(); });
    const observed bytewise = observe(each.response, [] { return std::size_t{1}; });
    std::minstd_rand random{static_cast<std::uint32_t>(each.response.size())};
    const observed pieces =
        observe(each.response, [&] { return 1 + static_cast<std::size_t>(random() % 97); });
    EXPECT_EQ(text_of(whole.events), text_of(bytewise.events)) << each.name;
    EXPECT_EQ(text_of(whole.events), text_of(pieces.events)) << each.name;
    EXPECT_EQ(whole.content, has_content(whole.events)) << each.name;
    EXPECT_EQ(whole.end, has_event(whole.events, stream_event_kind::end)) << each.name;
    EXPECT_EQ(whole.error, has_event(whole.events, stream_event_kind::error)) << each.name;
    EXPECT_EQ(whole.finished || is_listed(unfinished_streams, each.name),
              has_event(whole.events, stream_event_kind::finish))
        << each.name;
    EXPECT_EQ(text_of(whole.tokens), text_of(last_usage(whole.events))) << each.name;
    EXPECT_EQ(whole.malformed_seen, whole.malformed_decoded) << each.name;
    EXPECT_EQ(whole.malformed_seen, 0U) << each.name;
    EXPECT_TRUE(has_event(whole.events, stream_event_kind::start)) << each.name;
    EXPECT_TRUE(whole.content) << each.name;
    passed += testing::Test::HasFailure() ? 0 : 1;
  }
  kit::report("openai_chat streams", passed, total);
}

TEST(openai_chat_recordings, encoded_streams_say_the_same) {
  std::size_t passed = 0;
  std::size_t total = 0;
  std::vector<recorded> all = exchanges();
  for (recorded& each : vercel_fixtures()) all.push_back(std::move(each));
  for (const recorded& each : all) {
    if (!each.stream || each.status != 200) continue;
    const observed first = observe(each.response, [&] { return each.response.size(); });
    if (!first.end) continue;  // a broken stream is never made whole
    ++total;
    std::string bytes;
    const auto encoder = openai_chat().encoder({.id = "1", .model = "m", .created = 1, .asked = nullptr});
    for (const stream_event& event : first.events) encoder->encode(event, bytes);
    const observed second = observe(bytes, [&] { return bytes.size(); });
    EXPECT_EQ(essence(first.events), essence(second.events)) << each.name;
    passed += essence(first.events) == essence(second.events) ? 1 : 0;
  }
  kit::report("openai_chat streams encoded", passed, total);
}

}  // namespace
}  // namespace tidegate::protocol::dialect
