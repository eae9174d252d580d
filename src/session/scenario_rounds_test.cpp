// Ends of tool loops (TOOL-3, COST-2): what a request leaves behind that a tool error, or the cost guard,
// ends. On simulated time, through the handlers that surface/rpc calls.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kit/session_world.h"

namespace tidegate::session {
namespace {

using namespace std::chrono_literals;
using kit::answers;
using kit::channel_call;
using kit::hangs;
using kit::P;
using kit::seen_push;
using kit::session_world;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr std::string_view with_tool =
    R"("tools":[{"name":"look","description":"looks","parameters":{"type":"object"}}])";

kit::behavior asks_for_tool(std::string_view said, std::string_view arguments) {
  return kit::replies(
      200, R"({"id":"c","object":"chat.completion","model":"gpt-5.2","choices":[{"index":0,"message":{)"
           R"("role":"assistant","content":)" +
               kit::json_string(said) +
               R"(,"tool_calls":[{"id":"call-1","type":"function","function":{"name":"look","arguments":)" +
               kit::json_string(arguments) + R"(}}]},"finish_reason":"tool_calls"}]})");
}

std::string talk(std::string_view text, std::string_view more) {
  return R"({"skillId":"builtin:chat","model":"gpt-5.2","input":)" + kit::json_string(text) +
         R"(,"context":{"projectId":"p"},)" + std::string{more} + "}";
}
// The results of the round that `c` has opened.
std::string results_of(const channel_call& c, bool success) {
  return R"("requestId":")" + c.text({"requestId"}) + R"(","toolResults":[{"callId":"call-1","success":)" +
         (success ? "true" : "false") + R"(,"content":"x"}])";
}

std::vector<std::string> said_in(session_world& w) {
  std::vector<std::string> out;
  const auto parsed = protocol::json::parse(*w.call("ai:chat:list", R"({"projectId":"p"})").reply);
  for (const protocol::json::value item : parsed->find("items")->elements())
    out.push_back(item.string_or("role", "") + ": " + item.string_or("content", ""));
  return out;
}

std::vector<std::string> tool_story(const session_world& w, std::string_view execution) {
  std::vector<std::string> out;
  for (const seen_push* p : w.pushes_of(execution, "skill:tool:use")) {
    out.push_back(p->text({"type"}));
    if (out.back() == "tool-use-completed") out.back() += " next=" + p->text({"hasNextRound"});
    if (out.back() == "tool-use-failed") out.back() += " " + p->text({"error", "code"});
  }
  return out;
}

service_settings guarded() {
  service_settings s;
  s.guard.warning = 1;
  s.guard.hard_stop = 2;
  return s;
}

// CHAT-4, TOOL-3
TEST(rounds, a_chat_whose_arguments_cannot_be_read_is_stored_as_a_turn) {
  session_world w;
  w.upstream.next(P, asks_for_tool("let me look", R"({"at":"i)"));
  channel_call& c = w.call("ai:skill:run", talk("what is it?", with_tool));
  ASSERT_EQ(c.text({"toolError", "code"}), "TOOL_USE_PARSE_FAILED");
  EXPECT_THAT(said_in(w), ElementsAre("user: what is it?", "assistant: let me look"));
  const seen_push* done = w.done_of(c.text({"executionId"}));
  EXPECT_EQ(done->text({"terminal"}), "completed");
  EXPECT_EQ(done->text({"outputText"}), "let me look");
  EXPECT_EQ(done->text({"toolError", "code"}), "TOOL_USE_PARSE_FAILED");
}

// CHAT-4, TOOL-3
TEST(rounds, a_chat_beyond_its_last_round_is_stored_with_the_text_of_all) {
  kit::setup s;
  s.adjust = [](gateway::snapshot& n) { n.session.tool_rounds = 1; };
  session_world w{s};
  w.upstream.next(P, asks_for_tool("first. ", "{}"));
  w.upstream.next(P, asks_for_tool("second.", "{}"));
  channel_call& c = w.call("ai:skill:run", talk("what is it?", with_tool));
  EXPECT_THAT(said_in(w), IsEmpty()) << "a request that waits for results is no turn yet";
  channel_call& last = w.call("ai:skill:run", talk("", results_of(c, true)));
  ASSERT_EQ(last.text({"toolError", "code"}), "TOOL_USE_MAX_ROUNDS_EXCEEDED");
  EXPECT_THAT(said_in(w), ElementsAre("user: what is it?", "assistant: first. second."));
}

// CHAT-4, STR-12, TRC-2, TRC-4, TOOL-3
TEST(rounds, a_round_that_its_results_end_leaves_what_any_run_leaves) {
  session_world w;
  w.upstream.next(P, asks_for_tool("let me look", "{}"));
  channel_call& c = w.call("ai:skill:run", talk("what is it?", with_tool));
  channel_call& end = w.call("ai:skill:run", talk("", results_of(c, false)));
  ASSERT_EQ(end.code(), "OK");
  const std::string id = end.text({"executionId"});
  EXPECT_EQ(end.text({"outputText"}), "let me look");
  EXPECT_EQ(end.text({"toolError", "code"}), "TOOL_USE_ALL_FAILED");
  EXPECT_EQ(w.upstream.calls().size(), 1U);
  EXPECT_THAT(said_in(w), ElementsAre("user: what is it?", "assistant: let me look"));
  EXPECT_THAT(tool_story(w, id),
              ElementsAre("tool-use-completed next=false", "tool-use-failed TOOL_USE_ALL_FAILED"));
  const seen_push* done = w.done_of(id);
  EXPECT_EQ(done->text({"terminal"}), "completed");
  EXPECT_EQ(done->text({"outputText"}), "let me look");
  EXPECT_EQ(done->text({"toolError", "code"}), "TOOL_USE_ALL_FAILED");
  EXPECT_EQ(done->text({"result", "success"}), "true");
  EXPECT_EQ(done->text({"result", "metadata", "model"}), "gpt-5.2");
  EXPECT_EQ(w.queue_story(id), "queued/0 started/0 completed/0");
  EXPECT_EQ(w.pushes_of(id, "").back()->name, "skill:queue:status") << "behind done";
  EXPECT_EQ(w.fields("ai_run_started", "runId").back(), id);
  EXPECT_EQ(w.fields("ai_run_completed", "runId").back(), id);
  const std::string rated = R"({"runId":")" + id + R"(","action":"accept","evidenceRef":"e"})";
  EXPECT_EQ(w.call("ai:skill:feedback", rated).code(), "OK") << "its trace is kept";
}

// CHAT-7: the model had said nothing when its round ended.
TEST(rounds, an_answer_without_a_word_is_stored_and_not_sent_on) {
  session_world w;
  w.upstream.next(P, asks_for_tool("", "{}"));
  channel_call& c = w.call("ai:skill:run", talk("what is it?", with_tool));
  w.call("ai:skill:run", talk("", results_of(c, false)));
  EXPECT_THAT(said_in(w), ElementsAre("user: what is it?", "assistant: "));
  ASSERT_EQ(w.call("ai:skill:run", talk("and now?", R"("stream":false)")).code(), "OK");
  EXPECT_THAT(w.upstream.last(P)->body, HasSubstr("what is it?"));
  EXPECT_THAT(w.upstream.last(P)->body, Not(HasSubstr(R"("role":"assistant")")));
}

// DEG-2, CHAT-4, TOOL-2
TEST(rounds, a_round_whose_end_is_not_on_the_record_has_not_ended) {
  session_world w;
  w.upstream.next(P, asks_for_tool("let me look", "{}"));
  channel_call& c = w.call("ai:skill:run", talk("what is it?", with_tool));
  w.journal.break_now();
  channel_call& end = w.call("ai:skill:run", talk("", results_of(c, false)));
  EXPECT_EQ(end.code(), "DB_ERROR");
  EXPECT_THAT(said_in(w), IsEmpty()) << "what the record refuses is taken back";
  channel_call& again = w.call("ai:skill:run", talk("", results_of(c, false)));
  EXPECT_EQ(again.code(), "DB_ERROR") << "the round is open as before, not unknown";
}

// TRC-5
TEST(rounds, a_trace_that_cannot_be_kept_only_degrades_a_round_that_its_results_end) {
  session_world w;
  w.upstream.next(P, asks_for_tool("let me look", "{}"));
  channel_call& c = w.run(with_tool);
  w.store_down = true;
  channel_call& end = w.run(results_of(c, false));
  ASSERT_EQ(end.code(), "OK");
  EXPECT_EQ(end.text({"degradation", "code"}), "TRACE_PERSISTENCE_DEGRADED");
  EXPECT_EQ(w.done_of(end.text({"executionId"}))->text({"degradation", "cause", "code"}), "DB_ERROR");
  w.store_down = false;
}

// SCH-2, SCH-8, STR-1
TEST(rounds, a_round_that_its_results_end_waits_its_turn_and_can_be_cancelled_there) {
  session_world w;
  w.upstream.next(P, asks_for_tool("let me look", "{}"));
  w.upstream.next(P, answers().after(100ms));
  channel_call& c = w.run(with_tool);
  channel_call& other = w.start_run();  // of the same session
  channel_call& end = w.start_run(results_of(c, false) + R"(,"stream":true)");
  ASSERT_TRUE(end.ok()) << "a run that must wait is answered at once";
  const std::string id = end.text({"executionId"});
  EXPECT_EQ(w.queue_story(id), "queued/1");
  w.call("ai:skill:cancel", R"({"executionId":")" + id + R"("})");
  w.settle();
  ASSERT_NE(w.done_of(id), nullptr);
  EXPECT_EQ(w.done_of(id)->text({"terminal"}), "cancelled");
  EXPECT_EQ(w.done_of(id)->text({"toolError"}), "");
  w.finish(other);
  channel_call& again = w.run(results_of(c, false));
  EXPECT_EQ(again.text({"toolError", "code"}), "TOOL_USE_ALL_FAILED") << "its round was given back";
}

// COST-2
TEST(rounds, the_guard_is_asked_before_a_round_is_announced_and_its_stop_is_on_the_record) {
  session_world w{kit::after_trip(), guarded()};
  w.upstream.next(P, asks_for_tool("let me look", "{}"));
  channel_call& c = w.call("ai:skill:run", talk("what is it?", with_tool));
  ASSERT_EQ(c.code(), "OK");
  channel_call& end = w.call("ai:skill:run", talk("", results_of(c, true)));
  ASSERT_EQ(end.code(), "OK");
  EXPECT_EQ(end.text({"outputText"}), "let me look") << "the loop ends with what it has";
  EXPECT_EQ(end.text({"toolError", "code"}), "COST_BUDGET_EXCEEDED");
  EXPECT_THAT(tool_story(w, end.text({"executionId"})),
              ElementsAre("tool-use-completed next=false", "tool-use-failed COST_BUDGET_EXCEEDED"));
  EXPECT_EQ(w.fields("budget-exceeded", "runId"), std::vector{end.text({"executionId"})});
  EXPECT_THAT(w.journal.of("budget-exceeded"), SizeIs(1));
  EXPECT_THAT(said_in(w), ElementsAre("user: what is it?", "assistant: let me look"));
  EXPECT_EQ(w.upstream.calls().size(), 1U);
}

// COST-2
TEST(rounds, an_alert_is_heard_whatever_project_its_subscriber_asked_for) {
  session_world w{kit::after_trip(), guarded()};
  push_filter filter;
  filter.who = w.me;
  filter.project = "another";
  auto watched = w.sessions->hub().subscribe(w.loop, filter);
  ASSERT_TRUE(watched.has_value());
  ASSERT_EQ(w.run().code(), "OK");
  runtime::cancel_source left;
  left.fire(runtime::cancel_reason::client_left);
  std::string heard;
  [](push_hub::subscription& from, runtime::cancel_source& cancel, std::string& out) -> runtime::detached {
    out = (co_await from.next(cancel, foundation::never)).text;
  }(*watched, left, heard);
  EXPECT_THAT(heard, HasSubstr("event: cost:alert"));
  EXPECT_THAT(heard, Not(HasSubstr("event: skill:"))) << "runs of no project are still kept from it";
}

// --- summaries of the history

struct compacting : session_world {
  static kit::setup settings() {
    kit::setup s;
    s.adjust = [](gateway::snapshot& n) {
      n.session.compaction = true;
      n.session.history_token_budget = 1'500;  // the system text is some 800 of it
      n.policies.front().requests_per_minute = 0;
    };
    return s;
  }
  compacting() : session_world{settings()} {
    EXPECT_EQ(call("ai:skill:run", talk("remember " + std::string(4'000, 'x'), R"("stream":false)")).code(),
              "OK");
    upstream.next(P, hangs());
  }
};

// TMO-1, CHAT-8
TEST(rounds, a_summary_ends_with_the_deadline_of_its_run) {
  compacting w;
  channel_call& c = w.start("ai:skill:run", talk("and now?", R"("timeoutMs":1000)"));
  EXPECT_EQ(w.upstream.open_calls(), 1U);
  w.advance(999ms);
  EXPECT_FALSE(c.done);
  w.advance(1ms);
  EXPECT_EQ(c.code(), "SKILL_TIMEOUT");
  EXPECT_EQ(w.upstream.open_calls(), 0U);
  EXPECT_EQ(w.upstream.calls().size(), 2U) << "the run itself has no time left";
}

// TMO-1, STR-5
TEST(rounds, a_summary_is_cancelled_with_its_run) {
  compacting w;
  channel_call& c = w.start("ai:skill:run", talk("and now?", R"("timeoutMs":100000)"));
  ASSERT_EQ(w.upstream.open_calls(), 1U);
  w.advance(5ms);
  c.gone.fire(runtime::cancel_reason::client_left);
  w.settle();
  EXPECT_EQ(c.code(), "CANCELED");
  EXPECT_EQ(w.upstream.open_calls(), 0U);
  EXPECT_EQ(w.upstream.calls().size(), 2U);
}

}  // namespace
}  // namespace tidegate::session
