// The queue of all loops: in simulated time on one thread, then with loops that run on threads of their own.
#include "gateway/run_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "foundation/random.h"
#include "foundation/time.h"

namespace tidegate::gateway {
namespace {

using namespace std::chrono_literals;
using foundation::error_code;
using policy::run_status;

struct captured_news final : queue_listener {
  struct entry {
    std::string run;
    run_status status;
    std::size_t position;
    std::size_t queued;
  };
  void on_news(const queue_news& n) override {
    EXPECT_EQ(busy.fetch_add(1), 0) << "one call at a time";
    all.push_back({n.run.run_id, n.status, n.position, n.queued});
    busy.fetch_sub(1);
  }
  std::string of(std::string_view run) const {
    std::string text;
    for (const entry& e : all) {
      if (e.run != run) continue;
      if (!text.empty()) text += ' ';
      text.append(name_of(e.status)).append(":").append(std::to_string(e.position));
    }
    return text;
  }
  std::vector<entry> all;
  std::atomic<int> busy{0};
};

queued_run named(const std::string& id, const std::string& session, const std::string& project = "") {
  queued_run run;
  run.run_id = id;
  run.session =
      policy::session_key_of({.client_key = "key", .session = session, .project = project, .document = ""});
  run.project = project;
  run.key_id = "key";
  return run;
}

// A run as a coroutine of its own: enters, awaits its start, ends when told.
struct scripted_run {
  runtime::cancel_source cancel;
  std::optional<run_queue::ticket> ticket;
  std::optional<foundation::failure> refused;
  bool started = false;
  std::string outcome;  // "", "started", or the code of what kept it from it

  static runtime::detached wait(scripted_run& self) {
    const auto result = co_await self.ticket->started(self.cancel);
    self.started = result.has_value();
    self.outcome = result.has_value() ? "started" : std::string{name_of(result.error().code)};
    if (!result.has_value()) self.refused = result.error();
  }
  void end(run_status terminal = run_status::completed) {
    ticket->finish(terminal);
    ticket.reset();
  }
};

struct world {
  explicit world(const policy::scheduler_settings& settings = {}) : queue{loop, settings, &news} {}
  std::unique_ptr<scripted_run> enter(const std::string& id, const std::string& session = "s",
                                      const std::string& project = "") {
    auto run = std::make_unique<scripted_run>();
    auto entered = queue.enter(loop, named(id, session, project));
    if (!entered.has_value()) {
      run->refused = entered.error();
      return run;
    }
    run->ticket.emplace(std::move(*entered));
    scripted_run::wait(*run);
    return run;
  }
  void turn() {
    while (loop.turn(0ns)) {
    }
  }
  void advance(foundation::duration by) {
    turn();
    clock.advance(by);
    turn();
  }

  foundation::manual_clock clock;
  runtime::loop loop{clock};
  captured_news news;
  run_queue queue;
};

// S5, STR-12
TEST(run_queue, runs_of_a_session_start_one_after_the_other_and_their_news_come_in_order) {
  world w;
  const auto a = w.enter("a");
  const auto b = w.enter("b");
  const auto c = w.enter("c");
  EXPECT_TRUE(a->ticket->at_once());
  EXPECT_FALSE(b->ticket->at_once());
  EXPECT_EQ(a->outcome, "started") << "without a turn of the loop";
  w.turn();
  EXPECT_EQ(b->outcome, "");
  a->end();
  EXPECT_EQ(w.news.of("b"), "queued:1 queued:1 started:0") << "told before the run goes on";
  EXPECT_EQ(b->outcome, "");
  w.turn();
  EXPECT_EQ(b->outcome, "started");
  b->end(run_status::failed);
  w.turn();
  c->end();
  EXPECT_EQ(w.news.of("a"), "queued:0 started:0 completed:0");
  EXPECT_EQ(w.news.of("b"), "queued:1 queued:1 started:0 failed:0");
  EXPECT_EQ(w.news.of("c"), "queued:2 queued:1 started:0 completed:0");
}

// T30, T127
TEST(run_queue, a_full_queue_says_which_and_how_long_it_may_be) {
  world w{{.queue_limit = 1, .project_in_flight = 3}};
  const auto a = w.enter("a", "s");
  const auto b = w.enter("b", "s");
  const auto c = w.enter("c", "s");
  ASSERT_TRUE(c->refused.has_value());
  EXPECT_EQ(c->refused->code, error_code::skill_queue_overflow);
  EXPECT_EQ(c->refused->details, R"({"sessionKey":"session:s","limit":1})");
  const auto d = w.enter("d", "t1", "p");
  const auto e = w.enter("e", "t2", "p");
  const auto f = w.enter("f", "t3", "p");
  const auto g = w.enter("g", "t4", "p");
  ASSERT_TRUE(g->refused.has_value());
  EXPECT_EQ(g->refused->details, R"({"sessionKey":"session:t4","limit":3,"scope":"project"})");
  EXPECT_TRUE(w.news.of("g").empty());
  b->cancel.fire(runtime::cancel_reason::shutdown);
  w.turn();
}

// T37, T122
TEST(run_queue, a_cancelled_waiter_hears_of_it_at_once_and_its_terminal_is_told_when_its_ticket_ends) {
  world w;
  const auto a = w.enter("a");
  const auto b = w.enter("b");
  const auto c = w.enter("c");
  EXPECT_TRUE(w.queue.cancel("b"));
  EXPECT_FALSE(w.queue.cancel("b")) << "the second time there is nothing to do";
  EXPECT_FALSE(w.queue.cancel("a")) << "it runs";
  EXPECT_FALSE(w.queue.cancel("nobody"));
  EXPECT_EQ(w.news.of("c"), "queued:2 queued:1");
  w.turn();
  EXPECT_EQ(b->outcome, "CANCELED");
  EXPECT_EQ(w.news.of("b"), "queued:1 queued:1") << "its done push comes first";
  b->ticket.reset();
  EXPECT_EQ(w.news.of("b"), "queued:1 queued:1 cancelled:0");
  a->end();
  w.turn();
  EXPECT_EQ(c->outcome, "started");
}

TEST(run_queue, the_runs_own_cancel_takes_it_out_of_the_queue) {
  world w;
  const auto a = w.enter("a");
  const auto b = w.enter("b");
  b->cancel.fire(runtime::cancel_reason::client_left);
  EXPECT_EQ(w.queue.count().waiting, 0U);
  w.turn();
  EXPECT_EQ(b->outcome, "CANCELED");
}

TEST(run_queue, a_cancel_that_meets_the_start_on_its_way_wins_and_gives_the_slot_back) {
  world w;
  const auto a = w.enter("a");
  const auto b = w.enter("b");
  const auto c = w.enter("c");
  w.turn();
  a->end();  // b's start is posted
  b->cancel.fire(runtime::cancel_reason::requested);
  w.turn();
  EXPECT_EQ(b->outcome, "CANCELED");
  EXPECT_EQ(c->outcome, "");
  b->ticket.reset();
  w.turn();
  EXPECT_EQ(w.news.of("b"), "queued:1 queued:1 started:0 cancelled:0");
  EXPECT_EQ(c->outcome, "started");
}

TEST(run_queue, a_run_that_is_cancelled_before_it_awaits_its_start_never_starts) {
  world w;
  auto ticket = w.queue.enter(w.loop, named("a", "s"));
  ASSERT_TRUE(ticket.has_value());
  scripted_run a;
  a.cancel.fire(runtime::cancel_reason::client_left);
  a.ticket.emplace(std::move(*ticket));
  scripted_run::wait(a);
  EXPECT_EQ(a.outcome, "CANCELED");
  a.ticket.reset();
  EXPECT_EQ(w.news.of("a"), "queued:0 started:0 cancelled:0");
}

// T147
TEST(run_queue, queue_wait_ends_a_wait_as_skill_timeout_of_the_queue) {
  world w{{.queue_wait = 5min, .slot_recovery = 1h}};
  const auto a = w.enter("a");
  const auto b = w.enter("b");
  w.advance(5min - 1ms);
  EXPECT_EQ(b->outcome, "");
  w.advance(1ms);
  EXPECT_EQ(b->outcome, "SKILL_TIMEOUT");
  EXPECT_EQ(b->refused->details, R"({"phase":"queue"})");
  b->ticket.reset();
  EXPECT_EQ(w.news.of("b"), "queued:1 timeout:0");
}

TEST(run_queue, T33_T34_a_slot_is_taken_back_and_what_its_run_says_later_does_not_count) {
  world w{{.slot_recovery = 40ms}};
  const auto a = w.enter("a");
  const auto b = w.enter("b");
  w.advance(40ms);
  EXPECT_EQ(w.news.of("a"), "queued:0 started:0 timeout:0");
  EXPECT_EQ(b->outcome, "started");
  EXPECT_FALSE(a->ticket->finish(run_status::completed));
  EXPECT_EQ(w.news.of("a"), "queued:0 started:0 timeout:0");
  w.advance(40ms);
  EXPECT_EQ(w.news.of("b"), "queued:1 started:0 timeout:0") << "the timer stands anew";
  EXPECT_EQ(w.queue.count().running, 0U);
}

TEST(run_queue, a_ticket_that_goes_without_a_word_ends_its_run_as_failed) {
  world w;
  const auto a = w.enter("a");
  a->ticket.reset();
  EXPECT_EQ(w.news.of("a"), "queued:0 started:0 failed:0");
  EXPECT_EQ(w.queue.count().running, 0U);
}

// T100, NFR-3
TEST(run_queue, a_drain_cancels_who_waits_refuses_who_comes_and_leaves_who_runs) {
  world w;
  std::vector<std::unique_ptr<scripted_run>> runs;
  for (int i = 0; i < 28; ++i) runs.push_back(w.enter("r" + std::to_string(i), "s" + std::to_string(i)));
  w.turn();
  w.queue.drain();
  w.turn();
  int canceled = 0;
  for (const auto& run : runs) canceled += run->outcome == "CANCELED" ? 1 : 0;
  EXPECT_EQ(canceled, 20);
  const auto late = w.enter("late", "x");
  ASSERT_TRUE(late->refused.has_value());
  EXPECT_EQ(late->refused->code, error_code::server_overloaded);
  EXPECT_EQ(late->refused->details, R"({"reason":"draining"})");
  for (const auto& run : runs) {
    if (run->started) run->ticket->finish(run_status::cancelled);
    run->ticket.reset();
  }
  std::map<std::string, int> terminals;
  for (const auto& e : w.news.all) {
    if (policy::is_terminal(e.status)) ++terminals[e.run];
  }
  EXPECT_EQ(terminals.size(), 28U);
  for (const auto& [run, count] : terminals) EXPECT_EQ(count, 1) << run;
}

// T128: a call of /v1 takes part, and nobody is told.
TEST(run_queue, a_run_that_no_client_follows_is_news_to_the_owner_alone) {
  world w;
  queued_run call = named("v1", "s");
  call.told = false;
  auto ticket = w.queue.enter(w.loop, std::move(call));
  ASSERT_TRUE(ticket.has_value());
  const auto b = w.enter("b");
  w.turn();
  EXPECT_EQ(b->outcome, "");
  ticket->finish(run_status::completed);
  w.turn();
  EXPECT_EQ(b->outcome, "started");
  EXPECT_FALSE(w.news.of("v1").empty()) << "the queue's depth is kept by it";
}

TEST(run_queue, raised_limits_start_who_waits) {
  world w{{.global_concurrency = 1}};
  const auto a = w.enter("a", "s1");
  const auto b = w.enter("b", "s2");
  w.queue.configure({.global_concurrency = 2});
  w.turn();
  EXPECT_EQ(b->outcome, "started");
}

struct candidate {
  run_queue::extra_slot slot;
  std::string outcome;
  static runtime::detached wait(run_queue::ticket& ticket, runtime::cancel_source& cancel, candidate& self) {
    auto slot = co_await ticket.extra(cancel);
    self.outcome = slot.has_value() ? "granted" : std::string{name_of(slot.error().code)};
    if (slot.has_value()) self.slot = std::move(*slot);
  }
};

// CAND-1
TEST(run_queue, candidates_wait_for_global_slots_and_use_their_runs_own) {
  world w{{.global_concurrency = 2}};
  const auto a = w.enter("a");
  std::vector<candidate> all(4);
  for (candidate& c : all) candidate::wait(*a->ticket, a->cancel, c);
  EXPECT_EQ(all[0].outcome, "granted");
  EXPECT_EQ(all[1].outcome, "granted");
  EXPECT_EQ(all[2].outcome, "");
  EXPECT_EQ(w.queue.count().running, 2U);
  all[0].slot.release();
  w.turn();
  EXPECT_EQ(all[2].outcome, "granted");
  a->cancel.fire(runtime::cancel_reason::requested);
  w.turn();
  EXPECT_EQ(all[3].outcome, "CANCELED");
  all.clear();
  EXPECT_EQ(w.queue.count().running, 1U) << "the run's own";
  a->end();
  EXPECT_EQ(w.queue.count().running, 0U);
}

TEST(run_queue, candidates_of_a_run_whose_slot_was_taken_back_hear_of_it) {
  world w{{.global_concurrency = 1, .slot_recovery = 40ms}};
  const auto a = w.enter("a");
  std::vector<candidate> all(2);
  for (candidate& c : all) candidate::wait(*a->ticket, a->cancel, c);
  w.advance(40ms);
  EXPECT_EQ(all[1].outcome, "SKILL_TIMEOUT");
  candidate late;
  candidate::wait(*a->ticket, a->cancel, late);
  EXPECT_EQ(late.outcome, "SKILL_TIMEOUT");
  all.clear();
  EXPECT_EQ(w.queue.count().running, 0U);
}

// --- several loops, each on a thread of its own -------------------------------------------------------

struct hall {
  std::atomic<int> running{0};
  std::atomic<int> peak{0};
  std::atomic<int> open{0};
  std::atomic<int> completed{0};
  std::atomic<int> canceled{0};
  std::atomic<int> refused{0};
  std::map<std::string, std::atomic<int>> in_session;
  std::atomic<int> overlaps{0};
};

struct guest {
  hall& where;
  run_queue& queue;
  runtime::loop& loop;
  std::uint64_t seed;

  static runtime::task<void> stay(guest self, run_queue::ticket ticket, std::string session,
                                  runtime::cancel_source& cancel) {
    foundation::random_source random{self.seed};
    hall& where = self.where;
    if (!(co_await ticket.started(cancel)).has_value()) {
      ++where.canceled;
      co_return;
    }
    if (where.in_session[session].fetch_add(1) != 0) ++where.overlaps;
    const int now = ++where.running;
    for (int peak = where.peak; peak < now && !where.peak.compare_exchange_weak(peak, now);) {
    }
    if (random.below(3) == 0) {
      auto extra = co_await ticket.extra(cancel);
    }
    co_await self.loop.sleep_until(self.loop.now() + static_cast<int>(random.below(300)) * 1us, nullptr);
    --where.running;
    where.in_session[session].fetch_sub(1);
    ticket.finish(run_status::completed);
    ++where.completed;
  }
  static runtime::detached come(guest self, std::string id) {
    foundation::random_source random{self.seed};
    const std::string session = "s" + std::to_string(random.below(12));
    runtime::cancel_source cancel;
    auto ticket = self.queue.enter(self.loop, named(id, session));
    if (ticket.has_value()) {
      const auto key = random.below(8);
      if (key == 0) cancel.fire(runtime::cancel_reason::client_left);
      co_await stay(self, std::move(*ticket), session, cancel);
    } else {
      ++self.where.refused;
    }
    if (self.where.open.fetch_sub(1) == 1) self.where.open.notify_all();
  }
};

TEST(run_queue, loops_on_their_own_threads_share_it_without_losing_a_run) {
  constexpr std::size_t threads = 4;
  constexpr int runs = 600;  // of each loop
  foundation::system_clock clock;
  std::vector<std::unique_ptr<runtime::loop>> loops;
  for (std::size_t i = 0; i < threads; ++i) loops.push_back(std::make_unique<runtime::loop>(clock));
  captured_news news;
  run_queue queue{*loops[0], {.queue_limit = 1'000}, &news};
  hall where;
  for (int i = 0; i < 12; ++i) where.in_session["s" + std::to_string(i)] = 0;
  where.open = static_cast<int>(threads) * runs;
  std::vector<std::thread> running;
  for (std::size_t t = 0; t < threads; ++t) {
    runtime::loop& loop = *loops[t];
    loop.post([&where, &queue, &loop, t] {
      for (int i = 0; i < runs; ++i) {
        const auto seed = static_cast<std::uint64_t>(i) * 8 + t;
        guest::come({where, queue, loop, seed}, "r" + std::to_string(t) + '-' + std::to_string(i));
      }
    });
    running.emplace_back([&loop] { loop.run(); });
  }
  for (int i = 0; i < runs; i += 3) {
    for (std::size_t t = 0; t < threads; ++t) queue.cancel("r" + std::to_string(t) + '-' + std::to_string(i));
  }
  for (int left = where.open; left > 0; left = where.open) where.open.wait(left);
  for (const auto& loop : loops) loop->stop();
  for (auto& thread : running) thread.join();
  EXPECT_EQ(where.overlaps, 0);
  EXPECT_LE(where.peak, 8);
  EXPECT_EQ(where.completed + where.canceled + where.refused, static_cast<int>(threads) * runs);
  EXPECT_EQ(queue.count().waiting + queue.count().running, 0U);
  // SCH-5, for every run: one terminal, and nothing behind it.
  std::map<std::string, std::vector<run_status>> told;
  for (const auto& e : news.all) told[e.run].push_back(e.status);
  for (const auto& [run, statuses] : told) {
    EXPECT_EQ(std::ranges::count_if(statuses, policy::is_terminal), 1) << run;
    EXPECT_TRUE(policy::is_terminal(statuses.back())) << run;
  }
  std::cout << "run_queue: " << where.completed << " completed, " << where.canceled << " cancelled, peak "
            << where.peak << '\n';
}

}  // namespace
}  // namespace tidegate::gateway
