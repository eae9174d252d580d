#include "runtime/server/server.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <new>
#include <utility>

#include "foundation/check.h"

namespace tidegate::runtime {
namespace {

constexpr std::size_t spare_buffers_max = 64;
constexpr std::size_t spare_bytes_max = 64U << 10;

bool is_loopback(const sockaddr_storage& peer) {
  if (peer.ss_family == AF_UNIX) return true;
  if (peer.ss_family == AF_INET) {
    return (ntohl(reinterpret_cast<const sockaddr_in&>(peer).sin_addr.s_addr) >> 24) == 127;
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}

}  // namespace

server::server(loop& owner, request_handler& handler, server_settings settings, connection_budget& budget)
    : loop_{owner}, handler_{handler}, settings_{settings}, budget_{budget} {}

server::~server() { TG_CHECK(count_ == 0 && !accepting_); }

void server::listen(int fd, ssl_ctx_st* tls) {
  tls_ = tls;
  listener_ = std::make_unique<io_source>(loop_, fd);
  TG_CHECK(listener_->fd() >= 0);
  accept_all(fd);
}

detached server::accept_all(int fd) {
  accepting_ = true;
  for (;;) {
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    const int accepted =
        ::accept4(fd, reinterpret_cast<sockaddr*>(&peer), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted >= 0) {
      admit(accepted, is_loopback(peer));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      // What the kernel had queued is served before the listener goes: nobody who connected is turned away.
      if (draining_) break;
      listener_->mark_drained();
      co_await listener_->readable(never, &accepting_stop_);
      continue;
    }
    // Out of descriptors or memory: the backlog keeps the callers while others finish.
    bool asleep = true;
    try {
      const instant again = loop_.now() + std::chrono::milliseconds{50};
      if (co_await loop_.sleep_until(again, &accepting_stop_) == wake::canceled) break;
    } catch (const std::bad_alloc&) {
      asleep = false;
    }
    if (asleep) continue;
    // Not even a timer could be had: the next caller's arrival is waited for, which takes no memory.
    listener_->mark_drained();
    co_await listener_->readable(never, &accepting_stop_);
    if (draining_) break;
  }
  listener_.reset();
  accepting_ = false;
}

// Beyond the budget, or without memory for it, a connection is closed and the others go on.
void server::admit(int fd, bool from_loopback) noexcept {
  if (budget_.open.fetch_add(1, std::memory_order_relaxed) >= budget_.max) {
    budget_.open.fetch_sub(1, std::memory_order_relaxed);
    ::close(fd);
    return;
  }
  std::unique_ptr<downstream> connection;
  try {
    connection = std::make_unique<downstream>(*this, fd, from_loopback);
  } catch (const std::bad_alloc&) {
    ::close(fd);
    budget_.open.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
  try {
    serve(std::move(connection));
  } catch (const std::bad_alloc&) {
    // Of its frame: nothing has begun, and the descriptor went with the argument.
    budget_.open.fetch_sub(1, std::memory_order_relaxed);
  }
}

detached server::serve(std::unique_ptr<downstream> connection) {
  enter(*connection);
  ++count_;
  try {
    co_await connection->run();
  } catch (const std::exception&) {
    connection->reset();  // out of memory for this one: the others go on
  }
  connection.reset();
  --count_;
  budget_.open.fetch_sub(1, std::memory_order_relaxed);
}

void server::enter(downstream& connection) {
  connection.next_ = first_;
  connection.link_ = &first_;
  if (first_ != nullptr) first_->link_ = &connection.next_;
  first_ = &connection;
}

void server::drain() {
  if (draining_) return;
  draining_ = true;
  accepting_stop_.fire(cancel_reason::shutdown);
  idle_.fire(cancel_reason::shutdown);
}

void server::stop_exchanges() {
  stop_.fire(cancel_reason::shutdown);
  for (downstream* c = first_; c != nullptr; c = c->next_) {
    if (c->gone_ != nullptr) c->gone_->fire(cancel_reason::shutdown);
  }
}

std::string server::spare_buffer() {
  if (spare_.empty()) return {};
  std::string buffer = std::move(spare_.back());
  spare_.pop_back();
  buffer.clear();
  return buffer;
}

void server::recycle(std::string&& buffer) {
  if (buffer.capacity() < 64 || buffer.capacity() > spare_bytes_max || spare_.size() >= spare_buffers_max) {
    std::string{}.swap(buffer);
    return;
  }
  spare_.push_back(std::move(buffer));
  buffer = std::string{};
}

}  // namespace tidegate::runtime
