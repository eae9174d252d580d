// The scenarios of requirements section 6 about budgets, rate limits, caps and the record, as calls of a
// gateway on simulated time; and the laws behind them: what was taken is given back, each reservation ends
// once, nothing is sent unrecorded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/state_fold.h"
#include "kit/world.h"

namespace tidegate::gateway {
namespace {

using namespace std::chrono_literals;
using kit::after_trip;
using kit::answers;
using kit::ask;
using kit::B;
using kit::exchange;
using kit::fails;
using kit::hangs;
using kit::immediate;
using kit::P;
using kit::setup;
using kit::status;
using kit::stream_end;
using kit::streams;
using kit::world;
using policy::account_scope;
using policy::account_unit;
using runtime::call_fault;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

setup limited(std::function<void(caller_policy&)> adjust, setup s = after_trip()) {
  s.adjust = [adjust = std::move(adjust)](snapshot& next) { adjust(next.policies.front()); };
  return s;
}

ask in_session(std::string session, std::string body = {}) {
  ask a;
  a.who.session = std::move(session);
  a.body = std::move(body);
  return a;
}

std::string body_with(std::string_view extra, std::string_view text = "hi") {
  return R"({"model":"gpt-5.2","messages":[{"role":"user","content":")" + std::string{text} + R"("}])" +
         std::string{extra} + "}";
}

policy::balance standing(world& w, account_scope scope, std::string_view id,
                         account_unit unit = account_unit::tokens) {
  return w.shared.ledger().with([&](policy::ledger& l) { return l.of(scope, unit, id); });
}
std::size_t open_reservations(world& w) {
  return w.shared.ledger().with([](policy::ledger& l) { return l.reservations(); });
}
std::string detail(const exchange& e, std::string_view name) {
  const auto parsed = protocol::json::parse(e.reply.body);
  const auto error = parsed ? parsed->find("error") : std::nullopt;
  const auto details = error ? error->find("details") : std::nullopt;
  const auto v = details ? details->find(name) : std::nullopt;
  return !v ? std::string{} : v->as_string().value_or(std::string{v->raw()});
}

TEST(scenario_guards, S2_a_spent_session_budget_and_a_full_window_refuse_before_any_call) {
  world w;
  const std::string big = body_with("", std::string(450'000, 'a'));
  EXPECT_EQ(w.run(in_session("s", big)).code(), "OK");
  const exchange& second = w.run(in_session("s", big));
  EXPECT_EQ(second.code(), "AI_SESSION_TOKEN_BUDGET_EXCEEDED");
  EXPECT_EQ(second.reply.status, 429);
  EXPECT_THAT(second.message(), HasSubstr("new session"));
  EXPECT_EQ(w.upstream.count(P), 1U);

  world narrow{limited([](caller_policy& p) { p.requests_per_minute = 1; })};
  EXPECT_EQ(narrow.run().code(), "OK");
  const exchange& refused = narrow.run();
  EXPECT_EQ(refused.code(), "AI_RATE_LIMITED");
  EXPECT_EQ(narrow.upstream.count(P), 1U);
  EXPECT_EQ(refused.reply.header("retry-after"), "60");
  EXPECT_EQ(open_reservations(narrow), 0U) << "a refusal costs nothing";
}

TEST(scenario_guards, T21_the_window_is_exact_and_its_retry_after_comes_true) {
  world w{limited([](caller_policy& p) { p.requests_per_minute = 60; })};
  EXPECT_EQ(w.run().code(), "OK");
  w.advance(30s);
  for (int i = 1; i < 60; ++i) ASSERT_EQ(w.run().code(), "OK") << i;
  const exchange& over = w.run();
  EXPECT_EQ(over.code(), "AI_RATE_LIMITED");
  EXPECT_EQ(over.reply.header("retry-after-ms"), "30000");
  w.advance(29'999ms);
  EXPECT_EQ(w.run().code(), "AI_RATE_LIMITED");
  w.advance(1ms);
  EXPECT_EQ(w.run().code(), "OK");
}

TEST(scenario_guards, T22_the_first_failover_leg_of_an_admitted_run_is_never_refused) {
  for (const bool reserve : {true, false}) {
    world w{limited([&](caller_policy& p) {
      p.requests_per_minute = 3;
      p.reserve_failover_unit = reserve;
    })};
    w.upstream.next(P, 3, status(503));
    EXPECT_EQ(w.run().code(), "AI_PROVIDER_UNAVAILABLE");
    EXPECT_EQ(w.run().code(), "AI_PROVIDER_UNAVAILABLE");
    const exchange& third = w.run();
    EXPECT_EQ(third.code(), reserve ? "OK" : "AI_RATE_LIMITED");
    EXPECT_EQ(w.upstream.count(B), reserve ? 1U : 0U);
    if (!reserve) EXPECT_EQ(detail(third, "source"), "local");
    EXPECT_EQ(w.terminals(third), 1U);
  }
}

TEST(scenario_guards, T23_T24_a_budget_is_reached_exactly_and_never_passed) {
  // "hi" is 1 token; with the role's own words the estimate of the prompt is what the ledger is asked for.
  world probe;
  probe.run(in_session("s", body_with(R"(,"max_tokens":799)")));
  const auto reserved = probe.fields("ai_budget_reserved", "tokens");
  ASSERT_THAT(reserved, SizeIs(1));
  const std::int64_t projected = std::stoll(reserved.front());
  for (const std::int64_t over : {0, 1}) {
    world w;
    w.shared.ledger().with([&](policy::ledger& l) {
      l.restore(account_scope::session, account_unit::tokens, "local/s", 200'000 - projected + over);
    });
    const exchange& e = w.run(in_session("s", body_with(R"(,"max_tokens":799)")));
    EXPECT_EQ(e.code(), over == 0 ? "OK" : "AI_SESSION_TOKEN_BUDGET_EXCEEDED");
    EXPECT_EQ(w.upstream.count(P), over == 0 ? 1U : 0U);
  }
}

TEST(scenario_guards, T25_a_full_session_says_nothing_of_another) {
  world w;
  w.shared.ledger().with([](policy::ledger& l) {
    l.restore(account_scope::session, account_unit::tokens, "local/full", 200'000);
  });
  EXPECT_EQ(w.run(in_session("full")).code(), "AI_SESSION_TOKEN_BUDGET_EXCEEDED");
  EXPECT_EQ(w.run(in_session("other")).code(), "OK");
  ask foreign = in_session("full");
  foreign.who.key = "someone";
  EXPECT_EQ(w.run(foreign).code(), "OK") << "sessions are separate per client key";
}

TEST(scenario_guards, T26_T126_the_output_cap_refuses_or_clamps_and_is_always_sent) {
  world w;
  const exchange& over = w.run(in_session("s", body_with(R"(,"max_tokens":4097)")));
  EXPECT_EQ(over.reply.status, 400);
  EXPECT_EQ(over.code(), "INVALID_ARGUMENT");
  EXPECT_EQ(w.upstream.count(P), 0U);
  EXPECT_EQ(w.run(in_session("s", body_with(R"(,"max_tokens":4096)"))).code(), "OK");
  EXPECT_EQ(w.run(in_session("s", body_with(""))).code(), "OK");
  EXPECT_THAT(w.upstream.calls().back().body, HasSubstr(R"("max_completion_tokens":4096)"));
  world clamping{limited([](caller_policy& p) { p.clamp = true; })};
  EXPECT_EQ(clamping.run(in_session("s", body_with(R"(,"max_tokens":4097)"))).code(), "OK");
  EXPECT_THAT(clamping.upstream.calls().back().body, HasSubstr(R"("max_tokens":4096)"));
}

TEST(scenario_guards, T132_a_dollar_budget_needs_a_price) {
  setup s = limited([](caller_policy& p) { p.key_micro_usd_budget = 5'000'000; }, immediate());
  s.targets = {{"openai", "no-such-model-9"}};
  world w{s};
  const exchange& e = w.run();
  EXPECT_EQ(e.code(), "COST_BUDGET_EXCEEDED");
  EXPECT_EQ(e.reply.status, 402);
  EXPECT_EQ(w.upstream.count(P), 0U);
}

TEST(scenario_guards, T140_what_the_provider_reports_is_charged_not_the_estimate) {
  world w;
  w.upstream.next(P, kit::replies(200, R"({"id":"x","object":"chat.completion","model":"gpt-5.2","choices":[)"
                                       R"({"index":0,"message":{"role":"assistant","content":"hello"},)"
                                       R"("finish_reason":"stop"}],"usage":{"prompt_tokens":1234,)"
                                       R"("completion_tokens":56,"total_tokens":1290}})"));
  EXPECT_EQ(w.run(in_session("s")).code(), "OK");
  EXPECT_EQ(standing(w, account_scope::session, "local/s").settled, 1290);
  EXPECT_EQ(standing(w, account_scope::key, "local").settled, 1290);
  EXPECT_EQ(standing(w, account_scope::session, "local/s").reserved, 0);
}

TEST(scenario_guards, T114_more_than_reserved_is_charged_in_full_and_recorded_as_a_defect) {
  world w;
  w.upstream.next(P, kit::replies(200, R"({"id":"x","object":"chat.completion","model":"gpt-5.2","choices":[)"
                                       R"({"index":0,"message":{"role":"assistant","content":"hello"},)"
                                       R"("finish_reason":"stop"}],"usage":{"prompt_tokens":9000,)"
                                       R"("completion_tokens":9000,"total_tokens":18000}})"));
  EXPECT_EQ(w.run(in_session("s")).code(), "OK");
  EXPECT_EQ(standing(w, account_scope::session, "local/s").settled, 18'000);
  EXPECT_THAT(w.fields("ai_budget_overrun", "actual"), ElementsAre("18000"));
}

TEST(scenario_guards, T115_an_abort_bills_what_came_and_never_more_than_was_reserved) {
  for (std::size_t position = 0; position < 6; ++position) {
    world w;
    w.upstream.next(P, streams(stream_end::stall, position));
    ask a = kit::streamed();
    a.who.session = "s";
    exchange& e = w.start(a);
    w.settle();
    e.reply.gone().fire(runtime::cancel_reason::client_left);
    w.settle();
    ASSERT_TRUE(e.done);
    const auto reserved = w.fields("ai_budget_reserved", "tokens");
    ASSERT_THAT(reserved, SizeIs(1));
    const std::int64_t billed = standing(w, account_scope::session, "local/s").settled;
    EXPECT_GT(billed, 0) << position;
    EXPECT_LE(billed, std::stoll(reserved.front())) << position;
    EXPECT_EQ(open_reservations(w), 0U);
    EXPECT_EQ(w.count("ai_budget_settled"), 1U);
  }
  world refused;
  refused.upstream.always(P, status(503));
  refused.upstream.always(B, status(503));
  refused.run(in_session("s"));
  EXPECT_EQ(standing(refused, account_scope::session, "local/s").settled, 0) << "a 503 leg bills nothing";
  EXPECT_EQ(refused.count("ai_budget_released"), 1U);
}

TEST(scenario_guards, T113_completion_and_cancel_at_once_settle_once) {
  world w;
  w.upstream.next(P, answers("done").after(10ms));
  exchange& e = w.start(in_session("s"));
  w.clock.advance(10ms);
  e.reply.gone().fire(runtime::cancel_reason::client_left);
  w.settle();
  ASSERT_TRUE(e.done);
  EXPECT_EQ(w.count("ai_budget_settled") + w.count("ai_budget_released"), 1U);
  EXPECT_EQ(w.terminals(e), 1U);
  EXPECT_EQ(open_reservations(w), 0U);
}

TEST(scenario_guards, T123_without_a_journal_no_call_is_made) {
  world w;
  w.journal.break_now();
  const exchange& e = w.run();
  EXPECT_EQ(e.code(), "DB_ERROR");
  EXPECT_EQ(e.reply.status, 503);
  EXPECT_THAT(w.upstream.calls(), IsEmpty());
  EXPECT_EQ(open_reservations(w), 0U);

  // Between any two records of a run.
  for (std::size_t records = 1; records <= 6; ++records) {
    world breaking;
    breaking.journal.break_after(records);
    const exchange& cut = breaking.run(in_session("s"));
    EXPECT_EQ(cut.code(), "DB_ERROR") << "a run whose end is not on the record is no success";
    EXPECT_EQ(breaking.upstream.count(P), records <= 3 ? 0U : 1U) << records;
    EXPECT_EQ(open_reservations(breaking), 0U);
  }
  world streaming;
  streaming.journal.break_after(4);
  const exchange& stream = streaming.run(kit::streamed());
  EXPECT_EQ(stream.code(), "DB_ERROR");
  EXPECT_FALSE(stream.reply.ended) << "it must not look complete";
}

TEST(scenario_guards, T125_a_given_trace_is_the_runs_everywhere) {
  world w;
  w.upstream.next(P, 3, status(503));
  for (int i = 0; i < 3; ++i) w.run();
  const exchange& last = w.exchanges.back();
  std::size_t seen = 0;
  for (const std::string& line : w.journal.lines()) {
    const auto parsed = protocol::json::parse(line);
    ASSERT_TRUE(parsed) << line;
    EXPECT_EQ(parsed->string_or("traceId", "").size(), 32U) << line;
    seen += parsed->string_or("traceId", "") == last.trace_id ? 1U : 0U;
  }
  EXPECT_GE(seen, 9U) << "started, two reservations and legs, degraded, failover, settlement, terminal";
}

// Takes calls and answers each with a fault.
class broken_traces final : public storage::trace_store {
 public:
  void put(std::vector<storage::trace_record>, storage::done<void> answer) override { answer(fault()); }
  void get(std::string, storage::done<std::optional<storage::trace_record>> answer) override {
    answer(fault());
  }
  void put_feedback(storage::feedback_record, storage::done<storage::feedback_outcome> answer) override {
    answer(fault());
  }
  void feedback_of(std::string, storage::done<std::vector<storage::stored_feedback>> answer) override {
    answer(fault());
  }
  void is_strong_negative(std::string, storage::done<bool> answer) override { answer(fault()); }
  void purge(storage::wall_time, std::size_t, storage::done<std::size_t> answer) override { answer(fault()); }

 private:
  static std::unexpected<storage::store_failure> fault() {
    return storage::fail(storage::store_problem::unavailable, "scripted");
  }
};

TEST(scenario_guards, T72_without_its_trace_a_run_is_as_it_was_and_the_log_says_so) {
  broken_traces traces;
  world w;
  trace_feed feed{traces, w.log};
  w.shared.use(&feed, true);
  EXPECT_EQ(w.run().code(), "OK");
  EXPECT_EQ(w.run(kit::streamed()).code(), "OK");
  EXPECT_THAT(w.fields("ai_trace_persistence_degraded", "causeCode"), ElementsAre("DB_ERROR", "DB_ERROR"));
}

// BUD-5: failed before sending, so nothing is owed; whoever ended it.
TEST(scenario_guards, a_caller_that_leaves_while_its_provider_is_being_reached_owes_nothing) {
  for (const bool sent : {false, true}) {
    world w;
    w.upstream.next(P, sent ? hangs() : fails(call_fault::connect_timeout));
    exchange& e = w.start(in_session("s"));
    EXPECT_EQ(open_reservations(w), 1U);
    e.reply.gone().fire(runtime::cancel_reason::client_left);
    w.settle();
    EXPECT_EQ(w.count("ai_budget_released"), sent ? 0U : 1U);
    EXPECT_EQ(w.count("ai_budget_settled"), sent ? 1U : 0U);
    EXPECT_EQ(standing(w, account_scope::session, "local/s").settled > 0, sent);
    EXPECT_EQ(open_reservations(w), 0U);
  }
}

TEST(guards, a_run_leaves_each_of_its_records_in_order) {
  world w;
  w.run(in_session("s"));
  std::vector<std::string> events;
  for (const std::string& line : w.journal.lines())
    events.push_back(protocol::json::parse(line)->string_or("event", ""));
  EXPECT_THAT(events, ElementsAre("ai_run_started", "ai_budget_reserved", "ai_leg_started", "ai_leg_finished",
                                  "ai_budget_settled", "ai_run_completed"));
  ASSERT_THAT(w.journal.waits(), SizeIs(2));
  EXPECT_EQ(w.journal.waits()[0].records, 3U) << "durable before the first byte leaves";
  EXPECT_EQ(w.journal.waits()[1].records, 6U) << "durable before the last byte reaches the caller";
}

TEST(guards, a_transition_is_on_the_record_before_the_leg_it_causes) {
  world w;
  w.upstream.next(P, 3, status(503));
  for (int i = 0; i < 3; ++i) w.run();
  const auto lines = w.journal.lines();
  const auto at = [&](std::string_view event, std::string_view part) {
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (lines[i].starts_with(R"({"event":")" + std::string{event}) &&
          lines[i].find(part) != std::string::npos)
        return i;
    }
    return lines.size();
  };
  EXPECT_LT(at("ai_provider_degraded", ""), at("ai_leg_started", "anthropic"));
  EXPECT_LT(at("ai_provider_failover", ""), at("ai_leg_started", "anthropic"));
  EXPECT_LT(at("provider_health", "degradedAtMs"), at("ai_leg_started", "anthropic"));
}

TEST(guards, a_providers_full_window_moves_on_in_immediate_mode_and_refuses_in_the_other) {
  for (const auto mode : {policy::failover_mode::immediate, policy::failover_mode::after_trip}) {
    setup s;
    s.mode = mode;
    s.adjust = [](snapshot& next) { next.providers.front()->requests_per_minute = 1; };
    world w{s};
    EXPECT_EQ(w.run().code(), "OK");
    const exchange& second = w.run();
    const bool moves_on = mode == policy::failover_mode::immediate;
    EXPECT_EQ(second.code(), moves_on ? "OK" : "AI_RATE_LIMITED");
    EXPECT_EQ(w.upstream.count(B), moves_on ? 1U : 0U);
    if (moves_on)
      EXPECT_THAT(std::string{second.reply.header("x-tidegate-failover")}, HasSubstr("primary_local_limit"));
    else
      EXPECT_EQ(detail(second, "scope"), "provider");
    EXPECT_EQ(open_reservations(w), 0U);
    EXPECT_EQ(w.terminals(second), 1U);
  }
}

// T95, T116: what the records add up to is what the live guards have, at every moment of a run.
TEST(scenario_guards, T95_T116_the_fold_of_the_records_is_the_live_state) {
  world w{limited([](caller_policy& p) { p.requests_per_minute = 100; }, immediate())};
  w.upstream.next(P, 2, status(503));
  w.upstream.next(P, status(429, "retry-after: 7\r\n"));
  for (int i = 0; i < 6; ++i) w.run(in_session("s"));
  w.upstream.next(B, hangs());
  w.upstream.next(P, hangs());
  w.start(in_session("s"));

  state_fold fold;
  std::uint64_t sequence = 0;
  for (const std::string& line : w.journal.lines())
    fold.apply({++sequence, w.clock.wall(), journal::record_type::event, line});
  state_fold again;
  ASSERT_TRUE(again.load(fold.save()));
  EXPECT_EQ(again.save().size(), fold.save().size());

  policy::ledger ledger;
  again.restore(ledger);
  const policy::balance live_session = standing(w, account_scope::session, "local/s");
  EXPECT_EQ(ledger.of(account_scope::session, account_unit::tokens, "local/s").settled,
            live_session.settled + live_session.reserved)
      << "what was dispatched counts in full after a crash";
  ASSERT_THAT(again.open_runs(), SizeIs(1));
  const auto& open = again.open_runs().begin()->second;
  ASSERT_THAT(open.reservations, SizeIs(1));
  EXPECT_TRUE(open.reservations.front().dispatched);
  EXPECT_EQ(open.reservations.front().tokens, standing(w, account_scope::session, "local/s").reserved);

  policy::rate_limiter limits;
  again.restore(limits, w.clock.now(), w.clock.wall());
  const auto live = w.shared.limits().with(
      [&](policy::rate_limiter& l) { return l.in_window(*l.find("key:local"), w.clock.now()); });
  EXPECT_EQ(limits.in_window(*limits.find("key:local"), w.clock.now()), live);
  EXPECT_GT(live, 6U);

  const auto saved = again.health();
  ASSERT_THAT(saved, SizeIs(1));
  EXPECT_EQ(saved.front().identity.name, "openai");
  EXPECT_EQ(saved.front().breaker.consecutive_failures, w.failures("openai"));
  ASSERT_THAT(saved.front().cooldowns, SizeIs(1));
  w.exchanges.back().reply.gone().fire(runtime::cancel_reason::client_left);
  w.settle();
}

}  // namespace
}  // namespace tidegate::gateway
