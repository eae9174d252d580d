// How connections and bodies end: whole, cut, refused early; and what a TLS peer is told of it.
#include <gtest/gtest.h>
#include <openssl/err.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string>

#include "kit/transport_world.h"

namespace tidegate::runtime {
namespace {

using namespace std::chrono_literals;
using kit::transport::fetch;
using kit::transport::hand_fed_client;
using kit::transport::outcome;
using kit::transport::post;
using kit::transport::tls_world;
using kit::transport::world;

TEST(transport_end, chunks_that_came_whole_before_a_malformed_one_are_handed_out_first) {
  const std::string head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
  const std::string chunks = "4\r\ngood\r\n6\r\n bytes\r\nnonsense\r\n0\r\n\r\n";
  for (const bool together : {true, false}) {
    world w;
    w.handler.answer = [&](downstream& d) -> task<void> {
      if (together) {
        static_cast<void>(co_await d.write_raw(head + chunks));
        co_return;
      }
      static_cast<void>(co_await d.write_raw(head));
      static_cast<void>(co_await d.owner().sleep_until(w.clock.now() + 1s, &d.gone()));
      static_cast<void>(co_await d.write_raw(chunks));
    };
    outcome out;
    fetch(w, {"127.0.0.1", w.port, false}, post(""), "", out);
    w.settle();
    w.clock.advance(1s);
    w.until([&] { return out.done; });
    EXPECT_EQ(out.body, "good bytes");
    EXPECT_EQ(out.fault, call_fault::malformed);
    EXPECT_EQ(w.client.idle_connections(), 0U);
  }
}

// A provider of the test's own, plain or TLS, that reads and writes only when it is told to.
struct hand_run_provider {
  explicit hand_run_provider(world& with, ssl_ctx_st* tls = nullptr)
      : w{with}, listener{open_listener(parse_address("127.0.0.1:0").value()).value()}, context{tls} {
    to = {"localhost", bound_port(listener), tls != nullptr};
  }
  ~hand_run_provider() {
    hang_up();
    ::close(listener);
  }
  void accept() {
    hang_up();
    w.until([&] {
      if (fd < 0) fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      return fd >= 0;
    });
    if (context == nullptr) return;
    ssl = make_server_session(*context);
    SSL_set_fd(ssl.get(), fd);
    w.until([&] { return SSL_do_handshake(ssl.get()) == 1; });
  }
  void hang_up() {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
  void say(std::string_view text) {
    if (ssl == nullptr) return world::say(fd, text);
    EXPECT_EQ(SSL_write(ssl.get(), text.data(), static_cast<int>(text.size())),
              static_cast<int>(text.size()));
  }
  // What has come since it was asked last.
  std::string hear() {
    std::string all;
    std::array<char, 65536> piece;
    for (;;) {
      ERR_clear_error();
      const ssize_t n = ssl == nullptr ? ::recv(fd, piece.data(), piece.size(), 0)
                                       : SSL_read(ssl.get(), piece.data(), static_cast<int>(piece.size()));
      if (n <= 0) return all;
      all.append(piece.data(), static_cast<std::size_t>(n));
    }
  }
  bool was_told_the_end() {
    hear();
    return (SSL_get_shutdown(ssl.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
  }

  world& w;
  int listener;
  ssl_ctx_st* context;
  origin to;
  int fd = -1;
  ssl_handle ssl;
};

// A length-less body ends with its connection: over TLS only where the peer says that it does.
TEST(transport_end, a_tls_body_whose_end_was_not_told_is_cut) {
  tls_world t{"localhost"};
  for (const bool told : {true, false}) {
    world w{t.server_side.get(), t.client_side.get()};
    hand_run_provider provider{w, t.server_side.get()};
    outcome out;
    fetch(w, provider.to, post(""), "", out);
    provider.accept();
    provider.say("HTTP/1.1 200 OK\r\n\r\nhalf");
    w.settle();
    EXPECT_FALSE(out.done);
    if (told) SSL_shutdown(provider.ssl.get());
    provider.hang_up();
    w.until([&] { return out.done; });
    EXPECT_EQ(out.body, "half");
    EXPECT_EQ(out.fault, told ? std::nullopt : std::optional{call_fault::reset});
  }
}

TEST(transport_end, an_idle_tls_connection_that_ends_without_a_word_is_replaced_unseen) {
  tls_world t{"localhost"};
  world w{t.server_side.get(), t.client_side.get()};
  hand_run_provider provider{w, t.server_side.get()};
  const std::string_view answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
  outcome first;
  fetch(w, provider.to, post(""), "", first);
  provider.accept();
  provider.say(answer);
  w.until([&] { return first.done; });
  ASSERT_EQ(w.client.idle_connections(), 1U);
  // It ends in the moment in which the next call takes it.
  outcome second;
  fetch(w, provider.to, post(""), "", second);
  provider.hang_up();
  provider.accept();
  provider.say(answer);
  w.until([&] { return second.done; });
  EXPECT_EQ(second.fault, std::nullopt);
  EXPECT_EQ(second.body, "ok");
}

TEST(transport_end, a_tls_provider_is_told_the_end_of_idle_and_of_finished_connections) {
  tls_world t{"localhost"};
  world w{t.server_side.get(), t.client_side.get()};
  hand_run_provider provider{w, t.server_side.get()};
  outcome idle;
  fetch(w, provider.to, post(""), "", idle);
  provider.accept();
  provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  w.until([&] { return idle.done; });
  EXPECT_FALSE(provider.was_told_the_end());
  w.clock.advance(60s);
  w.until([&] { return w.client.idle_connections() == 0; });
  EXPECT_TRUE(provider.was_told_the_end());

  outcome last;
  fetch(w, provider.to, post(""), "", last);
  provider.accept();
  provider.say("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
  w.until([&] { return last.done; });
  EXPECT_TRUE(provider.was_told_the_end());
}

TEST(transport_end, a_call_that_is_given_up_tells_its_tls_provider_no_end) {
  tls_world t{"localhost"};
  world w{t.server_side.get(), t.client_side.get()};
  hand_run_provider provider{w, t.server_side.get()};
  cancel_source cancel;
  outcome out;
  fetch(w, provider.to, post(""), "", out, &cancel);
  provider.accept();
  provider.say("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhalf");
  w.settle();
  cancel.fire(cancel_reason::requested);
  w.until([&] { return out.done; });
  EXPECT_FALSE(provider.was_told_the_end());
}

bool told_the_end(hand_fed_client& client, std::string& heard) {
  client.w.settle();
  client.w.clock.advance(3s);  // what has not been read is waited for
  client.w.until([&] {
    const std::string more = client.read();
    heard += more;
    return more.empty() && client.w.net.connections() == 0;
  });
  for (std::string more = client.read(); !more.empty(); more = client.read()) heard += more;
  return (SSL_get_shutdown(client.ssl.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
}

TEST(transport_end, a_tls_caller_is_told_the_end_of_what_was_whole_and_of_nothing_else) {
  tls_world t{"localhost"};
  struct example {
    std::string request;
    bool breaks_off;
    bool told;
  };
  const example examples[] = {
      {"GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n", false, true},
      {"GET / HTTP/1.1\r\nhost: t\r\n\r\n", true, false},
      {"GET / HTTP/1.0\r\n\r\n", false, true},
      {"GET / HTTP/1.0\r\n\r\n", true, false},
      {"GET / HTTP/1.0\r\n\r\nunread", true, false},
      {"GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\nunread", false, true},
      {"no request at all\r\n\r\n", false, true},
  };
  for (const example& x : examples) {
    world w{t.server_side.get(), t.client_side.get()};
    w.handler.answer = [&](downstream& d) -> task<void> {
      static_cast<void>(co_await d.begin(200, ""));
      static_cast<void>(co_await d.write("half"));
      if (x.breaks_off) {
        d.close_after();
      } else {
        static_cast<void>(co_await d.finish());
      }
    };
    hand_fed_client client{*t.client_side, w};
    client.connect();
    SSL_write(client.ssl.get(), x.request.data(), static_cast<int>(x.request.size()));
    client.hand_over(65536);
    std::string heard;
    EXPECT_EQ(told_the_end(client, heard), x.told) << x.request << x.breaks_off;
  }
}

TEST(transport_end, an_idle_tls_caller_is_told_that_its_connection_ends) {
  tls_world t{"localhost"};
  world w{t.server_side.get(), t.client_side.get()};
  hand_fed_client client{*t.client_side, w};
  client.connect();
  w.settle();
  w.net.drain();
  std::string heard;
  EXPECT_TRUE(told_the_end(client, heard));
}

// To an HTTP/1.0 caller the end of the connection is the end of the body: a broken one ends in a reset.
TEST(transport_end, a_broken_body_without_length_ends_in_a_reset) {
  world w;
  w.handler.answer = [](downstream& d) -> task<void> {
    static_cast<void>(co_await d.begin(200, ""));
    static_cast<void>(co_await d.write("half"));
    d.close_after();
  };
  const int fd = w.raw();
  w.say(fd, "GET / HTTP/1.0\r\n\r\n");
  w.until([&] { return w.handler.handled == 1 && w.net.connections() == 0; });
  char byte = 0;
  ssize_t n = 0;
  while ((n = ::recv(fd, &byte, 1, MSG_DONTWAIT)) > 0) {
  }
  EXPECT_EQ(n, -1);
  EXPECT_EQ(errno, ECONNRESET);
  ::close(fd);
}

TEST(transport_end, a_provider_that_answers_without_reading_a_large_request_is_heard_at_once) {
  tls_world t{"localhost"};
  for (const bool tls : {false, true}) {
    world w{t.server_side.get(), t.client_side.get()};
    hand_run_provider provider{w, tls ? t.server_side.get() : nullptr};
    const std::string body(32U << 20, 'b');
    outcome out;
    fetch(w, provider.to, post(body), body, out, nullptr, {never, w.clock.now() + 30s});
    provider.accept();
    w.settle();
    EXPECT_FALSE(out.done);
    provider.say("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno");
    w.until([&] { return out.done; });
    EXPECT_EQ(out.status, 413);
    EXPECT_EQ(out.body, "no");
    EXPECT_EQ(w.client.idle_connections(), 0U) << "the rest of the request is owed to it";
  }
}

TEST(transport_end, an_early_answer_of_success_still_gets_the_whole_request) {
  tls_world t{"localhost"};
  for (const auto& [tls, closes] : {std::pair{false, false}, {true, false}, {false, true}}) {
    world w{t.server_side.get(), t.client_side.get()};
    hand_run_provider provider{w, tls ? t.server_side.get() : nullptr};
    const std::string body(8U << 20, 'b');
    const std::string head = post(body);
    outcome out;
    fetch(w, provider.to, head, body, out);
    provider.accept();
    w.settle();
    provider.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n");
    provider.say(closes ? "connection: close\r\n\r\n" : "\r\n");
    w.settle();
    EXPECT_FALSE(out.done);
    std::string heard;
    w.until([&] {
      heard += provider.hear();
      return heard.size() >= head.size() + body.size();
    });
    EXPECT_TRUE(heard == head + body);
    provider.say("ok");
    w.until([&] { return out.done; });
    EXPECT_EQ(out.body, "ok");
    EXPECT_EQ(out.fault, std::nullopt);
    EXPECT_EQ(w.client.idle_connections(), closes ? 0U : 1U);
  }
}

}  // namespace
}  // namespace tidegate::runtime
