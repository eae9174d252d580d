// What one streamed event costs to parse: a provider's usual delta, whole in a read and split across reads.
#include "protocol/sse/sse.h"

#include <benchmark/benchmark.h>

#include <string>

namespace {

namespace sse = tidegate::protocol::sse;

std::string stream_of(std::size_t events, std::string_view line_end) {
  std::string one =
      R"(data: {"id":"chatcmpl-9f2c1d7a5e","object":"chat.completion.chunk","created":1763900000,"model":"gpt-4o-mini",)"
      R"("system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":{"content":" harbour"},"logprobs":null,)"
      R"("finish_reason":null}]})";
  one += line_end;
  one += line_end;
  std::string out;
  for (std::size_t i = 0; i < events; ++i) out += one;
  return out;
}

void parse_pieces(benchmark::State& state, std::string_view line_end) {
  const auto piece = static_cast<std::size_t>(state.range(0));
  constexpr std::size_t events = 256;
  const std::string stream = stream_of(events, line_end);
  std::size_t bytes = 0;
  for (auto _ : state) {
    sse::parser reader;
    const auto count = [&bytes](const sse::event_view& event) {
      bytes += event.data.size();
      return true;
    };
    std::string_view left = stream;
    while (!left.empty()) {
      reader.feed(left.substr(0, piece), count);
      left.remove_prefix(std::min(piece, left.size()));
    }
  }
  benchmark::DoNotOptimize(bytes);
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(stream.size()));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(events));
}

void parse_lf(benchmark::State& state) { parse_pieces(state, "\n"); }
void parse_crlf(benchmark::State& state) { parse_pieces(state, "\r\n"); }

BENCHMARK(parse_lf)->Arg(1 << 20)->Arg(16384)->Arg(1400)->Arg(100);
BENCHMARK(parse_crlf)->Arg(1 << 20);

}  // namespace
