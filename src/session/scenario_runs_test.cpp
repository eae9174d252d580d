// The scenarios of requirements section 6 about runs of the session surface: queue, streams, candidates,
// chats, tools. On simulated time, through the handlers that surface/rpc calls; the test's name begins with
// the ids it keeps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kit/scenario_table.h"
#include "kit/session_world.h"

namespace tidegate::session {
namespace {

using namespace std::chrono_literals;
using kit::answers;
using kit::B;
using kit::channel_call;
using kit::fails;
using kit::hangs;
using kit::P;
using kit::seen_push;
using kit::session_world;
using kit::setup;
using kit::status;
using kit::stream_end;
using kit::streams;
using runtime::call_fault;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::string_view streamed = R"("stream":true)";

std::string in_session(std::string_view id, std::string_view more = {}) {
  std::string out = R"("context":{"sessionId":")" + std::string{id} + R"("})";
  if (!more.empty()) out.append(",").append(more);
  return out;
}

std::string talk(std::string_view text, std::string_view context = R"({"projectId":"p"})") {
  return R"({"skillId":"builtin:chat","model":"gpt-5.2","input":)" + kit::json_string(text) +
         R"(,"context":)" + std::string{context} + "}";
}

std::string execution_of(const channel_call& c) { return c.text({"executionId"}); }

std::size_t most_at_once(const session_world& w) {
  std::size_t most = 0;
  for (const kit::call_record& a : w.upstream.calls()) {
    std::size_t now = 0;
    for (const kit::call_record& b : w.upstream.calls())
      now += b.at <= a.at && (b.open || b.ended_at > a.at) ? 1U : 0U;
    most = std::max(most, now);
  }
  return most;
}

std::vector<std::string> chunks_of(const session_world& w, std::string_view execution) {
  std::vector<std::string> out;
  for (const seen_push* p : w.pushes_of(execution, "skill:stream:chunk")) out.push_back(p->text({"chunk"}));
  return out;
}

TEST(runs, a_run_answers_with_its_text_usage_and_target) {
  session_world w;
  channel_call& c = w.run();
  ASSERT_EQ(c.code(), "OK");
  EXPECT_EQ(c.text({"outputText"}), "hello world, how are you?");
  EXPECT_EQ(c.text({"provider"}), "openai");
  EXPECT_EQ(c.text({"model"}), "gpt-5.2");
  EXPECT_EQ(c.text({"finishReason"}), "stop");
  EXPECT_EQ(c.text({"executionId"}), c.text({"runId"}));
  const seen_push* done = w.done_of(execution_of(c));
  ASSERT_NE(done, nullptr);
  EXPECT_EQ(done->text({"outputText"}), "hello world, how are you?");
  EXPECT_EQ(w.queue_story(execution_of(c)), "queued/0 started/0 completed/0");
  EXPECT_EQ(w.pushes.back().name, "skill:queue:status") << "the scheduler's terminal comes after done";
}

TEST(runs, S5_one_session_runs_one_at_a_time_and_tells_who_waits) {
  session_world w;
  w.upstream.always(P, answers().after(100ms));
  std::vector<channel_call*> all;
  for (int i = 0; i < 3; ++i) all.push_back(&w.start_run(in_session("s")));
  for (channel_call* c : all) w.finish(*c);
  for (channel_call* c : all) EXPECT_EQ(c->code(), "OK");
  EXPECT_EQ(most_at_once(w), 1U);
  EXPECT_EQ(w.queue_story(execution_of(*all[1])), "queued/1 queued/1 started/0 completed/0");
  EXPECT_EQ(w.queue_story(execution_of(*all[2])), "queued/2 queued/1 started/0 completed/0");
}

TEST(runs, T29_twelve_sessions_peak_at_exactly_eight) {
  session_world w;
  w.upstream.always(P, answers().after(100ms));
  std::vector<channel_call*> all;
  for (int i = 0; i < 12; ++i) all.push_back(&w.start_run(in_session("s" + std::to_string(i))));
  for (channel_call* c : all) w.finish(*c);
  for (channel_call* c : all) EXPECT_EQ(c->code(), "OK");
  EXPECT_EQ(most_at_once(w), 8U);
}

TEST(runs, T30_the_22nd_of_a_session_is_the_only_one_refused) {
  session_world w;
  w.upstream.always(P, answers().after(10ms));
  std::vector<channel_call*> all;
  for (int i = 0; i < 22; ++i) all.push_back(&w.start_run(in_session("s")));
  for (channel_call* c : all) w.finish(*c);
  std::size_t overflowed = 0;
  for (channel_call* c : all) overflowed += c->code() == "SKILL_QUEUE_OVERFLOW" ? 1U : 0U;
  EXPECT_EQ(overflowed, 1U);
  EXPECT_EQ(all.back()->code(), "SKILL_QUEUE_OVERFLOW");
  EXPECT_EQ(all.back()->detail({"sessionKey"}), "session:s");
  EXPECT_EQ(all.back()->detail({"limit"}), "20");
  EXPECT_EQ(w.upstream.calls().size(), 21U);
}

TEST(runs, T32_waiters_are_told_their_new_places_when_one_ends) {
  session_world w;
  w.upstream.always(P, answers().after(100ms));
  channel_call& first = w.start_run(in_session("s"));
  channel_call& second = w.start_run(in_session("s", streamed));
  channel_call& third = w.start_run(in_session("s", streamed));
  EXPECT_TRUE(second.ok()) << "a run that must wait is answered at once (STR-1)";
  w.finish(first);
  w.settle();
  EXPECT_THAT(w.queue_story(execution_of(third)), testing::StartsWith("queued/2 queued/1"));
  EXPECT_THAT(w.queue_story(execution_of(second)), testing::StartsWith("queued/1 queued/1 started/0"));
  w.await_done(execution_of(third));
}

TEST(runs, T37_T122_a_waiting_run_is_cancelled_at_once_and_only_once) {
  session_world w;
  w.upstream.always(P, answers().after(100ms));
  channel_call& first = w.start_run(in_session("s"));
  channel_call& second = w.start_run(in_session("s", streamed));
  channel_call& third = w.start_run(in_session("s", streamed));
  const std::string id = execution_of(second);
  for (int i = 0; i < 2; ++i) {
    channel_call& cancel = w.call("ai:skill:cancel", R"({"executionId":")" + id + R"("})");
    EXPECT_EQ(cancel.text({"canceled"}), "true");
  }
  w.settle();
  ASSERT_NE(w.done_of(id), nullptr) << "at once, not when its turn would have come";
  EXPECT_EQ(w.done_of(id)->text({"terminal"}), "cancelled");
  EXPECT_EQ(w.pushes_of(id, "skill:stream:done").size(), 1U);
  EXPECT_EQ(w.queue_story(id), "queued/1 queued/1 cancelled/0");
  EXPECT_THAT(w.queue_story(execution_of(third)), testing::StartsWith("queued/2 queued/1"));
  w.finish(first);
  w.await_done(execution_of(third));
  EXPECT_EQ(w.upstream.calls().size(), 2U);
}

TEST(runs, T38_a_run_that_hangs_ends_at_its_time_and_the_next_one_runs) {
  session_world w;
  w.upstream.next(P, hangs());
  EXPECT_EQ(w.run(R"("timeoutMs":5)").code(), "SKILL_TIMEOUT");
  EXPECT_EQ(w.run().code(), "OK");
}

TEST(runs, T39_time_limits_are_clamped_and_senseless_ones_ignored) {
  session_world w;
  for (const auto& [asked, expected] :
       {std::pair{"500000", "120000"}, std::pair{"-1", "30000"}, std::pair{"1.5", "30000"}}) {
    w.run(R"("timeoutMs":)" + std::string{asked});
    EXPECT_EQ(w.fields("ai_run_started", "timeoutMs").back(), expected) << asked;
  }
}

TEST(runs, T40_chunks_are_numbered_without_a_gap_and_done_comes_once) {
  session_world w;
  w.upstream.next(P, answers("Hello World, and more of it").paced(30ms));
  channel_call& c = w.run(streamed);
  ASSERT_EQ(c.code(), "OK");
  const std::string id = execution_of(c);
  const seen_push* done = w.await_done(id);
  ASSERT_NE(done, nullptr);
  std::string text;
  std::int64_t seq = 0;
  for (const seen_push* p : w.pushes_of(id, "skill:stream:chunk")) {
    EXPECT_EQ(p->text({"seq"}), std::to_string(++seq));
    text += p->text({"chunk"});
  }
  EXPECT_GT(seq, 1);
  EXPECT_EQ(text, "Hello World, and more of it");
  EXPECT_EQ(done->text({"outputText"}), text);
  EXPECT_EQ(done->text({"terminal"}), "completed");
  EXPECT_EQ(done->text({"result", "success"}), "true");
  EXPECT_EQ(w.pushes_of(id, "skill:stream:done").size(), 1U);
}

TEST(runs, T41_deltas_that_come_together_go_out_together) {
  session_world w;
  w.upstream.next(P, answers("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJ"));  // six deltas
  channel_call& c = w.run(streamed);
  w.await_done(execution_of(c));
  const auto chunks = chunks_of(w, execution_of(c));
  EXPECT_LT(chunks.size(), 6U);
  std::string text;
  for (const std::string& piece : chunks) text += piece;
  EXPECT_EQ(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJ");
}

kit::behavior raw_stream(std::vector<std::string> pieces) {
  kit::behavior b = kit::replies(200, {}, "content-type: text/event-stream\r\n");
  b.pieces = std::move(pieces);
  return b;
}
std::string delta(std::string_view text) {
  return R"({"choices":[{"index":0,"delta":{"content":)" + kit::json_string(text) +
         R"(},"finish_reason":null}]})";
}
const std::string finished = R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})";

TEST(runs, T42_T43_T44_line_ends_a_bad_line_and_split_characters_lose_nothing) {
  session_world w;
  const std::string text = "data: " + delta("你好") + "\r\n\r\n";
  w.upstream.next(
      P,
      raw_stream({"data: " + delta("a") + "\r\n\r\ndata: {bad\r\n\r\n" + text.substr(0, text.find("你") + 1),
                  text.substr(text.find("你") + 1), "data: " + finished + "\r\n\r\ndata: [DONE]\r\n\r\n"}));
  channel_call& c = w.run(streamed);
  const seen_push* done = w.await_done(execution_of(c));
  ASSERT_NE(done, nullptr);
  EXPECT_EQ(done->text({"outputText"}), "a你好");
  EXPECT_EQ(w.count("ai_sse_parse_failure"), 1U);
}

TEST(runs, T45_T94_a_stream_that_breaks_is_asked_for_once_more_and_nothing_is_doubled) {
  session_world w;
  w.upstream.next(P, streams(stream_end::cut, 2));
  channel_call& c = w.run(streamed);
  const std::string id = execution_of(c);
  const seen_push* done = w.await_done(id);
  ASSERT_NE(done, nullptr);
  ASSERT_EQ(w.upstream.count(P), 2U);
  EXPECT_EQ(w.upstream.calls()[0].body, w.upstream.calls()[1].body);
  ASSERT_THAT(w.pushes_of(id, "skill:stream:reset"), SizeIs(1));
  EXPECT_EQ(w.pushes_of(id, "skill:stream:reset")[0]->text({"attempt"}), "2");
  EXPECT_EQ(done->text({"terminal"}), "completed");
  EXPECT_EQ(done->text({"outputText"}), "hello world, how are you?");
  std::string after_reset;
  bool reset = false;
  for (const seen_push* p : w.pushes_of(id, "")) {
    reset |= p->name == "skill:stream:reset";
    if (reset && p->name == "skill:stream:chunk") after_reset += p->text({"chunk"});
  }
  EXPECT_EQ(after_reset, "hello world, how are you?");
  EXPECT_EQ(w.fields("ai_leg_started", "leg"), (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(w.failures("openai"), 0U) << "the replay has succeeded";
}

TEST(runs, T46_a_second_break_ends_it_with_the_text_that_came) {
  session_world w;
  w.upstream.next(P, 2, streams(stream_end::cut, 4));
  channel_call& c = w.run(streamed);
  const seen_push* done = w.await_done(execution_of(c));
  ASSERT_NE(done, nullptr);
  EXPECT_EQ(done->text({"terminal"}), "error");
  EXPECT_EQ(done->text({"error", "code"}), "LLM_API_ERROR");
  EXPECT_EQ(done->text({"error", "details", "reason"}), "STREAM_DISCONNECTED");
  EXPECT_EQ(done->text({"error", "retryable"}), "true");
  EXPECT_EQ(done->text({"outputText"}), "hello world, how are you");
  EXPECT_EQ(done->text({"error", "details", "partialContent"}), "hello world, how are you");
}

TEST(runs, T47_a_cancel_ends_the_stream_without_another_chunk) {
  session_world w;
  w.upstream.next(P, answers("one two three four").paced(50ms));
  channel_call& c = w.run(streamed);
  const std::string id = execution_of(c);
  while (chunks_of(w, id).empty()) w.advance(5ms);
  w.advance(5ms);
  w.start("ai:skill:cancel", R"({"executionId":")" + id + R"("})");
  const std::size_t before = chunks_of(w, id).size();
  const seen_push* done = w.await_done(id);
  ASSERT_NE(done, nullptr);
  EXPECT_EQ(done->text({"terminal"}), "cancelled");
  EXPECT_EQ(chunks_of(w, id).size(), before);
  EXPECT_EQ(w.upstream.open_calls(), 0U) << "upstream is closed";
  EXPECT_EQ(w.failures("openai"), 0U);
  EXPECT_EQ(w.queue_story(id), "queued/0 started/0 cancelled/0");
}

TEST(runs, T48_a_cancel_in_the_grace_behind_the_end_wins) {
  session_world w;
  w.upstream.next(P, answers("all of it"));
  channel_call& c = w.start_run(streamed);
  w.settle();
  const std::string id = execution_of(c);
  ASSERT_EQ(w.done_of(id), nullptr) << "the grace is not over";
  w.advance(19ms);
  ASSERT_EQ(w.done_of(id), nullptr);
  w.start("ai:skill:cancel", R"({"executionId":")" + id + R"("})");
  const seen_push* done = w.await_done(id);
  ASSERT_NE(done, nullptr);
  EXPECT_EQ(done->text({"terminal"}), "cancelled");
  EXPECT_EQ(w.count("ai_run_canceled"), 1U);
}

TEST(runs, T49_cancelling_nobody_is_no_fault_but_naming_nobody_is) {
  session_world w;
  EXPECT_EQ(w.call("ai:skill:cancel", R"({"executionId":"unknown"})").text({"canceled"}), "true");
  EXPECT_EQ(w.call("ai:skill:cancel", R"({"executionId":" ","runId":""})").code(), "INVALID_ARGUMENT");
}

TEST(runs, T50_output_above_its_limit_aborts_the_provider_and_equality_passes) {
  for (const bool stream : {false, true}) {
    for (const std::size_t limit : {std::size_t{32'000}, std::size_t{120'000}}) {
      setup s;
      s.adjust = [limit](gateway::snapshot& n) {
        n.session.output_max_chars = limit;
        n.policies.front().requests_per_minute = 0;
      };
      session_world w{s};
      w.upstream.next(P, answers(std::string(limit, 'a')));
      w.upstream.next(P, answers(std::string(limit + 1, 'a')));
      const std::string input(limit, 'x');  // the skill's own ratio is not what is tested
      channel_call& fits = w.run(stream ? streamed : "", input);
      const seen_push* done = w.await_done(execution_of(fits));
      ASSERT_NE(done, nullptr);
      EXPECT_EQ(done->text({"terminal"}), "completed") << limit;
      channel_call& over = w.run(stream ? streamed : "", input);
      const seen_push* refused = stream ? w.await_done(execution_of(over)) : &w.pushes[w.pushes.size() - 2];
      ASSERT_NE(refused, nullptr);
      EXPECT_EQ(refused->text({"error", "code"}), "IPC_PAYLOAD_TOO_LARGE");
      EXPECT_EQ(refused->text({"error", "details", "maxChars"}), std::to_string(limit));
      EXPECT_EQ(w.upstream.open_calls(), 0U);
      EXPECT_EQ(w.failures("openai"), 0U);
    }
  }
}

TEST(runs, T54_candidates_are_whole_and_counted_together) {
  session_world w;
  channel_call& one = w.run();
  channel_call& c = w.run(R"("candidateCount":3,"stream":true)");
  ASSERT_EQ(c.code(), "OK");
  EXPECT_EQ(w.upstream.count(P), 4U);
  for (const kit::call_record& call : w.upstream.calls()) EXPECT_FALSE(call.streamed());
  const auto data = protocol::json::parse(*c.reply);
  std::vector<std::string> ids;
  for (const auto each : data->find("candidates")->elements()) ids.push_back(each.string_or("id", ""));
  EXPECT_THAT(ids, ElementsAre("candidate-1", "candidate-2", "candidate-3"));
  EXPECT_EQ(std::stoll(c.text({"usage", "promptTokens"})),
            3 * std::stoll(one.text({"usage", "promptTokens"})));
  EXPECT_EQ(w.queue_story(execution_of(c)), "queued/0 started/0 completed/0") << "one place in the queue";
}

TEST(runs, candidates_end_where_there_is_one_slot_for_all) {  // CAND-1
  service_settings settings;
  settings.queue.global_concurrency = 1;
  session_world w{kit::after_trip(), settings};
  w.upstream.always(P, answers().after(10ms));
  const auto begun = w.clock.now();
  EXPECT_EQ(w.run(R"("candidateCount":3)").code(), "OK");
  EXPECT_LT(w.clock.now() - begun, 1s);
  EXPECT_EQ(most_at_once(w), 1U);
}

TEST(runs, a_cancel_while_a_broken_stream_waits_to_be_asked_again_is_a_cancel) {  // STR-5, STR-8
  session_world w;
  w.upstream.next(P, streams(stream_end::cut, 4));
  channel_call& c = w.start_run(streamed);
  w.settle();
  const std::string id = execution_of(c);
  w.advance(100ms);
  ASSERT_EQ(w.done_of(id), nullptr);
  w.start("ai:skill:cancel", R"({"executionId":")" + id + R"("})");
  const seen_push* done = w.await_done(id);
  ASSERT_NE(done, nullptr);
  EXPECT_EQ(done->text({"terminal"}), "cancelled");
  EXPECT_EQ(w.upstream.calls().size(), 1U);
}

TEST(runs, a_chat_skill_in_an_unknown_session_is_not_found) {  // CHAT-4
  session_world w;
  EXPECT_EQ(w.call("ai:skill:run", talk("hello", R"({"sessionId":"nobody"})")).code(), "NOT_FOUND");
  EXPECT_THAT(w.upstream.calls(), IsEmpty());
}

TEST(runs, T55_candidate_counts_outside_one_to_five_are_refused) {
  session_world w;
  for (const std::string_view count : {"0", "6", "1.5"})
    EXPECT_EQ(w.run(R"("candidateCount":)" + std::string{count}).code(), "INVALID_ARGUMENT") << count;
  EXPECT_THAT(w.upstream.calls(), IsEmpty());
}

TEST(runs, T56_a_model_without_a_price_has_usage_without_a_cost) {
  setup s = kit::after_trip();
  s.route = "house-model";
  s.providers = {{"third", policy::provider_kind::openai_compatible, "https://third.example", ""}};
  s.targets = {{"third", "house-model"}};
  session_world w{s};
  channel_call& c =
      w.call("ai:skill:run", R"({"skillId":"builtin:polish","model":"house-model","input":"some text"})");
  ASSERT_EQ(c.code(), "OK");
  EXPECT_THAT(c.text({"usage"}), HasSubstr("promptTokens"));
  EXPECT_EQ(c.text({"usage", "estimatedCostUsd"}), "");
}

TEST(runs, T89_freed_slots_go_round_the_sessions) {
  setup s;
  service_settings settings;
  settings.queue.global_concurrency = 1;
  settings.queue.session_concurrency = 1;
  session_world w{s, settings};
  w.upstream.always(P, answers().after(10ms));
  std::vector<channel_call*> all;
  for (const auto& [session, name] :
       {std::pair{"A", "A1"}, std::pair{"A", "A2"}, std::pair{"A", "A3"}, std::pair{"B", "B1"}})
    all.push_back(&w.start_run(in_session(session), name));
  for (channel_call* c : all) w.finish(*c);
  std::vector<std::string> order;
  for (const kit::call_record& c : w.upstream.calls()) {
    for (const std::string_view name : {"A1", "A2", "A3", "B1"}) {
      if (c.body.find(R"("content":")" + std::string{name}) != std::string::npos ||
          c.body.find(std::string{name} + "\"") != std::string::npos)
        order.emplace_back(name);
    }
  }
  EXPECT_THAT(order, ElementsAre("A1", "A2", "B1", "A3"));
}

TEST(runs, T100_a_shutdown_gives_every_run_exactly_one_terminal) {
  session_world w;
  w.upstream.always(P, hangs());
  std::vector<channel_call*> all;
  for (int i = 0; i < 8; ++i) all.push_back(&w.start_run(in_session("s" + std::to_string(i))));
  for (int i = 0; i < 20; ++i) all.push_back(&w.start_run(in_session("s0")));
  w.shared.drain();
  w.sessions->drain();
  w.settle();
  std::size_t ended = 0;
  for (channel_call* c : all) ended += c->done ? 1U : 0U;
  EXPECT_EQ(ended, 20U) << "those that wait are cancelled at once";
  w.sessions->stop_runs();
  w.settle();
  std::map<std::string, int> dones;
  for (const seen_push& p : w.pushes) {
    if (p.name == "skill:stream:done") ++dones[p.text({"executionId"})];
  }
  EXPECT_THAT(dones, SizeIs(28));
  for (const auto& [id, n] : dones) EXPECT_EQ(n, 1);
  EXPECT_EQ(w.run().code(), "SERVER_OVERLOADED");
}

TEST(runs, T121_some_candidates_fail_and_the_others_answer_all_fail_and_the_first_one_tells_why) {
  session_world w;
  w.upstream.next(P, answers("one"));
  w.upstream.next(P, status(400));
  w.upstream.next(P, answers("three"));
  channel_call& c = w.run(R"("candidateCount":3)");
  ASSERT_EQ(c.code(), "OK");
  EXPECT_EQ(c.text({"outputText"}), "one");
  const auto data = protocol::json::parse(*c.reply);
  std::size_t good = 0;
  for ([[maybe_unused]] const auto each : data->find("candidates")->elements()) ++good;
  EXPECT_EQ(good, 2U);
  for (const auto each : data->find("failedCandidates")->elements()) {
    EXPECT_EQ(each.string_or("id", ""), "candidate-2");
    EXPECT_EQ(each.path({"error", "code"})->as_string(), "LLM_API_ERROR");
  }
  w.upstream.next(P, 3, status(400));
  EXPECT_EQ(w.run(R"("candidateCount":3)").code(), "LLM_API_ERROR");
}

TEST(runs, T135_a_cleared_chat_sends_no_history) {
  session_world w;
  ASSERT_EQ(w.call("ai:skill:run", talk("first words")).code(), "OK");
  ASSERT_EQ(w.call("ai:skill:run", talk("second words")).code(), "OK");
  EXPECT_THAT(w.upstream.last(P)->body, HasSubstr("first words"));
  EXPECT_EQ(w.call("ai:chat:clear", R"({"projectId":"p"})").text({"removed"}), "4");
  ASSERT_EQ(w.call("ai:skill:run", talk("third words")).code(), "OK");
  EXPECT_THAT(w.upstream.last(P)->body, testing::Not(HasSubstr("second words")));
}

TEST(runs, T147_a_run_that_waits_too_long_ends_in_the_queue) {
  session_world w;
  w.upstream.always(P, hangs());
  channel_call& first = w.start_run(in_session("s", R"("timeoutMs":120000)"));
  channel_call& second = w.start_run(in_session("s"));
  service_settings settings;
  settings.queue.queue_wait = 10s;
  w.sessions->configure(settings);
  w.settle();
  w.finish(second);
  EXPECT_EQ(second.code(), "SKILL_TIMEOUT");
  EXPECT_EQ(second.detail({"phase"}), "queue");
  EXPECT_FALSE(first.done);
}

TEST(runs, T126_a_session_run_that_names_no_bound_sends_the_default_and_more_than_the_cap_is_refused) {
  session_world w;
  w.run();
  EXPECT_THAT(w.upstream.last(P)->body, HasSubstr(R"("max_completion_tokens":1024)"));
  EXPECT_EQ(w.run(R"("maxTokens":4097)").code(), "INVALID_ARGUMENT");
  EXPECT_EQ(w.run(R"("maxTokens":4096)").code(), "OK");
}

TEST(runs, T31_a_skill_that_needs_a_disabled_one_calls_nobody) {
  session_world w;
  EXPECT_EQ(w.call("skill:registry:toggle", R"({"id":"builtin:polish","enabled":false})").code(), "OK");
  EXPECT_EQ(w.run().code(), "UNSUPPORTED");
  EXPECT_THAT(w.upstream.calls(), IsEmpty());
  EXPECT_EQ(w.count("ai_run_refused"), 1U);
}

TEST(runs, T72_a_trace_store_that_is_down_only_degrades) {
  session_world w;
  w.store_down = true;
  channel_call& c = w.run();
  ASSERT_EQ(c.code(), "OK");
  EXPECT_EQ(c.text({"degradation", "code"}), "TRACE_PERSISTENCE_DEGRADED");
  EXPECT_EQ(c.text({"degradation", "cause", "code"}), "DB_ERROR");
  EXPECT_EQ(w.done_of(execution_of(c))->text({"degradation", "code"}), "TRACE_PERSISTENCE_DEGRADED");
}

TEST(runs, T82_an_output_of_ten_times_the_input_passes_and_one_more_character_does_not) {
  session_world w;
  w.upstream.next(P, answers(std::string(100, 'a')));
  EXPECT_EQ(w.run({}, "0123456789").code(), "OK");
  w.upstream.next(P, answers(std::string(101, 'a')));
  EXPECT_EQ(w.run({}, "0123456789").code(), "SKILL_OUTPUT_INVALID");
  w.upstream.next(P, answers(std::string(101, 'a')));
  channel_call& c = w.run(streamed, "0123456789");
  EXPECT_EQ(w.await_done(execution_of(c))->text({"error", "code"}), "SKILL_OUTPUT_INVALID");
}

TEST(runs, T93_a_stream_is_served_by_the_backup_while_the_primary_is_degraded) {
  session_world w;
  w.degrade("openai");
  w.upstream.next(B, answers("from the backup"));
  channel_call& c = w.run(streamed);
  const seen_push* done = w.await_done(execution_of(c));
  ASSERT_NE(done, nullptr);
  EXPECT_EQ(done->text({"outputText"}), "from the backup");
  const auto told = w.pushes_of(execution_of(c), "ai:provider:failover");
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0]->text({"reason"}), "primary_degraded");
}

TEST(runs, a_failover_keeps_one_trace_and_is_told) {  // FO-3, FO-11
  session_world w;
  w.upstream.next(P, 3, status(503));
  EXPECT_EQ(w.run().code(), "AI_PROVIDER_UNAVAILABLE");
  EXPECT_EQ(w.run().code(), "AI_PROVIDER_UNAVAILABLE");
  channel_call& c = w.run();
  ASSERT_EQ(c.code(), "OK");
  EXPECT_EQ(c.text({"failover", "from"}), "openai");
  EXPECT_EQ(c.text({"failover", "to"}), "anthropic");
  EXPECT_EQ(c.text({"failover", "reason"}), "primary_unavailable");
  EXPECT_EQ(c.text({"provider"}), "anthropic");
}

TEST(runs, a_chat_turn_is_stored_whole_and_read_by_the_next_run) {  // CHAT-4
  session_world w;
  ASSERT_EQ(w.call("ai:skill:run", talk("what is it?")).code(), "OK");
  channel_call& list = w.call("ai:chat:list", R"({"projectId":"p"})");
  EXPECT_THAT(*list.reply, HasSubstr("what is it?"));
  EXPECT_THAT(*list.reply, HasSubstr("hello world, how are you?"));
  ASSERT_EQ(w.call("ai:skill:run", talk("and now?")).code(), "OK");
  EXPECT_THAT(w.upstream.last(P)->body, HasSubstr("what is it?"));
}

TEST(runs, with_compaction_on_old_messages_are_summarised_not_dropped) {  // CHAT-8
  setup s;
  s.adjust = [](gateway::snapshot& n) {
    n.session.compaction = true;
    n.session.history_token_budget = 1'500;  // the system text is some 800 of it
    n.policies.front().requests_per_minute = 0;
  };
  session_world w{s};
  const std::string longer(4'000, 'x');
  ASSERT_EQ(w.call("ai:skill:run", talk("remember " + longer)).code(), "OK");
  w.upstream.next(P, answers("summary of it"));
  ASSERT_EQ(w.call("ai:skill:run", talk("and now?")).code(), "OK");
  EXPECT_EQ(w.upstream.count(P), 3U);
  EXPECT_THAT(w.upstream.last(P)->body, HasSubstr("summary of it"));
  EXPECT_THAT(w.upstream.last(P)->body, testing::Not(HasSubstr(longer)));
  ASSERT_EQ(w.call("ai:skill:run", talk("and then?")).code(), "OK");
  EXPECT_EQ(w.upstream.count(P), 4U) << "the summary is kept";
}

TEST(runs, a_failed_chat_run_leaves_no_message_and_no_place) {  // CHAT-2, CHAT-4
  service_settings settings;
  settings.chat_capacity = 2;
  session_world w{kit::after_trip(), settings};
  w.upstream.next(P, status(400));
  EXPECT_EQ(w.call("ai:skill:run", talk("one")).code(), "LLM_API_ERROR");
  EXPECT_EQ(w.call("ai:skill:run", talk("two")).code(), "OK");
  channel_call& full = w.call("ai:skill:run", talk("three"));
  EXPECT_EQ(full.code(), "CONFLICT");
  EXPECT_EQ(w.upstream.calls().size(), 2U);
}

TEST(runs, T119_an_archived_session_is_read_but_not_written) {
  service_settings settings;
  settings.chat_capacity = 2;
  session_world w{kit::after_trip(), settings};
  ASSERT_EQ(w.call("ai:skill:run", talk("one")).code(), "OK");
  EXPECT_EQ(w.call("ai:chat:send", R"({"projectId":"p","message":"more"})").code(), "CONFLICT");
  const std::string session = protocol::json::parse(*w.call("ai:chat:sessions", R"({"projectId":"p"})").reply)
                                  ->find("sessions")
                                  ->elements()
                                  .begin()
                                  ->string_or("sessionId", "");
  const std::string named = R"({"projectId":"p","sessionId":")" + session + R"("})";
  EXPECT_EQ(w.call("ai:chatsession:archive", named).code(), "OK");
  channel_call& sent = w.call("ai:chat:send", R"({"projectId":"p","message":"more"})");
  EXPECT_EQ(sent.code(), "OK");
  EXPECT_NE(sent.text({"sessionId"}), session);
  EXPECT_THAT(*w.call("ai:chat:list", named).reply, HasSubstr("one"));
  EXPECT_EQ(
      w.call("ai:chat:send", R"({"projectId":"p","message":"x","sessionId":")" + session + R"("})").code(),
      "CONFLICT");
}

// --- tools

kit::behavior asks_for_tool(std::string_view name, std::string_view arguments) {
  return kit::replies(
      200, R"({"id":"c","object":"chat.completion","model":"gpt-5.2","choices":[{"index":0,"message":{)"
           R"("role":"assistant","content":"let me look","tool_calls":[{"id":"call-1","type":"function",)"
           R"("function":{"name":")" +
               std::string{name} + R"(","arguments":)" + kit::json_string(arguments) +
               R"(}}]},"finish_reason":"tool_calls"}]})");
}
constexpr std::string_view with_tool =
    R"("tools":[{"name":"look","description":"looks","parameters":{"type":"object"}}])";

TEST(runs, T51_T133_a_tool_call_is_handed_out_and_its_result_goes_on_under_one_request) {
  session_world w;
  w.upstream.next(P, asks_for_tool("look", R"({"at":"it"})"));
  w.upstream.next(P, answers("seen"));
  channel_call& c = w.run(with_tool);
  ASSERT_EQ(c.code(), "OK");
  EXPECT_EQ(c.text({"finishReason"}), "tool_use");
  EXPECT_THAT(c.text({"toolCalls"}), HasSubstr(R"("arguments":{"at":"it"})"));
  const std::string request = c.text({"requestId"});
  const std::string results = R"("requestId":")" + request +
                              R"(","toolResults":[{"callId":"call-1","success":true,"content":"a cat"}])";
  channel_call& next = w.run(results + "," + std::string{with_tool});
  ASSERT_EQ(next.code(), "OK");
  EXPECT_EQ(next.text({"requestId"}), request);
  EXPECT_EQ(next.text({"outputText"}), "seen");
  EXPECT_THAT(w.upstream.last(P)->body, HasSubstr(R"("tool_call_id":"call-1")"));
  EXPECT_THAT(w.upstream.last(P)->body, HasSubstr("a cat"));
  EXPECT_EQ(w.run(R"("requestId":")" + request + R"(")").code(), "CONFLICT");
  channel_call& list = w.call("cost:usage:list", "{}");
  EXPECT_EQ(list.text({"totalCount"}), "1") << "one request (COST-3)";
}

TEST(runs, T52_arguments_that_cannot_be_read_are_null_and_the_run_completes) {
  session_world w;
  w.upstream.next(P, asks_for_tool("look", R"({"at":"i)"));
  channel_call& c = w.run(with_tool);
  ASSERT_EQ(c.code(), "OK");
  EXPECT_THAT(c.text({"toolCalls"}), HasSubstr(R"("arguments":null)"));
  EXPECT_EQ(c.text({"toolError", "code"}), "TOOL_USE_PARSE_FAILED");
  EXPECT_EQ(w.count("tool_call_json_parse_failed"), 1U);
}

TEST(runs, T83_a_sixth_round_ends_the_loop_with_the_text) {
  session_world w;
  w.upstream.always(P, asks_for_tool("look", "{}"));
  channel_call* c = &w.run(with_tool);
  for (int round = 1; round <= 5; ++round) {
    ASSERT_EQ(c->code(), "OK");
    EXPECT_EQ(c->text({"toolError", "code"}), "") << round;
    c = &w.run(R"("requestId":")" + c->text({"requestId"}) +
               R"(","toolResults":[{"callId":"call-1","success":true,"content":"x"}],)" +
               std::string{with_tool});
  }
  ASSERT_EQ(c->code(), "OK");
  EXPECT_EQ(c->text({"toolError", "code"}), "TOOL_USE_MAX_ROUNDS_EXCEEDED");
  EXPECT_EQ(c->text({"outputText"}), "let me look");
}

TEST(runs, a_round_whose_tools_all_failed_ends_without_a_call) {  // TOOL-3
  session_world w;
  w.upstream.next(P, asks_for_tool("look", "{}"));
  channel_call& c = w.run(with_tool);
  channel_call& next = w.run(R"("requestId":")" + c.text({"requestId"}) +
                             R"(","toolResults":[{"callId":"call-1","success":false,"content":""}],)" +
                             std::string{with_tool});
  ASSERT_EQ(next.code(), "OK");
  EXPECT_EQ(next.text({"toolError", "code"}), "TOOL_USE_ALL_FAILED");
  EXPECT_EQ(w.upstream.calls().size(), 1U);
}

// --- the other surfaces' sides

TEST(runs, a_stored_chat_is_one_session_whatever_skill_runs_in_it) {  // SCH-1
  session_world w;
  ASSERT_EQ(w.call("ai:skill:run", talk("one")).code(), "OK");
  const std::string session = protocol::json::parse(*w.call("ai:chat:sessions", R"({"projectId":"p"})").reply)
                                  ->find("sessions")
                                  ->elements()
                                  .begin()
                                  ->string_or("sessionId", "");
  const std::string context = R"({"projectId":"p","sessionId":")" + session + R"("})";
  w.upstream.always(P, answers().after(100ms));
  channel_call& chat = w.start("ai:skill:run", talk("two", context));
  channel_call& polish = w.start_run(R"("context":)" + context);
  w.finish(chat);
  w.finish(polish);
  EXPECT_EQ(most_at_once(w), 1U);
  EXPECT_GT(std::stoll(polish.text({"usage", "sessionTotalTokens"})),
            std::stoll(chat.text({"usage", "sessionTotalTokens"})));
}

TEST(runs, a_failover_is_told_behind_the_runs_start) {  // STR-2
  session_world w;
  w.degrade("openai");
  channel_call& c = w.run(streamed);
  w.await_done(execution_of(c));
  std::vector<std::string> order;
  for (const seen_push* p : w.pushes_of(execution_of(c), "")) order.push_back(p->name);
  ASSERT_GE(order.size(), 3U);
  EXPECT_EQ(order[0], "skill:queue:status");
  EXPECT_EQ(order[1], "skill:queue:status");
  EXPECT_EQ(order[2], "ai:provider:failover");
}

TEST(runs, T128_v1_calls_of_one_session_go_one_at_a_time_and_share_the_queue) {
  session_world w;
  w.upstream.always(P, answers().after(100ms));
  kit::ask a;
  a.who.key = "k1";
  a.who.session = "s";
  std::vector<kit::exchange*> all;
  for (int i = 0; i < 3; ++i) all.push_back(&w.world::start(a));
  channel_call& run = w.start_run(in_session("s"));
  for (kit::exchange* e : all) w.world::finish(*e);
  w.finish(run);
  for (kit::exchange* e : all) EXPECT_EQ(e->code(), "OK");
  EXPECT_EQ(run.code(), "OK");
  EXPECT_EQ(most_at_once(w), 1U);
}

TEST(runs, a_v1_caller_that_leaves_the_queue_calls_nobody) {
  session_world w;
  w.upstream.always(P, answers().after(100ms));
  kit::ask a;
  a.who.session = "s";
  kit::exchange& first = w.world::start(a);
  kit::exchange& second = w.world::start(a);
  second.reply.gone().fire(runtime::cancel_reason::client_left);
  w.world::finish(second);
  w.world::finish(first);
  EXPECT_EQ(w.upstream.calls().size(), 1U);
  EXPECT_EQ(w.fields("ai_run_refused", "code").back(), "CANCELED");
}

TEST(runs, a_run_without_a_model_takes_the_configured_one) {  // RTE-1
  setup s;
  s.adjust = [](gateway::snapshot& n) { n.policies.front().requests_per_minute = 1000; };
  session_world w{s};
  channel_call& c = w.call("ai:skill:run", R"({"skillId":"builtin:polish","input":"some text"})");
  ASSERT_EQ(c.code(), "OK");
  EXPECT_EQ(c.text({"model"}), "gpt-5.2") << "the first route's name";
}

TEST(runs, the_cost_guard_stops_before_a_call) {  // COST-2, T58's second half
  service_settings settings;
  settings.guard.warning = 1;
  settings.guard.hard_stop = 2;
  session_world w{kit::after_trip(), settings};
  ASSERT_EQ(w.run().code(), "OK");
  EXPECT_EQ(w.run().code(), "COST_BUDGET_EXCEEDED");
  EXPECT_EQ(w.upstream.calls().size(), 1U);
  EXPECT_EQ(w.count("budget-exceeded"), 1U);
  std::size_t alerts = 0;
  for (const seen_push& p : w.pushes) alerts += p.name == "cost:alert" ? 1U : 0U;
  EXPECT_EQ(alerts, 1U);
}

TEST(runs, a_refused_stream_is_an_error_and_a_done) {  // STR-1
  session_world w;
  channel_call& c = w.run(R"("stream":true,"maxTokens":4097)");
  EXPECT_EQ(c.code(), "INVALID_ARGUMENT");
  ASSERT_EQ(w.pushes.back().name, "skill:stream:done");
  EXPECT_EQ(w.pushes.back().text({"error", "code"}), "INVALID_ARGUMENT");
}

TEST(runs, a_callers_leaving_cancels_its_buffered_run) {  // STR-2
  session_world w;
  w.upstream.next(P, hangs());
  channel_call& c = w.start_run();
  c.gone.fire(runtime::cancel_reason::client_left);
  w.settle();
  EXPECT_EQ(c.code(), "CANCELED");
  EXPECT_EQ(w.upstream.open_calls(), 0U);
}

}  // namespace
}  // namespace tidegate::session
