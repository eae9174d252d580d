// The operator's listener over real sockets: which names it answers to, a token that a reload changes, and
// loops that serve while the configuration's files keep their reader waiting.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <string>

#include "kit/gateway.h"

namespace tidegate {
namespace {

using kit::raw_client;
using kit::raw_reply;
using kit::test_gateway;

raw_reply ask_by_name(const test_gateway& gateway, std::string_view host, std::string_view headers = {},
                      std::string_view request = "GET /admin/v1/providers") {
  raw_client client = raw_client::connect(gateway.admin_port()).value();
  client.send(std::string{request} + " HTTP/1.1\r\nhost: " + std::string{host} + "\r\n" +
              std::string{headers} + "content-length: 0\r\n\r\n");
  return client.read_reply();
}

// SEC-4: a page whose own name was made to lead to the loopback (DNS rebinding) is of the origin it asks.
TEST(admin_listener, answers_to_names_of_the_loopback_only) {
  const test_gateway gateway;
  for (const std::string_view own : {"localhost:8788", "127.0.0.1", "[::1]:8788", "LOCALHOST"})
    EXPECT_EQ(ask_by_name(gateway, own).status, 200) << own;
  for (const std::string_view strange :
       {"evil.example:8788", "127.0.0.1.evil.example", "localhost.evil.example"}) {
    const raw_reply refused = ask_by_name(gateway, strange);
    EXPECT_EQ(refused.status, 403) << strange;
    EXPECT_EQ(kit::code_of(refused.body), "FORBIDDEN");
    EXPECT_EQ(ask_by_name(gateway, strange, {}, "POST /admin/v1/reload").status, 403);
    EXPECT_EQ(ask_by_name(gateway, strange, {}, "GET /metrics").status, 403);
  }
}

TEST(admin_listener, a_token_stands_for_any_name) {
  const test_gateway gateway{
      {.adjust =
           [](app::configuration& c) { c.admin.token = {app::credential_source::environment, "ADMIN"}; },
       .env = {{"ADMIN", "let-me-in"}}}};
  EXPECT_EQ(ask_by_name(gateway, "gateway.example").status, 401);
  EXPECT_EQ(ask_by_name(gateway, "gateway.example", "authorization: Bearer let-me-in\r\n").status, 200);
}

int status_with(const test_gateway& gateway, std::string_view token,
                std::string_view path = "/admin/v1/providers") {
  return gateway.admin("GET", path, "authorization: Bearer " + std::string{token} + "\r\n").status;
}

TEST(admin_listener, a_reload_changes_the_token_and_never_loses_it) {
  test_gateway gateway;
  app::configuration settings = gateway.configure();
  app::environment env = gateway.environment();
  EXPECT_EQ(gateway.admin("GET", "/admin/v1/providers").status, 200);
  EXPECT_EQ(gateway.admin("GET", "/admin/v1/keys").status, 404)
      << "keys are not for everybody on this machine";

  settings.admin.token = {app::credential_source::environment, "ADMIN"};
  env["ADMIN"] = "first";
  ASSERT_TRUE(gateway.service().publish(settings, env));
  EXPECT_EQ(gateway.admin("GET", "/admin/v1/providers").status, 401);
  EXPECT_EQ(status_with(gateway, "first"), 200);
  EXPECT_EQ(status_with(gateway, "first", "/admin/v1/keys"), 200);

  env["ADMIN"] = "second";
  ASSERT_TRUE(gateway.service().publish(settings, env));
  EXPECT_EQ(status_with(gateway, "first"), 401);
  EXPECT_EQ(status_with(gateway, "second"), 200);

  env.erase("ADMIN");
  const auto refused = gateway.service().publish(settings, env);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().find("admin.token"), std::string::npos) << refused.error();
  EXPECT_EQ(status_with(gateway, "second"), 200);
  EXPECT_EQ(gateway.admin("GET", "/admin/v1/providers").status, 401);
}

// A file that keeps its reader waiting: a pipe into which nobody has written yet.
TEST(admin_listener, no_loop_waits_for_the_files_of_a_configuration) {
  test_gateway gateway{{.adjust = [](app::configuration& c) { c.server.threads = 1; }}};
  const std::string pipe = gateway.directory() + "/slow.key";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  app::configuration settings = gateway.configure();
  settings.providers.back().api_key = {app::credential_source::file, pipe};
  auto reload = std::async(std::launch::async, [&] { return gateway.publish(settings); });
  int writer = -1;
  ASSERT_TRUE(kit::eventually([&] {
    writer = ::open(pipe.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    return writer >= 0;
  })) << "nobody reads the file";

  EXPECT_EQ(gateway.admin("POST", "/admin/v1/reload").status, 200);
  raw_client config = gateway.connect();
  config.send_request("POST", "/rpc/ai:config:update",
                      R"({"provider":"openai","apiKey":"sk-set-while-reading"})");
  raw_client prices = gateway.connect();
  prices.send_request("POST", "/rpc/cost:pricing:update",
                      R"({"table":{"currency":"USD","lastUpdated":"2026-01-01","prices":{}}})");
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(gateway.alive());
    EXPECT_EQ(gateway.post("/rpc/ai:config:get", "{}").status, 200);
    EXPECT_EQ(gateway.admin("GET", "/admin/v1/status").status, 200);
  }
  // What they changed is published anew, which reads the file once more.
  EXPECT_TRUE(kit::eventually([&] {
    if (writer < 0) writer = ::open(pipe.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (writer >= 0) {
      EXPECT_EQ(::write(writer, "sk-slow-key", 11), 11);
      ::close(std::exchange(writer, -1));
    }
    return config.peek_reply().complete && prices.peek_reply().complete;
  }));
  EXPECT_TRUE(reload.get());
  const raw_reply configured = config.read_reply();
  EXPECT_EQ(configured.status, 200) << configured.body;
  const raw_reply priced = prices.read_reply();
  EXPECT_EQ(priced.status, 200) << priced.body;
}

}  // namespace
}  // namespace tidegate
