// GET /rpc/events over real sockets, on simulated time (STR-11, section 4).
#include "surface/rpc_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kit/rpc_world.h"

namespace tidegate::surface {
namespace {

using namespace std::chrono_literals;
using kit::bearer;
using kit::envelope;
using kit::raw_client;
using kit::raw_reply;
using kit::rpc_world;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

session::push chunk(std::string_view execution, std::uint64_t seq, std::string project = {},
                    std::string key = "local") {
  session::push p;
  p.name = "skill:stream:chunk";
  p.id = session::push_id(execution, 1, seq);
  p.payload = R"({"seq":)" + std::to_string(seq) + '}';
  p.project = std::move(project);
  p.execution_id = execution;
  p.key_id = std::move(key);
  p.droppable = true;
  return p;
}

struct world : rpc_world {
  explicit world(session::push_settings pushes = {}) : rpc_world{{}, {}, pushes} {}

  raw_client subscribe(std::string_view query = {}, std::string_view headers = {}) {
    raw_client client = connect();
    client.send_request("GET", "/rpc/events" + std::string{query}, {}, headers);
    until([&] { return client.peek_reply().body.starts_with(": open\n\n"); });
    return client;
  }
  // What came behind the opening comment.
  std::string heard(raw_client& client, std::size_t bytes) {
    constexpr std::size_t opening = 8;
    until([&] { return client.peek_reply().body.size() >= opening + bytes; });
    return client.peek_reply().body.substr(opening);
  }
  envelope refused(std::string_view query, std::string_view headers = {}) {
    return kit::read_envelope(exchange("GET", "/rpc/events" + std::string{query}, {}, headers));
  }
  policy::principal named(std::string id, std::vector<std::string> projects) {
    policy::principal who;
    who.id = who.name = std::move(id);
    who.projects = std::move(projects);
    return who;
  }
};

constexpr std::string_view first_event = "id: e:1:1\nevent: skill:stream:chunk\ndata: {\"seq\":1}\n\n";

TEST(rpc_events, pushes_arrive_as_events_with_ids) {
  world w;
  raw_client client = w.subscribe();
  const raw_reply head = client.peek_reply();
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("content-type"), "text/event-stream");
  EXPECT_THAT(head.header("x-tidegate-trace-id"), SizeIs(32));
  w.hub.publish(chunk("e", 1));
  EXPECT_EQ(w.heard(client, first_event.size()), first_event);
}

TEST(rpc_events, filters_are_read_from_the_query) {
  world w;
  raw_client client = w.subscribe("?executionId=e%3a2&project=A+B");
  w.hub.publish(chunk("e:1", 1, "A B"));
  w.hub.publish(chunk("e:2", 1, "other"));
  w.hub.publish(chunk("e:2", 2, "A B"));
  EXPECT_THAT(w.heard(client, 40), testing::StartsWith("id: e:2:1:2\n"));
}

TEST(rpc_events, a_silent_stream_has_a_heartbeat_every_15_s) {
  world w;
  raw_client client = w.subscribe();
  w.advance(14'999ms);
  EXPECT_EQ(client.peek_reply().body, ": open\n\n");
  w.advance(1ms);
  EXPECT_EQ(w.heard(client, 9), ": alive\n\n");
  w.advance(15s);
  EXPECT_EQ(w.heard(client, 18), ": alive\n\n: alive\n\n");
}

// T137
TEST(rpc_events, T137_a_subscriber_comes_back_to_the_next_event) {
  world w;
  for (std::uint64_t seq = 1; seq <= 3; ++seq) w.hub.publish(chunk("e", seq));
  raw_client by_header = w.subscribe("?lastEventId=e:1:1", "last-event-id: e:1:2\r\n");
  EXPECT_THAT(w.heard(by_header, 40), testing::StartsWith("id: e:1:3\n")) << "the header is the newer one";
  raw_client by_query = w.subscribe("?lastEventId=e:1:1");
  const std::string rest = w.heard(by_query, 2 * first_event.size());
  EXPECT_THAT(rest, testing::StartsWith("id: e:1:2\n"));
  EXPECT_THAT(rest, HasSubstr("id: e:1:3\n"));
  EXPECT_THAT(rest, Not(HasSubstr("id: e:1:1\n")));
}

// T149
TEST(rpc_events, T149_the_501st_subscription_of_a_key_is_refused) {
  session::push_settings pushes;
  pushes.max_subscriptions = 3;  // the default of 500 is the configuration's
  world w{pushes};
  std::vector<raw_client> open;
  for (int i = 0; i < 3; ++i) open.push_back(w.subscribe());
  const envelope e = w.refused("");
  EXPECT_EQ(e.status, 429);
  EXPECT_EQ(e.code, "IPC_SUBSCRIPTION_LIMIT_EXCEEDED");
  EXPECT_THAT(w.journal.of("ipc_subscription_limit_exceeded"), ElementsAre(HasSubstr(R"("caller":"local")")));
  open.pop_back();
  w.until([&] { return w.hub.subscriptions() == 2; });
  w.subscribe();
}

TEST(rpc_events, only_granted_projects_are_seen) {
  world w;
  const std::string key = bearer(w.add_key(w.named("bound", {"A"})));
  EXPECT_EQ(w.refused("?project=B", key).code, "FORBIDDEN");
  EXPECT_THAT(w.journal.of("ipc_acl_forbidden"), ElementsAre(HasSubstr(R"("channel":"events")")));
  EXPECT_EQ(w.refused("").status, 401);
  EXPECT_EQ(w.refused("", key + "origin: https://elsewhere.example\r\n").code, "FORBIDDEN");
  raw_client client = w.subscribe("", key);
  w.hub.publish(chunk("e", 1, "B", "another"));
  w.hub.publish(chunk("e", 2, "A", "another"));
  EXPECT_THAT(w.heard(client, 40), testing::StartsWith("id: e:1:2\n"));
}

TEST(rpc_events, a_query_is_checked_by_name) {
  world w;
  for (const std::string_view query :
       {"?sessionId=x", "?project=a&project=b", "?project=%zz", "?project=%ff", "?executionId=%00"}) {
    SCOPED_TRACE(query);
    const envelope e = w.refused(query);
    EXPECT_EQ(e.status, 400);
    EXPECT_EQ(e.code, "VALIDATION_ERROR");
    EXPECT_THAT(e.raw, HasSubstr("\"path\""));
  }
  EXPECT_EQ(w.refused("?session=" + std::string(257, 's')).code, "VALIDATION_ERROR");
  const raw_reply post = w.exchange("POST", "/rpc/events", "{}");
  EXPECT_EQ(post.status, 405);
  EXPECT_EQ(post.header("allow"), "GET");
}

// NFR-3
TEST(rpc_events, a_drain_lets_the_stream_end_whole) {
  world w;
  raw_client client = w.subscribe();
  w.hub.publish(chunk("e", 1));
  w.hub.close();
  const raw_reply all = w.reply_of(client);
  EXPECT_TRUE(all.complete);
  EXPECT_THAT(all.body, HasSubstr("id: e:1:1"));
  w.shared.drain();
  EXPECT_EQ(w.refused("").code, "SERVER_OVERLOADED");
}

TEST(rpc_events, who_leaves_is_forgotten) {
  world w;
  {
    raw_client client = w.subscribe();
    EXPECT_EQ(w.hub.subscriptions(), 1U);
  }
  w.until([&] { return w.hub.subscriptions() == 0 && w.net().connections() == 0; });
}

}  // namespace
}  // namespace tidegate::surface
