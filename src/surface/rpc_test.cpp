// POST /rpc/<channel> over real sockets, on simulated time (RPC-1 to RPC-3, SEC-1, SEC-2, TMO-4, STR-2).
#include "surface/rpc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <stdexcept>
#include <thread>

#include "kit/rpc_world.h"
#include "kit/scenario_table.h"

namespace tidegate::surface {
namespace {

using namespace std::chrono_literals;
using kit::bearer;
using kit::connection_end;
using kit::envelope;
using kit::raw_client;
using kit::raw_reply;
using kit::reply_with;
using kit::rpc_world;
using runtime::task;
using session::binding;
using session::channel_reply;
using session::request_context;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

namespace json = protocol::json;

constexpr std::string_view cancel_body = R"({"executionId":"x"})";
constexpr std::string_view cancel_reply = R"({"canceled":true})";

// Counts its calls and answers ai:skill:cancel as it should be answered.
struct counted {
  int calls = 0;
  binding canceler() {
    return {"ai:skill:cancel", [this](json::value, request_context&) {
              ++calls;
              return reply_with(std::string{cancel_reply});
            }};
  }
};

binding with(std::string_view channel, session::handler run) { return {channel, std::move(run)}; }

policy::principal client_named(std::string id) {
  policy::principal who;
  who.id = who.name = std::move(id);
  return who;
}

TEST(rpc, an_answer_is_an_envelope_with_its_ids) {
  counted handler;
  rpc_world w{{handler.canceler()}};
  const raw_reply reply =
      w.exchange("POST", "/rpc/ai:skill:cancel", cancel_body,
                 "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n");
  const envelope e = kit::read_envelope(reply);
  EXPECT_EQ(e.status, 200);
  EXPECT_TRUE(e.ok) << e.raw;
  EXPECT_EQ(e.text({"data"}), cancel_reply);
  EXPECT_THAT(e.text({"meta", "requestId"}), SizeIs(36));
  EXPECT_EQ(e.text({"meta", "ts"}), std::to_string(w.clock.wall().time_since_epoch().count()));
  EXPECT_EQ(reply.header("x-tidegate-trace-id"), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(reply.header("content-type"), "application/json");
  EXPECT_EQ(handler.calls, 1);
}

TEST(rpc, a_channel_may_come_percent_encoded) {
  counted handler;
  rpc_world w{{handler.canceler()}};
  EXPECT_TRUE(w.post("ai%3Askill%3acancel", cancel_body).ok);
  EXPECT_EQ(w.post("ai%3", cancel_body).code, "IPC_CHANNEL_FORBIDDEN");
  EXPECT_EQ(w.post("ai:skill:cancel%00", cancel_body).code, "IPC_CHANNEL_FORBIDDEN");
}

TEST(rpc, other_methods_are_told_which_one_is_taken) {
  counted handler;
  rpc_world w{{handler.canceler()}};
  const raw_reply reply = w.exchange("GET", "/rpc/ai:skill:cancel", {});
  EXPECT_EQ(reply.status, 405);
  EXPECT_EQ(reply.header("allow"), "POST");
  EXPECT_EQ(kit::read_envelope(reply).code, "INVALID_ARGUMENT");
}

// T143
TEST(rpc, T143_role_origin_channel_and_key_are_checked_in_front_of_the_handler) {
  int calls = 0;
  rpc_world w{{with("ai:config:update", [&](json::value, request_context&) {
    ++calls;
    return reply_with("{}");
  })}};
  const std::string key = w.add_key(client_named("someone"));
  const std::string body = R"({"provider":"openai","enabled":true})";

  const envelope role = w.post("ai:config:update", body, bearer(key));
  EXPECT_EQ(role.status, 403);
  EXPECT_EQ(role.code, "FORBIDDEN");
  EXPECT_THAT(w.journal.of("ipc_acl_forbidden"), ElementsAre(HasSubstr(R"("caller":"someone")")));
  EXPECT_THAT(w.journal.of("ipc_acl_forbidden").front(), HasSubstr(R"("channel":"ai:config:update")"));

  const envelope origin =
      w.post("ai:config:update", body, bearer(key) + "origin: https://elsewhere.example\r\n");
  EXPECT_EQ(origin.status, 403);
  EXPECT_EQ(origin.code, "FORBIDDEN");

  const envelope unknown = w.post("ai:config:explode", body, bearer(key));
  EXPECT_EQ(unknown.status, 403);
  EXPECT_EQ(unknown.code, "IPC_CHANNEL_FORBIDDEN");
  EXPECT_THAT(w.journal.of("ipc_channel_forbidden"),
              ElementsAre(HasSubstr(R"("channel":"ai:config:explode","timestamp":1)")));

  const std::size_t recorded = w.journal.lines().size();
  const envelope stranger = w.post("ai:config:update", body);
  EXPECT_EQ(stranger.status, 401);
  EXPECT_EQ(stranger.code, "AI_AUTH_FAILED");
  EXPECT_EQ(stranger.text({"error", "details", "source"}), "local");
  EXPECT_EQ(w.journal.lines().size(), recorded) << "a stranger does not fill the journal";
  EXPECT_EQ(w.post("ai:config:update", body, bearer("tg-nonsense")).status, 401);
  EXPECT_EQ(calls, 0);

  policy::principal admin = client_named("owner");
  admin.role = policy::caller_role::admin;
  const std::string owner = w.add_key(admin);
  w.post("ai:config:update", body, "x-api-key: " + owner + "\r\n");
  EXPECT_EQ(calls, 1);
}

// RPC-2
TEST(rpc, a_channel_that_is_not_granted_looks_like_one_that_does_not_exist) {
  counted handler;
  rpc_world w{{handler.canceler()}};
  policy::principal who = client_named("narrow");
  who.channels = {"ai:chat:send"};
  const std::string key = w.add_key(who);
  const envelope e = w.post("ai:skill:cancel", cancel_body, bearer(key));
  const envelope unknown = w.post("ai:skill:unheardof", cancel_body, bearer(key));
  EXPECT_EQ(e.code, "IPC_CHANNEL_FORBIDDEN");
  EXPECT_EQ(e.text({"error", "message"}), unknown.text({"error", "message"}));
  EXPECT_EQ(handler.calls, 0);
  EXPECT_THAT(w.journal.of("ipc_channel_forbidden"), SizeIs(2));
}

// T77
TEST(rpc, T77_a_body_of_10_MiB_passes_and_one_byte_more_does_not) {
  std::size_t seen = 0;
  rpc_world w{{with("judge:quality:evaluate", [&](json::value request, request_context&) {
    seen = request.raw().size();
    return reply_with("{}");
  })}};
  constexpr std::size_t limit = 10U << 20;
  std::string body = R"({"projectId":"p","traceId":"t","contextSummary":"c","text":")";
  body += std::string(limit - body.size() - 2, 'a') + "\"}";
  ASSERT_EQ(body.size(), limit);
  raw_client client = w.connect();
  std::thread sender{[&] { client.send_request("POST", "/rpc/judge:quality:evaluate", body); }};
  w.until([&] { return seen != 0; });
  sender.join();
  w.reply_of(client);
  EXPECT_EQ(seen, limit);

  raw_client second = w.connect();
  second.send("POST /rpc/judge:quality:evaluate HTTP/1.1\r\nhost: t\r\ncontent-length: " +
              std::to_string(limit + 1) + "\r\n\r\n{");
  const envelope over = kit::read_envelope(w.reply_of(second));
  EXPECT_EQ(over.status, 413) << "answered without the rest";
  EXPECT_EQ(over.code, "IPC_PAYLOAD_TOO_LARGE");
  EXPECT_THAT(w.journal.of("ipc_payload_too_large"), SizeIs(1));

  raw_client third = w.connect();
  third.send(
      "POST /rpc/judge:quality:evaluate HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\na00001\r\n");
  std::thread chunk{[&] { third.send(std::string(limit + 1, ' ')); }};
  raw_reply chunked;
  w.until([&] { return (chunked = third.peek_reply()).complete; });
  EXPECT_EQ(kit::read_envelope(chunked).code, "IPC_PAYLOAD_TOO_LARGE");
  ::shutdown(third.fd(), SHUT_RDWR);
  chunk.join();
}

// T78
TEST(rpc, T78_what_is_not_of_the_schema_is_told_with_its_path_and_the_handler_is_idle) {
  counted handler;
  int chats = 0;
  rpc_world w{{handler.canceler(), with("ai:chat:send", [&](json::value, request_context&) {
                 ++chats;
                 return reply_with("{}");
               })}};
  struct sample {
    std::string_view channel;
    std::string body;
    std::string path;
  };
  const sample samples[] = {
      {"ai:skill:cancel", R"({"executionId":"x","extra":1})", "extra"},
      {"ai:skill:cancel", R"({"executionId":NaN})", "executionId"},
      {"ai:skill:cancel", R"({"executionId":7})", "executionId"},
      {"ai:skill:cancel", "[]", "$"},
      {"ai:skill:cancel", "", "$"},
      {"ai:skill:cancel", R"({"executionId":"x"} trailing)", "$"},
      {"ai:chat:send", R"({"projectId":"p"})", "message"},
      {"ai:chat:send", "{\"message\":\"\xff\",\"projectId\":\"p\"}", "message"},
      {"ai:skill:cancel", std::string(200, '[') + std::string(200, ']'), "[0]"},
  };
  for (const sample& s : samples) {
    SCOPED_TRACE(s.body.substr(0, 60));
    const envelope e = w.post(s.channel, s.body);
    EXPECT_EQ(e.status, 400);
    EXPECT_EQ(e.code, "VALIDATION_ERROR");
    const auto parsed = json::parse(e.raw);
    const auto details = parsed->path({"error", "details"});
    ASSERT_TRUE(details && details->is_array()) << e.raw;
    ASSERT_NE(details->elements().begin(), details->elements().end());
    const json::value first = *details->elements().begin();
    EXPECT_THAT(first.string_or("path", "-"), testing::StartsWith(s.path));
    for (const char* field : {"message", "expected", "receivedType"})
      EXPECT_NE(first.string_or(field, ""), "") << field;
  }
  EXPECT_EQ(handler.calls, 0);
  EXPECT_EQ(chats, 0);
  EXPECT_EQ(w.count("ipc_request_validation_failed"), std::size(samples));
  EXPECT_EQ(w.fields("ipc_request_validation_failed", "channel").front(), "ai:skill:cancel");
}

// SEC-2
TEST(rpc, T76_projects_that_a_key_is_not_granted_are_forbidden_wherever_they_are_named) {
  int calls = 0;
  const auto count = [&](json::value, request_context&) {
    ++calls;
    return reply_with("{}");
  };
  rpc_world w{{with("ai:chat:list", count), with("ai:skill:run", count)}};
  policy::principal who = client_named("bound");
  who.projects = {"A"};
  const std::string key = bearer(w.add_key(who));
  EXPECT_EQ(w.post("ai:chat:list", R"({"projectId":"B"})", key).code, "FORBIDDEN");
  EXPECT_EQ(w.post("ai:chat:list", R"({"projectId":" B "})", key).code, "FORBIDDEN");
  EXPECT_EQ(w.post("ai:skill:run", R"({"skillId":"","input":"x","context":{"projectId":"B"}})", key).code,
            "FORBIDDEN");
  EXPECT_EQ(calls, 0);
  EXPECT_THAT(w.journal.of("ipc_acl_forbidden"), SizeIs(3));
  w.post("ai:chat:list", R"({"projectId":"A"})", key);
  w.post("ai:skill:run", R"({"skillId":"","input":"x","context":{"projectId":""}})", key);
  EXPECT_EQ(calls, 2);
}

// Waits until it is told to stop; then it would do something if it did not look.
task<channel_reply> slow(request_context& context, int& effects, bool& ended) {
  static_cast<void>(co_await context.services.loop.sleep_until(foundation::never, &context.gone));
  if (!context.gone.fired()) ++effects;
  ended = true;
  co_return std::string{cancel_reply};
}

// T79
TEST(rpc, T79_a_slow_handler_is_answered_for_at_30_000_and_does_nothing_later) {
  int effects = 0;
  bool ended = false;
  rpc_world w{
      {with("ai:skill:cancel", [&](json::value, request_context& c) { return slow(c, effects, ended); })}};
  raw_client client = w.connect();
  client.send_request("POST", "/rpc/ai:skill:cancel", cancel_body);
  w.until([&] { return w.loop.next_timer() != foundation::never && w.net().exchanges() == 1; });
  w.settle();
  w.advance(29'999ms);
  EXPECT_EQ(client.peek_reply().status, 0);
  w.advance(1ms);
  const envelope e = kit::read_envelope(w.reply_of(client));
  EXPECT_EQ(e.status, 504);
  EXPECT_EQ(e.code, "IPC_TIMEOUT");
  EXPECT_EQ(e.text({"error", "retryable"}), "true");
  EXPECT_TRUE(ended);
  EXPECT_EQ(effects, 0);
}

// A store call that is under way when the time is over: answered in time, and the write counts as done
// before.
TEST(rpc, the_deadline_does_not_wait_for_a_store) {
  storage::done<void> answer;
  int behind = 0;
  int more = 0;
  const auto store = [&](request_context& c) -> task<channel_reply> {
    static_cast<void>(
        co_await session::ask_store<void>(c, [&](storage::done<void> done) { answer = std::move(done); }));
    ++behind;
    if (c.gone.fired()) co_return session::given_up();
    ++more;
    co_return std::string{cancel_reply};
  };
  rpc_world w{{with("ai:skill:cancel", [&](json::value, request_context& c) { return store(c); })}};
  raw_client client = w.connect();
  client.send_request("POST", "/rpc/ai:skill:cancel", cancel_body);
  w.until([&] { return static_cast<bool>(answer); });
  w.advance(30s);
  EXPECT_EQ(kit::read_envelope(w.reply_of(client)).code, "IPC_TIMEOUT");
  EXPECT_EQ(w.net().exchanges(), 1U) << "what the handler lives on stays until it has ended";
  answer({});
  w.until([&] { return w.net().exchanges() == 0; });
  EXPECT_EQ(behind, 1);
  EXPECT_EQ(more, 0);
}

// TMO-4
TEST(rpc, runs_have_their_own_deadlines_and_judgements_five_seconds_more) {
  int effects = 0;
  bool ended = false;
  const auto run = [&](json::value, request_context& c) { return slow(c, effects, ended); };
  rpc_world w{{with("ai:skill:run", run), with("judge:quality:evaluate", run)}};
  raw_client runs = w.connect();
  raw_client judges = w.connect();
  runs.send_request("POST", "/rpc/ai:skill:run", R"({"skillId":"","input":"x"})");
  judges.send_request("POST", "/rpc/judge:quality:evaluate",
                      R"({"projectId":"p","traceId":"t","text":"x","contextSummary":"c"})");
  w.until([&] { return w.net().exchanges() == 2; });
  for (int i = 0; i < 20; ++i) w.loop.turn(1ms);
  w.advance(34'999ms);
  EXPECT_EQ(judges.peek_reply().status, 0);
  w.advance(1ms);
  EXPECT_EQ(kit::read_envelope(w.reply_of(judges)).code, "IPC_TIMEOUT");
  w.advance(1h);
  EXPECT_EQ(runs.peek_reply().status, 0);
}

// RPC-3
TEST(rpc, a_reply_that_is_not_of_its_shape_never_leaves) {
  rpc_world w{{with("ai:skill:cancel", [](json::value, request_context&) {
    return reply_with(R"({"canceled":true,"secret":"sk-leak-leak-leak"})");
  })}};
  const envelope e = w.post("ai:skill:cancel", cancel_body);
  EXPECT_EQ(e.status, 500);
  EXPECT_EQ(e.code, "INTERNAL_ERROR");
  EXPECT_THAT(e.raw, Not(HasSubstr("leak")));
  EXPECT_THAT(w.fields("ipc_response_validation_failed", "channel"), ElementsAre("ai:skill:cancel"));
}

// RPC-1
TEST(rpc, an_exception_is_a_defect_and_tells_nothing_of_itself) {
  const auto fail = []() -> task<channel_reply> {
    throw std::runtime_error{"a look inside"};
    co_return std::string{};
  };
  rpc_world w{{with("ai:skill:cancel", [&](json::value, request_context&) { return fail(); })}};
  const envelope e = w.post("ai:skill:cancel", cancel_body);
  EXPECT_EQ(e.status, 500);
  EXPECT_EQ(e.code, "INTERNAL_ERROR");
  EXPECT_THAT(e.raw, Not(HasSubstr("inside")));
  EXPECT_THAT(w.fields("ipc_handler_unhandled_error", "message"), ElementsAre("a look inside"));
}

TEST(rpc, a_failure_keeps_its_code_its_wait_and_the_status_of_section_3) {
  const auto fail = []() -> task<channel_reply> {
    foundation::failure f;
    f.code = foundation::error_code::llm_api_error;
    f.status = 404;  // a provider's own, which is /v1's business
    f.retry_after = std::chrono::milliseconds{1'500};
    co_return std::unexpected{f};
  };
  rpc_world w{{with("ai:skill:cancel", [&](json::value, request_context&) { return fail(); })}};
  const raw_reply reply = w.exchange("POST", "/rpc/ai:skill:cancel", cancel_body);
  const envelope e = kit::read_envelope(reply);
  EXPECT_EQ(e.status, 502);
  EXPECT_EQ(e.code, "LLM_API_ERROR");
  EXPECT_EQ(e.text({"error", "retryAfterMs"}), "1500");
  EXPECT_EQ(e.text({"error", "traceId"}), reply.header("x-tidegate-trace-id"));
  EXPECT_EQ(reply.header("retry-after"), "2");
  EXPECT_EQ(reply.header("retry-after-ms"), "1500");
}

// STR-2
TEST(rpc, a_buffered_call_is_told_when_its_connection_closes) {
  int effects = 0;
  bool ended = false;
  rpc_world w{
      {with("ai:skill:run", [&](json::value, request_context& c) { return slow(c, effects, ended); })}};
  {
    raw_client client = w.connect();
    client.send_request("POST", "/rpc/ai:skill:run", R"({"skillId":"","input":"x"})");
    w.until([&] { return w.net().exchanges() == 1; });
  }
  w.until([&] { return ended; });
  EXPECT_EQ(effects, 0);
  w.until([&] { return w.net().connections() == 0; });
}

task<channel_reply> two_pushes(request_context& context, bool fails) {
  if (context.stream == nullptr) co_return session::refusal(foundation::error_code::internal, "no stream");
  static_cast<void>(co_await context.stream->send("skill:queue:status", "e:0:1", R"({"type":"queue"})"));
  static_cast<void>(co_await context.stream->write("event: skill:stream:done\ndata: {}\n\n"));
  if (fails) co_return session::refusal(foundation::error_code::internal, "broken");
  co_return std::string{};
}

// STR-2
TEST(rpc, a_run_answers_with_its_own_pushes_where_that_is_asked_for) {
  bool fails = false;
  rpc_world w{{with("ai:skill:run", [&](json::value, request_context& c) { return two_pushes(c, fails); })}};
  const std::string body = R"({"skillId":"","input":"x","stream":true})";
  const raw_reply reply = w.exchange("POST", "/rpc/ai:skill:run", body, "accept: Text/Event-Stream\r\n");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("content-type"), "text/event-stream");
  EXPECT_THAT(reply.header("x-tidegate-trace-id"), SizeIs(32));
  EXPECT_EQ(reply.body,
            "id: e:0:1\nevent: skill:queue:status\ndata: {\"type\":\"queue\"}\n\n"
            "event: skill:stream:done\ndata: {}\n\n");
  EXPECT_TRUE(reply.complete);

  EXPECT_EQ(w.post("ai:skill:run", body, "accept: application/json\r\n").code, "INTERNAL");
  fails = true;
  const raw_reply broken = w.exchange("POST", "/rpc/ai:skill:run", body, "accept: text/event-stream\r\n");
  EXPECT_EQ(broken.status, 200);
  EXPECT_FALSE(broken.complete) << "a stream that broke never looks whole";
}

// STR-2
TEST(rpc, leaving_a_stream_tells_its_run) {
  bool told = false;
  const auto endless = [&](request_context& c) -> task<channel_reply> {
    static_cast<void>(co_await c.stream->send("skill:queue:status", "", "{}"));
    static_cast<void>(co_await c.services.loop.sleep_until(foundation::never, &c.gone));
    told = c.gone.reason() == runtime::cancel_reason::client_left;
    co_return std::string{};
  };
  rpc_world w{{with("ai:skill:run", [&](json::value, request_context& c) { return endless(c); })}};
  {
    raw_client client = w.connect();
    client.send_request("POST", "/rpc/ai:skill:run", R"({"skillId":"","input":"x","stream":true})",
                        "accept: text/event-stream\r\n");
    w.until([&] { return client.peek_reply().status == 200; });
  }
  w.until([&] { return told; });
}

TEST(rpc, a_stream_that_waits_its_turn_has_a_heartbeat) {
  const auto waits = [](request_context& c) -> task<channel_reply> {
    static_cast<void>(co_await c.stream->send("skill:queue:status", "", "{}"));
    static_cast<void>(co_await c.services.loop.sleep_until(c.services.loop.now() + 40s, &c.gone));
    static_cast<void>(co_await c.stream->send("skill:stream:done", "", "{}"));
    co_return std::string{};
  };
  rpc_world w{{with("ai:skill:run", [&](json::value, request_context& c) { return waits(c); })}};
  raw_client client = w.connect();
  client.send_request("POST", "/rpc/ai:skill:run", R"({"skillId":"","input":"x","stream":true})",
                      "accept: text/event-stream\r\n");
  w.until([&] { return !client.peek_reply().body.empty(); });
  w.advance(40s);
  const raw_reply all = w.reply_of(client);
  EXPECT_TRUE(all.complete);
  EXPECT_EQ(all.body,
            "event: skill:queue:status\ndata: {}\n\n: alive\n\n: alive\n\n"
            "event: skill:stream:done\ndata: {}\n\n");
}

// A reader that takes nothing for a minute counts as gone.
TEST(rpc, a_stalled_reader_ends_its_run) {
  bool told = false;
  std::size_t sent = 0;
  const auto endless = [&](request_context& c) -> task<channel_reply> {
    const std::string line = "{\"text\":\"" + std::string(60'000, 'x') + "\"}";
    while (co_await c.stream->send("skill:stream:chunk", "", line)) ++sent;
    told = c.gone.reason() == runtime::cancel_reason::client_left;
    co_return std::string{};
  };
  rpc_world w{{with("ai:skill:run", [&](json::value, request_context& c) { return endless(c); })}};
  raw_client client = w.connect();
  client.send_request("POST", "/rpc/ai:skill:run", R"({"skillId":"","input":"x","stream":true})",
                      "accept: text/event-stream\r\n");
  std::size_t before = 0;
  for (int quiet = 0; quiet < 20; quiet = sent == before && sent > 0 ? quiet + 1 : 0) {
    before = sent;
    w.loop.turn(1ms);
  }
  w.advance(61s);
  EXPECT_TRUE(told);
}

// GW-4, NFR-3, STR-12
TEST(rpc, a_full_or_closing_gateway_takes_nothing_but_cancels) {
  counted handler;
  kit::setup s;
  s.adjust = [](gateway::snapshot& served) { served.max_in_flight = 1; };
  rpc_world w{{handler.canceler(),
               with("ai:config:get",
                    [](json::value, request_context&) { return reply_with(R"({"providers":[]})"); })},
              std::move(s)};
  {
    const auto place = w.shared.enter(1);
    const envelope full = w.post("ai:config:get", "{}");
    EXPECT_EQ(full.status, 503);
    EXPECT_EQ(full.code, "SERVER_OVERLOADED");
    EXPECT_EQ(full.text({"error", "details", "reason"}), "max_in_flight");
    EXPECT_TRUE(w.post("ai:skill:cancel", cancel_body).ok);
  }
  EXPECT_TRUE(w.post("ai:config:get", "{}").ok);
  w.shared.drain();
  EXPECT_EQ(w.post("ai:config:get", "{}").text({"error", "details", "reason"}), "draining");
  EXPECT_TRUE(w.post("ai:skill:cancel", cancel_body).ok);
}

TEST(rpc, what_http_itself_refuses_is_an_envelope_too) {
  counted handler;
  rpc_world w{{handler.canceler()}};
  raw_client client = w.connect();
  client.send(
      "POST /rpc/ai:skill:cancel HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n");
  const envelope e = kit::read_envelope(w.reply_of(client));
  EXPECT_EQ(e.status, 400);
  EXPECT_EQ(e.code, "VALIDATION_ERROR");
  EXPECT_THAT(e.text({"meta", "requestId"}), SizeIs(36));
}

TEST(rpc, a_session_header_is_bounded_and_handed_on) {
  std::string seen;
  rpc_world w{{with("ai:skill:cancel", [&](json::value, request_context& c) {
    seen = c.session;
    return reply_with(std::string{cancel_reply});
  })}};
  EXPECT_TRUE(w.post("ai:skill:cancel", cancel_body, "x-tidegate-session: s 1\r\n").ok);
  EXPECT_EQ(seen, "s 1");
  EXPECT_EQ(
      w.post("ai:skill:cancel", cancel_body, "x-tidegate-session: " + std::string(256, 's') + "\r\n").code,
      "INVALID_ARGUMENT");
}

TEST(rpc_death, a_channel_is_bound_once_and_stands_in_the_contract) {
  counted handler;
  const std::vector<binding> twice{handler.canceler(), handler.canceler()};
  EXPECT_DEATH(channel_table{twice}, "");
  const std::vector<binding> unknown{
      {"ai:skill:explode", [](json::value, request_context&) { return reply_with("{}"); }}};
  EXPECT_DEATH(channel_table{unknown}, "");
}

}  // namespace
}  // namespace tidegate::surface
