// ipc_protocol_violation (section 4): a side that does not speak as the session surface is spoken.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kit/rpc_world.h"

namespace tidegate::surface {
namespace {

namespace json = protocol::json;
using kit::rpc_world;
using session::request_context;
using testing::ElementsAre;
using testing::IsEmpty;

session::binding canceler() {
  return {"ai:skill:cancel",
          [](json::value, request_context&) { return kit::reply_with(R"({"canceled":true})"); }};
}

TEST(rpc_violation, another_method_is_logged_with_its_channel) {
  rpc_world w{{canceler()}};
  EXPECT_EQ(w.exchange("GET", "/rpc/ai:skill:cancel", {}).status, 405);
  EXPECT_EQ(w.exchange("PUT", "/rpc/events", "{}").status, 405);
  EXPECT_THAT(w.fields("ipc_protocol_violation", "channel"), ElementsAre("ai:skill:cancel", "events"));
  EXPECT_THAT(w.journal.lines(), IsEmpty()) << "it is nobody's yet";
}

TEST(rpc_violation, framing_that_cannot_be_read_is_logged) {
  rpc_world w{{canceler()}};
  kit::raw_client client = w.connect();
  client.send(
      "POST /rpc/ai:skill:cancel HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n");
  EXPECT_EQ(w.reply_of(client).status, 400);
  EXPECT_THAT(w.fields("ipc_protocol_violation", "channel"), ElementsAre("ai:skill:cancel"));
}

TEST(rpc_violation, a_stranger_cannot_fill_the_log) {
  rpc_world w{{canceler()}};
  for (int i = 0; i < 40; ++i) EXPECT_EQ(w.exchange("GET", "/rpc/ai:skill:cancel", {}).status, 405);
  EXPECT_EQ(w.fields("ipc_protocol_violation", "channel").size(), 10U);
}

// RPC-1
TEST(rpc_violation, a_code_that_is_not_declared_is_hidden_and_logged) {
  const auto fail = []() -> runtime::task<session::channel_reply> {
    co_return session::refusal(foundation::error_code::tool_use_all_failed, "only for toolError");
  };
  rpc_world w{{{"ai:skill:cancel", [&](json::value, request_context&) { return fail(); }}}};
  EXPECT_EQ(w.post("ai:skill:cancel", R"({"executionId":"x"})").code, "INTERNAL_ERROR");
  EXPECT_THAT(w.fields("ipc_protocol_violation", "channel"), ElementsAre("ai:skill:cancel"));
}

TEST(rpc_violation, what_is_only_refused_is_none) {
  rpc_world w{{canceler()}};
  EXPECT_EQ(w.post("ai:skill:cancel", "{}").status, 200);
  EXPECT_EQ(w.post("ai:skill:cancel", "not JSON").code, "VALIDATION_ERROR");
  EXPECT_EQ(w.post("ai:skill:explode", "{}").code, "IPC_CHANNEL_FORBIDDEN");
  EXPECT_THAT(w.fields("ipc_protocol_violation", "channel"), IsEmpty());
}

}  // namespace
}  // namespace tidegate::surface
