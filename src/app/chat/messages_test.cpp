#include "app/chat/messages.h"

#include <gtest/gtest.h>

#include "app/chat/input.h"
#include "app/chat/reply.h"

namespace tidegate::app::chat {
namespace {

namespace json = protocol::json;

json::value at(const std::string& text, std::initializer_list<std::string_view> path) {
  return json::parse(text).value().path(path).value_or(json::value{});
}

TEST(chat_messages, one_answer_is_streamed_and_several_are_not) {
  question q{.text = "Wh\"y?", .project = "chat", .session = "s1", .model = "m", .request_id = "r"};
  const std::string one = run_body(q);
  EXPECT_EQ(at(one, {"skillId"}).as_string(), "builtin:chat");
  EXPECT_EQ(at(one, {"input"}).as_string(), "Wh\"y?");
  EXPECT_EQ(at(one, {"stream"}).as_bool(), true);
  EXPECT_EQ(at(one, {"context", "projectId"}).as_string(), "chat");
  EXPECT_EQ(at(one, {"context", "sessionId"}).as_string(), "s1");
  EXPECT_FALSE(json::parse(one)->find("candidateCount"));
  q.candidates = 3;
  q.model.clear();
  const std::string three = run_body(q);
  EXPECT_EQ(at(three, {"stream"}).as_bool(), false);
  EXPECT_EQ(at(three, {"candidateCount"}).as_int(), 3);
  EXPECT_FALSE(json::parse(three)->find("model"));
}

TEST(chat_messages, pushes_are_read_by_their_names) {
  const push chunk = read_push("skill:stream:chunk", R"({"executionId":"e","chunk":"h\u00e4"})");
  EXPECT_EQ(chunk.kind, push_kind::chunk);
  EXPECT_EQ(chunk.execution_id, "e");
  EXPECT_EQ(chunk.text, "h\xc3\xa4");
  const push queue = read_push("skill:queue:status", R"({"status":"queued","queuePosition":2,"queued":3})");
  EXPECT_EQ(queue.kind, push_kind::queue);
  EXPECT_EQ(queue.position, 2);
  EXPECT_EQ(queue.queued, 3);
  const push done = read_push(
      "skill:stream:done",
      R"({"terminal":"error","outputText":"part","error":{"code":"X","message":"m","traceId":"t","retryable":true,)"
      R"("retryAfterMs":5,"details":{"reason":"why"}},)"
      R"("result":{"metadata":{"model":"g","promptTokens":7,"completionTokens":2,"cachedTokens":1}}})");
  ASSERT_TRUE(done.error && done.used);
  EXPECT_EQ(done.error->trace_id, "t");
  EXPECT_EQ(done.error->reason, "why");
  EXPECT_EQ(done.error->retry_after_ms, 5);
  EXPECT_EQ(done.used->prompt, 7);
  EXPECT_FALSE(done.used->session);
  EXPECT_EQ(read_push("cost:alert", "{}").kind, push_kind::other);
  EXPECT_EQ(read_push("skill:stream:chunk", "{").kind, push_kind::other);
  EXPECT_EQ(read_push("skill:stream:chunk", "[1]").text, "");
}

TEST(chat_messages, an_envelope_gives_its_data_or_its_error) {
  const std::string good = R"({"ok":true,"data":{"a":1}})";
  EXPECT_EQ(read_envelope(good)->int_at("a"), 1);
  const std::string bad =
      R"({"ok":false,"error":{"code":"CONFLICT","message":"full","details":{"reason":"capacity"}}})";
  EXPECT_EQ(read_envelope(bad).error().reason, "capacity");
  EXPECT_EQ(read_envelope("<html>").error().code, "IO_ERROR");
  EXPECT_EQ(read_envelope("{}").error().code, "IO_ERROR");
}

// CHAT-1: the last created, until archived.
TEST(chat_messages, the_current_conversation_is_the_last_created_that_is_open) {
  const std::string text = R"({"sessions":[{"sessionId":"a","createdAt":3,"archived":true},)"
                           R"({"sessionId":"b","createdAt":1},{"sessionId":"c","createdAt":2,"title":"t"}]})";
  const auto found = current_session(read_sessions(*json::parse(text)));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->id, "c");
  EXPECT_FALSE(current_session({}));
}

TEST(chat_messages, the_cost_is_that_of_the_request) {
  const std::string text = R"({"records":[{"requestId":"x","cost":9},{"requestId":"r","cost":0.25},)"
                           R"({"requestId":"u","cost":0,"warning":"COST_MODEL_NOT_FOUND"}]})";
  const auto list = *json::parse(text);
  EXPECT_EQ(cost_of(list, "r"), 0.25);
  EXPECT_FALSE(cost_of(list, "u"));
  EXPECT_FALSE(cost_of(list, "unknown"));
}

TEST(chat_input, a_slash_begins_a_command_and_two_a_question) {
  EXPECT_EQ(read_input("  \r").what, order::nothing);
  EXPECT_EQ(read_input(" why? ").text, "why?");
  EXPECT_EQ(read_input("//usr").text, "/usr");
  EXPECT_EQ(read_input("/new").what, order::fresh);
  EXPECT_EQ(read_input("/quit\r").what, order::quit);
  EXPECT_EQ(read_input("/model  gpt-5.2 ").text, "gpt-5.2");
  EXPECT_EQ(read_input("/model").what, order::model);
  EXPECT_EQ(read_input("/candidates 3").count, 3);
  EXPECT_EQ(read_input("/candidates").count, 0);
  for (const char* wrong : {"/candidates 6", "/candidates 0", "/candidates x", "/nope", "/new x", "/"})
    EXPECT_EQ(read_input(wrong).what, order::wrong) << wrong;
}

TEST(chat_input, a_choice_is_a_number_in_range_and_blank_is_the_first) {
  EXPECT_EQ(read_choice("", 3), 1);
  EXPECT_EQ(read_choice(" 3 ", 3), 3);
  for (const char* wrong : {"0", "4", "-1", "x", "99999999999999999999"}) EXPECT_EQ(read_choice(wrong, 3), 0);
}

struct heard {
  std::string text;
  reply_parser parser{[this](std::string_view name, std::string_view data) {
    text.append(name).append("=").append(data).append(";");
  }};
};

TEST(chat_reply, events_come_whole_at_any_split) {
  const std::string bytes =
      "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
      "1c\r\n: hi\n\nevent: a\ndata: one\n\nev\r\n12\r\nent: b\ndata: two\n\n\r\n0\r\n\r\n";
  for (std::size_t split = 0; split <= bytes.size(); ++split) {
    heard h;
    reply_state state = h.parser.feed(std::string_view{bytes}.substr(0, split));
    ASSERT_NE(state, reply_state::failed) << split << h.parser.fault();
    if (state == reply_state::need_more) state = h.parser.feed(std::string_view{bytes}.substr(split));
    ASSERT_EQ(state, reply_state::complete) << split;
    EXPECT_EQ(h.text, "a=one;b=two;") << split;
    EXPECT_TRUE(h.parser.is_stream());
  }
}

TEST(chat_reply, a_body_is_gathered_and_a_cut_one_refused) {
  heard h;
  EXPECT_EQ(
      h.parser.feed("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 409 Conflict\r\ncontent-length: 4\r\n\r\nab"),
      reply_state::need_more);
  EXPECT_EQ(h.parser.feed("cd"), reply_state::complete);
  EXPECT_EQ(h.parser.status(), 409);
  EXPECT_EQ(h.parser.body(), "abcd");
  heard cut;
  EXPECT_EQ(cut.parser.feed("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab"), reply_state::need_more);
  EXPECT_EQ(cut.parser.end_of_input(), reply_state::failed);
  heard junk;
  EXPECT_EQ(junk.parser.feed("SSH-2.0-x\r\n\r\n"), reply_state::failed);
  EXPECT_EQ(heard{}.parser.end_of_input(), reply_state::failed);
}

}  // namespace
}  // namespace tidegate::app::chat
