// Random interleavings of runs over shared targets, one seed each, against an eager model of the breaker:
// where the breaker notices an expired permit when it is next asked, the model moves at the very instant.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "foundation/random.h"
#include "policy/failover.h"

namespace tidegate::policy {
namespace {

using namespace std::chrono_literals;
using foundation::duration;
using foundation::instant;
using foundation::random_source;

constexpr int seeds = 100'000;
constexpr int events_per_seed = 100;

template <typename value>
bool contains(const std::vector<value>& list, const value& wanted) {
  return std::ranges::find(list, wanted) != list.end();
}

struct model_breaker {
  std::uint32_t failures = 0;
  std::optional<instant> window;
  std::optional<instant> probe;
  std::uint64_t epoch = 0;

  bool closed() const { return !window; }
  bool due(instant now) const { return window && !probe && now - *window >= 15min; }

  void elapse(instant now) {
    if (!probe || now - *probe < 30s) return;
    ++failures;
    window = *probe + 30s;
    probe.reset();
    ++epoch;
  }
  leg_kind begin(instant now) {
    if (closed()) return leg_kind::normal;
    if (!due(now)) return leg_kind::last_resort;
    probe = now;
    ++epoch;
    return leg_kind::probe;
  }
  void succeed(std::uint64_t leg_epoch) {
    if (leg_epoch != epoch) return;
    failures = 0;
    if (closed()) return;
    window.reset();
    probe.reset();
    ++epoch;
  }
  void fail(std::uint64_t leg_epoch, leg_kind kind, instant now) {
    if (leg_epoch != epoch) return;
    ++failures;
    const bool trips = closed() && failures >= 3;
    if (!trips && kind != leg_kind::probe) return;
    window = now;
    probe.reset();
    ++epoch;
  }
  void release(std::uint64_t leg_epoch, leg_kind kind) {
    if (leg_epoch == epoch && kind == leg_kind::probe) probe.reset();
  }
};

// How often the interesting things happened: a simulation that never gets there proves nothing.
struct tally {
  std::uint64_t legs = 0;
  std::uint64_t switches = 0;
  std::uint64_t trips = 0;
  std::uint64_t probes = 0;
  std::uint64_t probes_expired = 0;
  std::uint64_t last_resorts = 0;
  std::uint64_t stale_results = 0;
};

struct run_in_flight {
  std::unique_ptr<failover_plan> plan;
  std::vector<std::size_t> called;
  std::vector<credential_id> refused;
  bool under_way = false;
  bool content = false;
  std::size_t target = 0;
  leg_kind kind = leg_kind::normal;
  std::uint64_t epoch = 0;
  bool last_failed_untripped = false;  // after_trip: a normal leg failed and its provider is still closed
};

// One seed's world. `fault` keeps the first broken promise.
class simulation {
 public:
  simulation(std::uint64_t seed, tally& seen) : random_{seed}, seen_{seen} {
    mode_ = random_.below(2) == 0 ? failover_mode::after_trip : failover_mode::immediate;
    const std::uint64_t providers = 1 + random_.below(4);
    for (std::uint64_t i = 0; i < providers; ++i)
      bank_.enroll({std::string(1, static_cast<char>('a' + i)), "u", i});
    models_.resize(providers);
    const std::uint64_t targets = 1 + random_.below(4);
    for (std::uint64_t i = 0; i < targets; ++i) {
      const std::uint64_t provider = random_.below(4) == 0 ? random_.below(providers) : i % providers;
      targets_.push_back(
          {static_cast<provider_index>(provider), static_cast<credential_id>(random_.below(5)), "m"});
    }
    sole_ = std::ranges::all_of(targets_,
                                [&](const target_ref& t) { return t.provider == targets_[0].provider; });
  }

  const char* play() {
    for (int i = 0; i < events_per_seed && fault_ == nullptr; ++i) {
      one_event();
      compare();
    }
    return fault_;
  }

 private:
  void require(bool held, const char* promise) {
    if (!held && fault_ == nullptr) fault_ = promise;
  }

  model_breaker& model_of(std::size_t target) { return models_[targets_[target].provider]; }

  void one_event() {
    const std::uint64_t what = random_.below(10);
    if (what < 2) return pass_time();
    if (what < 4 && runs_.size() < 6) {
      runs_.emplace_back().plan = std::make_unique<failover_plan>(mode_, targets_);
      advance(runs_.back());
      if (!runs_.back().under_way) runs_.pop_back();
      return;
    }
    if (what == 4 && random_.below(8) == 0) return reset_provider();
    if (runs_.empty()) return;
    const std::size_t i = random_.below(runs_.size());
    end_leg(runs_[i]);
    if (!runs_[i].under_way) runs_.erase(runs_.begin() + static_cast<std::ptrdiff_t>(i));
  }

  void pass_time() {
    constexpr std::array<duration, 8> steps{1ms, 1s, 5s, 29'999ms, 30s, 14min, 899'999ms, 15min};
    now_ += steps[random_.below(steps.size())];
    for (model_breaker& m : models_) {
      const std::uint64_t before = m.epoch;
      m.elapse(now_);
      seen_.probes_expired += m.epoch - before;
    }
  }

  void reset_provider() {
    const std::uint64_t i = random_.below(models_.size());
    breaker& b = bank_.breaker_of(static_cast<provider_index>(i));
    const std::uint64_t before = b.generation();
    b.reset();
    require(b.generation() > before, "a reset raises the generation");
    models_[i] = {};
    models_[i].epoch = b.generation();
  }

  bool resting(std::size_t t) const {
    return mode_ == failover_mode::immediate && bank_.cooldown_rest(targets_[t].provider, "m", now_) > 0s;
  }

  bool callable(const run_in_flight& r, std::size_t t) const {
    const credential_id credential = targets_[t].credential;
    return !contains(r.called, t) && !resting(t) && (credential == 0 || !contains(r.refused, credential));
  }

  void advance(run_in_flight& r) {
    const step s = r.plan->next(bank_, now_);
    for (const health_event& e : r.plan->events()) seen_.trips += e.kind == event_kind::degraded ? 1 : 0;
    r.plan->clear_events();
    r.under_way = s.what == step_kind::call;
    if (!r.under_way) return check_finish(r, s);
    check_call(r, s);
    model_breaker& m = model_of(s.target);
    require(m.begin(now_) == s.kind, "a leg is of the kind the provider's state calls for");
    r.called.push_back(s.target);
    ++seen_.legs;
    seen_.switches += s.reason != switch_reason::none ? 1 : 0;
    seen_.probes += s.kind == leg_kind::probe ? 1 : 0;
    seen_.last_resorts += s.kind == leg_kind::last_resort ? 1 : 0;
    r.target = s.target;
    r.kind = s.kind;
    r.epoch = m.epoch;
    r.content = false;
  }

  void check_call(const run_in_flight& r, const step& s) {
    require(s.target < targets_.size(), "a call names a target");
    require(callable(r, s.target), "no target twice, none at rest, no refused credential again");
    require(!r.last_failed_untripped, "after_trip never switches before the trip");
    const model_breaker& m = model_of(s.target);
    if (s.kind == leg_kind::probe) require(!m.probe, "never two probes in flight");
    if (s.kind != leg_kind::last_resort) return;
    require(sole_ || !m.probe, "no last resort beside a probe");
    for (std::size_t t = 0; t < targets_.size(); ++t) {
      require(!(model_of(t).closed() && callable(r, t)), "no last resort while a healthy target is left");
      require(!(model_of(t).closed() && contains(r.called, t)),
              "no last resort beside a healthy target that was called");
    }
  }

  void check_finish(const run_in_flight& r, const step& s) {
    if (s.verdict == run_verdict::rate_limited)
      require(s.retry_after.has_value(), "rate_limited names a wait");
    if (!r.called.empty()) return;
    require(s.verdict == run_verdict::unavailable || s.verdict == run_verdict::rate_limited,
            "no leg, no leg's error");
    for (std::size_t t = 0; t < targets_.size(); ++t) {
      require(resting(t) || model_of(t).probe.has_value(),
              "a run without a leg found every target resting or probed");
    }
  }

  void end_leg(run_in_flight& r) {
    model_breaker& m = model_of(r.target);
    if (!r.content && random_.below(5) == 0) return show_content(r, m);
    if (r.epoch != m.epoch) ++seen_.stale_results;
    switch (random_.below(8)) {
      case 0:
        return leave(r, m);
      case 1:
      case 2:
        m.succeed(r.epoch);
        r.plan->report(bank_, {}, std::nullopt, now_);
        break;
      case 3:
        undecided(r, m, result_of_status(400), std::nullopt);
        break;
      case 4:
        if (targets_[r.target].credential != 0) r.refused.push_back(targets_[r.target].credential);
        undecided(r, m, result_of_status(401), std::nullopt);
        break;
      case 5:
        undecided(r, m, result_of_status(429), 1s * random_.below(40));
        break;
      default:
        m.fail(r.epoch, r.kind, now_);
        r.last_failed_untripped =
            mode_ == failover_mode::after_trip && r.kind == leg_kind::normal && m.closed();
        r.plan->report(bank_, result_of_status(503), std::nullopt, now_);
        break;
    }
    const bool content = r.content;
    advance(r);
    require(!content || !r.under_way, "nothing is called after content");
  }

  void show_content(run_in_flight& r, model_breaker& m) {
    r.content = true;
    r.plan->content_started(bank_, now_);
    if (r.kind != leg_kind::probe || r.epoch != m.epoch) return;
    m.succeed(r.epoch);
    r.epoch = m.epoch;
    r.kind = leg_kind::normal;
  }

  void undecided(run_in_flight& r, model_breaker& m, const leg_result& result,
                 std::optional<duration> retry_after) {
    m.release(r.epoch, r.kind);
    r.plan->report(bank_, result, retry_after, now_);
  }

  void leave(run_in_flight& r, model_breaker& m) {
    m.release(r.epoch, r.kind);
    if (!r.content && random_.below(2) == 0) {
      r.plan->local_limited(bank_, 1s, now_);
      return advance(r);
    }
    r.plan->abandon(bank_, true, now_);
    r.under_way = false;
  }

  void compare() {
    for (std::size_t i = 0; i < models_.size(); ++i) {
      const model_breaker& m = models_[i];
      const breaker& b = bank_.breaker_of(static_cast<provider_index>(i));
      require(b.closed() == m.closed(), "the breaker is closed when the model is");
      require(b.degraded_at(now_) == m.window, "the window began when the model's did");
      auto expected = m.closed() ? breaker_status::healthy : breaker_status::degraded;
      if (m.probe || m.due(now_)) expected = breaker_status::half_open;
      require(b.status(now_) == expected, "the status is the model's");
      // An expired permit is counted when the breaker is next used.
      const bool reclaimed = b.generation() == m.epoch;
      require(b.consecutive_failures() == m.failures - (reclaimed ? 0U : 1U),
              "every failure is counted once");
      require(reclaimed || b.generation() + 1 == m.epoch, "generations rise together");
    }
  }

  random_source random_;
  tally& seen_;
  failover_mode mode_ = failover_mode::after_trip;
  health_bank bank_;
  std::vector<target_ref> targets_;
  std::vector<model_breaker> models_;
  std::vector<run_in_flight> runs_;
  instant now_{1h};
  bool sole_ = false;
  const char* fault_ = nullptr;
};

TEST(simulation, random_interleavings_keep_every_promise) {
  tally seen;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    const char* fault = simulation{seed, seen}.play();
    ASSERT_EQ(fault, nullptr) << fault << ", seed " << seed;
  }
  for (const std::uint64_t count : {seen.legs, seen.switches, seen.trips, seen.probes, seen.probes_expired,
                                    seen.last_resorts, seen.stale_results}) {
    EXPECT_GT(count, 1'000U);
  }
  std::printf(
      "policy_simulation: %d/%d seeds, %d events each: %lu legs, %lu switches, %lu trips, %lu probes "
      "(%lu expired), %lu last resorts, %lu stale results\n",
      seeds, seeds, events_per_seed, seen.legs, seen.switches, seen.trips, seen.probes, seen.probes_expired,
      seen.last_resorts, seen.stale_results);
}

}  // namespace
}  // namespace tidegate::policy
