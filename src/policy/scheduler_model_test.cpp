// C2: the scheduler against a model that says the same in the plainest way: vectors that are searched.
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "foundation/random.h"
#include "policy/scheduler.h"

namespace tidegate::policy {
namespace {

using namespace std::chrono_literals;
using foundation::duration;
using foundation::instant;
using foundation::random_source;

class model {
 public:
  explicit model(const scheduler_settings& s) : set_{s} {}

  scheduler::entry enter(const std::string& session, const std::string& project, instant now) {
    now_ = now;
    if (drained_) return {.refused = scheduler::refusal::draining};
    const auto in_project =
        std::ranges::count_if(runs_, [&](const run& r) { return !project.empty() && r.project == project; });
    if (static_cast<std::size_t>(in_project) >= set_.project_in_flight) {
      return {.refused = scheduler::refusal::project, .limit = set_.project_in_flight};
    }
    const bool start = slots() < set_.global_concurrency && running(session) < set_.session_concurrency;
    if (!start && queued(session) >= set_.queue_limit) {
      return {.refused = scheduler::refusal::session, .limit = set_.queue_limit};
    }
    const run added{++last_, session, project, now, false, {}};
    if (start) tell(added, run_status::queued, run_end::none, 0);  // it is no waiter
    runs_.push_back(added);
    if (start) {
      begin(runs_.size() - 1);
      return {.run = last_};
    }
    const bool stands = std::ranges::any_of(ring_, [&](const item& i) { return i.session == session; });
    if (!stands) ring_.push_back({session, 0});
    positions({session});
    return {.run = last_, .position = queued(session)};
  }
  bool finish(run_number number, run_status terminal, instant now) {
    now_ = now;
    const auto at = find(number);
    if (!at) return false;
    std::vector<std::string> moved{runs_[*at].session};
    end(*at, terminal, run_end::finished);
    serve(moved);
    positions(moved);
    return true;
  }
  scheduler::cancel_result cancel(run_number number, instant now) {
    now_ = now;
    const auto at = find(number);
    if (!at) return scheduler::cancel_result::unknown;
    if (runs_[*at].started) return scheduler::cancel_result::running;
    const std::string session = runs_[*at].session;
    end(*at, run_status::cancelled, run_end::canceled_waiting);
    positions({session});
    return scheduler::cancel_result::removed;
  }
  scheduler::extra ask(run_number number, instant now) {
    now_ = now;
    const auto at = find(number);
    if (!at) return {};
    run& r = runs_[*at];
    const bool granted = active(r) == 0 || slots() < set_.global_concurrency;
    r.extras.push_back({++last_extra_, granted});
    if (!granted) ring_.push_back({"", last_extra_});
    return {last_extra_, granted};
  }
  void release(extra_number number, instant now) {
    now_ = now;
    for (run& r : runs_) {
      const auto at = std::ranges::find(r.extras, number, &extra::number);
      if (at == r.extras.end()) continue;
      const bool held = at->granted;
      r.extras.erase(at);
      std::erase_if(ring_, [&](const item& i) { return i.number == number; });
      if (!held) return;
      if (active(r) == 0 && !r.extras.empty()) {
        allow(r.extras.front());
        return;
      }
      std::vector<std::string> moved;
      serve(moved);
      positions(moved);
      return;
    }
  }
  void expire(instant now) {
    now_ = now;
    std::vector<std::string> moved;
    for (;;) {
      const run* oldest_waiting = nullptr;
      const run* oldest_running = nullptr;
      for (const run& r : runs_) {
        const run*& oldest = r.started ? oldest_running : oldest_waiting;
        if (oldest == nullptr || std::tie(r.since, r.order) < std::tie(oldest->since, oldest->order))
          oldest = &r;
      }
      const instant queue =
          oldest_waiting == nullptr ? foundation::never : oldest_waiting->since + set_.queue_wait;
      const instant slot =
          oldest_running == nullptr ? foundation::never : oldest_running->since + set_.slot_recovery;
      if (std::min(queue, slot) > now) break;
      const run& gone = slot <= queue ? *oldest_running : *oldest_waiting;
      note(moved, gone.session);
      const bool was_running = gone.started;
      end(*find(gone.number), run_status::timeout,
          was_running ? run_end::slot_recovery : run_end::queue_wait);
      if (was_running) serve(moved);
    }
    positions(moved);
  }
  void drain(instant now) {
    now_ = now;
    drained_ = true;
    std::vector<std::string> moved;
    for (;;) {
      const run* oldest = nullptr;
      for (const run& r : runs_) {
        if (!r.started && (oldest == nullptr || r.number < oldest->number)) oldest = &r;
      }
      if (oldest == nullptr) break;
      note(moved, oldest->session);
      end(*find(oldest->number), run_status::cancelled, run_end::drained);
    }
    positions(moved);
  }
  void configure(const scheduler_settings& s, instant now) {
    now_ = now;
    set_ = s;
    std::vector<std::string> moved;
    serve(moved);
    positions(moved);
  }
  std::size_t waiting() const {
    return static_cast<std::size_t>(std::ranges::count_if(runs_, [](const run& r) { return !r.started; }));
  }
  std::size_t slots() const {
    std::size_t used = 0;
    for (const run& r : runs_) {
      if (r.started) used += std::max<std::size_t>(active(r), 1);
    }
    return used;
  }
  std::vector<run_number> numbers(bool started) const {
    std::vector<run_number> found;
    for (const run& r : runs_) {
      if (r.started == started) found.push_back(r.number);
    }
    return found;
  }
  std::vector<extra_number> extras() const {
    std::vector<extra_number> found;
    for (const run& r : runs_) {
      for (const extra& e : r.extras) found.push_back(e.number);
    }
    return found;
  }
  std::size_t extras_of(run_number number) const { return runs_[*find(number)].extras.size(); }
  std::size_t runs() const { return runs_.size(); }

  effects out;

 private:
  struct extra {
    extra_number number;
    bool granted;
  };
  struct run {
    run_number number;
    std::string session;
    std::string project;
    instant since;
    bool started;
    std::vector<extra> extras;
    std::uint64_t order = 0;
  };
  struct item {  // of the ring: a session, or an extra slot's number
    std::string session;
    extra_number number;
  };

  std::optional<std::size_t> find(run_number number) const {
    const auto at = std::ranges::find(runs_, number, &run::number);
    if (at == runs_.end()) return std::nullopt;
    return static_cast<std::size_t>(at - runs_.begin());
  }
  static std::size_t active(const run& r) {
    return static_cast<std::size_t>(
        std::ranges::count_if(r.extras, [](const extra& e) { return e.granted; }));
  }
  std::size_t count(const std::string& session, bool started) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        runs_, [&](const run& r) { return r.session == session && r.started == started; }));
  }
  std::size_t queued(const std::string& session) const { return count(session, false); }
  std::size_t running(const std::string& session) const { return count(session, true); }
  static void note(std::vector<std::string>& moved, const std::string& session) {
    if (std::ranges::find(moved, session) == moved.end()) moved.push_back(session);
  }
  void tell(const run& r, run_status status, run_end cause, std::size_t position) {
    out.news.push_back({r.number, status, cause, position, queued(r.session), slots()});
  }
  void begin(std::size_t at) {
    runs_[at].started = true;
    runs_[at].since = now_;
    runs_[at].order = ++starts_;
    tell(runs_[at], run_status::started, run_end::none, 0);
  }
  void allow(extra& e) {
    e.granted = true;
    std::erase_if(ring_, [&](const item& i) { return i.number == e.number; });
    out.granted.push_back(e.number);
  }
  void end(std::size_t at, run_status terminal, run_end cause) {
    const run gone = runs_[at];
    runs_.erase(runs_.begin() + static_cast<std::ptrdiff_t>(at));
    for (const extra& e : gone.extras) {
      std::erase_if(ring_, [&](const item& i) { return i.number == e.number; });
      if (!e.granted) out.voided.push_back(e.number);
    }
    if (queued(gone.session) == 0) {
      std::erase_if(ring_, [&](const item& i) { return i.number == 0 && i.session == gone.session; });
    }
    tell(gone, terminal, cause, 0);
  }
  void serve(std::vector<std::string>& moved) {
    for (;;) {
      if (slots() >= set_.global_concurrency) return;
      const auto next = std::ranges::find_if(ring_, [&](const item& i) {
        return i.number != 0 || running(i.session) < set_.session_concurrency;
      });
      if (next == ring_.end()) return;
      const item chosen = *next;
      ring_.erase(next);
      if (chosen.number != 0) {
        for (run& r : runs_) {
          for (extra& e : r.extras) {
            if (e.number == chosen.number) allow(e);
          }
        }
        continue;
      }
      const auto first = std::ranges::find_if(
          runs_, [&](const run& r) { return r.session == chosen.session && !r.started; });
      begin(static_cast<std::size_t>(first - runs_.begin()));
      if (queued(chosen.session) > 0) ring_.push_back(chosen);
      note(moved, chosen.session);
    }
  }
  void positions(const std::vector<std::string>& sessions) {
    for (const std::string& session : sessions) {
      std::size_t position = 0;
      for (const run& r : runs_) {
        if (r.session == session && !r.started) tell(r, run_status::queued, run_end::none, ++position);
      }
    }
  }

  scheduler_settings set_;
  instant now_{};
  bool drained_ = false;
  run_number last_ = 0;
  extra_number last_extra_ = 0;
  std::uint64_t starts_ = 0;
  std::vector<run> runs_;  // in the order in which they entered
  std::vector<item> ring_;
};

auto fields(const run_news& n) {
  return std::tuple{n.run, n.status, n.cause, n.position, n.queued, n.global_running};
}

// Differences in what one operation brought about; clears both.
std::size_t differences(effects& a, effects& b) {
  std::size_t found = a.granted != b.granted ? 1 : 0;
  found += a.voided != b.voided ? 1 : 0;
  if (!std::ranges::equal(a.news, b.news, {}, fields, fields)) ++found;
  for (effects* e : {&a, &b}) {
    e->news.clear();
    e->granted.clear();
    e->voided.clear();
  }
  return found;
}

scheduler_settings any_settings(random_source& random) {
  return {.session_concurrency = 1 + random.below(3),
          .global_concurrency = 1 + random.below(8),
          .queue_limit = 1 + random.below(6),
          .project_in_flight = 1 + random.below(12),
          .queue_wait = (20 + static_cast<int>(random.below(80))) * 1ms,
          .slot_recovery = (20 + static_cast<int>(random.below(80))) * 1ms};
}

template <class Number>
Number any_of(const std::vector<Number>& all, random_source& random) {
  // Now and then one that is not known.
  return all.empty() || random.below(20) == 0 ? random.below(1'000) : all[random.below(all.size())];
}

std::size_t play(std::uint64_t seed, std::size_t operations) {
  random_source random{seed};
  const scheduler_settings settings = any_settings(random);
  scheduler tested{settings, seed};
  model plain{settings};
  effects out;
  instant now{1h};
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < operations && wrong == 0; ++i) {
    now += static_cast<int>(random.below(4)) * 1ms;
    const auto dice = random.below(1'000);
    if (dice < 420) {
      const std::string session = "s" + std::to_string(random.below(6));
      const std::string project = random.below(3) == 0 ? "" : "p" + std::to_string(random.below(3));
      const auto a = tested.enter(session, project, now, out);
      const auto b = plain.enter(session, project, now);
      wrong +=
          std::tie(a.refused, a.limit, a.run, a.position) == std::tie(b.refused, b.limit, b.run, b.position)
              ? 0
              : 1;
    } else if (dice < 640) {
      const auto run = any_of(plain.numbers(random.below(10) != 0), random);
      const auto terminal = static_cast<run_status>(2 + random.below(4));
      wrong += tested.finish(run, terminal, now, out) == plain.finish(run, terminal, now) ? 0 : 1;
    } else if (dice < 720) {
      const auto run = any_of(plain.numbers(random.below(10) == 0), random);
      wrong += tested.cancel(run, now, out) == plain.cancel(run, now) ? 0 : 1;
    } else if (dice < 800) {
      const auto running = plain.numbers(true);
      if (running.empty()) continue;
      const auto run = running[random.below(running.size())];
      if (plain.extras_of(run) >= scheduler::extras_max) continue;
      const auto a = tested.ask_extra(run, now);
      const auto b = plain.ask(run, now);
      wrong += a.number == b.number && a.granted == b.granted ? 0 : 1;
    } else if (dice < 900) {
      const auto extra = any_of(plain.extras(), random);
      tested.release_extra(extra, now, out);
      plain.release(extra, now);
    } else if (dice < 990) {
      if (random.below(4) == 0) now += static_cast<int>(random.below(60)) * 1ms;
      tested.expire(now, out);
      plain.expire(now);
      wrong += tested.due() > now ? 0 : 1;
    } else if (dice < 999 || i + 200 < operations) {
      const scheduler_settings changed = any_settings(random);
      tested.configure(changed, now, out);
      plain.configure(changed, now);
    } else {
      tested.drain(now, out);
      plain.drain(now);
    }
    wrong += differences(out, plain.out);
    wrong += tested.waiting() == plain.waiting() && tested.global_running() == plain.slots() &&
                     tested.runs() == plain.runs()
                 ? 0
                 : 1;
  }
  EXPECT_EQ(wrong, 0U) << "seed " << seed;
  return wrong;
}

TEST(scheduler_model, a_million_operations_without_a_difference) {
  constexpr std::size_t worlds = 500;
  constexpr std::size_t operations = 2'000;
  std::size_t wrong = 0;
  for (std::uint64_t seed = 1; seed <= worlds; ++seed) wrong += play(seed, operations);
  std::cout << "scheduler against its model: " << worlds * operations << " operations, " << wrong
            << " differences\n";
  EXPECT_EQ(wrong, 0U);
}

}  // namespace
}  // namespace tidegate::policy
