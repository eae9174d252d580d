// What a log line and an observation cost the thread that makes them.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "observe/log.h"
#include "observe/metrics.h"
#include "observe/redact.h"

namespace tidegate::observe {
namespace {

class null_sink final : public log_sink {
 public:
  void append(std::string_view line) noexcept override { benchmark::DoNotOptimize(line.data()); }
  void count_dropped() noexcept override {}
  void flush() override {}
};

void six_fields(const logger& log) {
  log.at(level::info, "ai_run_started")
      .field("runId", "0199f3a2-7c1e-7aa0-8000-0123456789ab")
      .field("traceId", "4bf92f3577b34da6a3ce929d0e0e4736")
      .field("provider", "openai")
      .field("stream", true)
      .field("attempt", 1)
      .ms("timeoutMs", 30'000);
}

void log_line_formatted(benchmark::State& state) {
  const foundation::manual_clock clock;
  null_sink sink;
  const logger log{sink, clock};
  for (auto _ : state) six_fields(log);
}
BENCHMARK(log_line_formatted);

void log_line_disabled(benchmark::State& state) {
  const foundation::manual_clock clock;
  null_sink sink;
  const logger log{sink, clock, level::warn};
  for (auto _ : state) six_fields(log);
}
BENCHMARK(log_line_disabled);

// Real clock, real hand-over, a writer thread behind it.
void log_line_to_descriptor(benchmark::State& state) {
  const foundation::system_clock clock;
  const int fd = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  {
    fd_sink sink{fd, clock};
    const logger log{sink, clock};
    for (auto _ : state) six_fields(log);
    state.counters["dropped"] = static_cast<double>(sink.dropped());
  }
  ::close(fd);
}
BENCHMARK(log_line_to_descriptor);

void counter_add(benchmark::State& state) {
  static counter c;
  for (auto _ : state) c.add();
}
BENCHMARK(counter_add)->Threads(1)->Threads(2);

void histogram_observe(benchmark::State& state) {
  static gateway_metrics all;
  foundation::duration d{0};
  for (auto _ : state) {
    all.overhead(d);
    d += std::chrono::nanoseconds{997};
  }
}
BENCHMARK(histogram_observe)->Threads(1)->Threads(2);

void exchange_by_handle(benchmark::State& state) {
  gateway_metrics all;
  counter_by& exchanges = all.exchanges("openai_chat", "default");
  exchanges.add("AI_RATE_LIMITED");
  for (auto _ : state) exchanges.add("OK");
}
BENCHMARK(exchange_by_handle);

void exchange_by_name(benchmark::State& state) {
  gateway_metrics all;
  for (auto _ : state) all.exchange_done("openai_chat", "default", "OK");
}
BENCHMARK(exchange_by_name);

void redact_error_text(benchmark::State& state) {
  constexpr std::string_view text =
      "Incorrect API key provided: sk-proj-abc***xyz. You can find your API key at "
      "https://platform.openai.com/keys.";
  for (auto _ : state) benchmark::DoNotOptimize(redact(text));
}
BENCHMARK(redact_error_text);

}  // namespace
}  // namespace tidegate::observe
