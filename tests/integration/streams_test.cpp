// Streams over real sockets: what breaks never looks complete (GW-5, STR-9), who leaves costs nothing further
// and who is slow costs little memory (GW-6), and what comes is passed on at once.
#include <gtest/gtest.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <charconv>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kit/gateway.h"

namespace tidegate {
namespace {

using namespace std::chrono_literals;
using kit::ask_body;
using kit::callers;
using kit::connection_end;
using kit::dialect_id;
using kit::path_of;
using kit::raw_client;
using kit::raw_reply;
using kit::test_gateway;
using mock::behavior_kind;

constexpr std::string_view long_prompt =
    "a text that is long enough to be cut into many fragments by the provider";
constexpr std::uint64_t events_before_fault = 8;  // in each dialect behind the first content

struct fault {
  std::string_view name;
  behavior_kind kind;
  std::string_view stream_error = "overloaded";
};
constexpr fault faults[] = {{"cut", behavior_kind::cut},
                            {"stall", behavior_kind::stall},
                            {"garbage", behavior_kind::garbage},
                            {"reset", behavior_kind::reset},
                            {"overloaded", behavior_kind::in_stream_error},
                            {"other error", behavior_kind::in_stream_error, "api"},
                            // Last: the provider cools down for a moment, while the next case asks another.
                            {"rate limit", behavior_kind::in_stream_error, "rate-limit"}};

TEST(streams, what_breaks_after_content_never_looks_complete) {  // GW-5, STR-9, T117
  test_gateway gateway{{.adjust = [](app::configuration& c) {
    c.timeouts.idle = 300ms;
    c.breaker.cooldown_default = 1ms;
  }}};
  std::size_t cases = 0;
  for (const dialect_id d : callers) {
    for (const std::string_view model : {"gpt-t", "claude-t", "compat-t"}) {
      for (const fault& f : faults) {
        SCOPED_TRACE(std::string{path_of(d)} + " by " + std::string{model} + ": " + std::string{f.name});
        mock::behavior b;
        b.kind = f.kind;
        b.after = events_before_fault;
        b.stream_error = f.stream_error;
        b.interval = 2ms;  // so that content is out before the fault comes
        gateway.script(b);
        raw_client caller = gateway.connect();
        caller.send_request("POST", path_of(d), ask_body(d, model, long_prompt, true));
        EXPECT_NE(caller.wait_for_end(), connection_end::open) << "the connection is closed";
        const raw_reply r = caller.peek_reply();
        EXPECT_EQ(r.status, 200);
        EXPECT_FALSE(r.complete) << "no last chunk";
        EXPECT_FALSE(r.broken_framing);
        EXPECT_FALSE(caller.unread().ends_with("0\r\n\r\n"));
        const kit::heard heard = kit::hear(d, r.body);
        EXPECT_FALSE(heard.text.empty());
        EXPECT_TRUE(("You said: " + std::string{long_prompt}).starts_with(heard.text)) << heard.text;
        EXPECT_TRUE(heard.error) << "the last event is an error in the caller's dialect: " << r.body;
        EXPECT_FALSE(heard.end_marker) << r.body;
        EXPECT_EQ(r.body.find("sk-integration"), std::string::npos);
        ++cases;
      }
    }
  }
  EXPECT_TRUE(gateway.connections_gone());
  EXPECT_TRUE(kit::eventually([&] { return gateway.node().core().in_flight() == 0; }));
  std::printf("broken_streams: %zu cases\n", cases);
}

// The fault stands at every place of a stream: either the caller sees an honest whole error, or an honest
// broken stream, or all of it; never something in between.
TEST(streams, a_cut_at_any_event_is_honest) {
  test_gateway gateway;
  for (const dialect_id d : callers) {
    for (const std::string_view model : {kit::own_model(d), kit::other_model(d)}) {
      for (std::uint64_t at = 0; at < 24; ++at) {
        SCOPED_TRACE(std::string{path_of(d)} + " by " + std::string{model} + " at " + std::to_string(at));
        mock::behavior b;
        b.kind = at % 2 == 0 ? behavior_kind::cut : behavior_kind::reset;
        b.after = at;
        gateway.script(b, 2);  // the transport retry before content meets it too
        raw_client caller = gateway.connect();
        const raw_reply r = caller.exchange("POST", path_of(d), ask_body(d, model, long_prompt, true));
        static_cast<void>(
            gateway.provider().state().apply({.replace_steps = true, .steps = {}, .fallback = nullptr}));
        const kit::heard heard = kit::hear(d, r.body);
        if (r.status != 200) {
          EXPECT_TRUE(r.complete);
          EXPECT_FALSE(kit::code_of(r.body).empty()) << r.body;
          EXPECT_TRUE(heard.text.empty());
        } else if (r.complete) {
          EXPECT_TRUE(heard.end_marker) << r.body;
          EXPECT_EQ(heard.text, "You said: " + std::string{long_prompt});
        } else {
          EXPECT_TRUE(heard.error) << r.body;
          EXPECT_FALSE(heard.end_marker) << r.body;
          EXPECT_FALSE(heard.text.empty());
        }
      }
    }
  }
}

TEST(streams, one_bad_data_line_is_skipped_and_the_rest_delivered) {  // STR-9, T43
  test_gateway gateway;
  for (const dialect_id d : callers) {
    for (const std::string_view model : {kit::own_model(d), kit::other_model(d)}) {
      mock::behavior b;
      b.kind = behavior_kind::garbage;
      b.garbage_in_frame = true;
      b.after = events_before_fault;
      gateway.script(b);
      const raw_reply r = gateway.post(path_of(d), ask_body(d, model, long_prompt, true));
      const kit::heard heard = kit::hear(d, r.body);
      EXPECT_TRUE(r.complete && heard.end_marker) << r.body;
      EXPECT_EQ(heard.text, "You said: " + std::string{long_prompt});
      EXPECT_EQ(r.body.find("half a"), std::string::npos);
    }
  }
  EXPECT_EQ(gateway.log().of("ai_sse_parse_failure").size(), 6U);
}

std::int64_t wall_ms(const test_gateway& gateway) { return gateway.time().wall().time_since_epoch().count(); }

// Times at which the provider saw its callers leave, in order of arrival.
std::vector<std::int64_t> aborts(const test_gateway& gateway) {
  std::vector<std::int64_t> out;
  const std::string text = gateway.provider_record();
  const auto parsed = kit::json::parse(text);
  for (const kit::json::value r : parsed->find("requests").value_or(kit::json::value{}).elements()) {
    out.push_back(r.int_at("aborted_at_ms").value_or(-1));
  }
  return out;
}

TEST(streams, a_caller_that_leaves_ends_the_upstream_call_at_once) {  // GW-6, T129
  test_gateway gateway;
  constexpr std::size_t count = kit::tries(200, 60);
  std::mt19937 random{7};
  std::vector<std::int64_t> left;
  for (std::size_t i = 0; i < count; ++i) {
    const dialect_id d = callers[i % 3];
    const std::string_view model = i % 2 == 0 ? kit::own_model(d) : kit::other_model(d);
    mock::behavior b;
    if (i % 5 == 0) {
      b.kind = behavior_kind::hang;  // it leaves before the first byte
    } else {
      b.events = 1'000'000;
      b.interval = i % 7 == 0 ? 0ms : 1ms;
    }
    gateway.script(b);
    raw_client caller = gateway.connect(4096);
    const bool streamed = i % 10 != 0;
    caller.send_request("POST", path_of(d), ask_body(d, model, "hello", streamed));
    ASSERT_TRUE(kit::eventually([&] { return gateway.seen().total == static_cast<std::int64_t>(i + 1); }));
    const std::size_t enough = std::uniform_int_distribution<std::size_t>{1, 8000}(random);
    while (b.kind != behavior_kind::hang && caller.unread().size() < enough && caller.read_some()) {
    }
    left.push_back(wall_ms(gateway));
    caller.close();
  }
  ASSERT_TRUE(kit::eventually([&] { return gateway.seen().active == 0; }));
  EXPECT_EQ(gateway.seen().aborted, static_cast<std::int64_t>(count));
  const std::vector<std::int64_t> seen = aborts(gateway);
  ASSERT_EQ(seen.size(), count);
  std::vector<double> waits;
  for (std::size_t i = 0; i < count; ++i) {
    EXPECT_GT(seen[i], 0) << "call " << i;
    waits.push_back(static_cast<double>(seen[i] - left[i]));
  }
  kit::figure("leave_to_upstream_closed_p50", kit::percentile(waits, 0.5), "ms");
  kit::figure("leave_to_upstream_closed_p99", kit::percentile(waits, 0.99), "ms");
  EXPECT_LT(kit::percentile(waits, 0.99), 1000.0);
  EXPECT_TRUE(gateway.connections_gone());
  EXPECT_TRUE(kit::eventually([&] { return gateway.node().core().in_flight() == 0; }));
  EXPECT_TRUE(kit::eventually([&] { return gateway.log().of("ai_run_canceled").size() == count; }))
      << "one terminal each";
}

TEST(streams, a_slow_reader_of_a_huge_stream_holds_little_memory) {  // GW-6, T141
  for (const std::string_view model : {"gpt-t", "claude-t"}) {
    test_gateway gateway;
    EXPECT_TRUE(gateway.alive());
    mock::behavior b;
    b.events = 1600;
    b.chunk_bytes = 64U << 10;  // 100 MiB
    gateway.script(b);
    raw_client caller = gateway.connect(4096);
    caller.send_request("POST", "/v1/chat/completions",
                        ask_body(dialect_id::openai_chat, model, "hello", true));
    ASSERT_TRUE(caller.read_some());
    ::malloc_trim(0);  // or growth would hide in what earlier tests left to the allocator
    const kit::ticker pace{100ms};
    char block[1024];
    const std::size_t before = kit::resident_bytes();
    std::size_t most = before;
    std::size_t got = 0;
    for (int i = 0; i < 30; ++i) {
      pace.wait();
      const ssize_t n = ::recv(caller.fd(), block, sizeof block, 0);
      ASSERT_GT(n, 0);
      got += static_cast<std::size_t>(n);
      most = std::max(most, kit::resident_bytes());
    }
    EXPECT_EQ(gateway.seen().active, 1) << "the provider waits with the rest";
    const double grown = static_cast<double>(most - before) / 1024.0;
    kit::figure("slow_reader_growth_" + std::string{model}, grown, "KiB");
    kit::figure("slow_reader_read", static_cast<double>(got) / 1024.0, "KiB");
    if (!kit::sanitized) EXPECT_LT(grown, 2048.0);
    caller.close();
    EXPECT_TRUE(kit::eventually([&] { return gateway.seen().active == 0; }));
    EXPECT_EQ(gateway.seen().aborted, 1);
  }
}

TEST(streams, a_reader_that_was_slow_still_gets_all_of_it) {  // T141
  test_gateway gateway;
  for (const std::string_view model : {"gpt-t", "claude-t"}) {
    mock::behavior b;
    b.events = 400;
    b.chunk_bytes = 10'000;
    gateway.script(b);
    raw_client caller = gateway.connect(4096);
    caller.send_request("POST", "/v1/messages",
                        ask_body(dialect_id::anthropic_messages, model, "hello", true));
    const kit::ticker pace{20ms};
    for (int i = 0; i < 10; ++i) {
      pace.wait();
      ASSERT_TRUE(caller.read_some());
    }
    const raw_reply r = caller.read_reply(60'000);
    const kit::heard heard = kit::hear(dialect_id::anthropic_messages, r.body);
    EXPECT_TRUE(r.complete && heard.end_marker);
    EXPECT_EQ(heard.text.size(), std::string_view{"You said: hello"}.size() + 4'000'000);
  }
}

// A provider of one connection that says when it sent what: each fragment of its text is the time.
class timed_provider {
 public:
  timed_provider(std::size_t fragments, std::chrono::milliseconds pause)
      : fragments_{fragments}, pause_{pause} {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof at;
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&at), length), 0);
    EXPECT_EQ(::listen(fd_, 8), 0);
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &length);
    port_ = ntohs(at.sin_port);
    thread_ = std::thread{[this] { serve(); }};
  }
  ~timed_provider() {
    ::shutdown(fd_, SHUT_RDWR);
    thread_.join();
    ::close(fd_);
  }
  std::uint16_t port() const { return port_; }
  static std::int64_t now_ns() { return kit::steady::now().time_since_epoch().count(); }

 private:
  void serve() const {
    for (;;) {
      const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      const int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      answer(fd);
      ::close(fd);
    }
  }
  static void say(int fd, std::string_view text) {
    static_cast<void>(::send(fd, text.data(), text.size(), MSG_NOSIGNAL) > 0);
  }
  void answer(int fd) const {
    char block[16384];
    if (::recv(fd, block, sizeof block, 0) <= 0) return;
    say(fd, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
    const kit::ticker pace{pause_};
    for (std::size_t i = 0; i < fragments_; ++i) {
      pace.wait();
      say(fd,
          R"(data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":")" +
              std::to_string(now_ns()) + " \"}}]}\n\n");
    }
    say(fd,
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: "
        "[DONE]\n\n");
  }

  std::size_t fragments_;
  std::chrono::milliseconds pause_;
  int fd_ = -1;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

// How long each fragment took to come, in milliseconds.
std::vector<double> delays(std::uint16_t port, std::string_view path, std::string_view body) {
  std::vector<double> out;
  auto caller = raw_client::connect(port);
  if (!caller) return out;
  caller->send_request("POST", path, body);
  std::size_t at = 0;
  while (caller->read_some()) {
    const std::int64_t now = timed_provider::now_ns();
    const std::string& all = caller->unread();
    for (;;) {
      // The times are the only numbers of such length.
      const std::size_t space = all.find(" \"", at);
      if (space == std::string::npos) break;
      const std::size_t quote = all.rfind('"', space);
      std::int64_t sent = 0;
      std::from_chars(all.data() + quote + 1, all.data() + space, sent);
      if (sent > 0) out.push_back(static_cast<double>(now - sent) / 1e6);
      at = space + 2;
    }
    if (all.ends_with("0\r\n\r\n") || all.find("[DONE]") != std::string::npos ||
        all.find("message_stop\"}") != std::string::npos)
      break;
  }
  return out;
}

TEST(streams, a_fragment_is_passed_on_at_once) {
  constexpr std::size_t fragments = 300;
  const timed_provider provider{fragments, 4ms};
  const test_gateway gateway{{.provider_url = "http://127.0.0.1:" + std::to_string(provider.port())}};
  const std::string chat = ask_body(dialect_id::openai_chat, "compat-t", "hello", true);
  const std::vector<double> direct = delays(provider.port(), "/v1/chat/completions", chat);
  const std::vector<double> relayed = delays(gateway.port(), "/v1/chat/completions", chat);
  const std::vector<double> translated = delays(
      gateway.port(), "/v1/messages", ask_body(dialect_id::anthropic_messages, "compat-t", "hello", true));
  EXPECT_EQ(direct.size(), fragments);
  EXPECT_EQ(relayed.size(), fragments);
  EXPECT_EQ(translated.size(), fragments);
  for (const double share : {0.5, 0.99}) {
    const std::string name = share < 0.9 ? "p50" : "p99";
    kit::figure("chunk_direct_" + name, kit::percentile(direct, share), "ms");
    kit::figure("chunk_relayed_added_" + name,
                kit::percentile(relayed, share) - kit::percentile(direct, share), "ms");
    kit::figure("chunk_translated_added_" + name,
                kit::percentile(translated, share) - kit::percentile(direct, share), "ms");
    EXPECT_LT(kit::percentile(relayed, share), 1000.0);
    EXPECT_LT(kit::percentile(translated, share), 1000.0);
  }
}

}  // namespace
}  // namespace tidegate
