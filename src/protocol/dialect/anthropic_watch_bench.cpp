// What does the relay pay for looking at one event of an Anthropic stream?
#include <benchmark/benchmark.h>

#include <string>

#include "protocol/dialect/dialect.h"

namespace tidegate::protocol::dialect {
namespace {

const std::string delta = R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":")" +
                          std::string(110, 'x') + R"("}               })";

sse::event_view view_of(std::string_view type) {
  sse::event_view view;
  view.type = type;
  view.data = delta;
  return view;
}

// An ordinary chunk after the first content; target: below 100 ns.
void look_after_content(benchmark::State& state) {
  const auto watch = anthropic_messages().watch();
  const sse::event_view event = view_of("content_block_delta");
  for (auto _ : state) benchmark::DoNotOptimize(watch->look(event));
}
BENCHMARK(look_after_content);

void look_after_content_without_event_line(benchmark::State& state) {
  const auto watch = anthropic_messages().watch();
  const sse::event_view event = view_of("");
  for (auto _ : state) benchmark::DoNotOptimize(watch->look(event));
}
BENCHMARK(look_after_content_without_event_line);

void look_before_content(benchmark::State& state) {
  const sse::event_view event = view_of("content_block_delta");
  for (auto _ : state) {
    const auto watch = anthropic_messages().watch();
    benchmark::DoNotOptimize(watch->look(event));
  }
}
BENCHMARK(look_before_content);

}  // namespace
}  // namespace tidegate::protocol::dialect
