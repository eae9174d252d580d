// The session surface of a whole gateway over loopback sockets: what its configuration, judge, skill,
// feedback and push channels promise (interface sections 4 and 6, acceptance C6).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "kit/gateway.h"
#include "kit/scenario_table.h"
#include "protocol/rpc/contract.h"

namespace tidegate {
namespace {

using namespace std::chrono_literals;
using kit::raw_client;
using kit::raw_reply;
using kit::test_gateway;
using protocol::dialect::dialect_id;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

namespace json = protocol::json;

// The last part of an envelope that a path leads to, as text; "" where there is none.
std::string at(const raw_reply& reply, std::initializer_list<std::string_view> path) {
  const auto parsed = json::parse(reply.body);
  const auto found = parsed ? parsed->path(path) : std::nullopt;
  return !found ? std::string{} : found->as_string().value_or(std::string{found->raw()});
}
std::string code_of(const raw_reply& reply) { return at(reply, {"error", "code"}); }

raw_reply rpc(const test_gateway& gateway, std::string_view channel, std::string_view body,
              std::string_view headers = {}) {
  return gateway.post("/rpc/" + std::string{channel}, body, headers);
}

raw_reply update(const test_gateway& gateway, std::string_view members) {
  return rpc(gateway, "ai:config:update", R"({"provider":"openai",)" + std::string{members} + "}");
}

// A field of a provider in a reply of ai:config:get or update.
std::string provider_field(const raw_reply& reply, std::string_view name, std::string_view field) {
  const auto parsed = json::parse(reply.body);
  const auto all = parsed ? parsed->path({"data", "providers"}) : std::nullopt;
  for (const json::value p : all.value_or(json::value{}).elements()) {
    if (p.string_or("name", "") != name) continue;
    const auto found = p.find(field);
    return !found ? std::string{} : found->as_string().value_or(std::string{found->raw()});
  }
  return {};
}

raw_reply run(const test_gateway& gateway, std::string_view input, std::string_view more = {},
              std::string_view headers = {}) {
  return rpc(gateway, "ai:skill:run",
             R"({"skillId":"builtin:polish","input":")" + std::string{input} + R"(","model":"gpt-t")" +
                 std::string{more} + "}",
             headers);
}

// Reads a push stream until it has seen `what`.
bool hears(raw_client& from, std::string_view what) {
  return kit::eventually([&] { return from.peek_reply().body.find(what) != std::string::npos; });
}
raw_client listen(const test_gateway& gateway, std::string_view query = {}, std::string_view headers = {}) {
  raw_client client = gateway.connect();
  client.send_request("GET", "/rpc/events" + std::string{query}, {}, headers);
  EXPECT_TRUE(hears(client, ": open"));
  return client;
}

std::string everything_under(const std::string& directory) {
  std::string all;
  for (const auto& entry : std::filesystem::recursive_directory_iterator{directory}) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in{entry.path(), std::ios::binary};
    all.append(std::istreambuf_iterator<char>{in}, {});
  }
  return all;
}

TEST(rpc_surface, every_channel_of_the_contract_is_served) {
  const test_gateway gateway;
  for (const protocol::rpc::channel& channel : protocol::rpc::session_contract().channels) {
    const raw_reply reply = rpc(gateway, channel.name, R"({"noSuchField":1})");
    EXPECT_EQ(reply.status, 400) << channel.name << ' ' << reply.body;
    EXPECT_EQ(code_of(reply), "VALIDATION_ERROR") << channel.name;
    EXPECT_EQ(at(reply, {"ok"}), "false");
  }
}

// T68
TEST(rpc_surface, T68_a_saved_key_serves_at_once_is_kept_sealed_and_shown_to_nobody) {
  constexpr std::string_view secret = "sk-openai-byok-secret";
  test_gateway gateway;
  const raw_reply saved = update(gateway, R"("apiKey":" sk-openai-byok-secret ")");
  ASSERT_EQ(saved.status, 200) << saved.body;
  EXPECT_EQ(provider_field(saved, "openai", "apiKeyConfigured"), "true");
  EXPECT_THAT(saved.body, Not(HasSubstr("byok")));
  EXPECT_EQ(run(gateway, "first").status, 200);
  EXPECT_THAT(gateway.provider_record(), HasSubstr(secret)) << "the next call bears it";
  gateway.stop();
  EXPECT_THAT(everything_under(gateway.directory()), Not(HasSubstr("byok")));
  EXPECT_FALSE(gateway.log().contains("byok"));
  gateway.start();
  EXPECT_EQ(provider_field(rpc(gateway, "ai:config:get", "{}"), "openai", "apiKeyConfigured"), "true");
  ASSERT_EQ(run(gateway, "second").status, 200);
  const std::string seen = gateway.provider_record();
  EXPECT_EQ(seen.find("sk-integration-test-key"), std::string::npos)
      << "the stored key, also after a restart";
}

// T70, CFG-6
TEST(rpc_surface, T70_stored_settings_override_the_file_until_they_are_changed) {
  test_gateway gateway;
  ASSERT_EQ(update(gateway, R"("apiKey":"")").status, 200);
  const raw_reply none = run(gateway, "text");
  EXPECT_EQ(code_of(none), "AI_NOT_CONFIGURED") << none.body;
  EXPECT_EQ(gateway.seen().total, 0);
  ASSERT_EQ(update(gateway, R"("apiKey":"sk-again-again")").status, 200);
  EXPECT_EQ(run(gateway, "text").status, 200);
  const raw_reply off = update(gateway, R"("enabled":false)");
  EXPECT_EQ(provider_field(off, "openai", "enabled"), "false");
  EXPECT_EQ(code_of(run(gateway, "text")), "AI_NOT_CONFIGURED");
  gateway.stop();
  gateway.start();
  EXPECT_EQ(code_of(run(gateway, "text")), "AI_NOT_CONFIGURED");
  EXPECT_EQ(code_of(update(gateway, R"("baseUrl":"","enabled":true)")), "INVALID_ARGUMENT");
  EXPECT_EQ(code_of(update(gateway, R"("baseUrl":"ftp://h")")), "INVALID_ARGUMENT");
  EXPECT_EQ(code_of(rpc(gateway, "ai:config:update", R"({"provider":"openai"})")), "INVALID_ARGUMENT");
  EXPECT_EQ(code_of(rpc(gateway, "ai:config:update", R"({"provider":"nobody","enabled":true})")),
            "INVALID_ARGUMENT");
  ASSERT_EQ(update(gateway, R"("enabled":true)").status, 200);
  EXPECT_EQ(run(gateway, "text").status, 200);
  EXPECT_FALSE(gateway.log().lines().empty());
  EXPECT_TRUE(gateway.log().contains("ai_proxy_settings_updated"));
}

TEST(rpc_surface, a_provider_is_tested_and_its_models_are_listed) {
  const test_gateway gateway;
  const raw_reply tested = rpc(gateway, "ai:config:test", R"({"provider":"compatible"})");
  EXPECT_EQ(at(tested, {"data", "ok"}), "true") << tested.body;
  const raw_reply listed = rpc(gateway, "ai:models:list", "{}");
  EXPECT_EQ(listed.status, 200) << listed.body;
  EXPECT_NE(at(listed, {"data", "items"}), "[]");
}

// C6
TEST(rpc_surface, C6_what_is_not_of_the_schema_changes_nothing) {
  const test_gateway gateway;
  const raw_reply before = rpc(gateway, "ai:config:get", "{}");
  const std::pair<std::string_view, std::string_view> bad[] = {
      {R"({"provider":"openai","enabled":false,"more":1})", "more"},
      {R"({"provider":"openai","enabled":"no"})", "enabled"},
      {R"({"enabled":false})", "provider"},
      {R"({"provider":"openai","enabled":NaN})", "enabled"}};
  for (const auto& [body, path] : bad) {
    const raw_reply reply = rpc(gateway, "ai:config:update", body);
    EXPECT_EQ(reply.status, 400);
    EXPECT_EQ(code_of(reply), "VALIDATION_ERROR");
    EXPECT_THAT(reply.body, HasSubstr(R"("path":")" + std::string{path} + '"'));
  }
  const raw_reply after = rpc(gateway, "ai:config:get", "{}");
  EXPECT_EQ(at(before, {"data"}), at(after, {"data"}));
  EXPECT_EQ(gateway.seen().total, 0);
}

// T77
TEST(rpc_surface, T77_ten_mebibytes_pass_and_one_byte_more_does_not) {
  const test_gateway gateway;
  std::string body = R"({"id":"polish","pad":")";
  body += std::string((10U << 20) - body.size() - 2, 'a') + "\"}";
  const raw_reply exact = rpc(gateway, "skill:registry:read", body);
  EXPECT_EQ(code_of(exact), "VALIDATION_ERROR") << "it was read";
  const raw_reply over = rpc(gateway, "skill:registry:read", body + ' ');
  EXPECT_EQ(over.status, 413);
  EXPECT_EQ(code_of(over), "IPC_PAYLOAD_TOO_LARGE");
  EXPECT_TRUE(gateway.log().contains("ipc_payload_too_large"));
}

// T73
TEST(rpc_surface, T73_feedback_finds_its_run) {
  const test_gateway gateway;
  EXPECT_EQ(
      code_of(rpc(gateway, "ai:skill:feedback",
                  R"({"runId":"018f0000-0000-7000-8000-000000000000","action":"accept","evidenceRef":"x"})")),
      "NOT_FOUND");
  const raw_reply made = run(gateway, "some words to polish");
  ASSERT_EQ(made.status, 200) << made.body;
  const raw_reply told = rpc(
      gateway, "ai:skill:feedback",
      R"({"runId":")" + at(made, {"data", "runId"}) + R"(","action":"reject","evidenceRef":"paragraph"})");
  EXPECT_EQ(told.status, 200) << told.body;
  EXPECT_EQ(at(told, {"data", "recorded"}), "true");
}

// T49
TEST(rpc_surface, T49_what_is_unknown_is_cancelled_and_what_is_blank_makes_no_sense) {
  const test_gateway gateway;
  EXPECT_EQ(at(rpc(gateway, "ai:skill:cancel", R"({"executionId":"nobody"})"), {"data", "canceled"}), "true");
  EXPECT_EQ(code_of(rpc(gateway, "ai:skill:cancel", R"({"executionId":" ","runId":""})")),
            "INVALID_ARGUMENT");
  EXPECT_EQ(code_of(rpc(gateway, "ai:skill:cancel", "{}")), "INVALID_ARGUMENT");
}

TEST(rpc_surface, a_disabled_skill_stays_disabled_across_a_restart) {
  test_gateway gateway;
  EXPECT_EQ(rpc(gateway, "skill:registry:toggle", R"({"id":"polish","enabled":false})").status, 200);
  EXPECT_EQ(code_of(run(gateway, "text")), "UNSUPPORTED");
  gateway.stop();
  gateway.start();
  EXPECT_EQ(code_of(run(gateway, "text")), "UNSUPPORTED");
  EXPECT_EQ(rpc(gateway, "skill:registry:toggle", R"({"skillId":"builtin:polish","enabled":true})").status,
            200);
  EXPECT_EQ(run(gateway, "text").status, 200);
}

// STR-2, STR-12
TEST(rpc_surface, a_streamed_run_is_told_on_its_own_response_and_to_subscribers) {
  const test_gateway gateway;
  raw_client watching = listen(gateway);
  const raw_reply reply =
      run(gateway, "words that want to be polished", R"(,"stream":true)", "accept: text/event-stream\r\n");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("content-type"), "text/event-stream");
  EXPECT_TRUE(reply.complete);
  const std::size_t queue = reply.body.find("event: skill:queue:status\n");
  const std::size_t first_chunk = reply.body.find("event: skill:stream:chunk\n");
  const std::size_t done = reply.body.find("event: skill:stream:done\n");
  ASSERT_NE(queue, std::string::npos) << reply.body;
  ASSERT_NE(first_chunk, std::string::npos);
  ASSERT_NE(done, std::string::npos);
  EXPECT_LT(queue, first_chunk);
  EXPECT_LT(first_chunk, done);
  EXPECT_EQ(reply.body.find("event: skill:stream:chunk\n", done), std::string::npos);
  EXPECT_TRUE(hears(watching, "event: skill:stream:done\n"));
}

// T137
TEST(rpc_surface, T137_a_subscriber_goes_on_where_it_was) {
  const test_gateway gateway;
  std::string last;
  {
    raw_client first = listen(gateway);
    ASSERT_EQ(run(gateway, "words", R"(,"stream":true)", "accept: text/event-stream\r\n").status, 200);
    ASSERT_TRUE(hears(first, "event: skill:stream:done\n"));
    const std::string body = first.peek_reply().body;
    const std::size_t id = body.find("id: ") + 4;
    last = body.substr(id, body.find('\n', id) - id);
    first.close();
  }
  raw_client again = listen(gateway, "", "last-event-id: " + last + "\r\n");
  EXPECT_TRUE(hears(again, "event: skill:stream:done\n"));
  EXPECT_THAT(again.peek_reply().body, Not(HasSubstr("id: " + last + "\n")));
}

// T149
TEST(rpc_surface, T149_five_hundred_subscriptions_and_not_one_more) {
  if (kit::allow_descriptors(4096) < 1500) GTEST_SKIP() << "too few descriptors";
  const test_gateway gateway;
  std::vector<raw_client> open;
  for (int i = 0; i < 500; ++i) {
    open.push_back(gateway.connect());
    open.back().send_request("GET", "/rpc/events");
  }
  for (raw_client& client : open) ASSERT_TRUE(hears(client, ": open"));
  const raw_reply over = gateway.get("/rpc/events");
  EXPECT_EQ(over.status, 429);
  EXPECT_EQ(code_of(over), "IPC_SUBSCRIPTION_LIMIT_EXCEEDED");
  EXPECT_TRUE(gateway.log().contains("ipc_subscription_limit_exceeded"));
  open.pop_back();
  EXPECT_TRUE(kit::eventually([&] {
    raw_client another = gateway.connect();
    another.send_request("GET", "/rpc/events");
    static_cast<void>(kit::eventually([&] { return another.peek_reply().status != 0; }));
    return another.peek_reply().status == 200;
  }));
}

// STR-2
TEST(rpc_surface, closing_the_connection_of_a_run_closes_the_provider_s) {
  test_gateway gateway;
  for (const bool streamed : {true, false}) {
    SCOPED_TRACE(streamed ? "streamed" : "buffered");
    const auto aborted = gateway.seen().aborted;
    mock::behavior hang;
    hang.kind = mock::behavior_kind::hang;
    gateway.script(std::move(hang));
    {
      raw_client client = gateway.connect();
      client.send_request("POST", "/rpc/ai:skill:run",
                          R"({"skillId":"builtin:polish","input":"x","model":"gpt-t","stream":)" +
                              std::string{streamed ? "true}" : "false}"},
                          "accept: text/event-stream\r\n");
      ASSERT_TRUE(kit::eventually([&] { return gateway.seen().active == 1; }));
    }
    EXPECT_TRUE(kit::eventually([&] { return gateway.seen().aborted == aborted + 1; }));
    EXPECT_TRUE(gateway.connections_gone());
  }
}

// JDG-4, JDG-5
TEST(rpc_surface, the_judge_asks_its_model_and_pushes_before_it_answers) {
  const test_gateway gateway;
  EXPECT_EQ(at(rpc(gateway, "judge:model:getstate", "{}"), {"data", "state", "status"}), "not_ready");
  const raw_reply ready = rpc(gateway, "judge:model:ensure", "{}");
  EXPECT_EQ(at(ready, {"data", "state", "status"}), "ready") << ready.body;
  raw_client watching = listen(gateway, "?project=novel");
  const raw_reply judged =
      rpc(gateway, "judge:quality:evaluate",
          R"({"projectId":"novel","traceId":"t-7","text":"他推开门。","contextSummary":"第一人称叙述"})");
  EXPECT_EQ(judged.status, 200) << judged.body;
  EXPECT_EQ(at(judged, {"data", "result", "severity"}), "high");
  EXPECT_EQ(at(judged, {"data", "result", "partialChecksSkipped"}), "false");
  ASSERT_TRUE(hears(watching, "event: judge:quality:result\n"));
  EXPECT_THAT(watching.peek_reply().body, HasSubstr("data: " + at(judged, {"data", "result"})));
}

// NFR-3
TEST(rpc_surface, a_push_stream_ends_whole_when_the_gateway_does) {
  test_gateway gateway;
  raw_client watching = listen(gateway);
  std::thread stopping{[&] { gateway.stop(); }};
  const bool ended = kit::eventually([&] { return watching.peek_reply().complete; });
  stopping.join();
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace tidegate
