// What the guards of a healthy route cost per exchange. The budget is 100 ns for one or two targets, without
// allocation.
#include <benchmark/benchmark.h>

#include <array>
#include <string>
#include <vector>

#include "policy/failover.h"
#include "policy/routing.h"

namespace tidegate::policy {
namespace {

using namespace std::chrono_literals;

const foundation::instant start{1h};

void breaker_admit_and_succeed(benchmark::State& state) {
  breaker circuit;
  for (auto _ : state) {
    const auto held = circuit.try_acquire(start);
    benchmark::DoNotOptimize(circuit.on_success(*held, start));
  }
}
BENCHMARK(breaker_admit_and_succeed);

// A whole run that succeeds at its first target.
void failover_healthy_run(benchmark::State& state) {
  health_bank bank;
  std::vector<target_ref> targets;
  for (std::uint32_t i = 0; i < static_cast<std::uint32_t>(state.range(0)); ++i) {
    targets.push_back({bank.enroll({std::to_string(i), "u", i}), i, "model"});
  }
  for (auto _ : state) {
    failover_plan plan{failover_mode::immediate, targets};
    benchmark::DoNotOptimize(plan.next(bank, start));
    plan.report(bank, {}, std::nullopt, start);
    benchmark::DoNotOptimize(plan.next(bank, start));
  }
}
BENCHMARK(failover_healthy_run)->Arg(1)->Arg(2)->Arg(8);

// The primary is degraded: each run goes straight to the backup.
void failover_degraded_primary(benchmark::State& state) {
  health_bank bank;
  const std::array<target_ref, 2> targets{target_ref{bank.enroll({"a", "u", 1}), 1, "m"},
                                          target_ref{bank.enroll({"b", "u", 2}), 2, "m"}};
  breaker& primary = bank.breaker_of(0);
  while (primary.closed()) primary.on_failure(*primary.try_acquire(start), start);
  for (auto _ : state) {
    failover_plan plan{failover_mode::after_trip, targets};
    benchmark::DoNotOptimize(plan.next(bank, start));
    plan.report(bank, {}, std::nullopt, start);
    benchmark::DoNotOptimize(plan.next(bank, start));
  }
}
BENCHMARK(failover_degraded_primary);

void route_choice(benchmark::State& state) {
  const std::array<std::string_view, 4> patterns{"gpt-5.2", "claude-*", "*-mini", "gpt-*"};
  for (auto _ : state) benchmark::DoNotOptimize(first_route(patterns, "gpt-4o-2024-11-20"));
}
BENCHMARK(route_choice);

}  // namespace
}  // namespace tidegate::policy
