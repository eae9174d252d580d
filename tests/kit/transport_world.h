// A server and a client in one loop, over real loopback sockets and simulated time; for tests of the
// transport.
#pragma once

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "kit/tls_material.h"
#include "runtime/client/pooled_client.h"
#include "runtime/net/address.h"
#include "runtime/server/server.h"

namespace tidegate::kit::transport {

using runtime::call_deadlines;
using runtime::call_fault;
using runtime::cancel_source;
using runtime::detached;
using runtime::downstream;
using runtime::task;

class scripted_handler final : public runtime::request_handler {
 public:
  std::function<task<void>(downstream&)> answer;
  int handled = 0;
  task<void> handle(downstream& exchange) override {
    ++handled;
    co_await answer(exchange);
  }
  std::string refused;
  std::string refusal_body(const runtime::http_refusal& why, std::string_view target, std::string&) override {
    refused = target;
    return std::string{why.reason};
  }
};

inline task<void> echo(downstream& d) {
  const auto body = co_await d.read_body(1 << 20);
  if (!body) {
    d.close_after();
    static_cast<void>(co_await d.respond(body.error().status, "", body.error().reason));
    co_return;
  }
  const std::string text =
      std::string{d.request().method} + ' ' + std::string{d.request().path_query} + ' ' + std::string{*body};
  static_cast<void>(co_await d.respond(200, "", text));
}

// A server and a client in one loop.
struct world {
  explicit world(ssl_ctx_st* tls = nullptr, ssl_ctx_st* client_tls = nullptr)
      : own_tls{runtime::make_client_context().value()},
        net{l, handler, {}, budget},
        client{l, names, client_tls != nullptr ? *client_tls : *own_tls} {
    handler.answer = echo;
    const int fd = runtime::open_listener(runtime::parse_address("127.0.0.1:0").value()).value();
    port = runtime::bound_port(fd);
    net.listen(fd, tls);
  }
  ~world() {
    net.drain();
    net.stop_exchanges();
    until([&] { return net.quiet(); });
  }
  void until(const std::function<bool()>& done) {
    for (int i = 0; i < 20'000 && !done(); ++i) l.turn(std::chrono::milliseconds{1});
    ASSERT_TRUE(done());
  }
  void settle() {
    for (int i = 0; i < 20; ++i) l.turn(std::chrono::milliseconds{1});
  }
  // A plain socket of the test's own.
  int raw() const {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto to = runtime::to_socket_address({"127.0.0.1", port, {}}).value();
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&to.storage), to.length), 0);
    return fd;
  }
  static void say(int fd, std::string_view text) {
    EXPECT_EQ(::send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  static std::string hear(int fd) {
    char buffer[65536];
    const ssize_t n = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    return n > 0 ? std::string(buffer, static_cast<std::size_t>(n)) : n == 0 ? "<end>" : "";
  }

  foundation::manual_clock clock;
  runtime::loop l{clock};
  runtime::resolver names{runtime::resolver::system_lookup, std::chrono::seconds{30}, 1};
  runtime::ssl_context own_tls;
  scripted_handler handler;
  runtime::connection_budget budget{1000};
  runtime::server net;
  runtime::pooled_client client;
  std::uint16_t port = 0;
};

struct outcome {
  bool done = false;
  int status = 0;
  std::string body;
  std::optional<call_fault> fault;
  bool sent = false;  // where no reply came
};

inline detached fetch(world& w, runtime::origin to, std::string head, std::string body, outcome& out,
                      cancel_source* cancel = nullptr, call_deadlines by = {}) {
  auto reply = co_await w.client.call(to, head, body, by, cancel);
  if (!reply) {
    out.fault = reply.error().fault;
    out.sent = reply.error().sent;
    out.done = true;
    co_return;
  }
  out.status = (*reply)->head().status;
  for (;;) {
    const auto piece = co_await (*reply)->read(by.first_byte, cancel);
    if (!piece) {
      out.fault = piece.error();
      break;
    }
    if (piece->empty()) break;
    out.body += *piece;
  }
  out.done = true;
}

inline std::string post(std::string_view body) {
  return "POST /x HTTP/1.1\r\nhost: t\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n";
}

struct tls_world {
  explicit tls_world(const std::string& certified_host) {
    std::signal(SIGPIPE, SIG_IGN);  // as the program does: TLS writes cannot ask for it call by call
    char pattern[] = "/tmp/tidegate-tls-XXXXXX";
    dir = ::mkdtemp(pattern);
    const kit::tls_material made{dir, certified_host};
    server_side = runtime::make_server_context(made.cert(), made.key()).value();
    client_side = runtime::make_client_context(made.cert()).value();
  }
  ~tls_world() { std::filesystem::remove_all(dir); }
  std::string dir;
  runtime::ssl_context server_side;
  runtime::ssl_context client_side;
};

// A TLS client whose bytes the test hands over itself.
struct hand_fed_client {
  hand_fed_client(ssl_ctx_st& context, world& to)
      : w{to}, fd{to.raw()}, ssl{runtime::make_client_session(context, "localhost")} {
    in = BIO_new(BIO_s_mem());
    out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl.get(), in, out);
  }
  ~hand_fed_client() { ::close(fd); }
  void hand_over(std::size_t most) {
    std::string bytes(most, '\0');
    const int n = BIO_read(out, bytes.data(), static_cast<int>(most));
    if (n > 0) world::say(fd, std::string_view{bytes}.substr(0, static_cast<std::size_t>(n)));
  }
  void take() {
    const std::string heard = world::hear(fd);
    if (!heard.empty()) BIO_write(in, heard.data(), static_cast<int>(heard.size()));
  }
  void connect() {
    w.until([&] {
      const int n = SSL_do_handshake(ssl.get());
      hand_over(65536);
      take();
      return n == 1;
    });
  }
  std::string read() {
    take();
    char buffer[4096];
    const int n = SSL_read(ssl.get(), buffer, sizeof buffer);
    return n > 0 ? std::string(buffer, static_cast<std::size_t>(n)) : std::string{};
  }
  world& w;
  int fd;
  runtime::ssl_handle ssl;
  BIO* in = nullptr;  // both owned by `ssl`
  BIO* out = nullptr;
};

}  // namespace tidegate::kit::transport
