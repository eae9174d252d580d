// The scenarios of requirements section 6 that a gateway call can tell: failover, probes, retries, limits of
// time. Each runs through run_exchange on simulated time; the test's name begins with the ids it keeps. T142
// is kept by protocol/http1 (corpus_test), T152 by app (configuration_test).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "kit/scenario_table.h"
#include "kit/world.h"
#include "policy/retry.h"

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
using kit::replies;
using kit::setup;
using kit::status;
using kit::world;
using policy::breaker_status;
using runtime::call_fault;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

setup both(policy::failover_mode mode) {
  setup s;
  s.mode = mode;
  return s;
}
constexpr policy::failover_mode modes[] = {policy::failover_mode::after_trip,
                                           policy::failover_mode::immediate};

ask within(duration limit, bool stream = false) {
  ask a;
  a.timeout = limit;
  a.stream = stream;
  return a;
}

TEST(scenario, S1_S4_third_failure_switches_and_probe_recovers) {
  world w;
  w.upstream.next(P, 3, status(503));
  EXPECT_EQ(w.run().code(), "AI_PROVIDER_UNAVAILABLE");
  EXPECT_EQ(w.run().code(), "AI_PROVIDER_UNAVAILABLE");
  EXPECT_EQ(w.upstream.count(B), 0U);
  const exchange& third = w.run();
  EXPECT_EQ(third.code(), "OK");
  EXPECT_EQ(third.reply.header("x-tidegate-provider"), "anthropic");
  EXPECT_EQ(third.reply.header("x-tidegate-attempts"), "2");
  EXPECT_EQ(third.reply.header("x-tidegate-failover"),
            "from=openai; to=anthropic; reason=primary_unavailable");
  EXPECT_EQ(w.upstream.count(B), 1U);
  w.advance(900'001ms);
  const exchange& fourth = w.run();
  EXPECT_EQ(fourth.code(), "OK");
  EXPECT_EQ(fourth.reply.header("x-tidegate-provider"), "openai");
  EXPECT_EQ(w.upstream.count(P), 4U);
  EXPECT_EQ(w.health("openai"), breaker_status::healthy);

  EXPECT_EQ(w.count("ai_provider_degraded"), 1U);
  EXPECT_THAT(w.fields("ai_provider_failover", "reason"), ElementsAre("primary_unavailable"));
  EXPECT_THAT(w.fields("ai_provider_recovered", "fromHalfOpen"), ElementsAre("true"));
  const auto started = w.fields("ai_run_started", "traceId");
  ASSERT_EQ(started.size(), 4U);
  const std::set<std::string> known{started.begin(), started.end()};
  for (const std::string_view event :
       {"ai_provider_failover", "ai_provider_half_open_probe", "ai_provider_recovered"}) {
    const auto ids = w.fields(event, "traceId");
    EXPECT_EQ(ids.size(), 1U) << event;
    for (const std::string& id : ids) EXPECT_TRUE(known.contains(id)) << event;
  }
}

TEST(scenario, S3_all_down_is_unavailable) {
  for (const auto mode : modes) {
    world w{both(mode)};
    w.upstream.always(P, status(503));
    w.upstream.always(B, status(503));
    const exchange& e = w.run();
    EXPECT_EQ(e.code(), "AI_PROVIDER_UNAVAILABLE");
    EXPECT_EQ(e.reply.status, 503);
  }
}

TEST(scenario, T7_degraded_provider_is_left_alone_inside_its_window) {
  world w;
  w.degrade("openai");
  w.advance(899'999ms);
  const exchange& e = w.run();
  EXPECT_EQ(e.code(), "OK");
  EXPECT_EQ(w.upstream.count(P), 0U);
  EXPECT_EQ(e.reply.header("x-tidegate-failover"), "from=openai; to=anthropic; reason=primary_degraded");
}

TEST(scenario, T8_probe_is_due_at_the_end_of_the_window) {
  world w;
  w.degrade("openai");
  w.advance(900s);
  EXPECT_EQ(w.run().code(), "OK");
  EXPECT_EQ(w.upstream.count(P), 1U);
  EXPECT_EQ(w.count("ai_provider_half_open_probe"), 1U);
  EXPECT_EQ(w.health("openai"), breaker_status::healthy);
}

TEST(scenario, T9_failed_probe_begins_a_full_new_window) {
  for (const auto mode : modes) {
    world w{both(mode)};
    w.degrade("openai");
    w.advance(900s);
    w.upstream.next(P, status(503));
    const exchange& probe = w.run();
    EXPECT_EQ(probe.code(), "OK");
    EXPECT_EQ(probe.reply.header("x-tidegate-failover"),
              "from=openai; to=anthropic; reason=half_open_probe_failed");
    w.advance(899'999ms);
    EXPECT_EQ(w.run().code(), "OK");
    EXPECT_EQ(w.upstream.count(P), 1U);
    w.advance(1ms);
    EXPECT_EQ(w.run().code(), "OK");
    EXPECT_EQ(w.upstream.count(P), 2U);
  }
}

TEST(scenario, T10_success_clears_the_failures) {
  world w;
  for (const int code : {503, 503, 200, 503, 503}) w.upstream.next(P, code == 200 ? answers() : status(code));
  for (int i = 0; i < 5; ++i) w.run();
  EXPECT_EQ(w.health("openai"), breaker_status::healthy);
  EXPECT_EQ(w.failures("openai"), 2U);
  EXPECT_EQ(w.count("ai_provider_degraded"), 0U);
}

TEST(scenario, T11_refused_credential_is_no_health_matter) {
  world w;
  w.upstream.always(P, status(401));
  for (int i = 0; i < 5; ++i) {
    const exchange& e = w.run();
    EXPECT_EQ(e.code(), "AI_AUTH_FAILED");
    EXPECT_EQ(e.reply.status, 502);
  }
  EXPECT_EQ(w.failures("openai"), 0U);
  EXPECT_EQ(w.upstream.count(B), 0U);
}

TEST(scenario, T12_pushback_passes_through_without_failover) {
  world w;
  w.upstream.next(P, status(429, "retry-after: 7\r\n"));
  const exchange& e = w.run();
  EXPECT_EQ(e.code(), "AI_RATE_LIMITED");
  EXPECT_EQ(e.reply.status, 429);
  EXPECT_THAT(e.reply.body, HasSubstr(R"("source":"upstream")"));
  EXPECT_THAT(e.reply.body, HasSubstr(R"("retryAfterMs":7000)"));
  EXPECT_EQ(e.reply.header("retry-after"), "7");
  EXPECT_EQ(e.reply.header("retry-after-ms"), "7000");
  EXPECT_EQ(w.upstream.count(B), 0U);
  EXPECT_EQ(w.failures("openai"), 0U);
}

TEST(scenario, T13_refused_credential_of_the_backup_is_told) {
  for (const auto mode : modes) {
    world w{both(mode)};
    w.degrade("openai");
    w.upstream.always(B, status(401));
    EXPECT_EQ(w.run().code(), "AI_AUTH_FAILED");
    EXPECT_EQ(w.upstream.count(P), 0U);
  }
}

TEST(scenario, T14_backup_down_too_names_both) {
  world w;
  w.degrade("openai");
  w.upstream.always(B, status(503));
  const exchange& e = w.run();
  EXPECT_EQ(e.code(), "AI_PROVIDER_UNAVAILABLE");
  EXPECT_THAT(e.reply.body, HasSubstr(R"("primary":"openai","backup":"anthropic")"));
  EXPECT_THAT(e.reply.body, HasSubstr(R"("traceId":")" + e.trace_id + '"'));
  EXPECT_THAT(e.reply.body,
              HasSubstr(R"({"provider":"anthropic","model":"claude-sonnet-4","code":"LLM_API_ERROR"})"));
}

TEST(scenario, T15_without_backup_every_run_tries_and_success_recovers) {
  for (const auto mode : modes) {
    world w{kit::without_backup(mode)};
    w.upstream.next(P, 3, status(503));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(w.run().code(), "AI_PROVIDER_UNAVAILABLE");
    EXPECT_TRUE(w.degraded("openai"));
    EXPECT_EQ(w.run().code(), "OK");
    EXPECT_EQ(w.count("ai_provider_recovered"), 1U);
    EXPECT_EQ(w.health("openai"), breaker_status::healthy);
  }
}

TEST(scenario, T16_instances_know_nothing_of_each_other) {
  world one;
  world other;
  one.upstream.always(P, status(503));
  for (int i = 0; i < 3; ++i) one.run();
  EXPECT_TRUE(one.degraded("openai"));
  EXPECT_FALSE(other.degraded("openai"));
}

TEST(scenario, T17_transport_faults_are_retried_inside_the_leg) {
  world w;
  w.upstream.next(P, 2, fails(call_fault::reset));
  const exchange& e = w.run();
  EXPECT_EQ(e.code(), "OK");
  ASSERT_EQ(w.upstream.count(P), 3U);
  const auto& calls = w.upstream.calls();
  EXPECT_EQ(calls[1].at - calls[0].at, 1s);
  EXPECT_EQ(calls[2].at - calls[1].at, 2s);
  EXPECT_EQ(calls[0].body, calls[2].body);
  EXPECT_EQ(e.reply.header("x-tidegate-attempts"), "1");
  EXPECT_THAT(w.fields("ai_leg_finished", "retries"), ElementsAre("2"));
  EXPECT_THAT(w.fields("ai_fetch_transient_failure", "attempt"), ElementsAre("0", "1"));
}

TEST(scenario, T18_four_faults_are_one_failure) {
  world w;
  w.upstream.next(P, 4, fails(call_fault::connect));
  EXPECT_EQ(w.run().code(), "AI_PROVIDER_UNAVAILABLE");
  EXPECT_EQ(w.upstream.count(P), 4U);
  EXPECT_EQ(w.failures("openai"), 1U);
}

TEST(scenario, T19_T20_backoff_as_configured_else_the_default) {
  const auto waits = [](std::string_view configured, std::size_t faults) {
    setup s;
    s.adjust = [configured](snapshot& next) { next.retry.backoff = policy::backoff_or_default(configured); };
    world w{s};
    w.upstream.next(P, faults, fails(call_fault::reset));
    EXPECT_EQ(w.run().code(), "OK");
    std::vector<duration> out;
    for (std::size_t i = 1; i < w.upstream.calls().size(); ++i) {
      out.push_back(w.upstream.calls()[i].at - w.upstream.calls()[i - 1].at);
    }
    return out;
  };
  EXPECT_THAT(waits("7,11", 2), ElementsAre(7ms, 11ms));
  EXPECT_THAT(waits("5;6", 3), ElementsAre(1s, 2s, 4s));
  EXPECT_THAT(waits("0", 3), ElementsAre(1s, 2s, 4s));
}

TEST(scenario, T85_base_url_keeps_its_prefix_and_collapses_a_doubled_v1) {
  setup s;
  s.providers[0].url = "https://h.example/p/v1";
  world w{s};
  EXPECT_EQ(w.run().code(), "OK");
  ASSERT_EQ(w.upstream.calls().size(), 1U);
  EXPECT_EQ(w.upstream.calls()[0].path(), "/p/v1/chat/completions");
  EXPECT_THAT(w.upstream.calls()[0].head, HasSubstr("\r\nhost: h.example\r\n"));
}

TEST(scenario, T90_provider_4xx_is_the_callers_and_leaves_health_alone) {
  for (const auto mode : modes) {
    world w{both(mode)};
    w.upstream.always(P, status(400));
    for (int i = 0; i < 5; ++i) {
      const exchange& e = w.run();
      EXPECT_EQ(e.reply.status, 400);
      EXPECT_EQ(e.code(), "LLM_API_ERROR");
      EXPECT_EQ(e.message(), "scripted 400");
      EXPECT_EQ(e.reply.header("x-should-retry"), "false");
    }
    EXPECT_EQ(w.failures("openai"), 0U);
    EXPECT_EQ(w.upstream.count(B), 0U);
  }
}

TEST(scenario, T91_cancelled_calls_do_not_degrade) {
  world w;
  w.upstream.always(P, hangs());
  for (int i = 0; i < 3; ++i) {
    exchange& e = w.start();
    w.advance(20s);
    ASSERT_FALSE(e.done);
    e.reply.leave();
    w.settle();
    EXPECT_TRUE(e.done);
    EXPECT_FALSE(w.upstream.calls().back().open);
  }
  EXPECT_EQ(w.failures("openai"), 0U);
  EXPECT_EQ(w.count("ai_run_canceled"), 3U);
}

TEST(scenario, T92_one_probe_of_twenty_runs) {
  for (const auto mode : modes) {
    world w{both(mode)};
    w.degrade("openai");
    w.advance(900s);
    w.upstream.always(P, answers().after(1s));
    std::vector<exchange*> runs;
    for (int i = 0; i < 20; ++i) runs.push_back(&w.start());
    EXPECT_EQ(w.upstream.count(P), 1U);
    EXPECT_EQ(w.upstream.count(B), 19U);
    w.advance(1s);
    for (const exchange* e : runs) EXPECT_EQ(e->code(), "OK");
    EXPECT_THAT(w.fields("ai_provider_failover", "reason"), Each("primary_degraded"));
    EXPECT_EQ(w.count("ai_provider_failover"), 19U);
  }
}

TEST(scenario, T97_dns_and_tls_failures_are_retried_and_counted_once_each) {
  world w;
  w.upstream.next(P, 4, fails(call_fault::dns));
  EXPECT_EQ(w.run().code(), "AI_PROVIDER_UNAVAILABLE");
  EXPECT_EQ(w.failures("openai"), 1U);
  w.upstream.next(P, 4, fails(call_fault::tls));
  EXPECT_EQ(w.run().code(), "AI_PROVIDER_UNAVAILABLE");
  EXPECT_EQ(w.failures("openai"), 2U);
  EXPECT_EQ(w.upstream.count(P), 8U);
}

TEST(scenario, T98_a_200_that_is_not_json_counts_and_one_of_the_wrong_shape_does_not) {
  world w;
  w.upstream.next(P, replies(200, "<html>busy</html>", "content-type: text/html\r\n"));
  EXPECT_EQ(w.run().code(), "AI_PROVIDER_UNAVAILABLE");
  EXPECT_EQ(w.failures("openai"), 1U);
  w.upstream.next(P, replies(200, R"({"unexpected":true})"));
  const exchange& e = w.run();
  EXPECT_EQ(e.code(), "INTERNAL");
  EXPECT_EQ(e.reply.status, 500);
  EXPECT_EQ(w.failures("openai"), 1U);
  w.upstream.next(P, replies(200, kit::whole_text(kit::dialect_id::openai_chat, "x", "hi")));
  EXPECT_EQ(w.run(kit::streamed()).code(), "AI_PROVIDER_UNAVAILABLE") << "JSON where a stream was asked for";
}

TEST(scenario, T99_success_delay_timeout_and_upstream_error) {
  world w;
  w.upstream.next(P, answers());
  EXPECT_EQ(w.run(within(30s)).code(), "OK");
  w.upstream.next(P, answers().after(600ms));
  EXPECT_EQ(w.run(within(30s)).code(), "OK");
  w.upstream.next(P, hangs());
  const exchange& late = w.run(within(30s));
  EXPECT_EQ(late.code(), "SKILL_TIMEOUT");
  EXPECT_EQ(late.reply.status, 504);
  EXPECT_EQ(w.count("ai_run_timeout"), 1U);
  w.upstream.next(P, status(502));
  EXPECT_EQ(w.run(within(30s)).code(), "AI_PROVIDER_UNAVAILABLE");
}

TEST(scenario, T127_a_call_beyond_max_in_flight_finds_no_place) {
  world w;
  std::vector<core::place> places;
  for (int i = 0; i < 1024; ++i) {
    places.push_back(w.shared.enter(1024));
    ASSERT_TRUE(static_cast<bool>(places.back()));
  }
  EXPECT_FALSE(static_cast<bool>(w.shared.enter(1024)));
  EXPECT_EQ(w.shared.in_flight(), 1024U);
  places.pop_back();
  EXPECT_TRUE(static_cast<bool>(w.shared.enter(1024)));
  places.clear();
  EXPECT_EQ(w.shared.in_flight(), 0U);
}

TEST(scenario, T130_a_short_deadline_blames_nobody_and_a_long_one_the_silent_provider) {
  for (const auto mode : modes) {
    for (const bool stream : {false, true}) {
      world w{both(mode)};
      w.upstream.always(P, hangs());
      EXPECT_EQ(w.run(within(5ms, stream)).code(), "SKILL_TIMEOUT");
      EXPECT_EQ(w.failures("openai"), 0U);
      const exchange& e = w.run(within(30s, stream));
      EXPECT_EQ(e.code(), "SKILL_TIMEOUT");
      EXPECT_EQ(w.failures("openai"), 1U);
      EXPECT_EQ(w.upstream.count(B), 0U) << "the one deadline is over: nobody else is called";
    }
  }
}

TEST(scenario, T131_a_wait_that_would_pass_the_deadline_is_not_begun) {
  world w;
  w.upstream.always(P, fails(call_fault::reset));
  const instant from = w.clock.now();
  EXPECT_EQ(w.run(within(2500ms)).code(), "AI_PROVIDER_UNAVAILABLE");
  EXPECT_EQ(w.upstream.count(P), 2U);
  EXPECT_EQ(w.clock.now() - from, 1s);
  EXPECT_EQ(w.failures("openai"), 1U);
}

TEST(scenario, T134_redirects_are_not_followed) {
  world w;
  w.upstream.next(P, replies(302, "", "location: https://elsewhere.example/\r\n"));
  const exchange& e = w.run();
  EXPECT_EQ(e.code(), "LLM_API_ERROR");
  EXPECT_EQ(e.reply.status, 502);
  EXPECT_EQ(w.upstream.calls().size(), 1U);
  EXPECT_EQ(w.failures("openai"), 0U);
}

}  // namespace
}  // namespace tidegate::gateway
