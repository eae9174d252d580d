// What finding the words of a request of about 1 KB costs beside reading its summary, and the words of one
// stream chunk beside watching it.
#include <benchmark/benchmark.h>

#include <string>
#include <string_view>

#include "protocol/dialect/dialect.h"
#include "protocol/dialect/event_text.h"
#include "protocol/dialect/prompt_estimate.h"

namespace tidegate::protocol::dialect {
namespace {

class byte_count final : public prompt_sink {
 public:
  void text(std::string_view piece) override { bytes += piece.size(); }
  void media(const media_item&) override {}
  void tokens(std::int64_t) override {}
  std::size_t bytes = 0;
};

std::string body_of(std::string_view separator) {
  std::string text;
  while (text.size() < 380) text.append("some words that a caller wrote").append(separator);
  return R"({"model":"gpt-5.2","messages":[{"role":"system","content":")" + text +
         R"("},{"role":"user","content":[{"type":"text","text":")" + text +
         R"("}]}],"tools":[{"type":"function","function":{"name":"look_up","description":"Looks it up",)"
         R"("parameters":{"type":"object","properties":{"q":{"type":"string"}}}}}],"temperature":0.2})";
}

void walk_body(benchmark::State& state, std::string_view separator) {
  const std::string body = body_of(separator);
  for (auto _ : state) {
    byte_count sink;
    walk_prompt(dialect_id::openai_chat, json::value{body}, sink);
    benchmark::DoNotOptimize(sink.bytes);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(body.size()));
}
BENCHMARK_CAPTURE(walk_body, plain, ". ");
BENCHMARK_CAPTURE(walk_body, escaped, "\\n");

void summarize_body(benchmark::State& state) {
  const std::string body = body_of(". ");
  for (auto _ : state) benchmark::DoNotOptimize(openai_chat().summarize(json::value{body}));
}
BENCHMARK(summarize_body);

void scan_event(benchmark::State& state, dialect_id speaks, std::string_view data) {
  const sse::event_view event{.type = {}, .data = data, .id = {}, .raw = {}, .dispatch = true};
  event_text scanner{speaks};
  byte_count sink;
  for (auto _ : state) {
    scanner.scan(event, sink);
    benchmark::DoNotOptimize(sink.bytes);
  }
}
BENCHMARK_CAPTURE(scan_event, chat, dialect_id::openai_chat,
                  R"({"id":"chatcmpl-9HpyGSWv1hoKdGaUaiFhfxzTEVlZo","object":"chat.completion.chunk",)"
                  R"("created":1714038380,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,)"
                  R"("delta":{"content":" breakdown"},"logprobs":null,"finish_reason":null}],"usage":null})");
BENCHMARK_CAPTURE(scan_event, messages, dialect_id::anthropic_messages,
                  R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" down"}})");

}  // namespace
}  // namespace tidegate::protocol::dialect
