// Server and client over real loopback sockets, driven round by round; time is simulated where a limit is
// tested.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <string>
#include <vector>

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

TEST(transport, a_connection_carries_many_calls) {
  world w;
  for (int i = 0; i < 50; ++i) {
    const std::string body(static_cast<std::size_t>(i) * 1000, 'b');
    outcome out;
    fetch(w, {"127.0.0.1", w.port, false}, post(body), body, out);
    w.until([&] { return out.done; });
    EXPECT_EQ(out.status, 200);
    EXPECT_EQ(out.body, "POST /x " + body);
  }
  EXPECT_EQ(w.net.connections(), 1U);
  EXPECT_EQ(w.client.idle_connections(), 1U);
}

TEST(transport, a_pooled_connection_that_the_peer_closed_is_replaced_unseen) {
  world w;
  outcome first;
  fetch(w, {"127.0.0.1", w.port, false}, post("a"), "a", first);
  w.until([&] { return first.done; });
  w.net.stop_exchanges();  // nothing runs; the idle connection goes by its keep-alive limit
  w.clock.advance(80s);
  w.settle();
  EXPECT_EQ(w.net.connections(), 0U);
  EXPECT_EQ(w.client.idle_connections(), 0U);
}

TEST(transport, streams_arrive_piece_by_piece_and_end_once) {
  world w;
  w.handler.answer = [](downstream& d) -> task<void> {
    static_cast<void>(co_await d.begin(200, "content-type: text/event-stream\r\n"));
    for (int i = 0; i < 100; ++i) static_cast<void>(co_await d.write("data: " + std::to_string(i) + "\n\n"));
    static_cast<void>(co_await d.finish());
  };
  outcome out;
  fetch(w, {"127.0.0.1", w.port, false}, post(""), "", out);
  w.until([&] { return out.done; });
  EXPECT_FALSE(out.fault);
  EXPECT_TRUE(out.body.ends_with("data: 99\n\n"));
}

TEST(transport, a_body_left_open_never_looks_complete) {
  world w;
  w.handler.answer = [](downstream& d) -> task<void> {
    static_cast<void>(co_await d.begin(200, ""));
    static_cast<void>(co_await d.write("half"));
    d.close_after();
  };
  outcome out;
  fetch(w, {"127.0.0.1", w.port, false}, post(""), "", out);
  w.until([&] { return out.done; });
  EXPECT_EQ(out.fault, call_fault::reset);
  EXPECT_EQ(out.body, "half");
}

TEST(transport, cancelling_a_call_closes_its_connection_at_once) {
  world w;
  bool left = false;
  w.handler.answer = [&left](downstream& d) -> task<void> {
    left = co_await d.owner().sleep_until(never, &d.gone()) == wake::canceled;
  };
  cancel_source cancel;
  outcome out;
  fetch(w, {"127.0.0.1", w.port, false}, post("x"), "x", out, &cancel);
  w.until([&] { return w.handler.handled == 1; });
  cancel.fire(cancel_reason::requested);
  w.until([&] { return out.done && left; });
  EXPECT_EQ(out.fault, call_fault::canceled);
}

TEST(transport, a_silent_peer_ends_in_a_timeout_of_the_first_byte) {
  world w;
  w.handler.answer = [](downstream& d) -> task<void> {
    static_cast<void>(co_await d.owner().sleep_until(never, &d.gone()));
  };
  outcome out;
  fetch(w, {"127.0.0.1", w.port, false}, post("x"), "x", out, nullptr,
        {w.clock.now() + 10s, w.clock.now() + 30s});
  w.until([&] { return w.handler.handled == 1; });
  w.clock.advance(29999ms);
  w.settle();
  EXPECT_FALSE(out.done);
  w.clock.advance(1ms);
  w.until([&] { return out.done; });
  EXPECT_EQ(out.fault, call_fault::first_byte_timeout);
}

TEST(transport, a_refused_connection_is_told_from_a_name_that_does_not_exist) {
  world w;
  outcome refused;
  const int fd = open_listener(parse_address("127.0.0.1:0").value()).value();
  const std::uint16_t free_port = bound_port(fd);
  ::close(fd);
  fetch(w, {"127.0.0.1", free_port, false}, post(""), "", refused);
  w.until([&] { return refused.done; });
  EXPECT_EQ(refused.fault, call_fault::connect);

  resolver nowhere{[](const std::string&, std::uint16_t) { return std::vector<socket_address>{}; }, 30s, 1};
  pooled_client other{w.l, nowhere, *w.own_tls};
  outcome unknown;
  const auto ask = [](pooled_client& c, outcome& out) -> detached {
    const std::string head = post("");
    auto reply = co_await c.call({"nowhere.invalid", 80, false}, head, "", {}, nullptr);
    out.fault = reply.error().fault;
    out.sent = reply.error().sent;
    out.done = true;
  };
  ask(other, unknown);
  w.until([&] { return unknown.done; });
  EXPECT_EQ(unknown.fault, call_fault::dns);
  EXPECT_FALSE(refused.sent || unknown.sent);
}

// BUD-5: nothing is billed that was not sent.
TEST(transport, a_call_that_ends_before_its_request_has_left_says_so) {
  world w;
  // Takes connections and never says a word: the TLS handshake does not end.
  const int silent = open_listener(parse_address("127.0.0.1:0").value()).value();
  const origin secure{"127.0.0.1", bound_port(silent), true};
  cancel_source left;
  outcome handshake;
  fetch(w, secure, post("x"), "x", handshake, &left);
  w.settle();
  EXPECT_FALSE(handshake.done);
  left.fire(cancel_reason::client_left);
  w.until([&] { return handshake.done; });
  EXPECT_EQ(handshake.fault, call_fault::canceled);
  EXPECT_FALSE(handshake.sent);

  outcome late;
  fetch(w, secure, post("x"), "x", late, nullptr, {never, w.clock.now() + 5s});
  w.settle();
  w.clock.advance(5s);
  w.until([&] { return late.done; });
  EXPECT_EQ(late.fault, call_fault::connect_timeout);
  EXPECT_FALSE(late.sent);

  // The same peer without TLS: the request is with the kernel.
  cancel_source gone;
  outcome plain;
  fetch(w, {"127.0.0.1", secure.port, false}, post("x"), "x", plain, &gone);
  w.settle();
  gone.fire(cancel_reason::client_left);
  w.until([&] { return plain.done; });
  EXPECT_EQ(plain.fault, call_fault::canceled);
  EXPECT_TRUE(plain.sent);
  ::close(silent);
}

TEST(transport, a_call_that_ends_while_its_name_is_looked_up_has_sent_nothing) {
  world w;
  std::promise<void> answered;
  std::shared_future<void> wait = answered.get_future().share();
  resolver slow{[wait](const std::string&, std::uint16_t) {
                  wait.wait();
                  return std::vector<socket_address>{};
                },
                30s, 1};
  pooled_client client{w.l, slow, *w.own_tls};
  cancel_source left;
  outcome out;
  [](pooled_client& c, cancel_source& cancel, outcome& told) -> detached {
    const std::string head = post("");
    const auto reply = co_await c.call({"slow.invalid", 80, false}, head, "", {}, &cancel);
    told.fault = reply.error().fault;
    told.sent = reply.error().sent;
    told.done = true;
  }(client, left, out);
  w.settle();
  left.fire(cancel_reason::client_left);
  w.until([&] { return out.done; });
  answered.set_value();
  EXPECT_EQ(out.fault, call_fault::canceled);
  EXPECT_FALSE(out.sent);
}

TEST(transport, pipelined_requests_are_answered_in_order) {
  world w;
  const int fd = w.raw();
  w.say(fd,
        "POST /1 HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\n\r\naPOST /2 HTTP/1.1\r\nhost: "
        "t\r\ntransfer-encoding: chunked\r\n\r\n3\r\nbcd\r\n0\r\n\r\nGET /3 HTTP/1.1\r\nhost: t\r\n\r\n");
  std::string heard;
  w.until([&] {
    heard += w.hear(fd);
    return heard.find("GET /3") != std::string::npos;
  });
  EXPECT_LT(heard.find("POST /1 a"), heard.find("POST /2 bcd"));
  EXPECT_LT(heard.find("POST /2 bcd"), heard.find("GET /3"));
  ::close(fd);
}

TEST(transport, any_split_of_a_request_reads_the_same) {
  world w;
  const std::string request = "POST /s HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\nhello";
  for (std::size_t cut = 1; cut < request.size(); ++cut) {
    const int fd = w.raw();
    w.say(fd, request.substr(0, cut));
    w.l.turn(1ms);
    w.l.turn(0ms);
    w.say(fd, request.substr(cut));
    std::string heard;
    w.until([&] {
      heard += w.hear(fd);
      return heard.find("POST /s hello") != std::string::npos;
    });
    ::close(fd);
  }
}

TEST(transport, too_large_a_body_is_refused_before_it_is_read) {
  world w;
  const int fd = w.raw();
  w.say(fd, "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 104857600\r\n\r\nabc");
  std::string heard;
  w.until([&] {
    heard += w.hear(fd);
    return heard.find("413") != std::string::npos;
  });
  EXPECT_NE(heard.find("connection: close"), std::string::npos);
  ::close(fd);
}

TEST(transport, slow_heads_and_slow_bodies_are_timed_out) {
  world w;
  const int head = w.raw();
  const int body = w.raw();
  w.say(head, "GET / HT");
  w.say(body, "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 100000\r\n\r\nabc");
  w.settle();
  w.clock.advance(10s);
  w.settle();
  EXPECT_NE(w.hear(head).find(" 408 "), std::string::npos);
  w.clock.advance(1s);
  w.settle();
  EXPECT_NE(w.hear(body).find(" 408 "), std::string::npos);
  ::close(head);
  ::close(body);
}

TEST(transport, draining_lets_the_exchange_under_way_end_and_closes_idle_connections) {
  world w;
  cancel_source release;
  w.handler.answer = [&release](downstream& d) -> task<void> {
    static_cast<void>(co_await d.owner().sleep_until(never, &release));
    static_cast<void>(co_await d.respond(200, "", "late"));
  };
  const int busy = w.raw();
  const int idle = w.raw();
  w.say(busy, "GET / HTTP/1.1\r\nhost: t\r\n\r\n");
  w.until([&] { return w.handler.handled == 1 && w.net.connections() == 2; });
  w.net.drain();
  w.until([&] { return w.hear(idle) == "<end>"; });
  release.fire(cancel_reason::requested);
  std::string heard;
  w.until([&] {
    heard += w.hear(busy);
    return heard.find("late") != std::string::npos;
  });
  EXPECT_NE(heard.find("connection: close"), std::string::npos);
  ::close(busy);
  ::close(idle);
}

TEST(transport, a_reader_that_stops_stops_its_writer) {
  world w;
  std::size_t written = 0;
  w.handler.answer = [&written](downstream& d) -> task<void> {
    static_cast<void>(co_await d.begin(200, ""));
    const std::string block(65536, 'z');
    while (written < (256U << 20) && co_await d.write(block)) written += block.size();
  };
  const int fd = w.raw();
  w.say(fd, "GET / HTTP/1.1\r\nhost: t\r\n\r\n");
  for (int i = 0; i < 300; ++i) w.l.turn(1ms);
  EXPECT_LT(written, 16U << 20);
  ::close(fd);
}

TEST(transport, tls_calls_verify_the_name_and_reuse_the_connection) {
  tls_world t{"localhost"};
  world w{t.server_side.get(), t.client_side.get()};
  for (int i = 0; i < 3; ++i) {
    const std::string body(100'000, 'c');
    outcome out;
    fetch(w, {"localhost", w.port, true}, post(body), body, out);
    w.until([&] { return out.done; });
    EXPECT_EQ(out.status, 200);
    EXPECT_EQ(out.body.size(), body.size() + 8);
  }
  EXPECT_EQ(w.net.connections(), 1U);
}

TEST(transport, a_certificate_for_another_name_or_of_an_unknown_authority_is_refused) {
  tls_world t{"elsewhere.example"};
  {
    world w{t.server_side.get(), t.client_side.get()};
    outcome out;
    fetch(w, {"localhost", w.port, true}, post(""), "", out);
    w.until([&] { return out.done; });
    EXPECT_EQ(out.fault, call_fault::tls);
  }
  world w{t.server_side.get()};
  outcome out;
  fetch(w, {"localhost", w.port, true}, post(""), "", out);
  w.until([&] { return out.done; });
  EXPECT_EQ(out.fault, call_fault::tls);
  EXPECT_EQ(w.handler.handled, 0);
}

TEST(transport,
     a_target_without_a_path_means_the_root) {  // its path is a literal of the parser, not of the request
  world w;
  const int fd = w.raw();
  w.say(fd, "GET http://h HTTP/1.1\r\nhost: h\r\n\r\n");
  std::string heard;
  w.until([&] { return (heard += w.hear(fd)).find("GET / ") != std::string::npos; });
  ::close(fd);
}

TEST(transport, a_wake_without_bytes_does_not_read_the_shared_scratch_again) {
  tls_world t{"localhost"};
  world w{t.server_side.get(), t.client_side.get()};
  hand_fed_client client{*t.client_side, w};
  client.connect();
  const std::string_view request = "GET /own HTTP/1.1\r\nhost: t\r\n\r\n";
  SSL_write(client.ssl.get(), request.data(), 8);
  client.hand_over(65536);
  w.settle();
  // Another connection's bytes, then a part of a record: it wakes the reader and gives it nothing.
  std::ranges::fill(w.l.scratch(), 'X');
  SSL_write(client.ssl.get(), request.data() + 8, static_cast<int>(request.size() - 8));
  client.hand_over(4);
  w.settle();
  client.hand_over(65536);
  std::string heard;
  w.until([&] { return (heard += client.read()).find("GET /own ") != std::string::npos; });
  EXPECT_EQ(heard.find('X'), std::string::npos);
}

TEST(transport, a_reset_behind_a_request_is_told_and_not_repeated) {
  world w;
  outcome first;
  fetch(w, {"127.0.0.1", w.port, false}, post("a"), "a", first);
  w.until([&] { return first.done; });
  ASSERT_EQ(w.client.idle_connections(), 1U);
  w.handler.answer = [](downstream& d) -> task<void> {
    d.reset();
    co_return;
  };
  outcome second;
  fetch(w, {"127.0.0.1", w.port, false}, post("b"), "b", second);
  w.until([&] { return second.done; });
  EXPECT_EQ(second.fault, call_fault::reset);
  EXPECT_EQ(w.handler.handled, 2);
}

TEST(transport, a_request_that_arrived_before_the_drain_is_answered) {
  world w;
  const int fd = w.raw();
  w.say(fd, "GET /a HTTP/1.1\r\nhost: t\r\n\r\n");
  std::string heard;
  w.until([&] { return (heard += w.hear(fd)).find("GET /a ") != std::string::npos; });
  w.say(fd, "GET /b HTTP/1.1\r\nhost: t\r\n\r\n");
  w.net.drain();
  w.until([&] { return (heard += w.hear(fd)).find("GET /b ") != std::string::npos; });
  EXPECT_NE(heard.find("connection: close"), std::string::npos);
  ::close(fd);
}

TEST(transport, a_refused_head_still_tells_its_target) {
  world w;
  const int fd = w.raw();
  w.say(fd, "POST /v1/messages HTTP/1.1\r\nhost: t\r\nbad header\r\n\r\n");
  std::string heard;
  w.until([&] { return (heard += w.hear(fd)).find(" 400 ") != std::string::npos; });
  EXPECT_EQ(w.handler.refused, "/v1/messages");
  ::close(fd);
}

TEST(transport, an_answer_that_nobody_reads_does_not_hold_its_connection) {
  world w;
  const std::string large(64U << 20, 'l');
  w.handler.answer = [&large](downstream& d) -> task<void> {
    EXPECT_FALSE(co_await d.respond(200, "", large));
  };
  const int fd = w.raw();
  w.say(fd, "GET / HTTP/1.1\r\nhost: t\r\n\r\n");
  w.until([&] { return w.handler.handled == 1; });
  w.settle();
  EXPECT_EQ(w.net.connections(), 1U);
  w.clock.advance(76s);
  w.until([&] { return w.net.connections() == 0; });
  ::close(fd);
}

detached ask(resolver& names, loop& l, std::string host, std::vector<std::string>& answered,
             cancel_source* cancel = nullptr) {
  const auto found = co_await names.resolve(l, host, 80, never, cancel);
  answered.push_back(host + (found ? "" : " failed"));
}

TEST(resolver, a_silent_name_holds_one_thread_however_many_ask) {
  foundation::manual_clock clock;
  loop l{clock};
  std::promise<void> release;
  std::atomic<int> asked = 0;
  resolver names{[&, open = release.get_future().share()](const std::string& host, std::uint16_t) {
                   ++asked;
                   if (host == "slow.example") open.wait();
                   return std::vector<socket_address>(1);
                 },
                 30s, 2};
  std::vector<std::string> answered;
  cancel_source gave_up;
  for (int i = 0; i < 5; ++i) ask(names, l, "slow.example", answered, i == 4 ? &gave_up : nullptr);
  ask(names, l, "quick.example", answered);
  for (int i = 0; i < 20'000 && answered.empty(); ++i) l.turn(1ms);
  EXPECT_EQ(answered, std::vector<std::string>{"quick.example"});
  gave_up.fire(cancel_reason::client_left);
  release.set_value();
  for (int i = 0; i < 20'000 && answered.size() < 6; ++i) l.turn(1ms);
  EXPECT_EQ(answered.size(), 6U);
  EXPECT_EQ(std::ranges::count(answered, "slow.example failed"), 1);
  EXPECT_EQ(asked, 2);
  names.stop();
  names.stop();
}

}  // namespace
}  // namespace tidegate::runtime
