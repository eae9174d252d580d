// Guards over real sockets, a real journal and a real store: what a restart keeps, stored replies, traces.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "kit/gateway.h"
#include "kit/scenario_table.h"

namespace tidegate {
namespace {

using kit::raw_client;
using kit::raw_reply;
using kit::test_gateway;
using policy::account_scope;
using policy::account_unit;
using protocol::dialect::dialect_id;

constexpr std::string_view chat = "/v1/chat/completions";

std::string ask(std::string_view text, bool stream = false) {
  return kit::ask_body(dialect_id::openai_chat, "gpt-t", text, stream);
}

policy::balance session_of(test_gateway& gateway, std::string_view id) {
  return gateway.node().core().ledger().with(
      [&](policy::ledger& l) { return l.of(account_scope::session, account_unit::tokens, id); });
}

TEST(guards, T151_the_same_key_gets_the_stored_reply_and_is_charged_once) {
  test_gateway gateway;
  const std::string_view key = "idempotency-key: order-7\r\nx-tidegate-session: s\r\n";
  const raw_reply first = gateway.post(chat, ask("once"), key);
  ASSERT_EQ(first.status, 200);
  const auto charged = session_of(gateway, "local/s").settled;
  const raw_reply again = gateway.post(chat, ask("once"), key);
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(again.body, first.body);
  EXPECT_EQ(again.header("x-tidegate-run-id"), first.header("x-tidegate-run-id"));
  EXPECT_EQ(gateway.seen().total, 1) << "the provider was asked once";
  EXPECT_EQ(session_of(gateway, "local/s").settled, charged);

  const raw_reply other = gateway.post(chat, ask("something else"), key);
  EXPECT_EQ(other.status, 409);
  EXPECT_EQ(kit::code_of(other.body), "CONFLICT");
  const raw_reply streamed = gateway.post(chat, ask("stream", true), "idempotency-key: order-8\r\n");
  EXPECT_EQ(streamed.status, 200);
  EXPECT_EQ(gateway.post(chat, ask("stream", true), "idempotency-key: order-8\r\n").status, 409);
  const raw_reply too_long =
      gateway.post(chat, ask("once"), "idempotency-key: " + std::string(256, 'k') + "\r\n");
  EXPECT_EQ(too_long.status, 400);

  gateway.stop();
  gateway.start();
  EXPECT_EQ(gateway.post(chat, ask("once"), key).body, first.body) << "also after a restart";
}

// GW-7 where no reply can be sealed, and so none is kept: what was answered is not paid for again.
TEST(guards, an_idempotency_key_is_never_charged_twice_without_a_master_key) {
  test_gateway gateway{{.env = {{"TIDEGATE_MASTER_KEY", "not a key"}}}};
  const std::string_view key = "idempotency-key: order-7\r\n";
  ASSERT_EQ(gateway.post(chat, ask("once"), key).status, 200);
  const raw_reply again = gateway.post(chat, ask("once"), key);
  EXPECT_EQ(again.status, 409) << again.body;
  EXPECT_EQ(kit::code_of(again.body), "CONFLICT");
  EXPECT_EQ(gateway.seen().total, 1) << "the provider was asked once";
}

TEST(guards, T151_a_call_under_a_key_that_still_runs_is_a_conflict) {
  test_gateway gateway;
  mock::behavior slow;
  slow.kind = mock::behavior_kind::hang;
  gateway.script(slow);
  raw_client running = gateway.connect();
  running.send_request("POST", chat, ask("slow"), "idempotency-key: k\r\n");
  ASSERT_TRUE(kit::eventually([&] { return gateway.seen().active == 1; }));
  EXPECT_EQ(gateway.post(chat, ask("slow"), "idempotency-key: k\r\n").status, 409);
}

TEST(guards, T95_a_restart_keeps_balances_windows_and_breakers) {
  kit::gateway_options options;
  options.adjust = [](app::configuration& c) {
    c.policies["default"].requests_per_minute = 5;
    c.breaker.failure_threshold = 2;
  };
  test_gateway gateway{options};
  EXPECT_EQ(gateway.post(chat, ask("one"), "x-tidegate-session: s\r\n").status, 200);
  mock::behavior broken;
  broken.kind = mock::behavior_kind::status;
  broken.status = 503;
  gateway.script(broken, 2);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(gateway.post(chat, ask("fails")).status, 503);
  const auto settled = session_of(gateway, "local/s").settled;
  EXPECT_GT(settled, 0);
  gateway.stop();
  gateway.start();
  EXPECT_EQ(session_of(gateway, "local/s").settled, settled);
  const bool degraded = gateway.node().core().health().with(
      [](policy::health_bank& bank) { return !bank.breaker_of(*bank.find("openai")).closed(); });
  EXPECT_TRUE(degraded);
  const auto used = gateway.node().core().limits().with([&](policy::rate_limiter& limits) {
    const auto slot = limits.find("key:local");
    return slot ? limits.in_window(*slot, gateway.time().now()) : 0U;
  });
  EXPECT_EQ(used, 3U);
}

TEST(guards, T84_a_terminal_run_is_kept_with_its_texts_sealed) {  // TRC-4
  test_gateway gateway;
  const raw_reply whole = gateway.post(chat, ask("a-canary-in-the-prompt"));
  const raw_reply stream = gateway.post(chat, ask("another-canary", true));
  for (const raw_reply* r : {&whole, &stream}) {
    const std::string id{r->header("x-tidegate-run-id")};
    std::optional<storage::trace_record> kept;
    EXPECT_TRUE(kit::eventually([&] {
      auto found = storage::wait_for<std::optional<storage::trace_record>>(
          [&](auto answer) { gateway.service().traces().get(id, std::move(answer)); });
      if (found && *found) kept = std::move(*found);
      return kept.has_value();
    }));
    ASSERT_TRUE(kept.has_value());
    EXPECT_THAT(kept->input_text.value_or(""), testing::HasSubstr("canary"));
    EXPECT_THAT(kept->output_text.value_or(""), testing::HasSubstr("You said:"));
  }
  gateway.stop();
  for (const auto& file : std::filesystem::recursive_directory_iterator(gateway.directory())) {
    if (!file.is_regular_file()) continue;
    std::ifstream in{file.path(), std::ios::binary};
    const std::string bytes{std::istreambuf_iterator<char>{in}, {}};
    EXPECT_EQ(bytes.find("canary"), std::string::npos) << file.path();
  }
}

}  // namespace
}  // namespace tidegate
