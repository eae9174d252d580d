#include "load/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/net/tls.h"

namespace tidegate::load {

using runtime::cancel_source;
using runtime::io_result;
using runtime::io_status;
using runtime::task;
using runtime::wake;

task<std::string> connection::open(instant deadline, cancel_source* cancel) {
  std::string error = "no address";
  for (const runtime::socket_address& address : to_.addresses) {
    error = co_await connect(address, deadline, cancel);
    if (error.empty()) co_return error;
    stream_.reset();
  }
  co_return error;
}

task<std::string> connection::connect(const runtime::socket_address& address, instant deadline,
                                      cancel_source* cancel) {
  const int fd = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) co_return std::string{"socket: "} + std::strerror(errno);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const int begun = ::connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length);
  if (begun != 0 && errno != EINPROGRESS) {
    const int code = errno;
    ::close(fd);
    co_return std::string{"connect: "} + std::strerror(code);
  }
  stream_.emplace(loop_, fd);
  if (begun != 0) {
    if (co_await stream_->writable(deadline, cancel) != wake::ready)
      co_return std::string{"connect: timed out"};
    int code = 0;
    socklen_t size = sizeof code;
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size);
    if (code != 0) co_return std::string{"connect: "} + std::strerror(code);
  }
  if (to_.tls == nullptr) co_return std::string{};
  const runtime::io_error failed =
      co_await stream_->handshake(runtime::make_client_session(*to_.tls, to_.to.host), deadline, cancel);
  co_return failed == runtime::io_error::none ? std::string{}
                                              : std::string{"TLS: "} + std::string{to_text(failed)};
}

task<call_result> connection::call(std::string_view request, instant due, instant deadline,
                                   cancel_source* cancel) {
  reader_.begin();
  // A connection that the server closed while it was idle says nothing about this call.
  if (stream_ && stream_->hung_up()) stream_.reset();
  if (!stream_) {
    std::string error = co_await open(deadline, cancel);
    if (!error.empty()) {
      const bool late = error.ends_with("timed out");
      co_return call_result{std::move(error), late};
    }
  }
  for (std::string_view left = request; !left.empty();) {
    const iovec piece{const_cast<char*>(left.data()), left.size()};  // try_write does not write through it
    const io_result put = stream_->try_write({&piece, 1});
    if (put.status == io_status::done) {
      left.remove_prefix(put.bytes);
      continue;
    }
    // A server that refuses a request may answer before it has read all of it.
    if (put.status != io_status::would_block) break;
    if (co_await stream_->writable(deadline, cancel) != wake::ready) {
      stream_.reset();
      co_return call_result{"timed out while sending", true};
    }
  }
  call_result result = co_await read_reply(due, deadline, cancel);
  if (!reader_.reusable()) stream_.reset();
  co_return result;
}

task<call_result> connection::read_reply(instant due, instant deadline, cancel_source* cancel) {
  for (;;) {
    if (co_await stream_->readable(deadline, cancel) != wake::ready) {
      stream_.reset();
      co_return call_result{reader_.started() ? "timed out inside the reply" : "timed out", true};
    }
    const std::span<char> scratch = loop_.scratch();
    const io_result got = stream_->try_read(scratch);
    if (got.status == io_status::would_block) continue;
    if (got.status == io_status::failed) co_return call_result{std::string{to_text(got.error)}, false};
    const std::uint64_t events = reader_.events();
    reply_status status = reply_status::need_more;
    if (got.status == io_status::closed) {
      status = reader_.end_of_input();
    } else {
      results_.bytes_received += got.bytes;
      status = reader_.feed({scratch.data(), got.bytes});
    }
    if (reader_.events() != events) record_events(due, events);
    if (status == reply_status::need_more) continue;
    if (status == reply_status::complete) {
      ++results_.completed;
      results_.latency.record(loop_.fresh_now() - due);
    }
    co_return call_result{};
  }
}

void connection::record_events(instant due, std::uint64_t before) {
  const instant now = loop_.fresh_now();
  const std::uint64_t fresh = reader_.events() - before;
  results_.events += fresh;
  if (before == 0) {
    results_.first_event.record(now - due);
  } else {
    results_.gap.record(now - last_event_);
  }
  // The others of the same read came together.
  for (std::uint64_t i = 1; i < fresh; ++i) results_.gap.record(duration::zero());
  last_event_ = now;
}

}  // namespace tidegate::load
