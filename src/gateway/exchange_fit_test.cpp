// Which target a run goes to where not every one can carry its request (FO-10), what a run whose
// configuration was replaced may say of the new one (FO-7), and that no permit outlives its run (FO-6).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>

#include "gateway/exchange.h"
#include "kit/world.h"

namespace tidegate::gateway {
namespace {

using namespace std::chrono_literals;
using kit::answers;
using kit::ask;
using kit::B;
using kit::C;
using kit::exchange;
using kit::immediate;
using kit::P;
using kit::setup;
using kit::status;
using kit::three_targets;
using kit::world;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Log probabilities: no target of another dialect can give them.
ask with_logprobs() {
  ask a;
  a.body = R"({"model":"gpt-5.2","logprobs":true,"messages":[{"role":"user","content":"say hello"}]})";
  return a;
}

TEST(exchange_fit, a_backup_that_cannot_carry_the_request_is_skipped_for_the_third) {  // FO-10
  for (const bool trips : {false, true}) {
    world w{three_targets(trips ? policy::failover_mode::after_trip : policy::failover_mode::immediate)};
    w.upstream.always(P, status(503));
    if (trips) {
      for (int i = 0; i < 2; ++i) w.run(with_logprobs());
    }
    const exchange& e = w.run(with_logprobs());
    EXPECT_EQ(e.code(), "OK");
    EXPECT_EQ(e.reply.header("x-tidegate-provider"), "third");
    EXPECT_EQ(e.reply.header("x-tidegate-attempts"), "2");
    EXPECT_EQ(e.reply.header("x-tidegate-failover"), "from=openai; to=third; reason=primary_unavailable");
    EXPECT_EQ(w.upstream.count(B), 0U);
    EXPECT_EQ(w.upstream.count(C), 1U);
    EXPECT_THAT(w.fields("ai_target_passed_over", "provider"), ElementsAre("anthropic"));
    EXPECT_THAT(w.fields("ai_target_passed_over", "traceId"), ElementsAre(e.trace_id));
    EXPECT_EQ(w.terminals(e), 1U);
  }
}

TEST(exchange_fit, an_unfit_primary_leaves_the_run_to_the_first_target_that_fits) {
  setup s = immediate();
  std::swap(s.targets[0], s.targets[1]);
  world w{s};
  const exchange& e = w.run(with_logprobs());
  EXPECT_EQ(e.code(), "OK");
  EXPECT_EQ(e.reply.header("x-tidegate-provider"), "openai");
  EXPECT_EQ(e.reply.header("x-tidegate-failover"), "");
}

TEST(exchange_fit, where_no_target_fits_the_caller_is_told_why_and_nobody_is_called) {
  setup s = immediate();
  s.targets = {{"anthropic", "claude-sonnet-4"}, {"anthropic", "claude-haiku-4"}};
  world w{s};
  const exchange& e = w.run(with_logprobs());
  EXPECT_EQ(e.reply.status, 400);
  EXPECT_EQ(e.code(), "INVALID_ARGUMENT");
  EXPECT_THAT(e.reply.body, HasSubstr("logprobs"));
  EXPECT_THAT(w.upstream.calls(), IsEmpty());
  EXPECT_EQ(w.count("ai_run_refused"), 1U) << "what made no leg is a refusal";
  EXPECT_EQ(w.terminals(e), 1U);
}

TEST(exchange_fit, behind_unfit_backups_the_failed_primary_is_what_is_told) {  // FO-9
  world w{immediate()};
  w.upstream.always(P, status(503));
  const exchange& e = w.run(with_logprobs());
  EXPECT_EQ(e.code(), "AI_PROVIDER_UNAVAILABLE");
  EXPECT_EQ(e.reply.header("x-tidegate-attempts"), "1");
  w.upstream.always(P, status(401));
  EXPECT_EQ(w.run(with_logprobs()).code(), "AI_AUTH_FAILED");
}

// A reload moves the backup while the primary still fails: what the run then hears from the old address says
// nothing of the new one.
TEST(exchange_fit, results_from_an_address_that_a_reload_replaced_change_nothing) {  // FO-1, FO-7
  world w{immediate()};
  w.upstream.always(P, status(503).after(1s));
  w.upstream.always(B, status(503));
  exchange& old = w.start();
  setup moved = immediate();
  moved.providers[1].url = "https://elsewhere.example";
  w.publish(moved);
  w.finish(old);
  EXPECT_EQ(old.code(), "AI_PROVIDER_UNAVAILABLE");
  EXPECT_EQ(w.upstream.count(B), 1U) << "its own configuration's address";
  EXPECT_EQ(w.failures("anthropic"), 0U);
  // The primary stayed what it was: its result counts.
  EXPECT_EQ(w.failures("openai"), 1U);
  w.upstream.always("elsewhere.example", status(503));
  w.run();
  EXPECT_EQ(w.failures("anthropic"), 1U);
}

// The caller leaves while the leg waits to ask again: what it had been answered with was an error.
TEST(exchange_fit, leaving_in_the_wait_behind_an_error_status_is_not_billed) {  // BUD-5
  setup s = kit::without_backup();
  s.adjust = [](snapshot& next) { next.retry.retry_on_status = true; };
  for (const bool reset_before : {false, true}) {
    world w{s};
    if (reset_before) w.upstream.next(P, kit::fails(runtime::call_fault::reset));
    w.upstream.always(P, status(503));
    exchange& e = w.start();
    w.advance(reset_before ? 1500ms : 500ms);
    ASSERT_EQ(w.upstream.count(P), reset_before ? 2U : 1U);
    e.reply.leave();
    w.settle();
    EXPECT_TRUE(e.done);
    EXPECT_EQ(w.count("ai_budget_released"), reset_before ? 0U : 1U);
    EXPECT_EQ(w.count("ai_budget_settled"), reset_before ? 1U : 0U) << "the first try may have been read";
  }
}

// Of a run that the gateway itself loses: no memory for the record of its leg.
struct lost_run {
  explicit lost_run(world& w) : reply{w.loop} {
    request.body = kit::request_body({});
    request.from = surface::chat;
    request.run_id = "run-lost";
    request.trace_id = "trace-lost";
    request.arrived = w.loop.fresh_now();
    w.journal.on_append = [this](std::string_view payload) {
      if (!failed && payload.starts_with(R"({"event":"ai_leg_started")")) {
        failed = true;
        throw std::bad_alloc{};
      }
    };
    drive(w, *this);
    w.settle();
    w.journal.on_append = nullptr;
  }
  static runtime::detached drive(world& w, lost_run& self) {
    try {
      co_await run_exchange(w.shared, w.services, self.request, self.reply);
    } catch (const std::bad_alloc&) {
      self.thrown = true;
    }
  }
  kit::recorded_reply reply;
  call request;
  bool failed = false;
  bool thrown = false;
};

TEST(exchange_fit, a_lost_run_gives_its_probes_permit_back_at_once) {  // FO-6
  world w;
  w.degrade("openai");
  w.advance(900s);
  const lost_run lost{w};
  ASSERT_TRUE(lost.thrown);
  EXPECT_THAT(w.upstream.calls(), IsEmpty());
  EXPECT_EQ(w.fields("ai_run_failed", "code"), std::vector<std::string>{"INTERNAL"});
  const exchange& next = w.run();
  EXPECT_EQ(next.reply.header("x-tidegate-provider"), "openai");
  EXPECT_EQ(w.count("ai_provider_recovered"), 1U);
  EXPECT_EQ(w.failures("openai"), 0U);
}

TEST(exchange_fit, a_lost_run_gives_its_reservation_and_its_unit_back) {  // RES-5
  setup s;
  s.adjust = [](snapshot& next) {
    next.policies.front().requests_per_minute = 1;
    next.policies.front().key_token_budget = 5000;
  };
  world w{s};
  const lost_run lost{w};
  ASSERT_TRUE(lost.thrown);
  EXPECT_EQ(w.journal.of("ai_budget_released").size(), 1U);
  EXPECT_EQ(w.run().code(), "OK");
}

}  // namespace
}  // namespace tidegate::gateway
