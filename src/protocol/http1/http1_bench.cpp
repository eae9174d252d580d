// What a head costs to parse: an API client's request, a browser-like 1 KB head, a provider's response; and a
// chunked body of event-sized chunks.
#include "protocol/http1/http1.h"

#include <benchmark/benchmark.h>

#include <string>

namespace {

namespace http1 = tidegate::protocol::http1;

constexpr std::string_view api_request =
    "POST /v1/chat/completions HTTP/1.1\r\n"
    "Host: gateway.internal.example:8080\r\n"
    "Content-Type: application/json\r\n"
    "Authorization: Bearer tg_0123456789abcdef0123456789abcdef\r\n"
    "Accept: text/event-stream\r\n"
    "User-Agent: OpenAI/Python 1.54.3\r\n"
    "X-Request-Id: 7f1f3a52-1c2b-4e0c-a8b1-3f6f0a3d9e11\r\n"
    "Accept-Encoding: identity\r\n"
    "Content-Length: 1834\r\n"
    "\r\n";

// The same with a long token, so that the head has about 1 KB.
std::string kilobyte_request() {
  std::string head{api_request.substr(0, api_request.size() - 2)};
  head += "X-Identity-Token: ";
  head.append(1024 - head.size() - 4, 'e');
  head += "\r\n\r\n";
  return head;
}

constexpr std::string_view provider_response =
    "HTTP/1.1 200 OK\r\n"
    "Date: Mon, 23 Nov 2026 09:00:00 GMT\r\n"
    "Content-Type: text/event-stream; charset=utf-8\r\n"
    "Transfer-Encoding: chunked\r\n"
    "Connection: keep-alive\r\n"
    "x-ratelimit-limit-requests: 10000\r\n"
    "x-ratelimit-remaining-requests: 9999\r\n"
    "x-ratelimit-remaining-tokens: 1999988\r\n"
    "x-request-id: req_0a1b2c3d4e5f60718293a4b5c6d7e8f9\r\n"
    "cache-control: no-cache\r\n"
    "\r\n";

void parse_request(benchmark::State& state, std::string_view bytes) {
  http1::request_head head;
  for (auto _ : state) {
    std::size_t scanned = 0;
    benchmark::DoNotOptimize(http1::parse_request_head(bytes, {}, scanned, head));
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes.size()));
}

void request_api(benchmark::State& state) { parse_request(state, api_request); }
void request_kilobyte(benchmark::State& state) { parse_request(state, kilobyte_request()); }

void response_provider(benchmark::State& state) {
  http1::response_head head;
  for (auto _ : state) {
    std::size_t scanned = 0;
    benchmark::DoNotOptimize(http1::parse_response_head(provider_response, {}, scanned, "POST", head));
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(provider_response.size()));
}

void decode_event_chunks(benchmark::State& state) {
  std::string body;
  for (int i = 0; i < 64; ++i) http1::append_chunk(body, std::string(250, 'x'));
  body += http1::last_chunk;
  for (auto _ : state) {
    http1::chunk_decoder decoder;
    std::string_view left = body;
    while (!left.empty()) {
      const http1::chunk_decoder::step step = decoder.next(left);
      benchmark::DoNotOptimize(step.data.data());
      left.remove_prefix(step.consumed);
    }
  }
  state.SetItemsProcessed(state.iterations() * 64);
}

BENCHMARK(request_api);
BENCHMARK(request_kilobyte);
BENCHMARK(response_provider);
BENCHMARK(decode_event_chunks);

}  // namespace
