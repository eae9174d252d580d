// The relay as bytes in, bytes out: every recorded stream comes out as it went in, whatever the split, and
// what is content, an end, an error or a cut is told apart.
#include "gateway/stream_relay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "foundation/random.h"
#include "kit/fixtures.h"
#include "kit/provider_texts.h"
#include "policy/tokens.h"

namespace tidegate::gateway {
namespace {

using dialect::dialect_id;
using kit::stream_text;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr dialect_id dialects[] = {dialect_id::openai_chat, dialect_id::openai_responses,
                                   dialect_id::anthropic_messages};

struct relayed {
  std::string out;
  relay_state state = relay_state::open;
  bool content = false;
  std::string tail;
  std::string error_bytes;
  std::uint32_t malformed = 0;
  std::int64_t received = 0;
};

enum class split : std::uint8_t { whole, random, single };

relayed relay(dialect_id provider, dialect_id caller, std::string_view bytes, split how,
              bool body_whole = true, relay_options options = {}) {
  dialect::encode_context context;
  context.id = "run";
  context.model = "gpt-5.2";
  stream_relay r{dialect::get(provider), dialect::get(caller), context, options};
  foundation::random_source random{std::uint64_t{bytes.size()} + 1};
  relayed got;
  while (!bytes.empty() && got.state == relay_state::open) {
    const std::size_t want = how == split::whole    ? bytes.size()
                             : how == split::single ? 1
                                                    : 1 + random.below(97);
    const std::string piece{
        bytes.substr(0, want)};  // a copy: a view kept into an older piece would be caught
    bytes.remove_prefix(piece.size());
    got.state = r.feed(piece, got.out);
  }
  if (got.state == relay_state::open) got.state = r.finish(body_whole, got.out);
  got.content = r.content();
  got.tail = r.tail();
  got.error_bytes = r.error_bytes();
  got.malformed = r.malformed();
  got.received = r.received_tokens();
  return got;
}

std::string joined(const std::vector<std::string>& pieces) {
  std::string out;
  for (const std::string& piece : pieces) out += piece;
  return out;
}

struct recorded_stream {
  std::string name;
  std::string provider;
  dialect_id dialect;
  std::string body;
};

std::vector<recorded_stream> recorded_streams() {
  std::vector<recorded_stream> out;
  for (const auto& path : kit::list_fixtures("exchanges", ".json")) {
    const auto text = kit::read_file(path);
    simdjson::dom::parser parser;
    simdjson::dom::element e;
    if (!text || parser.parse(*text).get(e) != simdjson::SUCCESS) continue;
    bool stream = false;
    std::int64_t status = 0;
    if (e["stream"].get(stream) != simdjson::SUCCESS || !stream) continue;
    if (e["response"]["status"].get(status) != simdjson::SUCCESS || status != 200) continue;
    const std::string api = kit::text_of(e, "api");
    recorded_stream s{path.filename().string(), kit::text_of(e, "provider"), dialect_id::openai_chat, {}};
    if (api == "responses") {
      s.dialect = dialect_id::openai_responses;
    } else if (api == "messages") {
      s.dialect = dialect_id::anthropic_messages;
    } else if (api != "chat") {
      continue;
    }
    std::string_view body;
    if (e["response"]["body"].get(body) != simdjson::SUCCESS) continue;
    s.body = body;
    out.push_back(std::move(s));
  }
  return out;
}

// Empty: every byte came out again, an error event (kept apart until the leg is judged) included.
std::string why_not_equal(const recorded_stream& s, const relayed& got) {
  const bool failed = got.state == relay_state::failed;
  const std::string all = got.out + (failed ? got.error_bytes : got.tail);
  if (all == s.body) {
    const bool closed = failed || got.state == relay_state::ended;
    return closed ? std::string{} : "the recording stops before the end of its stream";
  }
  if (s.body.starts_with(all)) return "bytes behind the end marker are not relayed";
  return "DIFFERS";
}

TEST(stream_relay, every_recorded_stream_comes_out_as_it_went_in) {
  const auto streams = recorded_streams();
  if (streams.empty()) GTEST_SKIP() << "no recordings";
  std::size_t passed = 0;
  std::map<std::string, std::string> exceptions;
  std::map<std::string, std::pair<std::size_t, std::size_t>> by_provider;
  for (const recorded_stream& s : streams) {
    std::string why;
    for (const split how : {split::whole, split::random, split::single}) {
      const relayed got = relay(s.dialect, s.dialect, s.body, how);
      const std::string now = why_not_equal(s, got);
      EXPECT_NE(now, "DIFFERS") << s.name;
      if (how != split::whole) EXPECT_EQ(now, why) << s.name << ": the split must not matter";
      EXPECT_TRUE(got.content || got.state != relay_state::ended) << s.name;
      why = now;
    }
    auto& [good, all] = by_provider[s.provider];
    ++all;
    if (why.empty()) {
      ++passed;
      ++good;
    } else {
      exceptions[s.name] = why;
    }
  }
  kit::report("relayed streams", passed, streams.size());
  for (const auto& [provider, counts] : by_provider)
    kit::report("  " + provider, counts.first, counts.second);
  for (const auto& [name, why] : exceptions) std::printf("  exception %s: %s\n", name.c_str(), why.c_str());
}

TEST(stream_relay, any_split_gives_the_same_bytes_in_every_pair_of_dialects) {
  for (const dialect_id provider : dialects) {
    const stream_text t = kit::streamed_text(provider, "x", "some text, naïve and 汉字, to be cut anywhere");
    const std::string all = joined(t.preamble) + joined(t.content) + joined(t.finish) + joined(t.end);
    for (const dialect_id caller : dialects) {
      const relayed whole = relay(provider, caller, all, split::whole);
      EXPECT_EQ(whole.state, relay_state::ended);
      if (provider == caller) EXPECT_EQ(whole.out + whole.tail, all);
      for (const split how : {split::random, split::single}) {
        const relayed got = relay(provider, caller, all, how);
        EXPECT_EQ(got.out, whole.out);
        EXPECT_EQ(got.tail, whole.tail);
        EXPECT_EQ(got.state, relay_state::ended);
      }
    }
  }
}

TEST(stream_relay, a_stream_cut_at_any_byte_never_ends) {
  for (const dialect_id provider : dialects) {
    const stream_text t = kit::streamed_text(provider, "x", "cut me");
    const std::string open = joined(t.preamble) + joined(t.content);
    const std::string all = open + joined(t.finish) + joined(t.end);
    // Behind a finish reason and a whole body some providers send no end marker: only what comes before
    // counts here.
    for (std::size_t at = 0; at < open.size(); ++at) {
      for (const dialect_id caller : dialects) {
        for (const bool whole_body : {false, true}) {
          const relayed got = relay(provider, caller, all.substr(0, at), split::random, whole_body);
          EXPECT_EQ(got.state, relay_state::broken);
          EXPECT_THAT(got.tail, IsEmpty());
        }
      }
    }
    for (std::size_t at = open.size(); at + 2 < all.size(); ++at) {
      EXPECT_EQ(relay(provider, provider, all.substr(0, at), split::whole, false).state, relay_state::broken)
          << at;
    }
  }
}

TEST(stream_relay, a_finish_reason_and_a_whole_body_end_a_stream_without_marker) {
  for (const dialect_id provider : {dialect_id::openai_chat, dialect_id::anthropic_messages}) {
    const stream_text t = kit::streamed_text(provider, "x", "no marker");
    const std::string all = joined(t.preamble) + joined(t.content) + joined(t.finish);
    for (const dialect_id caller : dialects) {
      EXPECT_EQ(relay(provider, caller, all, split::whole, true).state, relay_state::ended);
      EXPECT_EQ(relay(provider, caller, all, split::whole, false).state, relay_state::broken);
    }
  }
}

TEST(stream_relay, preamble_is_no_content) {
  for (const dialect_id provider : dialects) {
    const stream_text t = kit::streamed_text(provider, "x", "content");
    for (const dialect_id caller : dialects) {
      EXPECT_FALSE(relay(provider, caller, joined(t.preamble), split::random).content);
      EXPECT_TRUE(relay(provider, caller, joined(t.preamble) + t.content[0], split::random).content);
    }
  }
}

TEST(stream_relay, an_error_event_stops_the_stream_and_is_kept_apart) {
  for (const dialect_id provider : dialects) {
    const stream_text t = kit::streamed_text(provider, "x", "content");
    const std::string error = kit::stream_error_text(provider, "overloaded_error", "Overloaded");
    for (const dialect_id caller : dialects) {
      const relayed got =
          relay(provider, caller, joined(t.preamble) + t.content[0] + error + joined(t.end), split::random);
      EXPECT_EQ(got.state, relay_state::failed);
      EXPECT_EQ(got.out.find("verloaded"), std::string::npos);
      EXPECT_THAT(got.tail, IsEmpty());
      EXPECT_EQ(got.error_bytes, provider == caller ? error : "");
    }
  }
}

TEST(stream_relay, malformed_lines_are_counted_and_the_rest_is_delivered) {  // STR-9, T43
  const stream_text t = kit::streamed_text(dialect_id::openai_chat, "x", "rest");
  const std::string bad = "data: {\"choices\":[{\n\n";
  for (const dialect_id caller : dialects) {
    const relayed got =
        relay(dialect_id::openai_chat, caller,
              joined(t.preamble) + bad + joined(t.content) + joined(t.finish) + joined(t.end), split::random);
    EXPECT_EQ(got.state, relay_state::ended);
    EXPECT_EQ(got.malformed, 1U);
    EXPECT_THAT(got.out, HasSubstr("rest"));
  }
}

TEST(stream_relay, usage_that_only_we_asked_for_is_held_back) {  // GW-6
  const stream_text t = kit::streamed_text(dialect_id::openai_chat, "x", "hi");
  const std::string usage = kit::sse_event(
      {}, R"({"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}})");
  const std::string before = joined(t.preamble) + joined(t.content) + joined(t.finish);
  for (const bool drop : {false, true}) {
    const relayed got = relay(dialect_id::openai_chat, dialect_id::openai_chat,
                              before + usage + joined(t.end), split::random, true, {.drop_usage_only = drop});
    EXPECT_EQ(got.out + got.tail, before + (drop ? "" : usage) + joined(t.end));
  }
}

TEST(stream_relay, comments_blank_lines_and_line_ends_pass_as_they_came) {
  const std::string body =
      ": keep-alive\r\n\r\nid: 7\r\nretry: 10\r\ndata: "
      "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\r\n\r\n\r\n"
      ": another\n\ndata:{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
  for (const split how : {split::whole, split::random, split::single}) {
    const relayed got = relay(dialect_id::openai_chat, dialect_id::openai_chat, body, how);
    EXPECT_EQ(got.state, relay_state::ended);
    EXPECT_EQ(got.out + got.tail, body);
  }
}

// BUD-5: what was received is known to the estimator, however the stream goes on to its caller.
TEST(stream_relay, received_words_count_as_they_come) {
  const std::string words = "The quick brown 狐 jumps over the lazy dog";
  const std::int64_t expected = policy::estimate_tokens(words);
  for (const dialect_id provider : dialects) {
    for (const dialect_id caller : dialects) {
      const stream_text t = kit::streamed_text(provider, "x", words);
      const std::string said = joined(t.preamble) + joined(t.content);
      for (const split how : {split::whole, split::random, split::single}) {
        EXPECT_EQ(relay(provider, caller, said, how, false).received, expected);
        EXPECT_EQ(relay(provider, caller, joined(t.preamble), how, false).received, 0);
      }
    }
  }
}

TEST(stream_relay, content_is_never_received_for_nothing) {
  const std::string call_without_words = kit::sse_event(
      {}, R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","function":{}}]}}]})");
  const std::string call =
      kit::sse_event({}, R"({"choices":[{"index":0,"delta":{"function_call":{"arguments":"{}"}}}]})");
  EXPECT_EQ(relay(dialect_id::openai_chat, dialect_id::openai_chat, call, split::whole, false).received, 1);
  const relayed odd =
      relay(dialect_id::openai_chat, dialect_id::openai_chat, call_without_words, split::whole, false);
  EXPECT_EQ(odd.received, odd.content ? 1 : 0);
}

// Where both ways exist, the relay's scan and the decoders agree; the scan finds more where the model wrote
// to the vendor's own tools.
TEST(stream_relay, recorded_streams_count_alike_relayed_and_translated) {
  const auto streams = recorded_streams();
  if (streams.empty()) GTEST_SKIP() << "no recordings";
  std::size_t alike = 0;
  for (const recorded_stream& s : streams) {
    const dialect_id other =
        s.dialect == dialect_id::openai_chat ? dialect_id::anthropic_messages : dialect_id::openai_chat;
    const relayed own = relay(s.dialect, s.dialect, s.body, split::whole);
    const relayed there = relay(s.dialect, other, s.body, split::whole);
    EXPECT_GE(own.received * 50 + 400, there.received * 49) << s.name;
    if (own.content) EXPECT_GT(own.received, 0) << s.name;
    alike += std::abs(own.received - there.received) <= 4 + there.received / 50;
  }
  std::printf("received estimates: %zu/%zu alike\n", alike, streams.size());
  EXPECT_GE(alike * 10, streams.size() * 9);
}

TEST(estimate_reply, whole_replies_count_what_they_say) {
  const auto reply = protocol::json::parse(
      R"({"choices":[{"index":0,"message":{"role":"assistant","content":"hello world"}},
                     {"index":1,"message":{"role":"assistant","content":"你好世界"}}]})");
  EXPECT_EQ(estimate_reply(dialect_id::openai_chat, *reply), 9);
  const auto silent = protocol::json::parse(R"({"type":"message","content":[]})");
  EXPECT_EQ(estimate_reply(dialect_id::anthropic_messages, *silent), 0);
}

}  // namespace
}  // namespace tidegate::gateway
