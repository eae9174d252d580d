// The scripted provider over real sockets (interface section 8, NFR-5): what a caller sees of each behavior,
// byte for byte, and what the record says of it afterwards.
#include "mock/mock_server.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>

#include "foundation/time.h"
#include "kit/raw_client.h"
#include "mock/script.h"
#include "protocol/json/json.h"

namespace tidegate::mock {
namespace {

using kit::connection_end;
using kit::raw_client;
using kit::raw_reply;

constexpr std::string_view chat = "/v1/chat/completions";
constexpr std::string_view messages = "/v1/messages";
constexpr std::string_view say_hello =
    R"({"model":"gpt-5.2","messages":[{"role":"user","content":"Hello there"}]})";
constexpr std::string_view stream_hello =
    R"({"model":"gpt-5.2","stream":true,"messages":[{"role":"user","content":"Hello there"}]})";

std::string ask(std::string_view text, bool stream = false) {
  std::string out = R"({"model":"m","max_tokens":1000,"stream":)";
  out += stream ? "true" : "false";
  out += R"(,"messages":[{"role":"user","content":)";
  json::append_quoted(out, text);
  return out + "}]}";
}

std::size_t count_of(std::string_view text, std::string_view what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + what.size()))
    ++n;
  return n;
}
std::size_t events_of(const raw_reply& r) { return count_of(r.body, "\n\n"); }

// A provider with a thread of its own.
class provider {
 public:
  explicit provider(mock_settings settings = {}) {
    auto started = mock_thread::start("127.0.0.1:0", std::move(settings), clock_);
    EXPECT_TRUE(started.has_value());
    thread_ = std::move(*started);
    const std::string& address = thread_->address();
    port_ = static_cast<std::uint16_t>(std::stoul(address.substr(address.rfind(':') + 1)));
  }

  raw_client connect() const {
    auto made = raw_client::connect(port_);
    EXPECT_TRUE(made.has_value()) << "no connection";
    return std::move(*made);
  }
  raw_reply call(std::string_view method, std::string_view target, std::string_view body = {},
                 std::string_view headers = {}) const {
    return connect().exchange(method, target, body, headers);
  }
  void behave(std::string_view body) const {
    const raw_reply r = call("POST", "/_mock/behavior", body);
    EXPECT_EQ(r.status, 200) << r.body;
  }
  std::string requests() const { return call("GET", "/_mock/requests").body; }
  // Looks again until the record says so: a look is a round trip through the provider's loop.
  bool becomes(std::string_view target, std::string_view text) const {
    for (int i = 0; i < 10'000; ++i) {
      if (call("GET", target).body.find(text) != std::string::npos) return true;
    }
    return false;
  }
  std::uint16_t port() const { return port_; }
  const foundation::clock& clock() const { return clock_; }

 private:
  foundation::system_clock clock_;
  std::unique_ptr<mock_thread> thread_;
  std::uint16_t port_ = 0;
};

TEST(mock_server, answers_every_endpoint) {
  const provider p;
  const raw_reply r = p.call("POST", chat, say_hello);
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.header("content-type"), "application/json");
  EXPECT_NE(r.header("x-request-id"), "");
  EXPECT_NE(r.body.find("\"You said: Hello there\""), std::string::npos);
  EXPECT_NE(p.call("POST", messages, ask("Hi")).body.find("\"You said: Hi\""), std::string::npos);
  EXPECT_NE(p.call("POST", "/v1/responses", R"({"model":"m","input":"Hi"})").body.find("\"You said: Hi\""),
            std::string::npos);
  EXPECT_EQ(p.call("POST", "/v1/messages/count_tokens",
                   R"({"model":"m","messages":[{"role":"user","content":"12345"}]})")
                .body,
            "{\"input_tokens\":2}");
  EXPECT_NE(p.call("POST", "/v1/embeddings", R"({"model":"m","input":["a","b"],"dimensions":3})")
                .body.find("\"index\":1"),
            std::string::npos);
  EXPECT_NE(p.call("GET", "/v1/models").body.find("\"object\":\"list\""), std::string::npos);
  EXPECT_NE(
      p.call("GET", "/v1/models", {}, "anthropic-version: 2023-06-01\r\n").body.find("\"has_more\":false"),
      std::string::npos);
  EXPECT_NE(p.call("GET", "/v1/models/a%2Fb").body.find("\"id\":\"a/b\""), std::string::npos);
  EXPECT_EQ(p.call("GET", "/health").status, 200);
  EXPECT_EQ(p.call("GET", "/healthz").status, 200);
}

TEST(mock_server, errors_have_the_vendors_shape) {
  const provider p;
  raw_reply r =
      p.call("POST", chat, R"({"model":"no-such-model","messages":[{"role":"user","content":"x"}]})");
  EXPECT_EQ(r.status, 404);
  EXPECT_NE(r.body.find("\"code\":\"model_not_found\""), std::string::npos);
  r = p.call("POST", messages,
             R"({"model":"no-such-model","max_tokens":1,"messages":[{"role":"user","content":"x"}]})");
  EXPECT_EQ(r.status, 404);
  EXPECT_NE(r.body.find("{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\""), std::string::npos);
  EXPECT_EQ(p.call("POST", chat, "{\"model\":").status, 400);
  EXPECT_EQ(p.call("POST", chat, "{\"model\":\"m\"}").status, 400);
  EXPECT_EQ(p.call("GET", "/v1/nothing").status, 404);
  EXPECT_EQ(p.call("GET", "/v1/models/no-such-model").status, 404);
  EXPECT_EQ(p.call("GET", "/_mock/nothing").status, 404);
}

TEST(mock_server, one_connection_serves_many_calls) {
  const provider p;
  raw_client c = p.connect();
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(c.exchange("POST", chat, i % 2 == 0 ? say_hello : stream_hello).complete);
  }
}

TEST(mock_server, streams_are_fragments_of_six_characters) {
  const provider p;
  const raw_reply r = p.call(
      "POST", chat,
      R"({"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"äöü→🙂ß"}]})");
  EXPECT_EQ(r.header("content-type"), "text/event-stream; charset=utf-8");
  EXPECT_TRUE(r.complete);
  for (const std::string_view fragment : {"\"You sa\"", "\"id: äö\"", "\"ü→🙂ß\""}) {
    EXPECT_EQ(count_of(r.body, "\"content\":" + std::string{fragment}), 1U) << fragment;
  }
  // Role, three fragments, finish, usage, [DONE]; a chunk of the body each.
  EXPECT_EQ(events_of(r), 7U);
  EXPECT_EQ(r.chunks.size(), 7U);
  EXPECT_TRUE(r.body.ends_with("data: [DONE]\n\n"));
  EXPECT_EQ(count_of(r.body, "\"prompt_tokens\":4"), 1U);
}

TEST(mock_server, messages_streams_ping_behind_the_first_block_start) {
  const provider p;
  const raw_reply r = p.call("POST", messages, ask("Hi", true));
  const std::size_t block = r.body.find("event: content_block_start");
  const std::size_t ping = r.body.find("event: ping\ndata: {\"type\":\"ping\"}\n\n");
  EXPECT_LT(block, ping);
  EXPECT_LT(ping, r.body.find("event: content_block_delta"));
  EXPECT_EQ(count_of(r.body, "event: ping"), 1U);
}

TEST(mock_server, script_steps_go_in_order_and_count_down) {
  const provider p;
  p.behave(
      R"({"steps":[{"behavior":"status","status":503,"count":2},{"behavior":"ok","text":"third"}],"default":{"behavior":"status","status":418}})");
  EXPECT_EQ(p.call("POST", chat, say_hello).status, 503);
  p.behave(R"({"append":[{"behavior":"ok","text":"fourth"}]})");
  p.behave(R"({"behavior":"ok","text":"fifth"})");
  EXPECT_EQ(p.call("POST", chat, say_hello).status, 503);
  EXPECT_NE(p.call("POST", chat, say_hello).body.find("third"), std::string::npos);
  EXPECT_NE(p.call("POST", chat, say_hello).body.find("fourth"), std::string::npos);
  EXPECT_NE(p.call("POST", chat, say_hello).body.find("fifth"), std::string::npos);
  EXPECT_EQ(p.call("POST", chat, say_hello).status, 418);
  EXPECT_EQ(p.call("GET", "/health").status, 200);  // never scripted
  EXPECT_EQ(p.call("DELETE", "/_mock/behavior").status, 200);
  EXPECT_EQ(p.call("POST", chat, say_hello).status, 200);
}

TEST(mock_server, forever_lasts_until_it_is_replaced) {
  const provider p;
  p.behave(R"({"behavior":"status","status":500,"count":"forever"})");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(p.call("POST", chat, say_hello).status, 500);
  p.behave(R"({"steps":[]})");
  EXPECT_EQ(p.call("POST", chat, say_hello).status, 200);
}

TEST(mock_server, a_step_waits_for_the_call_that_it_matches) {
  const provider p;
  p.behave(R"({"steps":[{"behavior":"status","status":401,"match":{"model":"other"}},
                        {"behavior":"status","status":402,"match":{"path":"/v1/messages"}},
                        {"behavior":"status","status":403,"match":{"header":{"X-Kind":"a"}}},
                        {"behavior":"status","status":409,"match":{"body_contains":"needle"}}]})");
  EXPECT_EQ(p.call("POST", chat, say_hello).status, 200);
  EXPECT_EQ(p.call("POST", chat, say_hello, "x-kind: b\r\n").status, 200);
  EXPECT_EQ(p.call("POST", chat, say_hello, "x-kind: a\r\n").status, 403);
  EXPECT_EQ(p.call("POST", messages, ask("needle")).status, 402);
  EXPECT_EQ(p.call("POST", chat, ask("needle")).status, 409);
  EXPECT_EQ(p.call("POST", chat, R"({"model":"other","messages":[{"role":"user","content":"x"}]})").status,
            401);
  EXPECT_NE(p.call("GET", "/_mock/state").body.find("\"steps_waiting\":0"), std::string::npos);
}

TEST(mock_server, status_carries_headers_and_body_as_given) {
  const provider p;
  p.behave(R"({"behavior":"status","status":429,"headers":{"retry-after":7},"body":{"a": 1}})");
  raw_reply r = p.call("POST", chat, say_hello);
  EXPECT_EQ(r.status, 429);
  EXPECT_EQ(r.header("retry-after"), "7");
  EXPECT_EQ(r.body, "{\"a\": 1}");
  p.behave(R"({"behavior":"status","status":502,"headers":{"Content-Type":"text/html"},"body":"<html>"})");
  r = p.call("POST", chat, say_hello);
  EXPECT_EQ(r.header("content-type"), "text/html");
  EXPECT_EQ(r.body, "<html>");
}

TEST(mock_server, hang_sends_nothing_and_notes_when_the_caller_leaves) {
  const provider p;
  p.behave(R"({"behavior":"hang"})");
  raw_client c = p.connect();
  c.send_request("POST", chat, say_hello);
  EXPECT_TRUE(p.becomes("/_mock/state", "\"active\":1"));
  EXPECT_FALSE(c.read_some(20));
  const std::int64_t before = p.clock().wall().time_since_epoch().count();
  c.close();
  EXPECT_TRUE(p.becomes("/_mock/state", "\"active\":0"));
  EXPECT_NE(p.call("GET", "/_mock/state").body.find("\"aborted\":1"), std::string::npos);
  const std::string record = p.requests();
  EXPECT_NE(record.find("\"outcome\":\"client_closed\""), std::string::npos);
  const std::size_t at = record.find("\"aborted_at_ms\":");
  ASSERT_NE(at, std::string::npos);
  EXPECT_GE(std::stoll(record.substr(at + 16)), before);
}

TEST(mock_server, reset_comes_before_any_byte) {
  const provider p;
  p.behave(R"({"behavior":"reset"})");
  const raw_reply r = p.call("POST", chat, say_hello);
  EXPECT_EQ(r.end, connection_end::reset);
  EXPECT_EQ(r.status, 0);
  EXPECT_NE(p.requests().find("\"outcome\":\"reset\""), std::string::npos);
}

TEST(mock_server, faults_come_after_exactly_so_many_events) {
  const provider p;
  for (const std::string_view target : {chat, messages}) {
    for (const int n : {0, 1, 3}) {
      const std::string after = ",\"after_events\":" + std::to_string(n) + "}";
      p.behave("{\"behavior\":\"cut\"" + after);
      raw_reply r = p.call("POST", target, ask("Hello there", true));
      EXPECT_EQ(events_of(r), static_cast<std::size_t>(n));
      EXPECT_EQ(r.end, connection_end::closed);
      EXPECT_FALSE(r.complete);

      p.behave("{\"behavior\":\"reset\"" + after);
      r = p.call("POST", target, ask("Hello there", true));
      EXPECT_EQ(r.end, connection_end::reset);
      EXPECT_EQ(events_of(r), static_cast<std::size_t>(n));

      p.behave("{\"behavior\":\"garbage\"" + after);
      r = p.call("POST", target, ask("Hello there", true));
      EXPECT_EQ(events_of(r), static_cast<std::size_t>(n));
      EXPECT_TRUE(r.broken_framing);

      p.behave("{\"behavior\":\"stall\"" + after);
      raw_client c = p.connect();
      c.send_request("POST", target, ask("Hello there", true));
      EXPECT_TRUE(p.becomes("/_mock/state", "\"active\":1"));
      r = c.read_reply(20);
      EXPECT_EQ(events_of(r), static_cast<std::size_t>(n));
      EXPECT_EQ(r.end, connection_end::open);
      c.close();
      EXPECT_TRUE(p.becomes("/_mock/state", "\"active\":0"));
    }
  }
}

TEST(mock_server, a_cut_beyond_the_last_event_still_denies_the_end) {
  const provider p;
  p.behave(R"({"behavior":"cut","after":1000})");
  const raw_reply r = p.call("POST", chat, stream_hello);
  EXPECT_TRUE(r.body.ends_with("data: [DONE]\n\n"));
  EXPECT_FALSE(r.complete);
  EXPECT_EQ(r.end, connection_end::closed);
}

TEST(mock_server, whole_bodies_are_cut_after_exactly_so_many_bytes) {
  const provider p;
  p.behave(R"({"behavior":"cut","after":10})");
  raw_reply r = p.call("POST", chat, say_hello);
  EXPECT_EQ(r.body.size(), 10U);
  EXPECT_GT(std::stoul(r.header("content-length")), 10U);
  EXPECT_EQ(r.end, connection_end::closed);
  p.behave(R"({"behavior":"garbage","after":10})");
  r = p.call("POST", chat, say_hello);
  EXPECT_EQ(r.body.size(), 10U);
  EXPECT_TRUE(r.broken_framing);
}

TEST(mock_server, garbage_in_frame_goes_on) {
  const provider p;
  p.behave(R"({"behavior":"garbage","garbage":"sse","after":2})");
  raw_reply r = p.call("POST", chat, stream_hello);
  EXPECT_TRUE(r.complete);
  EXPECT_TRUE(r.body.ends_with("data: [DONE]\n\n"));
  EXPECT_EQ(count_of(r.body, "half a\n\n"), 1U);
  p.behave(R"({"behavior":"garbage","garbage":"sse"})");
  r = p.call("POST", chat, say_hello);
  EXPECT_TRUE(r.complete);
  EXPECT_FALSE(json::parse(r.body).has_value());
}

TEST(mock_server, in_stream_errors_are_the_vendors_own) {
  const provider p;
  raw_reply r = p.call("POST", messages, ask("[[mock:in-stream-error=overloaded after=4]] Hi", true));
  EXPECT_TRUE(r.complete);
  EXPECT_EQ(events_of(r), 5U);
  EXPECT_NE(r.body.find("event: error\n"), std::string::npos);
  EXPECT_NE(r.body.find("\"overloaded_error\""), std::string::npos);
  EXPECT_EQ(r.body.find("message_stop"), std::string::npos);
  r = p.call("POST", chat, ask("[[mock:in-stream-error=rate-limit after=0]] Hi", true));
  EXPECT_TRUE(r.body.starts_with("data: {\"error\":{")) << r.body;
  EXPECT_EQ(r.body.find("[DONE]"), std::string::npos);
  EXPECT_EQ(p.call("POST", messages, ask("[[mock:in-stream-error=overloaded]]")).status, 529);
}

TEST(mock_server, slow_keeps_to_its_rate) {
  const provider p;
  for (const bool stream : {false, true}) {
    p.behave(R"({"behavior":"slow","bytes_per_second":5000})");
    const auto started = p.clock().now();
    const raw_reply r = p.call("POST", chat, ask("Hello", stream));
    const auto took = p.clock().now() - started;
    EXPECT_TRUE(r.complete);
    EXPECT_GE(took, std::chrono::milliseconds{static_cast<std::int64_t>(r.body.size()) * 1000 / 5000 - 1});
  }
}

TEST(mock_server, refuse_closes_the_port_before_it_answers_and_opens_it_again) {
  const provider p;
  raw_client idle = p.connect();
  EXPECT_TRUE(idle.exchange("GET", "/health").complete);
  p.behave(R"({"steps":[{"behavior":"ok"},{"behavior":"refuse","duration_ms":300}]})");
  EXPECT_EQ(p.call("POST", chat, say_hello).status, 200);
  EXPECT_FALSE(raw_client::connect(p.port()).has_value());
  EXPECT_EQ(idle.wait_for_end(), connection_end::closed);
  const auto by = p.clock().now() + std::chrono::seconds{20};
  std::optional<raw_client> again;
  while (!(again = raw_client::connect(p.port())) && p.clock().now() < by) {
  }
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->exchange("POST", chat, say_hello).status, 200);
}

TEST(mock_server, the_record_has_what_arrived) {
  const provider p;
  p.call("POST", "/v1/chat/completions?x=1", say_hello, "X-Odd: a b\r\n");
  p.call("POST", chat, std::string_view{"\xff\x00z", 3});
  const std::string text = p.requests();
  const auto parsed = json::parse(text);
  ASSERT_TRUE(parsed.has_value());
  const auto list = parsed->find("requests");
  ASSERT_TRUE(list.has_value());
  auto at = list->elements().begin();
  EXPECT_EQ(at->string_or("path", ""), "/v1/chat/completions?x=1");
  EXPECT_EQ(at->string_or("method", ""), "POST");
  EXPECT_EQ(at->string_or("body", ""), say_hello);
  EXPECT_EQ(at->string_or("outcome", ""), "completed");
  EXPECT_NE(at->find("headers")->raw().find(R"(["X-Odd","a b"])"), std::string_view::npos);
  ++at;
  EXPECT_FALSE(at->find("body").has_value());
  EXPECT_EQ(at->string_or("body_base64", ""), "/wB6");
  p.call("DELETE", "/_mock/requests");
  EXPECT_EQ(p.requests(), "{\"requests\":[],\"dropped\":0}");
}

TEST(mock_server, the_record_is_bounded_and_says_what_it_dropped) {
  mock_settings settings;
  settings.requests_max = 3;
  const provider p{std::move(settings)};
  for (int i = 0; i < 5; ++i) p.call("POST", chat, say_hello);
  const std::string text = p.requests();
  EXPECT_EQ(count_of(text, "\"outcome\""), 3U);
  EXPECT_NE(text.find("\"dropped\":2"), std::string::npos);
  EXPECT_NE(text.find("{\"requests\":[{\"id\":3,"), std::string::npos);
}

TEST(mock_server, a_stream_of_any_length_comes_whole) {
  const provider p;
  p.behave(R"({"behavior":"ok","events":2000,"chunk_bytes":10000})");
  const raw_reply r = p.call("POST", chat, stream_hello);
  EXPECT_TRUE(r.complete);
  EXPECT_GT(r.body.size(), 20'000'000U);
  EXPECT_TRUE(r.body.ends_with("data: [DONE]\n\n"));
}

TEST(mock_server, a_behavior_that_is_misspelt_is_refused_by_name) {
  const provider p;
  const raw_reply r =
      p.call("POST", "/_mock/behavior", R"({"steps":[{"behavior":"ok"},{"behavior":"cut","aftr":1}]})");
  EXPECT_EQ(r.status, 400);
  EXPECT_EQ(r.body, R"({"error":"steps[1].aftr: is not known here"})");
  EXPECT_NE(p.call("GET", "/_mock/state").body.find("\"steps_waiting\":0"), std::string::npos);
}

TEST(mock_server, shutdown_breaks_off_what_hangs) {
  auto p = std::make_unique<provider>();
  p->behave(R"({"behavior":"hang"})");
  raw_client c = p->connect();
  c.send_request("POST", chat, say_hello);
  raw_client half = p->connect();
  half.send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc");
  EXPECT_TRUE(p->becomes("/_mock/state", "\"active\":1"));
  p.reset();
  EXPECT_NE(c.wait_for_end(), connection_end::open);
  EXPECT_NE(half.wait_for_end(), connection_end::open);
}

TEST(mock_server, replays_a_recording_byte_by_byte_in_any_split) {
  const std::string file = testing::TempDir() + "tidegate_mock_replay.json";
  const std::string body = "data: {\"a\":1}\r\n\r\n: note\n\ndata: \xc3\xa4\n\ndata: [DONE]";
  std::string content =
      R"({"response":{"status":200,"headers":[["Content-Type","text/event-stream"],["x-a","b"]],"body":)";
  json::append_quoted(content, body);
  std::ofstream{file} << content << "}}";
  const provider p;
  for (const std::string_view split : {"whole", "event", "random", "byte"}) {
    p.behave(R"({"behavior":"replay","seed":5,"split":")" + std::string{split} + R"(","file":")" + file +
             "\"}");
    const raw_reply r = p.call("POST", chat, stream_hello);
    EXPECT_TRUE(r.complete) << split;
    EXPECT_EQ(r.body, body) << split;
    EXPECT_EQ(r.header("x-a"), "b");
    if (split == "byte") {
      EXPECT_EQ(r.chunks.size(), body.size());
    }
    if (split == "whole") {
      EXPECT_EQ(r.chunks.size(), 1U);
    }
  }
  std::remove(file.c_str());
}

// --- simulated time: the loop turns in the test's own thread

class simulated_provider {
 public:
  explicit simulated_provider(mock_settings settings = {}) : state_{std::move(settings)} {
    const auto bound = server_.listen({.host = "127.0.0.1", .port = 0, .unix_path = {}});
    EXPECT_TRUE(bound.has_value());
    port_ = bound->port;
  }
  ~simulated_provider() {
    server_.drain();
    while (!server_.idle()) loop_.turn(std::chrono::milliseconds{1});
  }
  void settle() {
    // Loopback delivers at once; two idle rounds are enough to see all that is to be done.
    for (int idle = 0; idle < 2;) idle = loop_.turn(std::chrono::milliseconds{1}) ? 0 : idle + 1;
  }
  void advance(std::int64_t ms) {
    clock_.advance(std::chrono::milliseconds{ms});
    settle();
  }
  std::uint16_t port() const { return port_; }

 private:
  foundation::manual_clock clock_;
  runtime::loop loop_{clock_};
  mock_state state_;
  mock_server server_{loop_, state_};
  std::uint16_t port_ = 0;
};

TEST(mock_server, nfr_5_fragments_come_every_40_ms) {
  simulated_provider p;
  auto c = raw_client::connect(p.port());
  c->send_request("POST", chat, ask("[[mock:success]] 1234567890", true));  // "You said: 1234567890"
  p.settle();
  EXPECT_EQ(events_of(c->peek_reply()), 2U);  // role and first fragment
  p.advance(39);
  EXPECT_EQ(events_of(c->peek_reply()), 2U);
  p.advance(1);
  EXPECT_EQ(events_of(c->peek_reply()), 3U);
  p.advance(40);
  EXPECT_EQ(events_of(c->peek_reply()), 4U);
  EXPECT_FALSE(c->peek_reply().complete);
  p.advance(40);
  EXPECT_TRUE(c->peek_reply().complete);
}

TEST(mock_server, nfr_5_delay_is_600_ms) {
  simulated_provider p;
  auto c = raw_client::connect(p.port());
  c->send_request("POST", chat, ask("[[mock:delay]] Hi"));
  p.settle();
  p.advance(599);
  EXPECT_EQ(c->peek_reply().status, 0);
  p.advance(1);
  EXPECT_TRUE(c->peek_reply().complete);
}

TEST(mock_server, nfr_5_timeout_and_upstream_error) {
  mock_settings settings;
  settings.fallback = *demo_behavior("upstream-error");
  simulated_provider p{std::move(settings)};
  auto c = raw_client::connect(p.port());
  c->send_request("POST", chat, say_hello);
  p.settle();
  EXPECT_EQ(c->peek_reply().status, 502);
  auto hanging = raw_client::connect(p.port());
  hanging->send_request("POST", chat, ask("[[mock:timeout]]"));
  p.settle();
  p.advance(24 * 3600 * 1000);
  EXPECT_EQ(hanging->peek_reply().status, 0);
  EXPECT_EQ(hanging->peek_reply().end, connection_end::open);
}

}  // namespace
}  // namespace tidegate::mock
