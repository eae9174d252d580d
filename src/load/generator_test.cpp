#include "load/generator.h"

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "protocol/http1/http1.h"
#include "runtime/async/task.h"
#include "runtime/loop.h"
#include "runtime/net/address.h"
#include "runtime/net/stream.h"

namespace tidegate::load {
namespace {

namespace http1 = protocol::http1;
using foundation::never;
using std::chrono::milliseconds;

struct scripted_reply {
  std::string bytes;
  milliseconds after{0};
  bool then_close = false;
};

const std::string ok_reply = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

// Answers the nth request as told, on a thread of its own.
class scripted_server {
 public:
  using script = std::function<scripted_reply(std::uint64_t)>;
  explicit scripted_server(script say) : say_{std::move(say)}, loop_{time_} {
    const int listener = *runtime::open_listener(*runtime::parse_address("127.0.0.1:0"));
    port_ = runtime::bound_port(listener);
    accept_all(listener);
    thread_ = std::thread{[this] { loop_.run(); }};
  }
  ~scripted_server() {
    loop_.post([this] { ending_.fire(runtime::cancel_reason::shutdown); });
    loop_.post([this] { loop_.stop(); });
    thread_.join();
  }
  target where() const { return *parse_target("http://127.0.0.1:" + std::to_string(port_)); }
  std::uint64_t requests() const { return requests_; }
  std::uint64_t connections() const { return connections_; }

 private:
  runtime::detached accept_all(int listener) {
    runtime::io_source source{loop_, listener};
    while (!ending_.fired()) {
      const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        ++connections_;
        serve(std::make_unique<runtime::stream>(loop_, fd));
        continue;
      }
      source.mark_drained();
      co_await source.readable(never, &ending_);
    }
  }

  runtime::detached serve(std::unique_ptr<runtime::stream> peer) {
    std::string bytes;
    std::vector<char> piece(65536);
    for (;;) {
      const auto got = co_await peer->read_some(piece, never, &ending_);
      if (!got) co_return;
      bytes.append(piece.data(), *got);
      http1::request_head head;
      std::size_t scanned = 0;
      const auto parsed = http1::parse_request_head(bytes, {}, scanned, head);
      if (parsed.status != http1::parse_status::complete) continue;
      if (bytes.size() < parsed.consumed + head.content_length) continue;
      bytes.clear();
      const scripted_reply reply = say_(requests_++);
      if (reply.after > milliseconds{0})
        co_await loop_.sleep_until(loop_.fresh_now() + reply.after, &ending_);
      if (co_await peer->write_all(reply.bytes, never, &ending_) != runtime::io_error::none) co_return;
      if (reply.then_close) co_return;
    }
  }

  foundation::system_clock time_;
  script say_;
  runtime::loop loop_;
  runtime::cancel_source ending_;
  std::uint16_t port_ = 0;
  std::atomic<std::uint64_t> requests_{0};
  std::atomic<std::uint64_t> connections_{0};
  std::thread thread_;
};

report run_plan(plan what, const progress& on_progress = {}) {
  const foundation::system_clock time;
  auto found = run(std::move(what), time, on_progress);
  EXPECT_TRUE(found) << found.error();
  return std::move(*found);
}

plan closed_plan(const scripted_server& server, std::uint64_t connections, milliseconds length) {
  plan what;
  what.to = server.where();
  what.connections = connections;
  what.when = schedule::closed_loop(length);
  return what;
}

TEST(generator, a_closed_loop_keeps_its_connections_and_counts_every_call) {
  scripted_server server{[](std::uint64_t) { return scripted_reply{ok_reply}; }};
  const report found = run_plan(closed_plan(server, 4, milliseconds{100}));
  EXPECT_GT(found.completed, 4U);
  EXPECT_EQ(found.completed, server.requests());
  EXPECT_EQ(found.latency.count(), found.completed);
  EXPECT_EQ(found.failed + found.unfinished, 0U);
  EXPECT_EQ(server.connections(), 4U);
}

TEST(generator, a_stall_is_charged_to_every_call_that_fell_due_in_it) {
  scripted_server server{
      [](std::uint64_t n) { return scripted_reply{ok_reply, milliseconds{n == 0 ? 100 : 0}}; }};
  plan what;
  what.to = server.where();
  what.connections = 1;
  what.when = schedule::fixed_rate(1000, milliseconds{120});
  const report found = run_plan(std::move(what));
  // Some hundred calls were due while the first one waited; had latencies counted from the sending, only one
  // would be long.
  EXPECT_GE(found.completed + found.unsent, 100U);
  EXPECT_GT(found.latency.percentile(50), milliseconds{20});
  EXPECT_GE(found.latency.max(), milliseconds{100});
}

TEST(generator, an_open_loop_opens_what_it_needs_and_no_more_than_allowed) {
  scripted_server server{[](std::uint64_t) { return scripted_reply{ok_reply, milliseconds{50}}; }};
  plan what;
  what.to = server.where();
  what.connections = 8;
  what.when = schedule::fixed_rate(500, milliseconds{100});
  const report found = run_plan(std::move(what));
  EXPECT_EQ(server.connections(), 8U);
  EXPECT_EQ(found.completed + found.unsent, 50U);
}

TEST(generator, a_replay_ends_with_its_trace) {
  scripted_server server{[](std::uint64_t) { return scripted_reply{ok_reply}; }};
  std::vector<trace_call> calls{
      {milliseconds{0}, 10, 1}, {milliseconds{20}, 5000, 1}, {milliseconds{30}, 1, 1}};
  plan what;
  what.to = server.where();
  what.when = schedule::replay(std::move(calls), 1, std::chrono::hours{24});
  const report found = run_plan(std::move(what));
  EXPECT_EQ(found.completed, 3U);
  EXPECT_EQ(found.unsent, 0U);
}

TEST(generator, streams_are_timed_to_their_first_event_and_between_events) {
  std::string reply =
      "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
  for (const char* event : {"data: {\"id\":1}\n\n", "data: {\"id\":2}\n\n", "data: [DONE]\n\n"})
    http1::append_chunk(reply, event);
  reply += http1::last_chunk;
  scripted_server server{[&](std::uint64_t) { return scripted_reply{reply}; }};
  const report found = run_plan(closed_plan(server, 2, milliseconds{50}));
  EXPECT_GT(found.completed, 0U);
  EXPECT_EQ(found.events, 3 * found.completed);
  EXPECT_EQ(found.first_event.count(), found.completed);
  EXPECT_EQ(found.gap.count(), 2 * found.completed);
  EXPECT_LE(found.first_event.percentile(50), found.latency.percentile(50));
}

TEST(generator, failures_are_counted_by_their_reason) {
  const std::string body = R"({"error":{"message":"m","type":"t","param":null,"code":"AI_RATE_LIMITED"}})";
  scripted_server server{[&](std::uint64_t n) {
    if (n % 3 == 0) {
      return scripted_reply{"HTTP/1.1 429 Too Many Requests\r\ncontent-length: " +
                            std::to_string(body.size()) + "\r\n\r\n" + body};
    }
    return n % 3 == 1 ? scripted_reply{ok_reply.substr(0, 30), {}, true} : scripted_reply{ok_reply, {}, true};
  }};
  const report found = run_plan(closed_plan(server, 1, milliseconds{100}));
  EXPECT_GT(found.errors.at("429 AI_RATE_LIMITED"), 0U);
  EXPECT_GT(found.errors.at("closed inside the reply's head"), 0U);
  std::uint64_t sum = 0;
  for (const auto& [reason, count] : found.errors) sum += count;
  EXPECT_EQ(sum, found.failed);
  EXPECT_EQ(found.latency.count(), found.completed);
}

TEST(generator, a_refusing_server_is_not_hammered) {
  target nowhere;
  {
    const int listener = *runtime::open_listener(*runtime::parse_address("127.0.0.1:0"));
    nowhere = *parse_target("http://127.0.0.1:" + std::to_string(runtime::bound_port(listener)));
    ::close(listener);
  }
  plan what;
  what.to = nowhere;
  what.connections = 1;
  what.when = schedule::closed_loop(milliseconds{100});
  const report found = run_plan(std::move(what));
  EXPECT_EQ(found.completed, 0U);
  EXPECT_GT(found.failed, 0U);
  EXPECT_LE(found.failed, 7U);
  EXPECT_EQ(found.errors.size(), 1U);
}

TEST(generator, calls_under_way_at_the_end_are_unfinished_not_failed) {
  scripted_server server{[](std::uint64_t) { return scripted_reply{ok_reply, std::chrono::hours{1}}; }};
  plan what = closed_plan(server, 3, milliseconds{30});
  what.grace = milliseconds{20};
  const report found = run_plan(std::move(what));
  EXPECT_EQ(found.unfinished, 3U);
  EXPECT_EQ(found.failed, 0U);
}

TEST(generator, a_silent_server_times_out) {
  scripted_server server{[](std::uint64_t) { return scripted_reply{ok_reply, std::chrono::hours{1}}; }};
  plan what = closed_plan(server, 1, milliseconds{200});
  what.call_timeout = milliseconds{20};
  const report found = run_plan(std::move(what));
  EXPECT_GT(found.errors.at("timed out"), 0U);
}

TEST(generator, ends_early_when_told) {
  scripted_server server{[](std::uint64_t) { return scripted_reply{ok_reply, std::chrono::hours{1}}; }};
  plan what;
  what.to = server.where();
  what.when = schedule::fixed_rate(0.001, std::chrono::hours{24});
  what.grace = milliseconds{0};
  const report found = run_plan(std::move(what), [](const report&) { return false; });
  EXPECT_LT(found.elapsed, std::chrono::hours{1});
  EXPECT_EQ(found.unfinished, 1U);
}

TEST(generator, an_unknown_host_is_an_error_of_its_own) {
  const foundation::system_clock time;
  plan what;
  what.to = *parse_target("http://no-such-host.invalid:1/");
  EXPECT_FALSE(run(std::move(what), time, {}));
}

TEST(report, is_told_as_text_and_as_json) {
  report r;
  r.elapsed = std::chrono::seconds{2};
  r.completed = 10;
  for (int i = 1; i <= 10; ++i) r.latency.record(milliseconds{i});
  r.add_error("429 \"x\"");
  const std::string text = to_text(r);
  EXPECT_NE(text.find("10 calls in 2.00 s, 5.0/s, 1 failed"), std::string::npos) << text;
  EXPECT_NE(text.find("429 \"x\""), std::string::npos);
  EXPECT_EQ(text.find("first event"), std::string::npos) << "nothing was streamed";
  const std::string made = to_json(r, "http://h/");
  EXPECT_NE(made.find(R"("completed":10,"failed":1,)"), std::string::npos) << made;
  EXPECT_NE(made.find(R"("errors":{"429 \"x\"":1})"), std::string::npos) << made;
  EXPECT_NE(made.find(R"("first_event_ms":null)"), std::string::npos) << made;
}

TEST(report, keeps_a_bounded_number_of_reasons) {
  report r;
  for (int i = 0; i < 1000; ++i) r.add_error("reason " + std::to_string(i));
  EXPECT_EQ(r.errors.size(), report::error_kinds_max + 1);
  EXPECT_EQ(r.errors.at("other"), 1000U - report::error_kinds_max);
  EXPECT_EQ(r.failed, 1000U);
}

}  // namespace
}  // namespace tidegate::load
