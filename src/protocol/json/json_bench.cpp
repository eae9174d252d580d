// Bytes per second beside simdjson, on a chat request of prose (few, long strings) and on a tool catalogue
// (many short members).
#include <benchmark/benchmark.h>
#include <simdjson.h>

#include <array>
#include <string>

#include "protocol/json/json.h"

namespace tidegate::protocol::json {
namespace {

std::string prose(std::size_t size) {
  std::string out;
  writer w{out};
  w.begin_object().member("model", "gpt-4o-mini").member("temperature", 0.7).member("stream", true);
  w.key("messages").begin_array();
  while (out.size() < size) {
    std::string text;
    while (text.size() < 500)
      text += "The tide comes in, the gate stays shut, and nobody gets their feet wet.\n";
    w.begin_object().member("role", "user").member("content", text).end_object();
  }
  w.end_array().end_object();
  return out;
}

std::string catalogue(std::size_t size) {
  std::string out;
  writer w{out};
  w.begin_object().key("tools").begin_array();
  while (out.size() < size) {
    w.begin_object().member("type", "function").key("function").begin_object().member("name", "lookup");
    w.key("parameters").begin_object().member("type", "object").key("properties").begin_object();
    w.key("id").begin_object().member("type", "integer").member("minimum", 0).end_object();
    w.key("tag").begin_object().member("type", "string").member("maxLength", 64).end_object();
    w.end_object().end_object().end_object().end_object();
  }
  w.end_array().member("model", "gpt-4o-mini").end_object();
  return out;
}

std::string document(const benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  return state.range(1) == 0 ? prose(size) : catalogue(size);
}

void count_bytes(benchmark::State& state, std::size_t size) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(size));
}

void validate_text(benchmark::State& state) {
  const std::string text = document(state);
  for (auto _ : state) benchmark::DoNotOptimize(validate(text));
  count_bytes(state, text.size());
}

void find_model(benchmark::State& state) {
  const std::string text = document(state);
  const value root{text};
  for (auto _ : state) benchmark::DoNotOptimize(root.find("model"));
  count_bytes(state, text.size());
}

void replace_model(benchmark::State& state) {
  const std::string text = document(state);
  const std::array<edit, 1> edits{{{"model", R"("claude-sonnet-4-5")"}}};
  for (auto _ : state) benchmark::DoNotOptimize(json::apply(text, edits));
  count_bytes(state, text.size());
}

void quote(benchmark::State& state) {
  const std::string text = document(state);
  std::string out;
  for (auto _ : state) {
    out.clear();
    append_quoted(out, text);
    benchmark::DoNotOptimize(out.data());
  }
  count_bytes(state, text.size());
}

void simdjson_dom(benchmark::State& state) {
  const simdjson::padded_string text{document(state)};
  simdjson::dom::parser parser;
  for (auto _ : state) benchmark::DoNotOptimize(parser.parse(text).error());
  count_bytes(state, text.size());
}

// Checks and indexes everything, looks at one member only: less work than validate_text.
void simdjson_ondemand(benchmark::State& state) {
  const simdjson::padded_string text{document(state)};
  simdjson::ondemand::parser parser;
  for (auto _ : state) {
    auto root = parser.iterate(text);
    std::string_view model;
    benchmark::DoNotOptimize(root["model"].get(model));
  }
  count_bytes(state, text.size());
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"bytes", "dense"})->ArgsProduct({{1 << 10, 8 << 10, 32 << 10}, {0, 1}});
}

BENCHMARK(validate_text)->Apply(sizes);
BENCHMARK(simdjson_dom)->Apply(sizes);
BENCHMARK(simdjson_ondemand)->Apply(sizes);
BENCHMARK(find_model)->Apply(sizes);
BENCHMARK(replace_model)->Apply(sizes);
BENCHMARK(quote)->Apply(sizes);

}  // namespace
}  // namespace tidegate::protocol::json
