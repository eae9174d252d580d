#include "runtime/client/pooled_client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <span>
#include <utility>

#include "runtime/client/pooled_reply.h"

namespace tidegate::runtime {
namespace {

constexpr std::chrono::seconds sweep_interval{5};
constexpr std::chrono::seconds stale_window{1};

iovec piece_of(std::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

// Takes the descriptor, also where there is no memory for its stream.
std::unique_ptr<stream> hold(loop& owner, int fd) {
  try {
    return std::make_unique<stream>(owner, fd);
  } catch (const std::bad_alloc&) {
    ::close(fd);
    throw;
  }
}

call_fault fault_of(io_error error, call_fault on_timeout) {
  switch (error) {
    case io_error::timeout:
      return on_timeout;
    case io_error::canceled:
      return call_fault::canceled;
    case io_error::tls:
      return call_fault::tls;
    case io_error::dns:
      return call_fault::dns;
    default:
      return call_fault::reset;
  }
}

}  // namespace

std::string_view to_text(call_fault fault) {
  switch (fault) {
    case call_fault::dns:
      return "the provider's name cannot be resolved";
    case call_fault::tls:
      return "TLS with the provider failed";
    case call_fault::connect:
      return "the provider cannot be reached";
    case call_fault::reset:
      return "the provider closed the connection before its reply was whole";
    case call_fault::malformed:
      return "the provider's reply is not HTTP/1.1";
    case call_fault::connect_timeout:
      return "connecting to the provider took too long";
    case call_fault::first_byte_timeout:
      return "the provider did not begin its reply in time";
    case call_fault::idle_timeout:
      return "the provider fell silent in its reply";
    case call_fault::canceled:
      return "cancelled";
  }
  return "unknown";
}

pooled_client::pooled_client(loop& owner, resolver& names, ssl_ctx_st& tls, client_settings settings)
    : loop_{owner}, names_{names}, tls_{tls}, settings_{settings}, sweeper_{owner, *this} {}

pooled_client::~pooled_client() = default;

std::size_t pooled_client::idle_connections() const noexcept {
  std::size_t count = 0;
  for (const pool& p : pools_) count += p.idle.size();
  return count;
}

std::size_t pooled_client::pool_of(const origin& to) {
  const auto found = std::ranges::find(pools_, to, &pool::to);
  if (found != pools_.end()) return static_cast<std::size_t>(found - pools_.begin());
  pools_.push_back({to, {}});
  return pools_.size() - 1;
}

std::unique_ptr<pooled_client::connection> pooled_client::take_idle(std::size_t from) {
  auto& connections = pools_[from].idle;
  while (!connections.empty()) {
    std::unique_ptr<connection> c = std::move(connections.back());
    connections.pop_back();
    c->unwatch();
    if (c->usable() && !c->stale_ && loop_.now() - c->idle_since < settings_.idle_max) {
      c->reused = true;
      return c;
    }
  }
  return nullptr;
}

void pooled_client::give_back(std::unique_ptr<connection> c) {
  auto& connections = pools_[c->home()].idle;
  if (!c->usable() || connections.size() >= settings_.idle_per_origin_max) return;
  c->idle_since = loop_.now();
  c->watch();
  connections.push_back(std::move(c));
  if (!sweeper_.armed()) sweeper_.arm(loop_.now() + sweep_interval);
}

void pooled_client::sweep() {
  bool any = false;
  for (pool& p : pools_) {
    std::erase_if(p.idle, [&](const std::unique_ptr<connection>& c) {
      return c->stale_ || loop_.now() - c->idle_since >= settings_.idle_max;
    });
    any |= !p.idle.empty();
  }
  if (any) sweeper_.arm(loop_.now() + sweep_interval);
}

task<std::expected<std::unique_ptr<upstream_reply>, call_end>> pooled_client::call(const origin& to,
                                                                                   std::string_view head,
                                                                                   std::string_view body,
                                                                                   call_deadlines by,
                                                                                   cancel_source* cancel) {
  const std::size_t home = pool_of(to);
  if (std::unique_ptr<connection> pooled = take_idle(home)) {
    auto result = co_await exchange(std::move(pooled), head, body, by.first_byte, cancel);
    // `connect` stands for "closed before any byte of a reply" here: the provider dropped an idle connection.
    // What was written to it was never read, so it is not counted as sent either.
    if (result || result.error().fault != call_fault::connect) co_return result;
  }
  auto fresh = co_await connect(to, home, std::min(by.connect, by.first_byte), cancel);
  if (!fresh) co_return std::unexpected{call_end{fresh.error(), false}};
  auto result = co_await exchange(std::move(*fresh), head, body, by.first_byte, cancel);
  if (!result && result.error().fault == call_fault::connect) result.error().fault = call_fault::reset;
  co_return result;
}

task<std::expected<std::unique_ptr<upstream_reply>, call_end>> pooled_client::exchange(
    std::unique_ptr<connection> c, std::string_view head, std::string_view body, instant by,
    cancel_source* cancel) {
  co_await loop_.round_end();
  const instant begun = loop_.now();
  auto answer = std::make_unique<reply>(*this, std::move(c));
  const std::array pieces{piece_of(head), piece_of(body)};
  const io_result put = answer->io().try_write(pieces);
  send_end sent{.handed_over = true};
  if (put.status != io_status::done || put.bytes < head.size() + body.size())
    sent = co_await answer->send_rest(put, head, body, by, cancel);
  if (sent.error == io_error::timeout || sent.error == io_error::canceled) {
    const bool answering = sent.head && *sent.head;
    const auto late = answering ? call_fault::idle_timeout : call_fault::first_byte_timeout;
    co_return std::unexpected{call_end{fault_of(sent.error, late), sent.handed_over}};
  }
  // A provider may answer (413, 401) and close before it has read a large body: its answer counts.
  auto& got = sent.head;
  if (got && !*got) got = co_await answer->read_head(head.substr(0, head.find(' ')), by, cancel);
  if (got) co_return std::unique_ptr<upstream_reply>{std::move(answer)};
  // Closed while idle: the end was on its way when we wrote, so it shows at once. Later, or as a reset, the
  // provider had the request, and asking again is for the caller to decide.
  const bool at_once = loop_.now() - begun < stale_window;
  const bool unread = sent.error != io_error::none || answer->ended();
  if (got.error() == call_fault::reset && !answer->answered() && unread && at_once) {
    co_return std::unexpected{call_end{call_fault::connect, sent.handed_over}};
  }
  co_return std::unexpected{call_end{got.error(), sent.handed_over}};
}

task<std::expected<std::unique_ptr<pooled_client::connection>, call_fault>> pooled_client::connect(
    const origin& to, std::size_t home, instant by, cancel_source* cancel) {
  auto tcp = co_await connect_tcp(to, by, cancel);
  if (!tcp) co_return std::unexpected{tcp.error()};
  if (to.tls) {
    ssl_handle session = make_client_session(tls_, to.host);
    if (session == nullptr) co_return std::unexpected{call_fault::tls};
    const io_error done = co_await (*tcp)->handshake(std::move(session), by, cancel);
    if (done == io_error::canceled) co_return std::unexpected{call_fault::canceled};
    if (done == io_error::timeout) co_return std::unexpected{call_fault::connect_timeout};
    if (done != io_error::none) co_return std::unexpected{call_fault::tls};
  }
  co_return std::make_unique<connection>(*this, home, std::move(*tcp));
}

task<std::expected<std::unique_ptr<stream>, call_fault>> pooled_client::connect_tcp(const origin& to,
                                                                                    instant by,
                                                                                    cancel_source* cancel) {
  const auto addresses = co_await names_.resolve(loop_, to.host, to.port, by, cancel);
  if (!addresses) co_return std::unexpected{fault_of(addresses.error(), call_fault::connect_timeout)};
  call_fault last = call_fault::connect;
  for (std::size_t i = 0; i < addresses->size(); ++i) {
    const socket_address& target = (*addresses)[i];
    const int fd = ::socket(target.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) co_return std::unexpected{call_fault::connect};
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const int started = ::connect(fd, reinterpret_cast<const sockaddr*>(&target.storage), target.length);
    const bool pending = started != 0 && errno == EINPROGRESS;
    auto io = hold(loop_, fd);
    if (!io->is_open()) co_return std::unexpected{call_fault::connect};
    if (started == 0) co_return std::move(io);
    if (!pending) continue;
    // Each address gets an equal part of what is left, so that a dead first one leaves time for the next.
    const duration left = by == never ? duration{std::chrono::minutes{2}} : by - loop_.now();
    const instant until = loop_.now() + left / static_cast<int>(addresses->size() - i);
    const wake woken = co_await io->writable(until, cancel);
    if (woken == wake::canceled) co_return std::unexpected{call_fault::canceled};
    if (woken == wake::timeout) {
      last = call_fault::connect_timeout;
      continue;
    }
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error == 0) co_return std::move(io);
    last = call_fault::connect;
  }
  co_return std::unexpected{last};
}

}  // namespace tidegate::runtime
