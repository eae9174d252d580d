// Pages of allowed origins call the data listener from a browser (SEC-2); others are told nothing.
#include <gtest/gtest.h>

#include <string>

#include "kit/gateway.h"

namespace tidegate {
namespace {

using kit::ask_body;
using kit::dialect_id;
using kit::raw_reply;
using kit::test_gateway;

constexpr std::string_view page = "https://app.example";
constexpr std::string_view from_page = "origin: https://app.example\r\n";
constexpr std::string_view from_stranger = "origin: https://evil.example\r\n";
constexpr std::string_view asks =
    "access-control-request-method: POST\r\naccess-control-request-headers: "
    "authorization,content-type,x-stainless-os\r\n";

kit::gateway_options with_page() {
  return {.adjust = [](app::configuration& c) { c.server.allowed_origins = {std::string{page}}; }};
}

void expect_told(const raw_reply& reply) {
  EXPECT_EQ(reply.header("access-control-allow-origin"), page) << reply.status;
  EXPECT_EQ(reply.header("vary"), "Origin");
  EXPECT_NE(reply.header("access-control-expose-headers").find("x-tidegate-trace-id"), std::string::npos);
}

TEST(cors, a_page_of_an_allowed_origin_reads_every_answer) {
  const test_gateway gateway{with_page()};
  const auto body = [](bool stream) { return ask_body(dialect_id::openai_chat, "gpt-t", "hello", stream); };
  for (const bool stream : {false, true}) {
    const raw_reply reply = gateway.post("/v1/chat/completions", body(stream), from_page);
    EXPECT_EQ(reply.status, 200);
    expect_told(reply);
  }
  const raw_reply listed = gateway.get("/v1/models", from_page);
  EXPECT_EQ(listed.status, 200);
  expect_told(listed);
  const raw_reply session = gateway.post("/rpc/ai:config:get", "{}", from_page);
  EXPECT_EQ(session.status, 200);
  expect_told(session);
  // Errors too: a page that may not read them can only guess.
  expect_told(gateway.post("/v1/chat/completions", "not JSON", from_page));
  expect_told(gateway.post("/v1/nothing", "{}", from_page));
  expect_told(gateway.post("/rpc/ai:config:get", "not JSON", from_page));
}

TEST(cors, a_preflight_is_answered_without_a_key_and_calls_nobody) {
  const test_gateway gateway{with_page()};
  for (const std::string_view path :
       {"/v1/chat/completions", "/v1/messages", "/rpc/ai:skill:run", "/rpc/events"}) {
    const raw_reply reply =
        gateway.connect().exchange("OPTIONS", path, {}, std::string{from_page} + std::string{asks});
    EXPECT_EQ(reply.status, 200) << path;
    EXPECT_EQ(reply.header("access-control-allow-origin"), page);
    EXPECT_EQ(reply.header("access-control-allow-methods"), "GET, HEAD, POST");
    EXPECT_EQ(reply.header("access-control-allow-headers"), "authorization,content-type,x-stainless-os");
    EXPECT_TRUE(reply.body.empty());
  }
  EXPECT_EQ(gateway.seen().total, 0);
}

TEST(cors, what_is_not_a_list_of_names_is_not_repeated) {
  const test_gateway gateway{with_page()};
  const raw_reply reply = gateway.connect().exchange(
      "OPTIONS", "/v1/models", {},
      std::string{from_page} +
          "access-control-request-method: GET\r\naccess-control-request-headers: a;b\r\n");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("access-control-allow-headers"), "");
}

TEST(cors, other_origins_are_told_nothing) {
  const test_gateway gateway{with_page()};
  const std::string preflight = std::string{from_stranger} + std::string{asks};
  for (const std::string_view path : {"/v1/chat/completions", "/rpc/ai:config:get", "/v1/models"}) {
    const raw_reply asked = gateway.connect().exchange("OPTIONS", path, {}, preflight);
    EXPECT_GE(asked.status, 400) << path;
    EXPECT_EQ(asked.header("access-control-allow-origin"), "");
    const raw_reply posted = gateway.post(path, "{}", from_stranger);
    EXPECT_EQ(posted.status, 403) << path;
    EXPECT_EQ(posted.header("access-control-allow-origin"), "");
  }
  EXPECT_EQ(gateway.get("/v1/models").header("access-control-allow-origin"), "") << "no page asks";
}

// DNS rebinding: a page of evil.example whose name was made to lead here is of the same origin as the
// gateway, so its GETs bear no Origin. Its POSTs do, and are refused for it.
TEST(cors, without_keys_the_push_stream_is_not_found_under_a_strangers_name) {
  const test_gateway gateway{with_page()};
  const auto status_under = [&](std::string_view host) {
    auto caller = gateway.connect();
    std::string bytes{"GET /rpc/events HTTP/1.1\r\nhost: "};
    caller.send(bytes.append(host).append("\r\n\r\n"));
    while (caller.unread().find("\r\n\r\n") == std::string::npos && caller.read_some()) {
    }
    return caller.unread().substr(0, 12);
  };
  EXPECT_EQ(status_under("evil.example:8787"), "HTTP/1.1 403");
  for (const std::string_view host : {"localhost:8787", "127.0.0.1", "[::1]:8787", "10.0.0.1", "app.example"})
    EXPECT_EQ(status_under(host), "HTTP/1.1 200") << host;
}

// One browser, one connection, two pages behind one proxy: what was told the first stays with its answer.
TEST(cors, the_next_exchange_of_a_connection_is_judged_by_itself) {
  const test_gateway gateway{with_page()};
  auto caller = gateway.connect();
  expect_told(caller.exchange("GET", "/v1/models", {}, from_page));
  EXPECT_EQ(caller.exchange("GET", "/v1/models").header("access-control-allow-origin"), "");
  EXPECT_EQ(caller.exchange("GET", "/v1/models", {}, from_stranger).header("access-control-allow-origin"),
            "");
}

}  // namespace
}  // namespace tidegate
