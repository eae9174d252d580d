// What the judge's rules cost per text; clean texts, which are read to their end.
#include "policy/judge_rules.h"

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>

namespace {

std::string clean_text(std::size_t bytes, bool chinese) {
  std::string text;
  for (std::uint64_t n = 1; text.size() < bytes; ++n) {
    text += chinese ? "雨落在旧城的屋檐上，第" : "The rain fell on roof number ";
    // A letter of its own behind each digit, so that no digits repeat as a block.
    char place = 'a';
    for (const char digit : std::to_string(n * 7919)) (text += digit) += place++;
    text += chinese ? "盏灯亮了。" : " and nobody spoke! ";
  }
  return text;
}

void judge_rules(benchmark::State& state, bool chinese) {
  const std::string text = clean_text(static_cast<std::size_t>(state.range(0)), chinese);
  for (auto _ : state) benchmark::DoNotOptimize(tidegate::policy::check_judge_rules(text, "第一人称"));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}

BENCHMARK_CAPTURE(judge_rules, en, false)->Arg(1'000)->Arg(10'000)->Arg(1'000'000);
BENCHMARK_CAPTURE(judge_rules, zh, true)->Arg(1'000)->Arg(10'000)->Arg(1'000'000);

}  // namespace
