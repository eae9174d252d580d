// What watching and decoding one ordinary chunk of about 200 bytes costs.
#include <benchmark/benchmark.h>

#include <string_view>
#include <vector>

#include "protocol/dialect/dialect.h"

namespace tidegate::protocol::dialect {
namespace {

constexpr std::string_view ordinary =
    R"({"id":"chatcmpl-9HpyGSWv1hoKdGaUaiFhfxzTEVlZo","object":"chat.completion.chunk","created":1714038380,)"
    R"("model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{"content":" breakdown"},)"
    R"("logprobs":null,"finish_reason":null}],"usage":null})";

void watch_ordinary_chunk(benchmark::State& state) {
  const auto watcher = openai_chat().watch();
  const sse::event_view event{.type = {}, .data = ordinary, .id = {}, .raw = {}, .dispatch = true};
  watcher->look(event);
  for (auto _ : state) {
    event_meaning meaning = watcher->look(event);
    benchmark::DoNotOptimize(meaning);
  }
}
BENCHMARK(watch_ordinary_chunk);

void decode_ordinary_chunk(benchmark::State& state) {
  const auto decoder = openai_chat().decoder();
  const sse::event_view event{.type = {}, .data = ordinary, .id = {}, .raw = {}, .dispatch = true};
  std::vector<stream_event> out;
  for (auto _ : state) {
    out.clear();
    decoder->decode(event, out);
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(decode_ordinary_chunk);

}  // namespace
}  // namespace tidegate::protocol::dialect
