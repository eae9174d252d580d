#include "policy/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <string>
#include <vector>

namespace tidegate::policy {
namespace {

using namespace std::chrono_literals;
using foundation::instant;

const instant start{1h};

// A scheduler whose news are kept, with names for its runs.
struct world {
  explicit world(const scheduler_settings& settings = {}) : queue{settings} {}

  scheduler::entry enter(const std::string& session, const std::string& project = "") {
    const auto entry = queue.enter(session, project, now, out);
    sessions[entry.run] = session;
    return entry;
  }
  run_number run(const std::string& session) {
    const auto entry = enter(session);
    EXPECT_EQ(entry.refused, scheduler::refusal::none);
    return entry.run;
  }
  bool finish(run_number run, run_status terminal = run_status::completed) {
    return queue.finish(run, terminal, now, out);
  }
  std::vector<run_news> of(run_number run) const {
    std::vector<run_news> found;
    std::ranges::copy_if(out.news, std::back_inserter(found),
                         [run](const run_news& n) { return n.run == run; });
    return found;
  }
  // "queued:1 started:0"
  std::string told(run_number run) const {
    std::string text;
    for (const run_news& n : of(run)) {
      if (!text.empty()) text += ' ';
      text.append(name_of(n.status)).append(":").append(std::to_string(n.position));
    }
    return text;
  }
  std::vector<run_number> started() const {
    std::vector<run_number> runs;
    for (const run_news& n : out.news) {
      if (n.status == run_status::started) runs.push_back(n.run);
    }
    return runs;
  }
  bool is_running(run_number run) const {
    const auto news = of(run);
    return !news.empty() && news.back().status == run_status::started;
  }

  scheduler queue;
  effects out;
  instant now = start;
  std::map<run_number, std::string> sessions;
};

// SCH-2, SCH-5, S5
TEST(scheduler, runs_of_one_session_follow_one_another_in_order) {
  world w;
  const auto a = w.run("s");
  const auto b = w.run("s");
  const auto c = w.run("s");
  EXPECT_EQ(w.queue.global_running(), 1U);
  w.finish(a);
  w.finish(b);
  w.finish(c);
  EXPECT_EQ(w.started(), (std::vector{a, b, c}));
  EXPECT_EQ(w.told(a), "queued:0 started:0 completed:0") << "who starts at once is queued once, at 0";
  EXPECT_EQ(w.queue.runs() + w.queue.sessions() + w.queue.waiting() + w.queue.global_running(), 0U);
}

// T32
TEST(scheduler, positions_move_up_when_the_first_ends) {
  world w;
  const auto a = w.run("s");
  const auto b = w.run("s");
  const auto c = w.run("s");
  EXPECT_EQ(w.told(b), "queued:1 queued:1") << "sent again when c came";
  EXPECT_EQ(w.told(c), "queued:2");
  w.finish(a);
  EXPECT_EQ(w.told(b), "queued:1 queued:1 started:0");
  EXPECT_EQ(w.told(c), "queued:2 queued:1");
  EXPECT_EQ(w.of(c).back().queued, 1U);
  EXPECT_EQ(w.of(c).back().global_running, 1U);
  EXPECT_EQ(w.of(a).back().global_running, 0U) << "counted behind what is told";
}

// T29
TEST(scheduler, twelve_sessions_peak_at_exactly_eight) {
  world w;
  std::vector<run_number> runs;
  std::size_t peak = 0;
  for (int i = 0; i < 12; ++i) {
    runs.push_back(w.run("s" + std::to_string(i)));
    peak = std::max(peak, w.queue.global_running());
  }
  for (const run_number run : runs) {
    w.finish(run);
    peak = std::max(peak, w.queue.global_running());
  }
  EXPECT_EQ(peak, 8U);
  EXPECT_EQ(w.started(), runs);
}

// T30
TEST(scheduler, of_22_runs_of_one_session_exactly_one_is_refused) {
  world w;
  int refused = 0;
  for (int i = 0; i < 22; ++i) {
    const auto entry = w.enter("s");
    if (entry.refused == scheduler::refusal::none) continue;
    ++refused;
    EXPECT_EQ(entry.refused, scheduler::refusal::session);
    EXPECT_EQ(entry.limit, 20U);
    EXPECT_EQ(i, 21);
  }
  EXPECT_EQ(refused, 1);
  EXPECT_EQ(w.enter("other").refused, scheduler::refusal::none);
}

TEST(scheduler, a_project_holds_128_in_flight_whatever_their_sessions) {
  world w;
  std::vector<run_number> runs;
  for (int i = 0; i < 128; ++i) {
    const auto entry = w.enter("s" + std::to_string(i), "p");
    ASSERT_EQ(entry.refused, scheduler::refusal::none);
    runs.push_back(entry.run);
  }
  const auto over = w.enter("one more", "p");
  EXPECT_EQ(over.refused, scheduler::refusal::project);
  EXPECT_EQ(over.limit, 128U);
  EXPECT_EQ(w.enter("one more", "q").refused, scheduler::refusal::none);
  w.queue.cancel(runs.back(), w.now, w.out);
  EXPECT_EQ(w.enter("one more", "p").refused, scheduler::refusal::none);
}

TEST(scheduler, limits_of_zero_count_as_one) {
  world w{{.session_concurrency = 0, .global_concurrency = 0, .queue_limit = 0, .project_in_flight = 0}};
  EXPECT_EQ(w.enter("s", "p").refused, scheduler::refusal::none);
  EXPECT_EQ(w.enter("s").refused, scheduler::refusal::none);
  EXPECT_EQ(w.enter("s").refused, scheduler::refusal::session);
  EXPECT_EQ(w.enter("t", "p").refused, scheduler::refusal::project);
}

// T89, SCH-3
TEST(scheduler, a_freed_slot_goes_round_the_ring_of_sessions) {
  world w{{.global_concurrency = 1}};
  const auto a1 = w.run("A");
  const auto a2 = w.run("A");
  const auto a3 = w.run("A");
  const auto b1 = w.run("B");
  for (int i = 0; i < 4; ++i) w.finish(w.started().back());
  EXPECT_EQ(w.started(), (std::vector{a1, a2, b1, a3}));
}

// A session at its own limit keeps its turn while others pass it by.
TEST(scheduler, a_session_that_may_not_run_yet_keeps_its_turn) {
  world w{{.global_concurrency = 2}};
  const auto a1 = w.run("A");
  const auto b1 = w.run("B");
  const auto a2 = w.run("A");  // began to wait first
  const auto c1 = w.run("C");
  const auto d1 = w.run("D");
  w.finish(b1);
  EXPECT_TRUE(w.is_running(c1)) << "A runs already";
  w.finish(a1);
  EXPECT_TRUE(w.is_running(a2));
  EXPECT_FALSE(w.is_running(d1));
}

// T37, T122
TEST(scheduler, a_cancelled_waiter_leaves_at_once_and_only_once) {
  world w;
  const auto a = w.run("s");
  const auto b = w.run("s");
  const auto c = w.run("s");
  EXPECT_EQ(w.queue.cancel(b, w.now, w.out), scheduler::cancel_result::removed);
  EXPECT_EQ(w.queue.cancel(b, w.now, w.out), scheduler::cancel_result::unknown);
  EXPECT_EQ(w.queue.cancel(a, w.now, w.out), scheduler::cancel_result::running);
  EXPECT_EQ(w.told(b), "queued:1 queued:1 cancelled:0");
  EXPECT_EQ(w.of(b).back().cause, run_end::canceled_waiting);
  EXPECT_EQ(w.told(c), "queued:2 queued:1");
  EXPECT_FALSE(w.finish(b, run_status::completed)) << "a terminal is irreversible";
  w.finish(a);
  EXPECT_TRUE(w.is_running(c));
}

// T147, SCH-8
TEST(scheduler, who_waits_longer_than_queue_wait_ends_as_timeout) {
  world w{{.queue_wait = 10s, .slot_recovery = 1h}};
  const auto a = w.run("s");
  w.now += 1s;
  const auto b = w.run("s");
  const auto c = w.run("s");
  EXPECT_EQ(w.queue.due(), start + 11s);
  w.now = start + 11s - 1ns;
  w.queue.expire(w.now, w.out);
  EXPECT_EQ(w.queue.waiting(), 2U);
  w.now += 1ns;
  w.queue.expire(w.now, w.out);
  EXPECT_EQ(w.of(b).back().status, run_status::timeout);
  EXPECT_EQ(w.of(c).back().cause, run_end::queue_wait);
  EXPECT_TRUE(w.is_running(a));
}

// SCH-7
TEST(scheduler, T33_T34_a_slot_that_is_not_given_back_is_taken_back_once) {
  world w{{.slot_recovery = 40ms}};
  const auto a = w.run("s");
  const auto b = w.run("s");
  EXPECT_EQ(w.queue.due(), start + 40ms);
  w.now += 40ms;
  w.queue.expire(w.now, w.out);
  EXPECT_EQ(w.told(a), "queued:0 started:0 timeout:0");
  EXPECT_EQ(w.of(a).back().cause, run_end::slot_recovery);
  EXPECT_TRUE(w.is_running(b));
  EXPECT_FALSE(w.finish(a)) << "it settles after all: too late";
  EXPECT_EQ(w.queue.global_running(), 1U);
  EXPECT_EQ(w.queue.due(), start + 80ms) << "counted from its own start";
}

TEST(scheduler, a_slot_that_fell_free_in_time_serves_who_waited_though_the_timer_was_late) {
  world w{{.queue_wait = 50ms, .slot_recovery = 40ms}};
  w.run("s");
  const auto b = w.run("s");
  w.now += 1s;
  w.queue.expire(w.now, w.out);
  EXPECT_TRUE(w.is_running(b));
}

// T100, NFR-3
TEST(scheduler, a_drain_cancels_who_waits_and_leaves_who_runs) {
  world w;
  std::vector<run_number> runs;
  for (int i = 0; i < 28; ++i) runs.push_back(w.run("s" + std::to_string(i)));
  w.queue.drain(w.now, w.out);
  EXPECT_EQ(w.queue.waiting(), 0U);
  EXPECT_EQ(w.queue.global_running(), 8U);
  EXPECT_EQ(w.enter("s").refused, scheduler::refusal::draining);
  for (int i = 0; i < 8; ++i) w.finish(runs[static_cast<std::size_t>(i)]);
  std::map<run_number, int> terminals;
  for (const run_news& n : w.out.news) {
    if (is_terminal(n.status)) ++terminals[n.run];
  }
  EXPECT_EQ(terminals.size(), 28U);
  for (const auto& [run, count] : terminals) EXPECT_EQ(count, 1);
}

TEST(scheduler, raised_limits_take_effect_at_once_and_lowered_ones_stop_nobody) {
  world w{{.global_concurrency = 1}};
  const auto a = w.run("A");
  const auto b = w.run("B");
  const auto c = w.run("C");
  w.queue.configure({.global_concurrency = 3}, w.now, w.out);
  EXPECT_EQ(w.started(), (std::vector{a, b, c}));
  w.queue.configure({.global_concurrency = 1}, w.now, w.out);
  EXPECT_EQ(w.queue.global_running(), 3U);
  const auto d = w.run("D");
  w.finish(a);
  w.finish(b);
  EXPECT_FALSE(w.is_running(d));
  w.finish(c);
  EXPECT_TRUE(w.is_running(d));
}

// CAND-1
TEST(scheduler, candidates_run_on_global_slots_and_the_first_on_the_runs_own) {
  world w{{.global_concurrency = 3}};
  const auto run = w.run("A");
  EXPECT_TRUE(w.queue.ask_extra(run, w.now).granted);
  EXPECT_EQ(w.queue.global_running(), 1U);
  EXPECT_TRUE(w.queue.ask_extra(run, w.now).granted);
  EXPECT_TRUE(w.queue.ask_extra(run, w.now).granted);
  EXPECT_EQ(w.queue.global_running(), 3U);
  const auto fourth = w.queue.ask_extra(run, w.now);
  EXPECT_FALSE(fourth.granted);
  const auto other = w.run("B");
  w.queue.release_extra(1, w.now, w.out);
  EXPECT_EQ(w.out.granted, (std::vector{fourth.number})) << "it stood in the ring before B";
  w.queue.release_extra(2, w.now, w.out);
  EXPECT_TRUE(w.is_running(other));
  w.finish(run);
  EXPECT_EQ(w.queue.global_running(), 1U);
}

// Eight runs hold all slots and all want more: each works through its candidates on its own slot.
TEST(scheduler, runs_that_hold_all_slots_and_wait_for_more_never_stand_still) {
  world w;
  std::map<run_number, std::vector<extra_number>> active;
  std::size_t served = 0;
  for (int i = 0; i < 8; ++i) active[w.run("s" + std::to_string(i))];
  std::map<extra_number, run_number> owner;
  for (auto& [run, slots] : active) {
    for (int i = 0; i < 5; ++i) {
      const auto extra = w.queue.ask_extra(run, w.now);
      owner[extra.number] = run;
      if (extra.granted) slots.push_back(extra.number);
    }
    EXPECT_EQ(slots.size(), 1U);
  }
  for (bool moved = true; moved;) {
    moved = false;
    for (auto& [run, slots] : active) {
      if (slots.empty()) continue;
      w.queue.release_extra(slots.back(), w.now, w.out);
      slots.pop_back();
      ++served;
      moved = true;
      for (const extra_number number : w.out.granted) active[owner[number]].push_back(number);
      w.out.granted.clear();
      EXPECT_LE(w.queue.global_running(), 8U);
    }
  }
  EXPECT_EQ(served, 40U);
}

TEST(scheduler, a_run_that_ends_takes_its_extra_slots_and_wishes_with_it) {
  world w{{.global_concurrency = 2, .slot_recovery = 40ms}};
  const auto run = w.run("A");
  w.queue.ask_extra(run, w.now);
  w.queue.ask_extra(run, w.now);
  const auto wish = w.queue.ask_extra(run, w.now);
  const auto other = w.run("B");
  w.now += 40ms;
  w.queue.expire(w.now, w.out);
  EXPECT_EQ(w.out.voided, (std::vector{wish.number}));
  EXPECT_TRUE(w.is_running(other));
  EXPECT_EQ(w.queue.global_running(), 1U);
  w.queue.release_extra(1, w.now, w.out);
  EXPECT_EQ(w.queue.global_running(), 1U) << "given back already";
  EXPECT_EQ(w.queue.ask_extra(run, w.now).number, 0U);
}

TEST(scheduler, clocks_that_go_back_do_no_harm) {
  world w{{.queue_wait = 10s}};
  w.run("s");
  w.now += 5s;
  w.run("s");
  w.now -= 3s;
  w.run("s");
  w.queue.expire(start + 15s, w.out);
  EXPECT_EQ(w.queue.waiting(), 0U);
}

TEST(scheduler, what_waits_in_all_is_bounded) {
  world w{{.global_concurrency = 1, .queue_limit = 1'000}};
  std::size_t admitted = 0;
  scheduler::entry last;
  for (std::size_t i = 0; i < scheduler::waiting_max + 2; ++i) {
    last = w.queue.enter("s" + std::to_string(i / 500), "", w.now, w.out);
    w.out.news.clear();
    admitted += last.refused == scheduler::refusal::none ? 1U : 0U;
  }
  EXPECT_EQ(admitted, scheduler::waiting_max + 1);
  EXPECT_EQ(last.refused, scheduler::refusal::all);
}

// Jain's index over the slots granted to each session: 1 when all got the same.
double jain(const std::vector<double>& shares) {
  double sum = 0;
  double squares = 0;
  for (const double share : shares) {
    sum += share;
    squares += share * share;
  }
  return sum * sum / (static_cast<double>(shares.size()) * squares);
}

// Starts counted per session until every one-run session has had its slot; runs end in the order in which
// they began.
struct fairness {
  double index = 0;
  std::size_t inversions = 0;  // starts of a session out of its own order
};
fairness serve(world& w, std::size_t already_started) {
  std::map<std::string, double> slots;
  std::map<std::string, run_number> last;
  fairness result;
  std::size_t seen = already_started;
  std::size_t singles = 0;
  bool counting = true;
  for (std::size_t next = 0;; ++next) {
    const auto started = w.started();
    for (; seen < started.size(); ++seen) {
      const std::string& session = w.sessions[started[seen]];
      if (started[seen] < last[session]) ++result.inversions;
      last[session] = started[seen];
      if (!counting) continue;
      slots[session] += 1;
      if (session != "hog" && ++singles == 99) counting = false;
    }
    if (next >= started.size()) break;
    w.finish(started[next]);
    std::erase_if(w.out.news, [](const run_news& n) { return n.status != run_status::started; });
  }
  std::vector<double> shares;
  for (const auto& [session, count] : slots) shares.push_back(count);
  EXPECT_EQ(shares.size(), 100U);
  result.index = jain(shares);
  return result;
}

// C2
TEST(scheduler, one_session_with_a_thousand_runs_gets_no_more_than_ninety_nine_with_one) {
  const scheduler_settings settings{.queue_limit = 1'000};
  // All wait from the same moment on.
  world held{settings};
  for (int i = 0; i < 8; ++i) held.run("holder" + std::to_string(i));
  for (int i = 0; i < 1'000; ++i) held.run("hog");
  for (int i = 0; i < 99; ++i) held.run("s" + std::to_string(i));
  const fairness equal = serve(held, 8);
  // The hog came first, to empty slots.
  world first{settings};
  for (int i = 0; i < 1'000; ++i) first.run("hog");
  for (int i = 0; i < 99; ++i) first.run("s" + std::to_string(i));
  const fairness late = serve(first, 0);
  std::cout << "Jain's index: all waiting " << equal.index << ", hog first " << late.index
            << "; FIFO inversions " << equal.inversions + late.inversions << '\n';
  EXPECT_GE(equal.index, 0.99);
  EXPECT_GE(late.index, 0.99);
  EXPECT_EQ(equal.inversions + late.inversions, 0U);
}

}  // namespace
}  // namespace tidegate::policy
