// What run_exchange promises beside the numbered scenarios: refusals before any call, other endpoints, and
// nothing of one leg in the answer of another.
#include "gateway/exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kit/world.h"

namespace tidegate::gateway {
namespace {

using namespace std::chrono_literals;
using kit::answers;
using kit::ask;
using kit::B;
using kit::dialect_id;
using kit::exchange;
using kit::immediate;
using kit::P;
using kit::replies;
using kit::setup;
using kit::status;
using kit::stream_end;
using kit::streamed;
using kit::streams;
using kit::world;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

ask with_body(std::string body) {
  ask a;
  a.body = std::move(body);
  return a;
}

TEST(exchange, refusals_come_before_any_call) {
  struct example {
    std::string body;
    int status;
    std::string_view code;
  };
  const example examples[] = {
      {"{", 400, "VALIDATION_ERROR"},
      {"[]", 400, "VALIDATION_ERROR"},
      {R"({"messages":[]})", 400, "INVALID_ARGUMENT"},
      {R"({"model":7,"messages":[]})", 400, "INVALID_ARGUMENT"},
      {R"({"model":"  ","messages":[]})", 400, "INVALID_ARGUMENT"},
      {R"({"model":"gpt-5.2","stream":"yes","messages":[]})", 400, "INVALID_ARGUMENT"},
      {std::string(200, '[') + std::string(200, ']'), 400, "VALIDATION_ERROR"},
  };
  for (const auto& [body, code, name] : examples) {
    world w;
    const exchange& e = w.run(with_body(body));
    EXPECT_EQ(e.reply.status, code) << body;
    EXPECT_EQ(e.code(), name) << body;
    EXPECT_THAT(w.upstream.calls(), IsEmpty());
    EXPECT_EQ(w.count("ai_run_refused"), 1U);
    EXPECT_EQ(w.count("ai_run_started"), 0U);
    EXPECT_EQ(e.reply.header("x-should-retry"), "false");
    EXPECT_EQ(e.reply.header("x-tidegate-run-id"), e.run_id);
    EXPECT_EQ(e.reply.header("x-tidegate-attempts"), "");
  }
}

TEST(exchange, an_unknown_model_is_not_found) {  // RES-1
  world w;
  ask a;
  a.model = "gpt-unknown";
  const exchange& e = w.run(a);
  EXPECT_EQ(e.reply.status, 404);
  EXPECT_THAT(w.fields("ai_run_refused", "code"), ElementsAre("NOT_FOUND"));
  EXPECT_THAT(w.upstream.calls(), IsEmpty());
}

TEST(exchange, T70_without_any_credential_nothing_is_configured) {
  setup s;
  for (auto& p : s.providers) p.key.clear();
  world w{s};
  const exchange& e = w.run();
  EXPECT_EQ(e.code(), "AI_NOT_CONFIGURED");
  EXPECT_EQ(e.reply.status, 503);
  EXPECT_THAT(w.upstream.calls(), IsEmpty());
}

TEST(exchange, T71_a_model_of_the_other_vendor_is_refused) {
  setup s;
  s.targets[0].model = "claude-sonnet-4";
  world w{s};
  const exchange& e = w.run();
  EXPECT_EQ(e.code(), "PREFLIGHT_MODEL_PROVIDER_MISMATCH");
  EXPECT_EQ(e.reply.status, 400);
  EXPECT_THAT(w.upstream.calls(), IsEmpty());
}

TEST(exchange, an_unfit_backup_is_passed_over_with_a_warning) {  // RES-4
  setup s = immediate();
  s.targets[1].model = "gpt-5.2";
  world w{s};
  w.upstream.always(P, status(503));
  EXPECT_EQ(w.run().code(), "AI_PROVIDER_UNAVAILABLE");
  EXPECT_EQ(w.upstream.count(B), 0U);
  EXPECT_EQ(w.count("preflight_backup_passed_over"), 1U);
}

TEST(exchange, the_callers_bytes_reach_a_target_of_its_dialect_unchanged) {  // GW-1
  const std::string body =
      R"({ "model" : "gpt-5.2", "unknown":{"a":[1, 2.50]} ,"messages":[{"role":"user","content":"\u00e9"}] })";
  setup s;
  s.targets[0].model = "";
  s.adjust = [](snapshot& next) { next.policies.front().max_output_tokens = 0; };  // else the cap is added
  world w{s};
  EXPECT_EQ(w.run(with_body(body)).code(), "OK");
  EXPECT_EQ(w.upstream.calls()[0].body, body);
}

TEST(exchange, headers_of_a_dialect_pass_only_to_a_target_that_speaks_it) {
  world w{immediate()};
  w.upstream.always(P, status(503));
  ask a;
  a.dialect = dialect_id::anthropic_messages;
  a.dialect_headers = "anthropic-version: 2024-01-01\r\nanthropic-beta: tools\r\n";
  a.query = "?beta=true";
  EXPECT_EQ(w.run(a).code(), "OK");
  EXPECT_THAT(w.upstream.calls()[0].head, Not(HasSubstr("anthropic-")));
  EXPECT_EQ(w.upstream.calls()[0].path(), "/v1/chat/completions");
  EXPECT_THAT(w.upstream.calls()[1].head,
              HasSubstr("anthropic-version: 2024-01-01\r\nanthropic-beta: tools\r\n"));
  EXPECT_THAT(w.upstream.calls()[1].head, Not(HasSubstr("2023-06-01")));
  EXPECT_EQ(w.upstream.calls()[1].path(), "/v1/messages?beta=true");
}

TEST(exchange, an_earlier_legs_error_is_not_told_for_a_later_one) {
  world w{immediate()};
  w.upstream.always(P, streams(stream_end::error_event, 0));
  w.upstream.always(B, streams(stream_end::cut, 2));
  const exchange& e = w.run(streamed());
  EXPECT_TRUE(e.reply.broken);
  EXPECT_THAT(e.reply.body, Not(HasSubstr("verloaded")));
  EXPECT_EQ(e.code(), "LLM_API_ERROR");
}

TEST(exchange, a_credential_repeated_by_the_provider_goes_no_further) {  // SEC-3
  for (const std::size_t content : {std::size_t{0}, std::size_t{2}}) {
    world w{kit::without_backup()};
    kit::behavior b = streams(stream_end::error_event, content);
    b.error_type = "invalid_request_error";
    b.error_message = "bad key " + std::string{kit::primary_key};
    w.upstream.always(P, b);
    const exchange& e = w.run(streamed());
    EXPECT_THAT(e.reply.body, Not(HasSubstr(kit::primary_key)));
    EXPECT_THAT(e.reply.body, HasSubstr("bad key"));
    EXPECT_FALSE(w.lines.contains(kit::primary_key));
  }
}

// Hangs up at a point in time from inside the loop's round, as a socket's event does.
struct leaving : runtime::timer {
  leaving(runtime::loop& owner, kit::recorded_reply& who)
      : timer{owner, [](timer& t) { static_cast<leaving&>(t).reply.leave(); }}, reply{who} {}
  kit::recorded_reply& reply;
};

TEST(exchange, a_caller_that_left_is_not_asked_for_elsewhere) {
  // The primary's failure and the caller's leaving fall into one round of the loop.
  world w{immediate()};
  w.upstream.always(P, kit::fails(runtime::call_fault::connect).after(1s));
  exchange& e = w.start();
  leaving leaves{w.loop, e.reply};
  leaves.arm(w.clock.now() + 1s);
  w.advance(1s);
  EXPECT_TRUE(e.done);
  EXPECT_EQ(w.failures("openai"), 1U) << "the provider had failed before";
  EXPECT_EQ(w.upstream.count(B), 0U);
  EXPECT_EQ(w.count("ai_run_canceled"), 1U);
}

TEST(exchange, a_caller_that_left_before_the_first_leg_costs_no_call) {
  world w;
  ask a;
  a.prepare = [](kit::recorded_reply& reply) { reply.leave(); };
  const exchange& e = w.run(a);
  EXPECT_TRUE(e.done);
  EXPECT_THAT(w.upstream.calls(), IsEmpty());
  EXPECT_THAT(w.fields("ai_run_refused", "code"), ElementsAre("CANCELED")) << "what never began has no end";
  EXPECT_EQ(w.count("ai_run_started"), 0U);
}

TEST(exchange, a_model_name_that_no_record_could_hold_is_refused) {
  world w;
  ask a;
  a.body = R"({"messages":[],"model":"gpt-)" + std::string(300, 'x') + R"("})";
  const exchange& e = w.run(a);
  EXPECT_EQ(e.reply.status, 400);
  EXPECT_EQ(e.code(), "INVALID_ARGUMENT");
  EXPECT_LT(e.reply.body.size(), 1'000U);
}

TEST(exchange, a_probe_whose_caller_leaves_gives_its_permit_back) {  // FO-6
  world w;
  w.degrade("openai");
  w.advance(900s);
  w.upstream.next(P, kit::hangs());
  exchange& probe = w.start();
  w.advance(1s);
  probe.reply.leave();
  w.settle();
  EXPECT_TRUE(probe.done);
  EXPECT_EQ(w.run().reply.header("x-tidegate-provider"), "openai");
  EXPECT_EQ(w.count("ai_provider_half_open_probe"), 2U);
  EXPECT_EQ(w.count("ai_provider_recovered"), 1U);
}

TEST(exchange, the_time_limit_is_at_most_the_configured_one) {  // TMO-1
  world w{kit::without_backup()};
  w.upstream.always(P, kit::hangs());
  ask a;
  a.timeout = 2h;
  const instant from = w.clock.now();
  EXPECT_EQ(w.run(a).code(), "SKILL_TIMEOUT");
  EXPECT_EQ(w.clock.now() - from, 10min);
}

TEST(exchange, silence_in_a_stream_ends_at_the_idle_limit) {  // TMO-2
  world w{kit::without_backup()};
  w.upstream.always(P, streams(stream_end::stall, 1));
  const instant from = w.clock.now();
  const exchange& e = w.run(streamed());
  EXPECT_EQ(w.clock.now() - from, 60s);
  EXPECT_EQ(e.code(), "TIMEOUT");
  EXPECT_TRUE(e.reply.broken);
  EXPECT_EQ(w.failures("openai"), 1U);
}

TEST(exchange, a_stream_that_does_not_begin_ends_at_the_first_byte_limit) {  // TMO-2
  world w{immediate()};
  w.upstream.always(P, kit::hangs());
  const instant from = w.clock.now();
  EXPECT_EQ(w.run(streamed()).code(), "OK");
  EXPECT_EQ(w.clock.now() - from, 30s);
  EXPECT_EQ(w.failures("openai"), 1U);
}

TEST(exchange, shutdown_breaks_a_stream_off_with_an_error) {  // NFR-3
  world w;
  w.upstream.always(P, answers().paced(1s));
  exchange& e = w.start(streamed());
  w.advance(3s);
  ASSERT_TRUE(e.reply.streamed);
  e.reply.gone().fire(runtime::cancel_reason::shutdown);
  w.settle();
  EXPECT_TRUE(e.done);
  EXPECT_TRUE(e.reply.broken);
  EXPECT_EQ(e.code(), "CANCELED");
  EXPECT_EQ(w.terminals(e), 1U);
}

TEST(exchange, the_request_is_released_at_first_content) {
  world w;
  w.upstream.always(P, answers().paced(1s));
  exchange& e = w.start(streamed());
  w.advance(1s);
  EXPECT_FALSE(e.reply.released) << "the preamble may yet be followed by a failure";
  w.advance(1s);
  EXPECT_TRUE(e.reply.released);
  w.finish(e);
}

TEST(exchange, open_streams_are_counted_back_whoever_ends_them) {
  for (const bool content : {false, true}) {
    for (const bool leaves : {false, true}) {
      world w;
      w.upstream.always(P, answers(content ? "text" : ""));
      ask a = streamed();
      exchange* its = nullptr;
      a.prepare = [&](kit::recorded_reply& reply) {
        if (leaves) reply.on_begin = [&reply] { reply.leave(); };
      };
      its = &w.run(a);
      EXPECT_EQ(its->reply.ended, !leaves);
      EXPECT_THAT(w.metrics.expose(), HasSubstr("tidegate_open_streams 0\n"));
    }
  }
}

TEST(exchange, embeddings_never_go_to_a_provider_without_them) {
  world w{immediate()};
  w.upstream.always(P, status(503));
  ask a = with_body(R"({"model":"gpt-5.2","input":"text"})");
  a.what = endpoint::embeddings;
  EXPECT_EQ(w.run(a).code(), "AI_PROVIDER_UNAVAILABLE");
  EXPECT_EQ(w.upstream.count(B), 0U);
  const std::string reply = R"({"object":"list","data":[{"embedding":[0.5]}],"model":"m"})";
  w.upstream.always(P, replies(200, reply));
  EXPECT_EQ(w.run(a).reply.body, reply);
  EXPECT_EQ(w.upstream.last(P)->path(), "/v1/embeddings");
}

ask token_count() {
  ask a = with_body(R"({"model":"gpt-5.2","messages":[{"role":"user","content":"hello world"}]})");
  a.dialect = dialect_id::anthropic_messages;
  a.what = endpoint::count_tokens;
  return a;
}

TEST(exchange, tokens_are_counted_by_an_anthropic_target_and_estimated_otherwise) {
  world w;
  const exchange& estimated = w.run(token_count());
  EXPECT_EQ(estimated.reply.status, 200);
  EXPECT_THAT(estimated.reply.body, HasSubstr(R"("input_tokens":)"));
  EXPECT_THAT(w.upstream.calls(), IsEmpty());

  setup s = immediate();
  std::swap(s.targets[0], s.targets[1]);
  world other{s};
  other.upstream.next(B, replies(200, R"({"input_tokens":42})"));
  EXPECT_EQ(other.run(token_count()).reply.body, R"({"input_tokens":42})");
  EXPECT_EQ(other.upstream.last(B)->path(), "/v1/messages/count_tokens");
}

TEST(exchange, nobody_else_is_asked_to_count_tokens) {
  setup s = immediate();
  std::swap(s.targets[0], s.targets[1]);
  world w{s};
  w.upstream.always(B, status(503));
  EXPECT_EQ(w.run(token_count()).code(), "AI_PROVIDER_UNAVAILABLE");
  EXPECT_EQ(w.upstream.count(P), 0U);
}

}  // namespace
}  // namespace tidegate::gateway
