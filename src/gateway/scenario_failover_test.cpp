// Scenarios of `immediate` failover, of more than two targets, and of results that come too late.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kit/world.h"

namespace tidegate::gateway {
namespace {

using namespace std::chrono_literals;
using kit::answers;
using kit::B;
using kit::C;
using kit::exchange;
using kit::fails;
using kit::immediate;
using kit::P;
using kit::setup;
using kit::status;
using kit::world;
using policy::breaker_status;
using policy::failover_mode;
using runtime::call_fault;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(scenario, T101_immediate_answers_each_call_from_the_backup_and_counts) {
  world w{immediate()};
  w.upstream.always(P, status(503));
  for (std::uint32_t i = 1; i <= 3; ++i) {
    const exchange& e = w.run();
    EXPECT_EQ(e.code(), "OK");
    EXPECT_EQ(e.reply.header("x-tidegate-provider"), "anthropic");
    EXPECT_EQ(e.reply.header("x-tidegate-failover"), "from=openai; to=anthropic; reason=primary_unavailable");
    EXPECT_EQ(w.failures("openai"), i);
    EXPECT_EQ(w.degraded("openai"), i == 3);
  }
}

TEST(scenario, T102_pushback_rests_the_target_and_is_not_counted) {
  struct example {
    std::string_view header;
    duration rest;
  };
  for (const auto& [header, rest] :
       {example{"retry-after: 7\r\n", 7s}, {"", 5s}, {"retry-after: 999\r\n", 300s}}) {
    world w{immediate()};
    w.upstream.next(P, status(429, std::string{header}));
    const exchange& first = w.run();
    EXPECT_EQ(first.code(), "OK");
    EXPECT_THAT(first.reply.header("x-tidegate-failover"), HasSubstr("reason=primary_cooldown"));
    w.advance(rest - 1ms);
    const exchange& resting = w.run();
    EXPECT_EQ(resting.reply.header("x-tidegate-provider"), "anthropic");
    EXPECT_EQ(resting.reply.header("x-tidegate-attempts"), "1");
    EXPECT_EQ(w.upstream.count(P), 1U);
    w.advance(1ms);
    EXPECT_EQ(w.run().reply.header("x-tidegate-provider"), "openai");
    EXPECT_EQ(w.failures("openai"), 0U);
  }
}

TEST(scenario, T103_all_on_cooldown_names_the_shortest_rest) {
  world w{immediate()};
  w.upstream.next(P, status(429, "retry-after: 20\r\n"));
  w.upstream.next(B, status(429, "retry-after: 9\r\n"));
  const exchange& first = w.run();
  EXPECT_EQ(first.code(), "AI_RATE_LIMITED");
  EXPECT_EQ(first.reply.header("retry-after-ms"), "9000");
  w.advance(2s);
  const exchange& second = w.run();
  EXPECT_EQ(second.code(), "AI_RATE_LIMITED");
  EXPECT_EQ(second.reply.status, 429);
  EXPECT_THAT(second.reply.body, HasSubstr(R"("source":"upstream","retryAfterMs":7000)"));
  EXPECT_EQ(second.reply.header("retry-after"), "7");
  EXPECT_EQ(w.upstream.calls().size(), 2U) << "nobody is called while all rest";
}

TEST(scenario, T104_refused_credential_is_used_once_in_a_run) {
  // Two targets share the refused credential: the second of them is passed over.
  setup s = immediate();
  s.targets = {{"openai", "gpt-5.2"}, {"openai", "gpt-5.2-mini"}, {"anthropic", "claude-sonnet-4"}};
  world w{s};
  w.upstream.always(P, status(401));
  const exchange& e = w.run();
  EXPECT_EQ(e.code(), "OK");
  EXPECT_EQ(e.reply.header("x-tidegate-provider"), "anthropic");
  EXPECT_THAT(e.reply.header("x-tidegate-failover"), HasSubstr("reason=primary_auth_failed"));
  EXPECT_EQ(w.upstream.count(P), 1U);
  EXPECT_EQ(w.failures("openai"), 0U);
}

TEST(scenario, T105_the_backup_is_sent_its_own_model_and_credential_only) {
  for (const bool stream : {false, true}) {
    world w{immediate()};
    w.upstream.always(P, status(503));
    kit::ask a;
    a.stream = stream;
    EXPECT_EQ(w.run(a).code(), "OK");
    const kit::call_record* sent = w.upstream.last(B);
    ASSERT_NE(sent, nullptr);
    EXPECT_THAT(sent->body, HasSubstr(R"("claude-sonnet-4")"));
    EXPECT_THAT(sent->body, Not(HasSubstr("gpt-5.2")));
    EXPECT_THAT(sent->head, HasSubstr("x-api-key: " + std::string{kit::backup_key} + "\r\n"));
    EXPECT_THAT(sent->head, Not(HasSubstr(kit::primary_key)));
    EXPECT_THAT(sent->head, HasSubstr("anthropic-version: 2023-06-01\r\n"));
    EXPECT_EQ(sent->path(), "/v1/messages");
  }
}

TEST(scenario, T106_two_of_three_degraded_leaves_the_third) {
  for (const auto mode : {failover_mode::after_trip, failover_mode::immediate}) {
    world w{kit::three_targets(mode)};
    w.degrade("openai");
    w.degrade("anthropic");
    const exchange& e = w.run();
    EXPECT_EQ(e.code(), "OK");
    EXPECT_EQ(e.reply.header("x-tidegate-provider"), "third");
    EXPECT_EQ(w.upstream.calls().size(), 1U);
  }
}

TEST(scenario, T107_an_expired_permit_is_a_failed_probe_whose_run_goes_on) {
  world w;
  w.degrade("openai");
  w.advance(900s);
  w.upstream.next(P, answers().after(60s));
  kit::ask patient;
  patient.timeout = 120s;
  exchange& probe = w.start(patient);
  w.advance(30s);
  EXPECT_EQ(w.health("openai"), breaker_status::degraded) << "a new window began when the permit ended";
  EXPECT_EQ(w.run().reply.header("x-tidegate-provider"), "anthropic");
  w.advance(30s);
  EXPECT_TRUE(probe.done);
  EXPECT_EQ(probe.code(), "OK");
  EXPECT_EQ(probe.reply.header("x-tidegate-provider"), "openai");
  EXPECT_EQ(w.health("openai"), breaker_status::degraded);
  w.advance(900s - 30s - 1ms);
  EXPECT_EQ(w.run().reply.header("x-tidegate-provider"), "anthropic");
  w.advance(1ms);
  EXPECT_EQ(w.run().reply.header("x-tidegate-provider"), "openai");
}

TEST(scenario, T108_success_of_a_leg_from_before_the_trip_changes_nothing) {
  world w;
  w.upstream.next(P, answers().after(60s));
  w.upstream.always(P, status(503));
  exchange& early = w.start();
  for (int i = 0; i < 3; ++i) w.run();
  ASSERT_TRUE(w.degraded("openai"));
  w.finish(early);
  EXPECT_EQ(early.code(), "OK");
  EXPECT_TRUE(w.degraded("openai"));
  EXPECT_EQ(w.count("ai_provider_recovered"), 0U);
}

TEST(scenario, T109_a_streamed_probe_succeeds_at_its_first_content) {
  world w;
  w.degrade("openai");
  w.advance(900s);
  w.upstream.next(P, answers("six by six pieces").paced(1s));
  exchange& e = w.start(kit::streamed());
  w.advance(1s);
  EXPECT_TRUE(w.degraded("openai")) << "the preamble is no content";
  EXPECT_FALSE(e.reply.streamed);
  w.advance(1s);
  EXPECT_EQ(w.health("openai"), breaker_status::healthy);
  EXPECT_FALSE(e.done);
  EXPECT_THAT(w.fields("ai_provider_recovered", "fromHalfOpen"), ElementsAre("true"));
  w.finish(e);
  EXPECT_EQ(e.code(), "OK");
}

TEST(scenario, T110_another_url_or_key_begins_anew) {
  for (const bool key : {false, true}) {
    world w;
    w.degrade("openai");
    setup changed;
    (key ? changed.providers[0].key : changed.providers[0].url) =
        key ? "sk-another-credential-3" : "https://other.example";
    w.publish(changed);
    EXPECT_EQ(w.failures("openai"), 0U);
    EXPECT_EQ(w.run().reply.header("x-tidegate-provider"), "openai");
  }
  world w;
  w.degrade("openai");
  w.publish(setup{});
  EXPECT_TRUE(w.degraded("openai")) << "the same URL and key keep their state";
}

TEST(scenario, T111_all_degraded_tries_each_once_and_success_recovers) {
  for (const auto mode : {failover_mode::after_trip, failover_mode::immediate}) {
    setup s;
    s.mode = mode;
    world w{s};
    w.degrade("openai");
    w.degrade("anthropic");
    w.upstream.always(P, status(503));
    const exchange& e = w.run();
    EXPECT_EQ(e.code(), "OK");
    EXPECT_EQ(w.upstream.count(P), 1U);
    EXPECT_EQ(w.upstream.count(B), 1U);
    EXPECT_TRUE(w.degraded("openai"));
    EXPECT_EQ(w.health("anthropic"), breaker_status::healthy);
  }
}

TEST(scenario, T138_immediate_leaves_a_refused_connection_without_waiting) {
  world w{immediate()};
  w.upstream.next(P, fails(call_fault::connect));
  const instant from = w.clock.now();
  const exchange& e = w.run();
  EXPECT_EQ(e.code(), "OK");
  EXPECT_EQ(w.clock.now(), from);
  EXPECT_EQ(w.upstream.count(P), 1U);
  EXPECT_EQ(w.failures("openai"), 1U);
}

}  // namespace
}  // namespace tidegate::gateway
