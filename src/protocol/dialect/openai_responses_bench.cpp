// What does the relay pay for looking at one event of a Responses stream, and a translation for encoding one?
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "protocol/dialect/dialect.h"

namespace tidegate::protocol::dialect {
namespace {

const std::string delta_type = "response.output_text.delta";
const std::string delta =
    R"({"type":"response.output_text.delta","content_index":0,"delta":" harbour","item_id":"msg_0ecff685e411ca7b0069)"
    R"(e063580128819b9ec474594c61b988","logprobs":[],"obfuscation":"GlViTLZl5","output_index":0,"sequence_number":14})";

sse::event_view chunk(std::string_view type) { return {.type = type, .data = delta, .id = {}, .raw = {}}; }

// An ordinary chunk after the first content; target: below 100 ns.
void responses_look_after_content(benchmark::State& state) {
  const auto watch = openai_responses().watch();
  for (auto _ : state) benchmark::DoNotOptimize(watch->look(chunk(delta_type)));
}
BENCHMARK(responses_look_after_content);

void responses_look_after_content_without_event_line(benchmark::State& state) {
  const auto watch = openai_responses().watch();
  for (auto _ : state) benchmark::DoNotOptimize(watch->look(chunk({})));
}
BENCHMARK(responses_look_after_content_without_event_line);

void responses_look_before_content(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(openai_responses().watch()->look(chunk(delta_type)));
}
BENCHMARK(responses_look_before_content);

void responses_decode_delta(benchmark::State& state) {
  const auto decoder = openai_responses().decoder();
  std::vector<stream_event> out;
  for (auto _ : state) {
    out.clear();
    benchmark::DoNotOptimize(decoder->decode(chunk(delta_type), out));
  }
}
BENCHMARK(responses_decode_delta);

void responses_encode_delta(benchmark::State& state) {
  const encode_context context{.id = "run", .model = "m", .asked = nullptr};
  stream_event event;
  event.text = " harbour";
  std::string out;
  auto encoder = openai_responses().encoder(context);
  std::size_t count = 0;
  for (auto _ : state) {
    // An encoder has a bound on what it keeps.
    if (++count % 1'000'000 == 0) encoder = openai_responses().encoder(context);
    out.clear();
    encoder->encode(event, out);
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(responses_encode_delta);

}  // namespace
}  // namespace tidegate::protocol::dialect
