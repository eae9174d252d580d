// What each guard costs per decision: limiter, ledger, breaker, price, key. One thread, no lock.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "foundation/random.h"
#include "policy/access.h"
#include "policy/breaker.h"
#include "policy/pricing.h"
#include "policy/quota.h"
#include "policy/rate_limit.h"

namespace tidegate::policy {
namespace {

using namespace std::chrono_literals;
using enum account_scope;
using enum account_unit;

const foundation::instant start{1h};
const foundation::wall_time today = std::chrono::sys_days{2026y / 11 / 23};

// A window that stays full to its limit: each take finds one stamp just expired.
void limiter_admit(benchmark::State& state) {
  rate_limiter limiter;
  const auto key = limiter.enroll("key");
  const auto limit = static_cast<std::uint32_t>(state.range(0));
  const auto step = rate_window / limit;
  foundation::instant now = start;
  for (std::uint32_t i = 0; i < limit; ++i) limiter.try_take(key, limit, now += step);
  for (auto _ : state) benchmark::DoNotOptimize(limiter.try_take(key, limit, now += step + 1ns));
}
BENCHMARK(limiter_admit)->Arg(60)->Arg(1'000)->Arg(60'000);

void limiter_refuse(benchmark::State& state) {
  rate_limiter limiter;
  const auto key = limiter.enroll("key");
  const auto limit = static_cast<std::uint32_t>(state.range(0));
  for (std::uint32_t i = 0; i < limit; ++i) limiter.try_take(key, limit, start);
  for (auto _ : state) benchmark::DoNotOptimize(limiter.try_take(key, limit, start + 1s));
}
BENCHMARK(limiter_refuse)->Arg(60)->Arg(60'000);

std::array<demand, 4> demands_for(std::string_view name, std::int64_t limit) {
  return {demand{session, tokens, name, limit, 1'000}, demand{project, tokens, "project", limit, 1'000},
          demand{key, tokens, "key", limit, 1'000}, demand{key, micro_usd, "key", limit, 50}};
}

// Reserve and settle one leg; the argument is the number of accounts it concerns.
void ledger_reserve_settle(benchmark::State& state) {
  ledger books;
  const auto all = demands_for("session-0123456789abcdef", 0);
  const std::span<const demand> demands{all.data(), static_cast<std::size_t>(state.range(0))};
  books.charge(session, tokens, "session-0123456789abcdef", 1);
  for (auto _ : state) {
    auto held = books.reserve(demands);
    benchmark::DoNotOptimize(books.settle(*held, 900, 40));
  }
}
BENCHMARK(ledger_reserve_settle)->Arg(1)->Arg(2)->Arg(4);

// The same with a million sessions that come in random order: what the cache misses cost.
void ledger_reserve_settle_many_sessions(benchmark::State& state) {
  ledger books{{.accounts_max = 2'000'000, .hash_seed = 1}};
  std::vector<std::string> names;
  for (int i = 0; i < 1'000'000; ++i) {
    names.push_back("session-" + std::to_string(i));
    books.charge(session, tokens, names.back(), 1);
  }
  foundation::random_source random{1};
  for (auto _ : state) {
    const auto all = demands_for(names[random.below(names.size())], 0);
    auto held = books.reserve({all.data(), 2});
    benchmark::DoNotOptimize(books.settle(*held, 900, 40));
  }
}
BENCHMARK(ledger_reserve_settle_many_sessions);

void ledger_refuse(benchmark::State& state) {
  ledger books;
  books.charge(session, tokens, "session", 1'000);
  const auto demands = demands_for("session", 1'000);
  for (auto _ : state) benchmark::DoNotOptimize(books.reserve(demands).has_value());
}
BENCHMARK(ledger_refuse);

void breaker_decide(benchmark::State& state) {
  breaker circuit;
  for (auto _ : state) {
    const auto held = circuit.try_acquire(start);
    benchmark::DoNotOptimize(circuit.on_success(*held, start));
  }
}
BENCHMARK(breaker_decide);

void breaker_refuse(benchmark::State& state) {
  breaker circuit;
  for (int i = 0; i < 3; ++i) circuit.on_failure(*circuit.try_acquire(start), start);
  for (auto _ : state) benchmark::DoNotOptimize(circuit.try_acquire(start + 1s).has_value());
}
BENCHMARK(breaker_refuse);

void price_find(benchmark::State& state, const char* url, const char* model) {
  const price_book book;
  const priced_target target{.kind = "openai-compatible", .base_url = url, .model = model};
  for (auto _ : state) benchmark::DoNotOptimize(book.find(target, today));
}
BENCHMARK_CAPTURE(price_find, openai, "https://api.openai.com", "gpt-4o-mini-2024-07-18");
BENCHMARK_CAPTURE(price_find, anthropic, "https://api.anthropic.com", "claude-sonnet-4-5-20250929");
BENCHMARK_CAPTURE(price_find, openrouter_last, "https://openrouter.ai/api/v1", "z-ai/glm-5");
BENCHMARK_CAPTURE(price_find, unknown, "http://10.0.0.1:8000", "house-model");

void price_cost(benchmark::State& state) {
  const auto price =
      price_book{}.find({.kind = "anthropic", .base_url = "", .model = "claude-sonnet-4-5"}, today);
  const llm_usage usage{.input = 12'345, .cached = 10'000, .cache_write = 2'000, .output = 678};
  for (auto _ : state) benchmark::DoNotOptimize(cost_of(*price, usage));
}
BENCHMARK(price_cost);

void key_find(benchmark::State& state) {
  foundation::random_source random{1};
  std::vector<key_entry> entries(static_cast<std::size_t>(state.range(0)));
  for (key_entry& entry : entries) {
    for (std::byte& b : entry.mac) b = static_cast<std::byte>(random.below(256));
  }
  const key_mac wanted = entries[entries.size() / 2].mac;
  const key_table table{std::move(entries)};
  for (auto _ : state) benchmark::DoNotOptimize(table.find(wanted));
}
BENCHMARK(key_find)->Arg(10)->Arg(10'000);

}  // namespace
}  // namespace tidegate::policy
