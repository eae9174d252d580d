// The whole gateway over loopback sockets: what callers and operators are promised of its listeners
// (interface sections 4, 5 and 9), and that many callers at once never see each other.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <mutex>
#include <set>
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

constexpr std::string_view chat_path = "/v1/chat/completions";

std::string hello(std::string_view model = "gpt-t") {
  return ask_body(dialect_id::openai_chat, model, "hello");
}

TEST(surface, every_dialect_reaches_every_kind_whole_and_streamed) {  // GW-1
  const test_gateway gateway;
  for (const dialect_id d : callers) {
    for (const std::string_view model : {"gpt-t", "claude-t", "compat-t"}) {
      for (const bool stream : {false, true}) {
        SCOPED_TRACE(std::string{path_of(d)} + ' ' + std::string{model} + (stream ? " streamed" : ""));
        const raw_reply r = gateway.post(path_of(d), ask_body(d, model, "näive ☃ text", stream));
        EXPECT_EQ(r.status, 200) << r.body;
        EXPECT_TRUE(r.complete);
        EXPECT_EQ(r.header("x-tidegate-attempts"), "1");
        EXPECT_FALSE(r.header("x-tidegate-run-id").empty());
        EXPECT_FALSE(r.header("x-tidegate-trace-id").empty());
        if (stream) {
          const kit::heard heard = kit::hear(d, r.body);
          EXPECT_EQ(heard.text, "You said: näive ☃ text");
          EXPECT_TRUE(heard.end_marker);
        } else {
          EXPECT_EQ(kit::said(d, r.body), "You said: näive ☃ text");
        }
      }
    }
  }
}

// 64 keep-alive callers, each with its own words: every answer is the answer to its own question.
TEST(surface, concurrent_callers_never_see_each_other) {
  test_gateway gateway;
  constexpr std::size_t clients = 64;
  constexpr std::size_t calls = kit::tries(200, 20);
  constexpr std::size_t threads = 8;
  std::atomic<std::size_t> right{0};
  std::mutex ids_mutex;
  std::set<std::string> ids;
  const auto start = kit::steady::now();
  const auto work = [&](std::size_t first) {
    constexpr std::size_t mine = clients / threads;
    std::vector<raw_client> connections;
    for (std::size_t i = 0; i < mine; ++i) connections.push_back(gateway.connect());
    std::vector<std::string> seen;
    for (std::size_t n = 0; n < calls; ++n) {
      const dialect_id d = callers[n % 3];
      const std::string_view model = n % 2 == 0 ? kit::own_model(d) : kit::other_model(d);
      const bool stream = n % 4 >= 2;
      const auto words = [&](std::size_t i) {
        return "client " + std::to_string(first + i) + " call " + std::to_string(n) +
               std::string(n % 37, 'z');
      };
      // All of the thread's connections have a call under way at once.
      for (std::size_t i = 0; i < mine; ++i)
        connections[i].send_request("POST", path_of(d), ask_body(d, model, words(i), stream));
      for (std::size_t i = 0; i < mine; ++i) {
        const raw_reply r = connections[i].read_reply(60'000);
        const std::string text = stream ? kit::hear(d, r.body).text : kit::said(d, r.body);
        const bool good = r.status == 200 && r.complete && text == "You said: " + words(i);
        EXPECT_TRUE(good) << r.status << ' ' << r.complete << ' ' << text << " for " << words(i);
        right += good ? 1 : 0;
        seen.push_back(r.header("x-tidegate-run-id"));
      }
    }
    const std::scoped_lock lock{ids_mutex};
    ids.insert(seen.begin(), seen.end());
  };
  std::vector<std::thread> running;
  for (std::size_t t = 0; t < threads; ++t) running.emplace_back(work, t * (clients / threads));
  for (std::thread& t : running) t.join();
  EXPECT_EQ(right, clients * calls);
  EXPECT_EQ(ids.size(), clients * calls) << "run ids are unique";
  kit::figure("concurrent_calls_per_second",
              static_cast<double>(clients * calls) * 1000.0 / kit::ms_since(start), "1/s");
  // A place is given back just behind the last byte.
  EXPECT_TRUE(kit::eventually([&] { return gateway.node().core().in_flight() == 0; }));
  EXPECT_TRUE(gateway.connections_gone());
  EXPECT_EQ(gateway.seen().aborted, 0);
}

TEST(surface, a_unix_socket_serves_like_a_port_and_leaves_no_file_behind) {
  char dir[] = "/tmp/tidegate-test-XXXXXX";
  ASSERT_NE(::mkdtemp(dir), nullptr);
  const std::string path = std::string{dir} + "/gateway.sock";
  {
    const test_gateway gateway{{.adjust = [&](app::configuration& c) { c.server.listen = "unix:" + path; }}};
    auto caller = raw_client::connect_unix(path);
    ASSERT_TRUE(caller.has_value());
    for (int i = 0; i < 3; ++i) {
      const raw_reply r = caller->exchange("POST", chat_path, hello());
      EXPECT_EQ(r.status, 200) << r.body;
      EXPECT_EQ(kit::said(dialect_id::openai_chat, r.body), "You said: hello");
    }
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  std::filesystem::remove_all(dir);
}

TEST(surface, an_http_1_0_caller_gets_a_stream_that_ends_with_the_connection) {
  const test_gateway gateway;
  for (const bool stream : {false, true}) {
    raw_client caller = gateway.connect();
    const std::string body = ask_body(dialect_id::openai_chat, "gpt-t", "old times", stream);
    caller.send("POST /v1/chat/completions HTTP/1.0\r\ncontent-length: " + std::to_string(body.size()) +
                "\r\n\r\n" + body);
    EXPECT_EQ(caller.wait_for_end(), connection_end::closed);
    const raw_reply r = caller.read_reply();
    EXPECT_EQ(r.status, 200);
    EXPECT_TRUE(r.header("transfer-encoding").empty());
    const std::string text =
        stream ? kit::hear(dialect_id::openai_chat, r.body).text : kit::said(dialect_id::openai_chat, r.body);
    EXPECT_EQ(text, "You said: old times");
  }
}

TEST(surface, expect_100_continue_is_answered_before_the_body) {
  const test_gateway gateway;
  raw_client caller = gateway.connect();
  const std::string body = hello();
  caller.send("POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: " +
              std::to_string(body.size()) + "\r\n\r\n");
  EXPECT_TRUE(kit::eventually([&] {
    static_cast<void>(caller.read_some(10));
    return caller.unread().ends_with("\r\n\r\n");
  }));
  EXPECT_EQ(caller.unread(), "HTTP/1.1 100 Continue\r\n\r\n");
  caller.send(body);
  EXPECT_TRUE(kit::eventually([&] {
    static_cast<void>(caller.read_some(10));
    return caller.unread().find("You said: hello") != std::string::npos;
  }));
  // A body that will be refused is not asked for.
  raw_client greedy = gateway.connect();
  greedy.send(
      "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: "
      "99999999999\r\n\r\n");
  EXPECT_EQ(greedy.read_reply().status, 413);
}

TEST(surface, head_has_the_headers_of_get_and_no_body) {
  const test_gateway gateway;
  for (const std::string_view path : {"/healthz", "/v1/models", "/v1/nothing"}) {
    raw_client caller = gateway.connect();
    const raw_reply get = caller.exchange("GET", path);
    caller.send_request("HEAD", path);
    EXPECT_TRUE(kit::eventually([&] {
      static_cast<void>(caller.read_some(10));
      return caller.unread().find("\r\n\r\n") != std::string::npos;
    }));
    const raw_reply head = caller.peek_reply();
    EXPECT_EQ(head.status, get.status) << path;
    EXPECT_TRUE(head.body.empty()) << path;
    EXPECT_EQ(head.header("content-type"), get.header("content-type"));
  }
}

TEST(surface, a_foreign_origin_is_refused_and_an_allowed_one_is_served) {  // SEC-2, T143
  const test_gateway gateway{
      {.adjust = [](app::configuration& c) { c.server.allowed_origins = {"https://app.example"}; }}};
  const raw_reply foreign = gateway.post(chat_path, hello(), "origin: https://evil.example\r\n");
  EXPECT_EQ(foreign.status, 403);
  EXPECT_EQ(kit::code_of(foreign.body), "FORBIDDEN");
  const raw_reply messages = gateway.post(
      "/v1/messages", ask_body(dialect_id::anthropic_messages, "claude-t", "hello"), "origin: null\r\n");
  EXPECT_EQ(messages.status, 403);
  EXPECT_EQ(kit::code_of(messages.body), "FORBIDDEN");
  EXPECT_EQ(gateway.seen().total, 0) << "no call went upstream";
  EXPECT_EQ(gateway.post(chat_path, hello(), "origin: https://app.example\r\n").status, 200);
}

TEST(surface, beyond_the_in_flight_limit_a_call_is_refused_with_a_wait) {  // GW-4, T127
  test_gateway gateway{{.adjust = [](app::configuration& c) { c.server.max_in_flight = 2; }}};
  std::vector<raw_client> holders;
  for (int i = 0; i < 2; ++i) {
    holders.push_back(gateway.connect());
    holders.back().send_request("POST", chat_path,
                                ask_body(dialect_id::openai_chat, "gpt-t", "[[mock:hang]]"));
  }
  ASSERT_TRUE(kit::eventually([&] { return gateway.seen().active == 2; }));
  for (const dialect_id d : callers) {
    const raw_reply r = gateway.post(path_of(d), ask_body(d, "gpt-t", "hello"));
    EXPECT_EQ(r.status, 503) << path_of(d);
    EXPECT_EQ(kit::code_of(r.body), "SERVER_OVERLOADED") << r.body;
    EXPECT_FALSE(r.header("retry-after").empty());
    EXPECT_FALSE(r.header("retry-after-ms").empty());
    EXPECT_EQ(r.header("content-type"), "application/json");
  }
  holders.clear();
  EXPECT_TRUE(kit::eventually([&] { return gateway.node().core().in_flight() == 0; }));
  EXPECT_TRUE(gateway.alive());
}

TEST(surface, a_reload_under_load_loses_nothing) {  // CFG-1
  test_gateway gateway;
  std::atomic<bool> stop{false};
  std::atomic<std::size_t> done{0};
  std::atomic<std::size_t> wrong{0};
  const auto work = [&](std::size_t who) {
    raw_client caller = gateway.connect();
    for (std::size_t n = who; !stop; ++n) {
      const dialect_id d = callers[n % 3];
      const bool stream = n % 2 == 0;
      const raw_reply r = caller.exchange("POST", path_of(d),
                                          ask_body(d, n % 5 == 0 ? "claude-t" : "gpt-t", "steady", stream));
      const std::string text = stream ? kit::hear(d, r.body).text : kit::said(d, r.body);
      if (r.status == 200 && r.complete && text == "You said: steady") {
        ++done;
      } else {
        ++wrong;
        ADD_FAILURE() << r.status << ' ' << r.body;
        return;
      }
    }
  };
  std::vector<std::thread> running;
  for (std::size_t t = 0; t < 4; ++t) running.emplace_back(work, t);
  app::configuration settings = gateway.configure();
  for (std::size_t i = 0; i < kit::tries(200, 30); ++i) {
    const std::size_t before = done;
    settings.timeouts.idle = std::chrono::milliseconds{50'000 + i};
    ASSERT_TRUE(gateway.publish(settings).has_value());
    EXPECT_TRUE(kit::eventually([&] { return done > before || wrong > 0; }));
  }
  stop = true;
  for (std::thread& t : running) t.join();
  EXPECT_EQ(wrong, 0U);
  kit::figure("calls_during_reloads", static_cast<double>(done), "calls");
}

TEST(surface, one_connection_carries_pipelined_requests_in_order) {
  const test_gateway gateway;
  raw_client caller = gateway.connect();
  std::string all;
  for (int i = 0; i < 5; ++i) {
    const std::string body =
        ask_body(dialect_id::openai_chat, "gpt-t", "number " + std::to_string(i), i % 2 == 1);
    all += "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
  }
  caller.send(all);
  for (int i = 0; i < 5; ++i) {
    const raw_reply r = caller.read_reply();
    const std::string text = i % 2 == 1 ? kit::hear(dialect_id::openai_chat, r.body).text
                                        : kit::said(dialect_id::openai_chat, r.body);
    EXPECT_EQ(text, "You said: number " + std::to_string(i));
  }
}

// --- the admin listener

TEST(admin_listener, metrics_are_prometheus_text_with_the_promised_names) {  // interface 9
  const test_gateway gateway;
  EXPECT_TRUE(gateway.alive());
  EXPECT_EQ(gateway.post(chat_path, ask_body(dialect_id::openai_chat, "gpt-t", "hi", true)).status, 200);
  EXPECT_EQ(gateway.post(chat_path, "{").status, 400);
  const raw_reply r = gateway.admin("GET", "/metrics");
  ASSERT_EQ(r.status, 200);
  EXPECT_TRUE(r.header("content-type").starts_with("text/plain")) << r.header("content-type");
  for (const std::string_view name :
       {"tidegate_exchanges_total", "tidegate_attempts_total", "tidegate_overhead_seconds_bucket",
        "tidegate_ttft_seconds_bucket", "tidegate_breaker_state", "tidegate_llm_tokens_total",
        "tidegate_refusals_total", "tidegate_open_streams", "tidegate_build_info"}) {
    EXPECT_NE(r.body.find("\n" + std::string{name}), std::string::npos) << name;
  }
  std::string_view left = r.body;
  EXPECT_TRUE(left.ends_with('\n'));
  while (!left.empty()) {
    const std::string_view line = left.substr(0, left.find('\n'));
    left.remove_prefix(line.size() + 1);
    if (line.starts_with("# HELP ") || line.starts_with("# TYPE ")) continue;
    // name{labels} value
    const std::size_t space = line.rfind(' ');
    ASSERT_NE(space, std::string_view::npos) << line;
    EXPECT_TRUE(line.starts_with("tidegate_") || line.starts_with("process_")) << line;
    char* end = nullptr;
    const std::string value{line.substr(space + 1)};
    static_cast<void>(std::strtod(value.c_str(), &end));
    EXPECT_TRUE(*end == '\0' && !value.empty()) << line;
    EXPECT_EQ(line.find('{') != std::string_view::npos, line.find("} ") != std::string_view::npos) << line;
  }
}

TEST(admin_listener, a_token_is_asked_for_and_compared_whole) {  // SEC-4
  const test_gateway gateway{
      {.adjust =
           [](app::configuration& c) { c.admin.token = {app::credential_source::environment, "ADMIN"}; },
       .env = {{"ADMIN", "let-me-in"}}}};
  for (const std::string_view path : {"/metrics", "/admin/v1/providers", "/admin/v1/nothing"}) {
    EXPECT_EQ(gateway.admin("GET", path).status, 401) << path;
    EXPECT_EQ(gateway.admin("GET", path, "authorization: Bearer let-me-i\r\n").status, 401) << path;
    EXPECT_EQ(gateway.admin("GET", path, "authorization: Bearer let-me-inn\r\n").status, 401) << path;
    EXPECT_NE(gateway.admin("GET", path, "authorization: Bearer let-me-in\r\n").status, 401) << path;
  }
  EXPECT_EQ(gateway.admin("POST", "/admin/v1/reload").status, 401);
  EXPECT_EQ(gateway.admin("POST", "/admin/v1/reload", "authorization: Bearer let-me-in\r\n").status, 200);
  const raw_reply page = gateway.admin("GET", "/admin/v1/providers",
                                       "authorization: Bearer let-me-in\r\norigin: http://127.0.0.1\r\n");
  EXPECT_EQ(page.status, 403);
  // Provider keys are told of as present, never shown.
  const raw_reply providers =
      gateway.admin("GET", "/admin/v1/providers", "authorization: Bearer let-me-in\r\n");
  EXPECT_NE(providers.body.find("\"apiKeyConfigured\":true"), std::string::npos);
  EXPECT_EQ(providers.body.find("sk-integration"), std::string::npos);
}

TEST(admin_listener, readyz_turns_red_while_draining_and_healthz_stays) {  // NFR-3
  test_gateway gateway;
  EXPECT_EQ(gateway.admin("GET", "/readyz").status, 200);
  gateway.node().drain();
  EXPECT_EQ(gateway.admin("GET", "/readyz").status, 503);
  EXPECT_EQ(gateway.admin("GET", "/healthz").status, 200);
}

TEST(admin_listener, the_data_listener_serves_no_admin_paths) {
  const test_gateway gateway;
  for (const std::string_view path : {"/metrics", "/readyz", "/admin/v1/providers"})
    EXPECT_EQ(gateway.get(path).status, 404) << path;
}

}  // namespace
}  // namespace tidegate
