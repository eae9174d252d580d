#include "app/chat/client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

#include "app/chat/messages.h"
#include "foundation/text.h"
#include "runtime/net/resolver.h"

namespace tidegate::app::chat {

using runtime::cancel_source;
using runtime::duration;
using runtime::instant;
using runtime::io_error;
using runtime::task;

namespace {

constexpr std::chrono::seconds connect_limit{10};
// How long a cancelled run may take to say that it is over.
constexpr std::chrono::seconds cancel_grace{5};

std::string failed(std::string_view what, int error) {
  return std::string{what} + ": " + std::generic_category().message(error);
}

struct opened {
  std::unique_ptr<runtime::stream> stream;
  std::string fault;
};

task<opened> open_one(runtime::loop& loop, const gateway_place& place, const runtime::socket_address& address,
                      cancel_source* cancel) {
  const instant by = loop.fresh_now() + connect_limit;
  const int fd = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) co_return opened{nullptr, failed("socket", errno)};
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const int begun = ::connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length);
  const int code = begun == 0 ? 0 : errno;
  auto made = std::make_unique<runtime::stream>(loop, fd);
  if (code != 0 && code != EINPROGRESS) co_return opened{nullptr, failed("connect", code)};
  if (code != 0) {
    if (co_await made->writable(by, cancel) != runtime::wake::ready)
      co_return opened{nullptr, "connect: no answer in time"};
    int late = 0;
    socklen_t size = sizeof late;
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &late, &size);
    if (late != 0) co_return opened{nullptr, failed("connect", late)};
  }
  if (place.tls) {
    const io_error why =
        co_await made->handshake(runtime::make_client_session(*place.tls, place.to.host), by, cancel);
    if (why != io_error::none) co_return opened{nullptr, "TLS: " + std::string{to_text(why)}};
  }
  co_return opened{std::move(made), {}};
}

task<opened> open_any(runtime::loop& loop, const gateway_place& place, cancel_source* cancel) {
  opened last{nullptr, "no address"};
  for (const runtime::socket_address& address : place.addresses) {
    last = co_await open_one(loop, place, address, cancel);
    if (last.stream || cancel->fired()) break;
  }
  co_return last;
}

}  // namespace

std::expected<gateway_place, std::string> find_gateway(std::string_view url, std::string key) {
  while (url.ends_with('/')) url.remove_suffix(1);
  gateway_place place;
  place.url = url;
  if (url.find('?') != std::string_view::npos) return std::unexpected{"a query has no place in it"};
  auto to = load::parse_target(place.url + "/rpc/");
  if (!to) return std::unexpected{to.error()};
  place.to = std::move(*to);
  for (const char c : key) {
    if (c <= ' ' || c > '~') return std::unexpected{"the client key holds blanks or control characters"};
  }
  place.key = std::move(key);
  if (place.to.tls) {
    auto context = runtime::make_client_context();
    if (!context) return std::unexpected{context.error()};
    place.tls = std::move(*context);
  }
  place.addresses = runtime::resolver::system_lookup(place.to.host, place.to.port);
  if (place.addresses.empty()) return std::unexpected{"cannot resolve " + place.to.host};
  return place;
}

std::string client::head(std::string_view channel, std::size_t body_bytes, bool events) const {
  std::string out{"POST "};
  out.append(place_.to.path).append(channel).append(" HTTP/1.1\r\nhost: ").append(place_.to.authority);
  out.append("\r\nconnection: close\r\ncontent-type: application/json\r\naccept: ");
  out.append(events ? "text/event-stream" : "application/json").append("\r\n");
  if (!place_.key.empty()) out.append("authorization: Bearer ").append(place_.key).append("\r\n");
  out.append("content-length: ");
  foundation::append_number(out, static_cast<std::int64_t>(body_bytes));
  return out.append("\r\n\r\n");
}

task<received> client::post(std::string channel, std::string body, reply_parser::event_sink on_event,
                            duration patience, cancel_source* cancel) {
  const bool events = static_cast<bool>(on_event);
  if (!events) on_event = [](std::string_view, std::string_view) {};
  reply_parser reply{std::move(on_event)};
  received result;
  result.fault = co_await exchange(head(channel, body.size(), events) + body, reply, patience, cancel);
  result.canceled = cancel->fired();
  result.stream = reply.is_stream();
  result.status = reply.status();
  result.body = reply.body();
  co_return result;
}

// A gateway that refuses a request may answer before it has read all of it: what cannot be sent any more is
// no fault by itself.
task<std::string> client::exchange(std::string request, reply_parser& reply, duration patience,
                                   cancel_source* cancel) {
  opened way = co_await open_any(loop_, place_, cancel);
  if (!way.stream) co_return way.fault;
  const io_error unsent = co_await way.stream->write_all(request, loop_.fresh_now() + patience, cancel);
  if (unsent == io_error::timeout || unsent == io_error::canceled) co_return std::string{to_text(unsent)};
  std::vector<char> block(16'384);
  for (;;) {
    const auto got = co_await way.stream->read_some(block, loop_.fresh_now() + patience, cancel);
    if (!got && got.error() == io_error::timeout) co_return "the gateway says nothing any more";
    if (!got && got.error() != io_error::closed) co_return std::string{to_text(got.error())};
    const reply_state state = got ? reply.feed({block.data(), *got}) : reply.end_of_input();
    if (state == reply_state::failed) co_return std::string{reply.fault()};
    if (state == reply_state::complete) co_return std::string{};
  }
}

std::expected<int, std::string> interrupts::open() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  const int blocked = ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  const int fd = blocked == 0 ? ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC) : -1;
  if (fd < 0) return std::unexpected{std::string{"signals cannot be handled"}};
  return fd;
}

bool interrupts::take() {
  signalfd_siginfo one;
  bool any = false;
  while (::read(source_.fd(), &one, sizeof one) == static_cast<ssize_t>(sizeof one)) any = true;
  source_.mark_unreadable();
  return any;
}

received watched_call::run(std::string_view channel, std::string body, reply_parser::event_sink on_event,
                           duration patience) {
  runtime::loop& loop = client_.owner();
  drive(std::string{channel}, std::move(body), std::move(on_event), patience);
  watch();
  while (open_ > 0) loop.turn(std::chrono::minutes{1});
  return std::move(result_);
}

runtime::detached watched_call::drive(std::string channel, std::string body,
                                      reply_parser::event_sink on_event, duration patience) {
  ++open_;
  result_ = co_await client_.post(std::move(channel), std::move(body), std::move(on_event), patience, &gone_);
  over_.fire(runtime::cancel_reason::shutdown);
  --open_;
}

runtime::detached watched_call::watch() {
  ++open_;
  instant by = foundation::never;
  while (!over_.fired()) {
    const runtime::wake woken = co_await interrupts_.source().readable(by, &over_);
    if (woken == runtime::wake::canceled) break;
    const bool late = woken == runtime::wake::timeout;
    if (!late && !interrupts_.take()) continue;
    if (late || interrupted_ || execution_.empty()) {
      interrupted_ = true;
      gone_.fire(runtime::cancel_reason::requested);
      break;
    }
    interrupted_ = true;
    by = client_.owner().fresh_now() + cancel_grace;
    cancel_run(execution_);
  }
  --open_;
}

// Its answer tells nothing that the run's own end does not.
runtime::detached watched_call::cancel_run(std::string execution) {
  ++open_;
  static_cast<void>(
      co_await client_.post("ai:skill:cancel", cancel_body(execution), nullptr, cancel_grace, &over_));
  --open_;
}

}  // namespace tidegate::app::chat
