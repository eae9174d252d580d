// Runs of several loops in one queue: what is told of them is told in the queue's order (SCH-5, STR-12).
#include <gtest/gtest.h>

#include "kit/session_world.h"

namespace tidegate::session {
namespace {

using namespace std::chrono_literals;
using kit::answers;
using kit::channel_call;
using kit::P;

constexpr std::string_view in_line = R"("context":{"sessionId":"s"},"stream":true)";

std::string execution_of(const channel_call& c) { return c.text({"executionId"}); }

TEST(queue_order, an_older_place_is_never_heard_behind_a_newer_one_of_another_loop) {
  kit::session_world w;
  w.upstream.always(P, answers().after(100ms));
  runtime::loop other{w.clock};
  kit::scripted_upstream other_upstream{other};
  gateway::loop_services elsewhere{other, other_upstream, w.random, w.journal};
  const auto settle = [&] {
    for (bool busy = true; busy;) {
      busy = other.turn(foundation::duration::zero());
      w.settle();
    }
  };
  channel_call& running = w.start_run(in_line);
  channel_call& leaving = w.start_run(in_line);
  w.from = &elsewhere;
  channel_call& waiting = w.start_run(in_line);
  settle();
  w.from = nullptr;
  const std::string one = execution_of(waiting);
  ASSERT_EQ(w.queue_story(one), "queued/2");
  // The other loop is busy with something else from here on.
  w.call("ai:skill:cancel", R"({"executionId":")" + execution_of(leaving) + R"("})");
  channel_call& last = w.start_run(in_line);
  w.settle();
  EXPECT_EQ(w.queue_story(one), "queued/2 queued/1 queued/1");
  EXPECT_EQ(w.queue_story(execution_of(last)), "queued/2");
  ASSERT_NE(w.await_done(execution_of(running)), nullptr);
  w.settle();
  EXPECT_EQ(w.queue_story(one), "queued/2 queued/1 queued/1 started/0");
  EXPECT_EQ(w.queue_story(execution_of(last)), "queued/2 queued/1");
  w.sessions->drain();
  w.sessions->stop_runs();
  for (int i = 0; i < 100 && w.sessions->under_way() > 0; ++i) {
    settle();
    w.advance(10ms);
  }
  EXPECT_EQ(w.sessions->under_way(), 0U);
}

}  // namespace
}  // namespace tidegate::session
