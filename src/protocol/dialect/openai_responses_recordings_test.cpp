// The Responses dialect against recorded traffic of OpenAI, Azure, xAI, DeepSeek, Bedrock, OpenRouter and LM
// Studio.
#include <gtest/gtest.h>

#include <algorithm>
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

std::vector<recorded> exchanges() {
  std::vector<recorded> out;
  for (const std::filesystem::path& path : kit::list_fixtures("exchanges", ".json")) {
    const std::string name = path.filename().string();
    if (name.find(".responses.") == std::string::npos) continue;
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

// One chunk a line, up to the first end: some files hold the streams of several turns.
std::string sse_of_lines(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    const auto data = json::parse(line);
    const std::string type = data.has_value() ? data->string_or("type", "") : "";
    sse::append_event(out, type, line);
    if (type == "response.completed") break;
  }
  return out;
}

std::vector<recorded> vercel_fixtures() {
  std::vector<recorded> out;
  for (const std::string_view folder : {"azure", "open-responses", "openai", "xai"}) {
    for (const std::filesystem::path& path : kit::list_fixtures("fixtures_vercel/" + std::string{folder})) {
      recorded made;
      made.name = std::string{folder} + "/" + path.filename().string();
      const std::string text = kit::read_file(path).value_or("");
      made.stream = path.extension() == ".txt";
      made.response = made.stream ? sse_of_lines(text) : text;
      const bool ours = made.stream ? text.find("\"response.created\"") != std::string::npos
                                    : text.find("\"output\"") != std::string::npos;
      if (ours) out.push_back(std::move(made));
    }
  }
  return out;
}

std::vector<recorded> replies(bool stream) {
  std::vector<recorded> out = exchanges();
  for (recorded& each : vercel_fixtures()) out.push_back(std::move(each));
  std::erase_if(out, [stream](const recorded& r) { return r.status != 200 || r.stream != stream; });
  return out;
}

// Cuts of `size` bytes; 0 stands for random ones.
std::vector<stream_event> decode_all(const dialect& d, std::string_view bytes, std::size_t size) {
  std::vector<stream_event> out;
  const auto decoder = d.decoder();
  sse::parser parser;
  std::minstd_rand random{static_cast<std::minstd_rand::result_type>(bytes.size() + 1)};
  const auto take = [&](const sse::event_view& e) {
    EXPECT_TRUE(decoder->decode(e, out)) << e.data;
    return true;
  };
  while (!bytes.empty()) {
    const std::size_t want = size != 0 ? size : 1 + random() % 200;
    const std::string piece{bytes.substr(0, want)};
    parser.feed(piece, take);
    bytes.remove_prefix(piece.size());
  }
  parser.finish(take);
  return out;
}

bool is_content(const stream_event& e) {
  switch (e.kind) {
    case stream_event_kind::text:
    case stream_event_kind::refusal:
    case stream_event_kind::thinking:
    case stream_event_kind::tool_start:
    case stream_event_kind::tool_arguments:
      return !e.text.empty() || e.kind == stream_event_kind::tool_start;
    default:
      return false;
  }
}

// Requests that need the vendor: its tools, its store, its log probabilities.
struct exception_row {
  std::string_view name;
  std::string_view param;
};
constexpr std::array request_exceptions{
    exception_row{"deepseek.responses.json.200.05.json", "tools[0].type"},
    exception_row{"openai.responses.json.200.02.json", "tools[0].type"},
    exception_row{"openai.responses.json.200.03.json", "input[2].type"},
    exception_row{"openai.responses.json.200.04.json", "tools[0].type"},
    exception_row{"openai.responses.json.200.15.json", "previous_response_id"},
    exception_row{"openai.responses.json.200.17.json", "previous_response_id"},
    exception_row{"openai.responses.json.200.19.json", "tools[0].type"},
    exception_row{"openai.responses.json.200.23.json", "tools[0].type"},
    exception_row{"openai.responses.json.200.24.json", "tools[0].type"},
    exception_row{"openai.responses.json.200.27.json", "tools[0].type"},
    exception_row{"openai.responses.json.200.29.json", "tools[0].type"},
    exception_row{"openai.responses.json.200.32.json", "tools[0].type"},
    exception_row{"openai.responses.json.200.33.json", "tools[0].type"},
    exception_row{"openai.responses.json.200.35.json", "tools[0].type"},
    exception_row{"openai.responses.json.200.39.json", "background"},
    exception_row{"openai.responses.stream.200.01.json", "include"},
    exception_row{"openai.responses.stream.200.04.json", "tools[0].type"},
    exception_row{"openai.responses.stream.200.07.json", "tools[0].type"},
    exception_row{"openai.responses.stream.200.08.json", "moderation"},
    exception_row{"openai.responses.stream.200.10.json", "tools[0].type"},
    exception_row{"openai.responses.stream.200.11.json", "tools[0].type"},
    exception_row{"openai.responses.stream.200.18.json", "tools[0].type"},
    exception_row{"openai.responses.stream.200.22.json", "tools[0].type"},
    exception_row{"openai.responses.stream.200.25.json", "tools[0].type"},
    exception_row{"xai.responses.json.200.09.json", "tools[0].type"},
};

std::string_view expected_complaint(std::string_view name) {
  for (const exception_row& row : request_exceptions) {
    if (row.name == name) return row.param;
  }
  return {};
}

// What the encoder says differently without another meaning.
request comparable(request r) {
  r.echo.clear();
  for (tool& each : r.tools) each.strict = each.strict.value_or(false);
  const auto usual_detail = [](part& p) {
    if (p.kind == part_kind::image && p.detail.empty()) p.detail = "auto";
  };
  for (message& m : r.messages) {
    for (part& p : m.parts) {
      usual_detail(p);
      for (part& inner : p.content) usual_detail(inner);
    }
  }
  return r;
}

TEST(openai_responses_recordings, requests_come_back_equal) {
  const dialect& d = openai_responses();
  std::size_t passed = 0;
  std::size_t total = 0;
  std::size_t refused = 0;
  for (const recorded& each : exchanges()) {
    const auto body = json::parse(each.request);
    ASSERT_TRUE(body.has_value()) << each.name;
    const auto first = d.decode_request(*body);
    if (!first.has_value()) {
      ++refused;
      EXPECT_EQ(first.error().param, expected_complaint(each.name))
          << each.name << ": " << first.error().message;
      continue;
    }
    ++total;
    EXPECT_EQ(expected_complaint(each.name), "") << each.name << " is readable after all";
    const auto encoded = d.encode_request(*first, {});
    ASSERT_TRUE(encoded.has_value()) << each.name << ": " << encoded.error().message;
    const auto again = json::parse(*encoded);
    ASSERT_TRUE(again.has_value()) << *encoded;
    const auto second = d.decode_request(*again);
    ASSERT_TRUE(second.has_value()) << each.name << ": " << second.error().param << second.error().message;
    EXPECT_EQ(text_of(comparable(*first)), text_of(comparable(*second))) << each.name;
    if (comparable(*first) == comparable(*second)) ++passed;
  }
  EXPECT_EQ(passed, total);
  kit::report("openai_responses requests", passed, total);
  kit::report("openai_responses requests refused by name", refused, refused);
}

// Item ids are the encoder's own where the reply had none of its kind.
reply comparable(reply r) {
  r.model.clear();
  return r;
}

TEST(openai_responses_recordings, replies_come_back_equal) {
  const dialect& d = openai_responses();
  std::size_t passed = 0;
  std::size_t total = 0;
  for (const recorded& each : replies(false)) {
    const auto body = json::parse(each.response);
    ASSERT_TRUE(body.has_value()) << each.name;
    ++total;
    EXPECT_TRUE(d.has_reply_shape(*body)) << each.name;
    const auto first = d.decode_reply(*body);
    ASSERT_TRUE(first.has_value()) << each.name << ": " << first.error().message;
    EXPECT_EQ(first->tokens, d.usage_of(*body));
    const std::string encoded = d.encode_reply(*first, {.id = first->id, .model = "m", .asked = nullptr});
    const auto again = json::parse(encoded);
    ASSERT_TRUE(again.has_value()) << encoded;
    auto second = d.decode_reply(*again);
    ASSERT_TRUE(second.has_value()) << each.name;
    second->id = first->id;
    // A reply still in the making has no finish; what we write has one.
    if (first->finish == finish_reason::none) second->finish = finish_reason::none;
    EXPECT_EQ(text_of(*first), text_of(*second)) << each.name;
    if (comparable(*first) == comparable(*second)) ++passed;
  }
  EXPECT_EQ(passed, total);
  kit::report("openai_responses replies", passed, total);
}

// The sum of a stream's events, as a reply.
reply sum_of(const std::vector<stream_event>& events) {
  reply out;
  bool open = false;
  const auto add = [&](part_kind kind, const std::string& text) {
    if (!open || out.parts.empty() || out.parts.back().kind != kind) out.parts.emplace_back().kind = kind;
    open = true;
    out.parts.back().text += text;
  };
  std::vector<std::size_t> calls;
  for (const stream_event& e : events) {
    if (e.kind == stream_event_kind::start) out.id = e.id;
    if (e.kind == stream_event_kind::text) add(part_kind::text, e.text);
    if (e.kind == stream_event_kind::refusal) add(part_kind::refusal, e.text);
    if (e.kind == stream_event_kind::thinking) add(part_kind::thinking, e.text);
    if (e.kind == stream_event_kind::part_end) open = false;
    if (e.kind == stream_event_kind::tool_start) {
      calls.push_back(out.parts.size());
      part& call = out.parts.emplace_back();
      call.kind = part_kind::tool_call;
      call.id = e.id;
      call.name = e.name;
    }
    if (e.kind == stream_event_kind::tool_arguments) out.parts[calls.at(e.index)].data += e.text;
    if (e.kind == stream_event_kind::usage) out.tokens = e.tokens;
    if (e.kind == stream_event_kind::finish) out.finish = e.finish;
  }
  return out;
}

// A stream says no item ids and no vendor's seals; thoughts without words are nothing to stream.
reply as_streamed(reply r) {
  for (part& p : r.parts) {
    if (p.kind == part_kind::thinking) p.id.clear();
    p.encrypted_content.clear();
  }
  std::erase_if(r.parts, [](const part& p) { return p.kind == part_kind::thinking && p.text.empty(); });
  r.model.clear();
  r.created = 0;
  return r;
}

// The whole reply that the last event of a stream carries.
std::optional<reply> final_reply(const dialect& d, std::string_view bytes) {
  std::optional<reply> out;
  sse::parser parser;
  const auto take = [&](const sse::event_view& e) {
    const auto data = json::parse(e.data);
    if (!data || !data->string_or("type", "").starts_with("response.completed")) return true;
    if (const auto r = d.decode_reply(data->find("response").value_or(json::value{}))) out = *r;
    return true;
  };
  parser.feed(bytes, take);
  parser.finish(take);
  return out;
}

TEST(openai_responses_recordings, streams_say_what_their_final_reply_says) {
  const dialect& d = openai_responses();
  std::size_t passed = 0;
  std::size_t total = 0;
  for (const recorded& each : replies(true)) {
    // Its keeper shortened the deltas and left the final reply whole.
    if (each.name == "openai/openai-phase.1.chunks.txt") continue;
    ++total;
    const std::vector<stream_event> events = decode_all(d, each.response, each.response.size());
    const std::optional<reply> whole = final_reply(d, each.response);
    ASSERT_TRUE(whole.has_value()) << each.name;
    ASSERT_FALSE(events.empty()) << each.name;
    EXPECT_EQ(events.front().kind, stream_event_kind::start) << each.name;
    EXPECT_EQ(events.back().kind, stream_event_kind::end) << each.name;
    reply streamed = sum_of(events);
    // Some providers change ids on the way; and the final object of a filled-in reply may have another one.
    streamed.id = whole->id;
    EXPECT_EQ(text_of(streamed), text_of(as_streamed(*whole))) << each.name;
    if (streamed == as_streamed(*whole)) ++passed;
  }
  EXPECT_EQ(passed, total);
  kit::report("openai_responses streams against their final reply", passed, total);
}

TEST(openai_responses_recordings, streams_mean_the_same_however_they_are_cut) {
  const dialect& d = openai_responses();
  std::size_t total = 0;
  std::size_t passed = 0;
  for (const recorded& each : replies(true)) {
    const std::vector<stream_event> whole = decode_all(d, each.response, each.response.size());
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}}) {
      ++total;
      const bool equal = decode_all(d, each.response, size) == whole;
      EXPECT_TRUE(equal) << each.name;
      passed += equal ? 1U : 0U;
    }
  }
  kit::report("openai_responses streams under random and one-byte cuts", passed, total);
}

TEST(openai_responses_recordings, encoded_streams_are_read_back_equal) {
  const dialect& d = openai_responses();
  std::size_t total = 0;
  std::size_t passed = 0;
  for (const recorded& each : replies(true)) {
    ++total;
    std::vector<stream_event> events = decode_all(d, each.response, each.response.size());
    const auto encoder = d.encoder({.id = "7", .model = "m", .asked = nullptr});
    std::string bytes;
    for (const stream_event& e : events) encoder->encode(e, bytes);
    const std::vector<stream_event> again = decode_all(d, bytes, 0);
    const reply first = as_streamed(sum_of(events));
    reply second = as_streamed(sum_of(again));
    second.id = first.id;
    EXPECT_EQ(text_of(first), text_of(second)) << each.name;
    const std::optional<reply> final = final_reply(d, bytes);
    ASSERT_TRUE(final.has_value() || first.finish == finish_reason::length) << each.name;
    reply told = final ? as_streamed(*final) : second;
    told.id = first.id;
    EXPECT_EQ(text_of(first), text_of(told)) << each.name;
    if (first == second && first == told) ++passed;
  }
  EXPECT_EQ(passed, total);
  kit::report("openai_responses streams encoded and read back", passed, total);
}

TEST(openai_responses_recordings, watch_and_decoder_agree) {
  const dialect& d = openai_responses();
  std::size_t total = 0;
  std::size_t passed = 0;
  for (const recorded& each : replies(true)) {
    ++total;
    const auto decoder = d.decoder();
    const auto watch = d.watch();
    std::size_t event_index = 0;
    std::size_t watch_content = 0;
    std::size_t decoder_content = 0;
    bool agree = true;
    usage tokens;
    sse::parser parser;
    const auto take = [&](const sse::event_view& e) {
      ++event_index;
      std::vector<stream_event> out;
      const event_meaning meaning = watch->look(e);
      const bool well = decoder->decode(e, out);
      agree = agree && meaning.malformed == !well;
      bool end = false;
      bool finished = false;
      for (const stream_event& each_event : out) {
        if (is_content(each_event) && decoder_content == 0) decoder_content = event_index;
        if (each_event.kind == stream_event_kind::usage) tokens = each_event.tokens;
        end = end || each_event.kind == stream_event_kind::end;
        finished = finished || each_event.kind == stream_event_kind::finish;
      }
      if (meaning.content && watch_content == 0) watch_content = event_index;
      agree = agree && meaning.end == end && meaning.finished == finished && !meaning.error;
      return true;
    };
    parser.feed(each.response, take);
    parser.finish(take);
    // The vendor's own tools write code and queries before any text; the watch takes these for content too.
    const bool own_tools = each.response.find("_call_code.delta") != std::string::npos ||
                           each.response.find("_call_arguments.delta") != std::string::npos ||
                           each.response.find("_input.delta") != std::string::npos ||
                           each.response.find("_command.delta") != std::string::npos;
    agree = agree && (watch_content == decoder_content ||
                      (own_tools && (decoder_content == 0 || watch_content <= decoder_content)));
    agree = agree && watch->tokens() == tokens;
    EXPECT_TRUE(agree) << each.name << " content at " << watch_content << " and " << decoder_content;
    passed += agree ? 1U : 0U;
  }
  EXPECT_EQ(passed, total);
  kit::report("openai_responses watch against decoder", passed, total);
}

}  // namespace
}  // namespace tidegate::protocol::dialect
