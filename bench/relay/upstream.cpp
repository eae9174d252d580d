// The provider behind the relay benchmark: answers every POST with one fixed chat completion, or, where the
// body asks for a stream, with 64 chunks of one write each. The model's name says how they come: "...-paced"
// one a millisecond,
// "...-stall" one and then silence, anything else as fast as the socket takes them. One thread, as cheap as
// it gets.
//
// Usage: bench_upstream HOST:PORT
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>

#include "foundation/time.h"
#include "protocol/http1/http1.h"
#include "runtime/async/task.h"
#include "runtime/loop.h"
#include "runtime/net/address.h"
#include "runtime/net/stream.h"

namespace {

namespace http1 = tidegate::protocol::http1;
namespace runtime = tidegate::runtime;
using tidegate::foundation::never;

constexpr int chunks = 64;
constexpr std::chrono::milliseconds pace{1};
constexpr std::size_t reply_bytes = 1024;
// The generator writes model and stream flag at the front of its body; relays leave it as it is.
constexpr std::size_t looked_at = 256;

struct replies {
  std::string whole;
  std::string stream_head;
  std::string chunk;
  std::string stream_end;
};

std::string chunked(std::string_view data) {
  std::string out;
  http1::append_chunk(out, data);
  return out;
}

replies make_replies() {
  replies made;
  const std::string before =
      R"({"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"gpt-bench","choices":[{"index":0,"message":{"role":"assistant","content":")";
  const std::string after =
      R"("},"finish_reason":"stop"}],"usage":{"prompt_tokens":240,"completion_tokens":190,"total_tokens":430}})";
  const std::string body = before + std::string(reply_bytes - before.size() - after.size(), 'a') + after;
  made.whole =
      "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " + std::to_string(body.size()) +
      "\r\n\r\n" + body;
  // nginx relays a reply unbuffered where the provider says so; others ignore the field.
  made.stream_head =
      "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-accel-buffering: no\r\n"
      "transfer-encoding: chunked\r\n\r\n";
  const std::string lead =
      R"(data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"gpt-bench","choices":[{"index":0,"delta":)";
  made.chunk = chunked(lead + R"({"content":" tide"},"finish_reason":null}]})" + "\n\n");
  const std::string last =
      lead +
      R"({},"finish_reason":"stop"}],"usage":{"prompt_tokens":240,"completion_tokens":64,"total_tokens":304}})";
  made.stream_end = chunked(last + "\n\ndata: [DONE]\n\n") + std::string{http1::last_chunk};
  return made;
}

enum class answer { whole, burst, paced, stall };

answer answer_for(std::string_view body) {
  const std::string_view front = body.substr(0, looked_at);
  if (front.find("\"stream\":true") == std::string_view::npos) return answer::whole;
  if (front.find("-stall\"") != std::string_view::npos) return answer::stall;
  return front.find("-paced\"") != std::string_view::npos ? answer::paced : answer::burst;
}

runtime::task<bool> send(runtime::stream& to, std::string_view bytes) {
  co_return co_await to.write_all(bytes, never, nullptr) == runtime::io_error::none;
}

runtime::task<bool> send_stream(runtime::stream& to, const replies& say, answer how) {
  if (!co_await send(to, say.stream_head)) co_return false;
  for (int i = 0; i < chunks; ++i) {
    if (!co_await send(to, say.chunk)) co_return false;
    if (how == answer::paced) co_await to.owner().sleep_until(to.owner().fresh_now() + pace, nullptr);
    if (how == answer::stall) {
      // Silent until the peer leaves.
      while (to.is_open() && !to.hung_up()) {
        to.source().mark_drained();
        co_await to.readable(never, nullptr);
      }
      co_return false;
    }
  }
  co_return co_await send(to, say.stream_end);
}

// A request's front is kept, the rest of its body only counted.
struct request {
  std::string bytes;
  std::size_t head_bytes = 0;
  std::uint64_t body_left = 0;
  http1::request_head head;
};

// False where the peer has left or does not speak our HTTP.
runtime::task<bool> read_request(runtime::stream& from, request& into) {
  std::size_t scanned = 0;
  into.head_bytes = 0;
  for (;;) {
    if (into.head_bytes == 0 && !into.bytes.empty()) {
      const auto parsed = http1::parse_request_head(into.bytes, {}, scanned, into.head);
      if (parsed.status == http1::parse_status::failed || into.head.body == http1::framing::chunked)
        co_return false;
      if (parsed.status == http1::parse_status::complete) {
        into.head_bytes = parsed.consumed;
        const std::uint64_t here =
            std::min<std::uint64_t>(into.bytes.size() - parsed.consumed, into.head.content_length);
        into.body_left = into.head.content_length - here;
        if (into.body_left == 0) co_return true;
      }
    }
    const auto scratch = from.owner().scratch();
    const runtime::io_result got = from.try_read(scratch);
    if (got.status == runtime::io_status::would_block) {
      if (co_await from.readable(never, nullptr) != runtime::wake::ready) co_return false;
      continue;
    }
    if (got.status != runtime::io_status::done) co_return false;
    if (into.head_bytes != 0 && into.bytes.size() - into.head_bytes >= looked_at) {
      into.body_left -= std::min<std::uint64_t>(got.bytes, into.body_left);
    } else {
      into.bytes.append(scratch.data(), got.bytes);
      if (into.head_bytes != 0) into.body_left -= std::min<std::uint64_t>(got.bytes, into.body_left);
    }
    if (into.head_bytes != 0 && into.body_left == 0) co_return true;
  }
}

runtime::detached serve(std::unique_ptr<runtime::stream> peer, const replies& say) {
  request asked;
  while (co_await read_request(*peer, asked)) {
    const answer how = answer_for(std::string_view{asked.bytes}.substr(asked.head_bytes));
    const bool sent =
        how == answer::whole ? co_await send(*peer, say.whole) : co_await send_stream(*peer, say, how);
    if (!sent || !asked.head.keep_alive) break;
    asked.bytes.clear();
  }
}

runtime::detached accept_all(runtime::loop& owner, int listener, const replies& say) {
  runtime::io_source source{owner, listener};
  for (;;) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      source.mark_drained();
      co_await source.readable(never, nullptr);
      continue;
    }
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    serve(std::make_unique<runtime::stream>(owner, fd), say);
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  const auto where = runtime::parse_address(argc == 2 ? argv[1] : "");
  if (!where) {
    std::cerr << "usage: bench_upstream HOST:PORT\n";
    return 2;
  }
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  const auto listener = runtime::open_listener(*where);
  if (!listener) {
    std::cerr << "bench_upstream: " << listener.error() << '\n';
    return 1;
  }
  const tidegate::foundation::system_clock time;
  runtime::loop owner{time};
  const replies say = make_replies();
  accept_all(owner, *listener, say);
  std::cout << "listening on port " << runtime::bound_port(*listener) << std::endl;
  owner.run();
}
