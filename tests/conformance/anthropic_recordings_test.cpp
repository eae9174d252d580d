// The Anthropic dialect against everything that Anthropic's API (also behind Vertex) was recorded to say.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "conformance/canonical_text.h"
#include "conformance/recordings.h"
#include "protocol/json/json.h"

namespace tidegate::conformance {
namespace {

using namespace protocol::dialect;
namespace json = protocol::json;

// Requests that ask Anthropic's servers to act; they cannot be said in another dialect, and the complaint
// names why.
bool needs_the_vendor(const complaint& c) {
  return c.message.contains("not supported by the provider this model is routed to");
}

struct tally {
  std::size_t passed = 0;
  std::size_t total = 0;
  void count(bool good, const std::string& name, const std::string& what) {
    ++total;
    passed += good ? 1U : 0U;
    EXPECT_TRUE(good) << name << "\n" << what;
  }
  void print(const char* what) const { std::printf("anthropic %s: %zu/%zu\n", what, passed, total); }
};

void for_each(const std::function<bool(const recording&)>& wanted,
              const std::function<void(const recording&)>& check) {
  for (const recording& r : recordings()) {
    if (r.dialect == dialect_id::anthropic_messages && wanted(r)) check(r);
  }
}

TEST(anthropic_recordings, requests_survive_decode_and_encode) {
  tally seen;
  std::size_t refused = 0;
  for_each([](const recording& r) { return !r.request.empty(); },
           [&](const recording& r) {
             const auto body = json::parse(r.request);
             ASSERT_TRUE(body) << r.name;
             const auto first = anthropic_messages().decode_request(*body);
             // Bedrock puts model and stream into the path; its bodies lack them.
             if (!first && (needs_the_vendor(first.error()) || first.error().param == "model")) {
               std::printf("  refused %s: %s\n", r.name.c_str(), first.error().message.c_str());
               ++refused;
               return;
             }
             if (!first) return seen.count(false, r.name, first.error().message);
             const auto text = anthropic_messages().encode_request(*first, "");
             if (!text) return seen.count(false, r.name, text.error().message);
             const auto again = json::parse(*text);
             if (!again) return seen.count(false, r.name, *text);
             const auto second = anthropic_messages().decode_request(*again);
             const std::string was = to_text(*first);
             const std::string is = second ? to_text(*second) : second.error().message;
             seen.count(was == is, r.name, was + "-----\n" + is);
           });
  std::printf("anthropic requests refused with a named field: %zu\n", refused);
  seen.print("requests");
}

TEST(anthropic_recordings, replies_survive_decode_and_encode) {
  tally seen;
  for_each([](const recording& r) { return !r.stream && r.status == 200; },
           [&](const recording& r) {
             const auto body = json::parse(r.response);
             ASSERT_TRUE(body) << r.name;
             EXPECT_TRUE(anthropic_messages().has_reply_shape(*body)) << r.name;
             const auto first = anthropic_messages().decode_reply(*body);
             if (!first) return seen.count(false, r.name, first.error().message);
             const std::string text =
                 anthropic_messages().encode_reply(*first, {.id = "x", .model = first->model});
             const auto again = json::parse(text);
             if (!again) return seen.count(false, r.name, text);
             const auto second = anthropic_messages().decode_reply(*again);
             const std::string was = to_text(*first);
             const std::string is = second ? to_text(*second) : second.error().message;
             EXPECT_EQ(to_text(anthropic_messages().usage_of(*body)), to_text(first->tokens)) << r.name;
             seen.count(was == is, r.name, was + "-----\n" + is);
           });
  seen.print("replies");
}

bool is_stream(const recording& r) { return r.stream && r.status == 200; }

TEST(anthropic_recordings, streams_decode_alike_under_any_split) {
  tally seen;
  for_each(is_stream, [&](const recording& r) {
    const std::string whole = to_text(decode_stream(r.dialect, r.response, split::whole));
    for (const split how : {split::random, split::single}) {
      seen.count(whole == to_text(decode_stream(r.dialect, r.response, how)), r.name,
                 std::string{name_of(how)});
    }
  });
  seen.print("stream splits");
}

// Encoded and decoded again, a stream says the same: its blocks in order, with the fragments of each joined.
TEST(anthropic_recordings, streams_survive_encode) {
  tally seen;
  for_each(is_stream, [&](const recording& r) {
    const auto events = decode_stream(r.dialect, r.response, split::whole);
    std::string bytes;
    const auto encoder = anthropic_messages().encoder({.id = "x", .model = "m"});
    for (const stream_event& e : events) encoder->encode(e, bytes);
    const answer was = answer_of(events);
    const answer is = answer_of(decode_stream(r.dialect, bytes, split::whole));
    const bool same = to_text(was) == to_text(is);
    seen.count(same, r.name, to_text(was) + "-----\n" + to_text(is));
  });
  seen.print("stream encodes");
}

// What the relay learns from raw bytes is what a full decode says.
TEST(anthropic_recordings, watch_agrees_with_the_decoder) {
  tally seen;
  for_each(is_stream, [&](const recording& r) {
    const auto decoder = anthropic_messages().decoder();
    const auto watch = anthropic_messages().watch();
    bool content = false;
    bool decoded_content = false;
    bool same = true;
    usage tokens;
    feed(r.response, split::whole, [&](const protocol::sse::event_view& event) {
      std::vector<stream_event> out;
      const bool read = decoder->decode(event, out);
      const event_meaning meaning = watch->look(event);
      const auto has = [&](stream_event_kind kind) {
        return std::ranges::any_of(out, [kind](const stream_event& e) { return e.kind == kind; });
      };
      for (const stream_event& e : out) tokens = e.tokens.known ? e.tokens : tokens;
      same = same && read != meaning.malformed && meaning.end == has(stream_event_kind::end) &&
             meaning.finished == has(stream_event_kind::finish) &&
             meaning.error == has(stream_event_kind::error);
      decoded_content = decoded_content || has(stream_event_kind::text) || has(stream_event_kind::thinking) ||
                        has(stream_event_kind::tool_start) || has(stream_event_kind::redacted_thinking);
      // A tool that runs at the vendor is content to the relay and nothing to the decoder.
      const bool at_vendor = event.data.contains("server_tool_use") || event.data.contains("_tool_result");
      content = content || meaning.content;
      same = same && (content == decoded_content || at_vendor || r.response.contains("server_tool_use"));
    });
    same = same && to_text(watch->tokens()) == to_text(tokens);
    seen.count(same, r.name, to_text(watch->tokens()) + "\n" + to_text(tokens));
  });
  seen.print("watch");
}

}  // namespace
}  // namespace tidegate::conformance
