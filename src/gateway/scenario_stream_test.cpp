// Scenarios of streams: what a caller sees before and behind the first content, in every dialect.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kit/world.h"

namespace tidegate::gateway {
namespace {

using namespace std::chrono_literals;
using kit::answers;
using kit::B;
using kit::dialect_id;
using kit::exchange;
using kit::immediate;
using kit::P;
using kit::setup;
using kit::stream_end;
using kit::streamed;
using kit::streams;
using kit::world;
using policy::breaker_status;
using policy::failover_mode;
using testing::HasSubstr;
using testing::Not;

namespace sse = protocol::sse;

constexpr dialect_id dialects[] = {dialect_id::openai_chat, dialect_id::openai_responses,
                                   dialect_id::anthropic_messages};

std::string_view end_marker(dialect_id dialect) {
  switch (dialect) {
    case dialect_id::openai_chat:
      return "[DONE]";
    case dialect_id::openai_responses:
      return "response.completed";
    case dialect_id::anthropic_messages:
      break;
  }
  return "message_stop";
}

std::string said(const exchange& e) {
  std::string text;
  const auto decoder = dialect::get(e.dialect).decoder();
  std::vector<dialect::stream_event> events;
  sse::parser parser;
  const auto take = [&](const sse::event_view& event) {
    if (event.dispatch) decoder->decode(event, events);
    return true;
  };
  static_cast<void>(parser.feed(e.reply.body, take));
  static_cast<void>(parser.finish(take));
  for (const auto& event : events) {
    if (event.kind == dialect::stream_event_kind::text) text += event.text;
  }
  return text;
}

TEST(scenario, T93_a_stream_comes_from_the_backup_while_the_primary_is_degraded) {
  for (const dialect_id dialect : dialects) {
    world w;
    w.degrade("openai");
    w.upstream.always(B, answers("from the backup"));
    const exchange& e = w.run(streamed(dialect));
    EXPECT_EQ(e.code(), "OK");
    EXPECT_EQ(said(e), "from the backup");
    EXPECT_EQ(e.reply.header("content-type"), "text/event-stream; charset=utf-8");
    EXPECT_EQ(e.reply.header("x-tidegate-provider"), "anthropic");
    EXPECT_EQ(w.upstream.count(P), 0U);
  }
}

TEST(scenario, T117_a_stream_cut_after_content_never_looks_complete) {
  for (const auto mode : {failover_mode::after_trip, failover_mode::immediate}) {
    for (const dialect_id dialect : dialects) {
      for (const std::string_view provider : {P, B}) {
        for (const stream_end end : {stream_end::cut, stream_end::reset, stream_end::stall}) {
          setup s;
          s.mode = mode;
          if (provider == B) std::swap(s.targets[0], s.targets[1]);
          world w{s};
          w.upstream.always(provider, streams(end, 2));
          const exchange& e = w.run(streamed(dialect));
          EXPECT_TRUE(e.reply.streamed);
          EXPECT_FALSE(e.reply.ended);
          EXPECT_TRUE(e.reply.broken);
          EXPECT_THAT(e.reply.body, HasSubstr("hello "));
          EXPECT_THAT(e.reply.body, Not(HasSubstr(end_marker(dialect))));
          EXPECT_NE(e.code(), "OK");
          EXPECT_FALSE(e.code().empty()) << e.reply.body;
          if (dialect == dialect_id::anthropic_messages)
            EXPECT_THAT(e.reply.body, HasSubstr("event: error\n"));
          EXPECT_EQ(w.upstream.calls().size(), 1U) << "never a replay";
          EXPECT_EQ(w.failures(provider == P ? "openai" : "anthropic"), 1U);
        }
      }
    }
  }
}

TEST(scenario, T118_only_the_answering_providers_bytes_are_seen) {
  for (const dialect_id dialect : dialects) {
    for (const stream_end end : {stream_end::cut, stream_end::reset, stream_end::error_event}) {
      world w{immediate()};
      w.upstream.always(P, streams(end, 0).with("x-request-id: req-of-the-primary\r\n"));
      w.upstream.always(B, answers("only this is said"));
      const exchange& e = w.run(streamed(dialect));
      EXPECT_EQ(e.code(), "OK");
      EXPECT_EQ(said(e), "only this is said");
      EXPECT_THAT(e.reply.body, Not(HasSubstr(w.upstream.calls()[0].tag)));
      EXPECT_THAT(e.reply.body, Not(HasSubstr("verloaded")));
      EXPECT_THAT(e.reply.headers, Not(HasSubstr("req-of-the-primary")));
      EXPECT_EQ(e.reply.header("x-tidegate-failover"),
                "from=openai; to=anthropic; reason=primary_unavailable");
      EXPECT_EQ(w.failures("openai"), 1U);
    }
  }
}

TEST(scenario, T129_a_caller_that_drops_ends_the_call_upstream_at_once) {
  for (const dialect_id dialect : dialects) {
    for (int events = 0; events < 8; ++events) {
      world w;
      w.upstream.always(P, answers().paced(100ms));
      exchange& e = w.start(streamed(dialect));
      w.advance(100ms * events);
      if (e.done) break;
      const instant when = w.clock.now();
      e.reply.leave();
      w.settle();
      EXPECT_TRUE(e.done);
      ASSERT_EQ(w.upstream.calls().size(), 1U);
      EXPECT_FALSE(w.upstream.calls()[0].open);
      EXPECT_EQ(w.upstream.calls()[0].ended_at, when);
      EXPECT_EQ(w.failures("openai"), 0U);
      EXPECT_EQ(w.count("ai_run_canceled"), 1U);
      EXPECT_EQ(w.terminals(e), 1U);
    }
  }
}

TEST(scenario, T141_a_slow_reader_pauses_the_provider_and_gets_the_whole_text) {
  std::string text;
  for (int i = 0; i < 4000; ++i) text += "word" + std::to_string(i) + ' ';
  for (const dialect_id dialect : dialects) {
    world w;
    w.upstream.always(P, answers(text));
    exchange& e = w.start(streamed(dialect));
    e.reply.per_byte = 10us;
    std::size_t most = 0;
    while (!e.done) {
      ASSERT_NE(w.loop.next_timer(), foundation::never);
      w.advance(std::max(w.loop.next_timer() - w.clock.now(), duration::zero()));
      const std::size_t read = w.upstream.calls()[0].bytes_read;
      most = std::max(most, read - std::min(read, e.reply.body.size()));
    }
    EXPECT_LT(most, 4096U) << "no more than the piece in hand is held";
    EXPECT_EQ(e.code(), "OK");
    EXPECT_EQ(said(e), text);
  }
}

TEST(scenario, T150_a_messages_caller_of_an_openai_provider_sees_a_valid_event_sequence) {
  world w;
  std::vector<std::string> pieces = {
      kit::sse_event({}, R"({"id":"c1","choices":[{"index":0,"delta":{"role":"assistant"}}]})"),
      kit::sse_event({}, R"({"id":"c1","choices":[{"index":0,"delta":{"content":"Hi"}}]})"),
      kit::sse_event({}, R"({"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})"),
      kit::sse_event(
          {},
          R"({"id":"c1","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14}})"),
      kit::sse_event({}, "[DONE]")};
  kit::behavior b = kit::replies(200, "", "content-type: text/event-stream\r\n");
  b.pieces = std::move(pieces);
  w.upstream.always(P, b);
  const exchange& e = w.run(streamed(dialect_id::anthropic_messages));
  EXPECT_EQ(e.code(), "OK");
  std::vector<std::string> types;
  std::string usage;
  sse::parser parser;
  static_cast<void>(parser.feed(e.reply.body, [&](const sse::event_view& event) {
    if (!event.dispatch) return true;
    types.emplace_back(event.type);
    if (event.type == "message_delta") usage = event.data;
    return true;
  }));
  EXPECT_THAT(types, testing::ElementsAre("message_start", "content_block_start", "content_block_delta",
                                          "content_block_stop", "message_delta", "message_stop"));
  EXPECT_THAT(usage, HasSubstr(R"("output_tokens":3)"));
  EXPECT_THAT(usage, HasSubstr(R"("input_tokens":11)"));
  EXPECT_THAT(w.upstream.calls()[0].body, HasSubstr(R"("include_usage":true)"))
      << "usage is always asked for";
}

}  // namespace
}  // namespace tidegate::gateway
