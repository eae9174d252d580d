// NFR-1: the schema check of a request, JSON included.
#include <benchmark/benchmark.h>

#include <string>

#include "foundation/check.h"
#include "protocol/rpc/contract.h"
#include "protocol/rpc/schema.h"

namespace {

using namespace tidegate::protocol;

std::string run_request(std::size_t input_bytes) {
  std::string text = R"({"skillId":"builtin:polish","mode":"ask","stream":true,"maxTokens":1024,"context":)"
                     R"({"projectId":"p-1","sessionId":"s-1","userRules":"short sentences"},"tools":[)";
  for (int i = 0; i < 8; ++i) {
    if (i != 0) text += ',';
    text += R"({"name":"look_up","description":"looks it up","parameters":{"type":"object","properties":)"
            R"({"what":{"type":"string"},"where":{"type":"array","items":{"type":"string"}}}}})";
  }
  return text + R"(],"input":")" + std::string(input_bytes, 'x') + "\"}";
}

void check_request(benchmark::State& state) {
  const rpc::shape& wanted = *rpc::find_channel("ai:skill:run")->request;
  const std::string text = run_request(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    const rpc::reading got = rpc::read(wanted, text);
    TG_CHECK(got.ok());
    benchmark::DoNotOptimize(got);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                          static_cast<std::int64_t>(text.size()));
}
BENCHMARK(check_request)->Arg(100)->Arg(64 << 10)->Arg(10 << 20);

// The worst reply of a usual chat: two thousand messages.
void check_reply(benchmark::State& state) {
  const rpc::shape& wanted = *rpc::find_channel("ai:chat:list")->reply;
  std::string text = R"({"items":[)";
  for (int i = 0; i < 2000; ++i) {
    if (i != 0) text += ',';
    text +=
        R"({"messageId":"0192f0c1-0000-7000-8000-000000000000","projectId":"p-1","sessionId":"s-1","role":"user",)"
        R"("content":")" +
        std::string(300, 'x') + R"(","timestamp":1700000000000,"traceId":""})";
  }
  text += "]}";
  for (auto _ : state) {
    const rpc::reading got = rpc::read(wanted, text);
    TG_CHECK(got.ok());
    benchmark::DoNotOptimize(got);
  }
}
BENCHMARK(check_reply)->Unit(benchmark::kMillisecond);

}  // namespace
