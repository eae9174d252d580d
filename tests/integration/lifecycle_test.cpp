// The end of a gateway's life, asked for in process and by signal (NFR-3): what had begun ends whole or with
// an honest error, what comes later is turned away. And TLS on either side (SEC-4).
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <filesystem>
#include <string>
#include <vector>

#include "kit/gateway.h"
#include "kit/tls_material.h"

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

constexpr std::string_view chat_path = "/v1/chat/completions";

class scratch_dir {
 public:
  scratch_dir() {
    char name[] = "/tmp/tidegate-test-XXXXXX";
    if (::mkdtemp(name) == nullptr) std::abort();
    path_ = name;
  }
  scratch_dir(const scratch_dir&) = delete;
  scratch_dir& operator=(const scratch_dir&) = delete;
  ~scratch_dir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// One of many exchanges that are under way together.
struct pending_call {
  raw_client connection;
  dialect_id dialect;
  bool stream;
  std::string words;
};

std::vector<pending_call> begin_calls(std::uint16_t port, std::size_t count, std::string_view marker) {
  std::vector<pending_call> out;
  for (std::size_t i = 0; i < count; ++i) {
    const dialect_id d = callers[i % 3];
    const bool stream = i % 2 == 0;
    auto connection = raw_client::connect(port);
    if (!connection) {
      ADD_FAILURE() << "connection " << i << " refused";
      return out;
    }
    pending_call c{std::move(*connection), d, stream,
                   "call " + std::to_string(i) + " of many " + std::string(150, 'w')};
    const std::string_view model = i % 4 < 2 ? kit::own_model(d) : kit::other_model(d);
    c.connection.send_request("POST", path_of(d), ask_body(d, model, c.words + std::string{marker}, stream));
    out.push_back(std::move(c));
  }
  return out;
}

void expect_whole(pending_call& c) {
  const raw_reply r = c.connection.read_reply(30'000);
  EXPECT_EQ(r.status, 200) << r.body;
  EXPECT_TRUE(r.complete);
  if (c.stream) {
    const kit::heard heard = kit::hear(c.dialect, r.body);
    EXPECT_EQ(heard.text, "You said: " + c.words);
    EXPECT_TRUE(heard.end_marker);
  } else {
    EXPECT_EQ(kit::said(c.dialect, r.body), "You said: " + c.words);
  }
  EXPECT_NE(c.connection.wait_for_end(), connection_end::open);
}

// Long enough for all to have begun before the first has ended.
constexpr std::string_view linger = kit::sanitized ? "[[mock:delay=3000]]" : "[[mock:delay=500]]";

TEST(lifecycle, a_drain_lets_every_exchange_end_whole_and_takes_no_new_ones) {  // NFR-3
  test_gateway gateway{{.provider = {.interval = 5ms}}};
  constexpr std::size_t count = kit::tries(200, 80);
  raw_client idle = gateway.connect();
  EXPECT_EQ(idle.exchange("GET", "/healthz").status, 200);
  auto calls = begin_calls(gateway.port(), count, linger);
  ASSERT_TRUE(kit::eventually([&] { return gateway.seen().total == static_cast<std::int64_t>(count); }));
  const auto start = kit::steady::now();
  const std::int64_t in_flight = gateway.seen().active;
  EXPECT_GT(in_flight, 0);
  gateway.node().drain();
  EXPECT_NE(idle.wait_for_end(), connection_end::open) << "an idle connection is closed";
  EXPECT_TRUE(kit::eventually([&] { return !raw_client::connect(gateway.port()).has_value(); }))
      << "the port is closed";
  for (pending_call& c : calls) expect_whole(c);
  EXPECT_TRUE(gateway.connections_gone());
  kit::figure("drain_of_calls_in_flight", static_cast<double>(in_flight), "calls");
  kit::figure("drain_time", kit::ms_since(start), "ms");
  EXPECT_EQ(gateway.seen().aborted, 0);
  gateway.stop();
  EXPECT_EQ(gateway.log().of("ai_run_completed").size(), count) << "one terminal each";
}

TEST(lifecycle, what_does_not_end_in_time_ends_with_an_honest_error) {  // NFR-3
  test_gateway gateway;
  constexpr std::size_t count = kit::tries(200, 80);
  mock::behavior stall;
  stall.kind = mock::behavior_kind::stall;
  stall.after = 8;
  gateway.script(stall, 0);
  auto calls = begin_calls(gateway.port(), count, "");
  ASSERT_TRUE(kit::eventually([&] { return gateway.seen().active == static_cast<std::int64_t>(count); }));
  gateway.node().drain();
  gateway.node().stop_exchanges();
  for (pending_call& c : calls) {
    EXPECT_NE(c.connection.wait_for_end(), connection_end::open);
    const raw_reply r = c.connection.peek_reply();
    const kit::heard heard = kit::hear(c.dialect, r.body);
    EXPECT_FALSE(heard.end_marker) << r.body;
    if (r.status == 200) {
      EXPECT_FALSE(r.complete);
      EXPECT_TRUE(heard.error) << r.body;
    } else if (r.status != 0) {
      EXPECT_GE(r.status, 400);
      EXPECT_TRUE(r.complete);
      EXPECT_FALSE(kit::code_of(r.body).empty()) << r.body;
    } else {
      EXPECT_TRUE(c.connection.unread().empty());
    }
  }
  EXPECT_TRUE(gateway.connections_gone());
  EXPECT_TRUE(kit::eventually([&] { return gateway.seen().active == 0; })) << "the provider was let go";
  gateway.stop();
  EXPECT_EQ(gateway.log().of("ai_run_canceled").size(), count) << "one terminal each";
}

TEST(lifecycle, a_gateway_under_load_can_be_destroyed_at_any_moment) {
  for (std::size_t round = 0; round < kit::tries(20, 5); ++round) {
    test_gateway gateway{{.provider = {.interval = 1ms}}};
    auto calls = begin_calls(gateway.port(), 30, "");
    EXPECT_TRUE(kit::eventually([&] { return gateway.seen().total > static_cast<std::int64_t>(round); }));
    gateway.stop();
    for (pending_call& c : calls) EXPECT_NE(c.connection.wait_for_end(), connection_end::open);
  }
}

// --- the real program

class program {
 public:
  explicit program(std::vector<std::string> arguments) {
    int ends[2];
    if (::pipe(ends) != 0) return;
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    ::posix_spawn_file_actions_addclose(&actions, ends[0]);
    ::posix_spawn_file_actions_addclose(&actions, ends[1]);
    std::vector<char*> argv;
    for (std::string& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    if (::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) != 0) pid_ = -1;
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    out_ = ends[0];
  }
  program(const program&) = delete;
  program& operator=(const program&) = delete;
  ~program() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      static_cast<void>(wait());
    }
    ::close(out_);
  }
  // What stands behind `before` in its log, up to the next quote; empty when it ended without.
  std::string logged(std::string_view before) {
    for (;;) {
      const std::size_t at = text_.find(before);
      const std::size_t end = at == std::string::npos ? at : text_.find('"', at + before.size());
      if (end != std::string::npos) return text_.substr(at + before.size(), end - at - before.size());
      if (!read_more()) return {};
    }
  }
  void signal(int number) const { ::kill(pid_, number); }
  // Its exit status, -1 where a signal ended it.
  int wait() {
    while (read_more()) {
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  const std::string& text() const { return text_; }

 private:
  bool read_more() {
    char block[4096];
    const ssize_t n = ::read(out_, block, sizeof block);
    if (n > 0) text_.append(block, static_cast<std::size_t>(n));
    return n > 0;
  }
  pid_t pid_ = -1;
  int out_ = -1;
  std::string text_;
};

// The binary of the same build, where it was built.
std::string binary() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto beside = self.parent_path() / "tidegate";
  return !error && std::filesystem::exists(beside) ? beside.string() : std::string{};
}

TEST(lifecycle, sigterm_under_load_loses_no_exchange_and_exits_zero) {  // NFR-3, interface 2
  const std::string path = binary();
  if (path.empty()) GTEST_SKIP() << "the binary is not built";
  const scratch_dir dir;
  ::setenv("TIDEGATE_POLICY_DEFAULT_REQUESTS_PER_MINUTE", "0", 1);
  program gateway{{path, "serve", "--mock", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
                   "--data", dir.path()}};
  ::unsetenv("TIDEGATE_POLICY_DEFAULT_REQUESTS_PER_MINUTE");
  const std::string data = gateway.logged(R"("event":"listening","data":")");
  ASSERT_FALSE(data.empty()) << gateway.text();
  const std::string admin = gateway.logged(R"("admin":")");
  constexpr std::size_t count = kit::tries(200, 60);
  auto calls = begin_calls(kit::port_of(data), count, linger);
  ASSERT_TRUE(kit::eventually([&] {
    auto caller = raw_client::connect(kit::port_of(admin));
    return caller && caller->exchange("GET", "/admin/v1/providers")
                             .body.find("\"inFlight\":" + std::to_string(count)) != std::string::npos;
  }));
  gateway.signal(SIGTERM);
  for (pending_call& c : calls) expect_whole(c);
  EXPECT_EQ(gateway.wait(), 0) << gateway.text();
  EXPECT_NE(gateway.text().find("\"event\":\"stopped\""), std::string::npos);
}

TEST(lifecycle, a_second_serve_on_the_same_directory_refuses_to_start) {  // interface 7
  const std::string path = binary();
  if (path.empty()) GTEST_SKIP() << "the binary is not built";
  const scratch_dir dir;
  const std::vector<std::string> arguments{path,          "serve",       "--mock",
                                           "--listen",    "127.0.0.1:0", "--admin-listen",
                                           "127.0.0.1:0", "--data",      dir.path()};
  program first{arguments};
  ASSERT_FALSE(first.logged(R"("event":"listening","data":")").empty()) << first.text();
  program second{arguments};
  EXPECT_EQ(second.wait(), 1) << second.text();
  first.signal(SIGINT);
  EXPECT_EQ(first.wait(), 0);
}

// --- TLS

struct tls_caller {
  tls_caller(std::uint16_t port, const std::string& ca) : tcp{raw_client::connect(port)} {
    context.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_load_verify_locations(context.get(), ca.c_str(), nullptr);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    ssl.reset(SSL_new(context.get()));
    SSL_set1_host(ssl.get(), "localhost");
    SSL_set_fd(ssl.get(), tcp->fd());
    connected = SSL_connect(ssl.get()) == 1;
  }
  std::string exchange(const std::string& request) const {
    SSL_write(ssl.get(), request.data(), static_cast<int>(request.size()));
    std::string out;
    char block[16384];
    for (;;) {
      const int n = SSL_read(ssl.get(), block, sizeof block);
      if (n <= 0) return out;
      out.append(block, static_cast<std::size_t>(n));
    }
  }
  std::optional<raw_client> tcp;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context{nullptr, SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl{nullptr, SSL_free};
  bool connected = false;
};

test_gateway make_tls_gateway(const kit::tls_material& material) {
  return test_gateway{{.adjust = [&](app::configuration& c) {
    c.server.tls_cert = material.cert();
    c.server.tls_key = material.key();
  }}};
}

TEST(tls, a_listener_with_a_certificate_serves_whole_and_streamed) {
  const scratch_dir dir;
  const kit::tls_material material{dir.path(), "localhost"};
  test_gateway gateway = make_tls_gateway(material);
  for (const bool stream : {false, true}) {
    const tls_caller caller{gateway.port(), material.cert()};
    ASSERT_TRUE(caller.connected);
    const std::string body = ask_body(dialect_id::openai_chat, "gpt-t", std::string(3000, 'p'), stream);
    const std::string reply = caller.exchange(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: " +
        std::to_string(body.size()) + "\r\n\r\n" + body);
    EXPECT_TRUE(reply.starts_with("HTTP/1.1 200")) << reply;
    EXPECT_EQ(reply.find("[DONE]") != std::string::npos, stream);
  }
  // Plain HTTP and noise to the same port end at once; nobody else is disturbed.
  for (const std::string_view text :
       {"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n", "\x16\x03\x01\xff\xff\xff\xff\xff\xff"}) {
    raw_client plain = gateway.connect();
    plain.send(text);
    ::shutdown(plain.fd(), SHUT_WR);
    EXPECT_NE(plain.wait_for_end(), connection_end::open);
    EXPECT_EQ(plain.peek_reply().status, 0);
  }
  EXPECT_TRUE((tls_caller{gateway.port(), material.cert()}.connected));
  EXPECT_TRUE(gateway.connections_gone());
}

TEST(tls, a_provider_is_verified_before_anything_is_sent) {
  const scratch_dir dir;
  const kit::tls_material material{dir.path(), "localhost"};
  const scratch_dir other_dir;
  const kit::tls_material other{other_dir.path(), "other.example"};
  test_gateway secure = make_tls_gateway(material);
  test_gateway misnamed = make_tls_gateway(other);
  const auto url = [](const test_gateway& g) { return "https://localhost:" + std::to_string(g.port()); };
  const std::string body = ask_body(dialect_id::openai_chat, "compat-t", "hello");
  const auto relay = [&](const test_gateway& to, const std::string& ca) {
    const test_gateway gateway{{.ca_file = ca, .provider_url = url(to)}};
    return gateway.post(chat_path, body);
  };
  const raw_reply good = relay(secure, material.cert());
  EXPECT_EQ(good.status, 200) << good.body;
  EXPECT_EQ(kit::said(dialect_id::openai_chat, good.body), "You said: hello");
  EXPECT_EQ(secure.seen().total, 1);
  const raw_reply unknown_authority = relay(secure, other.cert());
  EXPECT_EQ(unknown_authority.status, 503) << unknown_authority.body;
  EXPECT_EQ(kit::code_of(unknown_authority.body), "AI_PROVIDER_UNAVAILABLE");
  const raw_reply wrong_name = relay(misnamed, other.cert());
  EXPECT_EQ(wrong_name.status, 503) << wrong_name.body;
  EXPECT_EQ(secure.seen().total, 1);
  EXPECT_EQ(misnamed.seen().total, 0);
}

}  // namespace
}  // namespace tidegate
