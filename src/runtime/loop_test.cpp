#include "runtime/loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "foundation/random.h"
#include "runtime/async/task.h"

namespace tidegate::runtime {
namespace {

using namespace std::chrono_literals;

detached note_after(loop& l, duration wait, cancel_source* cancel, std::vector<wake>& notes) {
  notes.push_back(co_await l.sleep_until(l.now() + wait, cancel));
}

TEST(loop, sleeps_end_only_when_the_clock_has_moved) {
  foundation::manual_clock clock;
  loop l{clock};
  std::vector<wake> notes;
  note_after(l, 10ms, nullptr, notes);
  l.turn(0ms);
  EXPECT_TRUE(notes.empty());
  clock.advance(9ms);
  l.turn(0ms);
  EXPECT_TRUE(notes.empty());
  clock.advance(1ms);
  l.turn(0ms);
  EXPECT_EQ(notes, std::vector{wake::timeout});
}

TEST(loop, cancellation_reaches_a_sleeper_in_the_same_round) {
  foundation::manual_clock clock;
  loop l{clock};
  cancel_source cancel;
  std::vector<wake> notes;
  note_after(l, 1h, &cancel, notes);
  cancel.fire(cancel_reason::client_left);
  l.turn(0ms);
  EXPECT_EQ(notes, std::vector{wake::canceled});
  EXPECT_EQ(l.next_timer(), never);
}

TEST(loop, a_fired_source_cancels_later_waits_at_once) {
  foundation::manual_clock clock;
  loop l{clock};
  cancel_source cancel;
  cancel.fire(cancel_reason::requested);
  cancel.fire(cancel_reason::shutdown);
  EXPECT_EQ(cancel.reason(), cancel_reason::requested);
  std::vector<wake> notes;
  note_after(l, 1h, &cancel, notes);
  EXPECT_EQ(notes, std::vector{wake::canceled});
}

struct counting_timer : timer {
  counting_timer(loop& l, std::vector<int>& order, int id)
      : timer{l, [](timer& t) { static_cast<counting_timer&>(t).fire(); }}, order_{order}, id_{id} {}
  void fire() { order_.push_back(id_); }
  std::vector<int>& order_;
  int id_;
};

TEST(loop, timers_fire_in_order_of_time_whatever_the_order_of_arming) {
  foundation::random_source random{7};
  for (int round = 0; round < 200; ++round) {
    foundation::manual_clock clock;
    loop l{clock};
    std::vector<int> order;
    std::vector<std::unique_ptr<counting_timer>> timers;
    for (int i = 0; i < 40; ++i) timers.push_back(std::make_unique<counting_timer>(l, order, i));
    std::vector<instant> when(40, never);
    for (int step = 0; step < 120; ++step) {
      const auto i = static_cast<std::size_t>(random.below(40));
      if (random.below(4) == 0) {
        timers[i]->disarm();
        when[i] = never;
      } else {
        when[i] = clock.now() + std::chrono::milliseconds{1 + random.below(1000)};
        timers[i]->arm(when[i]);
      }
    }
    clock.advance(2s);
    l.turn(0ms);
    std::vector<int> expected;
    for (int i = 0; i < 40; ++i) {
      if (when[static_cast<std::size_t>(i)] != never) expected.push_back(i);
    }
    ASSERT_EQ(order.size(), expected.size());
    for (std::size_t i = 1; i < order.size(); ++i) {
      EXPECT_LE(when[static_cast<std::size_t>(order[i - 1])], when[static_cast<std::size_t>(order[i])]);
    }
  }
}

TEST(loop, calls_posted_from_other_threads_run_in_order_in_the_loops_thread) {
  foundation::system_clock clock;
  loop l{clock};
  std::vector<int> seen;
  std::thread other{[&] {
    for (int i = 0; i < 1000; ++i) l.post([&seen, i] { seen.push_back(i); });
    l.post([&l] { l.stop(); });
  }};
  l.run();
  other.join();
  ASSERT_EQ(seen.size(), 1000U);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(seen[static_cast<std::size_t>(i)], i);
}

task<int> add(int a, int b) { co_return a + b; }
task<int> fail() {
  throw std::runtime_error{"no"};
  co_return 0;
}
detached sum_into(int& out) {
  int total = 0;
  for (int i = 0; i < 100'000; ++i) total = co_await add(total, 1);
  out = total;
}
detached catch_into(bool& caught) {
  try {
    static_cast<void>(co_await fail());
  } catch (const std::runtime_error&) {
    caught = true;
  }
}

TEST(task, a_hundred_thousand_awaits_use_no_stack) {
  int total = 0;
  sum_into(total);
  EXPECT_EQ(total, 100'000);
}

TEST(task, exceptions_reach_the_awaiter) {
  bool caught = false;
  catch_into(caught);
  EXPECT_TRUE(caught);
}

}  // namespace
}  // namespace tidegate::runtime
