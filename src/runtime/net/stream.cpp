#include "runtime/net/stream.h"

#include <linux/sockios.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

namespace tidegate::runtime {
namespace {

io_error error_of(int code) {
  switch (code) {
    case ECONNREFUSED:
    case ENOENT:
      return io_error::refused;
    case ENETUNREACH:
    case EHOSTUNREACH:
      return io_error::unreachable;
    case ETIMEDOUT:
      return io_error::timeout;
    default:
      return io_error::reset;
  }
}

}  // namespace

std::string_view to_text(io_error error) {
  switch (error) {
    case io_error::none:
      return "none";
    case io_error::closed:
      return "connection closed";
    case io_error::reset:
      return "connection reset";
    case io_error::timeout:
      return "timed out";
    case io_error::canceled:
      return "cancelled";
    case io_error::refused:
      return "connection refused";
    case io_error::unreachable:
      return "host unreachable";
    case io_error::dns:
      return "name not resolved";
    case io_error::tls:
      return "TLS failed";
  }
  return "unknown";
}

void ssl_deleter::operator()(ssl_st* ssl) const noexcept { SSL_free(ssl); }

io_result stream::try_read(std::span<char> into) {
  if (!is_open()) return {io_status::closed, 0, io_error::closed};
  if (ssl_ != nullptr) {
    ERR_clear_error();
    const int length = static_cast<int>(std::min<std::size_t>(into.size(), INT_MAX));
    const int n = SSL_read(ssl_.get(), into.data(), length);
    if (n > 0) return {io_status::done, static_cast<std::size_t>(n), io_error::none};
    return tls_failure(n, true);
  }
  for (;;) {
    const ssize_t n = ::recv(source_.fd(), into.data(), into.size(), 0);
    if (n > 0) {
      const auto bytes = static_cast<std::size_t>(n);
      // A short read has emptied the socket: the next edge tells of more, so the read that would fail is
      // spared.
      if (bytes < into.size()) source_.mark_unreadable();
      return {io_status::done, bytes, io_error::none};
    }
    if (n == 0) return {io_status::closed, 0, io_error::closed};
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      source_.mark_drained();
      return {io_status::would_block, 0, io_error::none};
    }
    return {io_status::failed, 0, error_of(errno)};
  }
}

io_result stream::try_write(std::span<const iovec> pieces) {
  if (!is_open()) return {io_status::failed, 0, io_error::closed};
  if (ssl_ != nullptr) return tls_write(pieces);
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());  // sendmsg does not write through it
  message.msg_iovlen = pieces.size();
  for (;;) {
    const ssize_t n = ::sendmsg(source_.fd(), &message, MSG_NOSIGNAL);
    if (n >= 0) return {io_status::done, static_cast<std::size_t>(n), io_error::none};
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      source_.mark_unwritable();
      return {io_status::would_block, 0, io_error::none};
    }
    return {io_status::failed, 0, error_of(errno)};
  }
}

io_result stream::tls_write(std::span<const iovec> pieces) {
  std::array<char, 16384> record;
  std::size_t total = 0;
  for (const iovec& piece : pieces) {
    if (piece.iov_len == 0) continue;
    if (total == 0 && piece.iov_len >= record.size()) {
      ERR_clear_error();
      const int n = SSL_write(ssl_.get(), piece.iov_base,
                              static_cast<int>(std::min<std::size_t>(piece.iov_len, INT_MAX)));
      return n > 0 ? io_result{io_status::done, static_cast<std::size_t>(n), io_error::none}
                   : tls_failure(n, false);
    }
    const std::size_t take = std::min(piece.iov_len, record.size() - total);
    std::memcpy(record.data() + total, piece.iov_base, take);
    total += take;
    if (take < piece.iov_len) break;
  }
  if (total == 0) return {};
  ERR_clear_error();
  const int n = SSL_write(ssl_.get(), record.data(), static_cast<int>(total));
  return n > 0 ? io_result{io_status::done, static_cast<std::size_t>(n), io_error::none}
               : tls_failure(n, false);
}

io_result stream::tls_failure(int code, bool reading) {
  switch (SSL_get_error(ssl_.get(), code)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      // A read may want to write (a key update's answer) and the other way round. The caller waits for its
      // own direction, so that one must not stay set, or it would spin; any edge reports both directions
      // anew.
      if (reading || SSL_want_read(ssl_.get())) source_.mark_drained();
      if (!reading || SSL_want_write(ssl_.get())) source_.mark_unwritable();
      return {io_status::would_block, 0, io_error::none};
    case SSL_ERROR_ZERO_RETURN:
      return {io_status::closed, 0, io_error::closed};
    case SSL_ERROR_SYSCALL:
      tls_broken_ = true;
      return {io_status::failed, 0, errno == 0 ? io_error::reset : error_of(errno)};
    default:
      tls_broken_ = true;
      // The end of the connection where records were due. Many servers drop idle connections like this, so it
      // is no failure of TLS; but whatever was under way is cut.
      if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return {io_status::failed, 0, io_error::closed};
      return {io_status::failed, 0, io_error::tls};
  }
}

task<std::expected<std::size_t, io_error>> stream::read_some(std::span<char> into, instant deadline,
                                                             cancel_source* cancel) {
  for (;;) {
    const wake woken = co_await readable(deadline, cancel);
    if (woken == wake::timeout) co_return std::unexpected{io_error::timeout};
    if (woken == wake::canceled) co_return std::unexpected{io_error::canceled};
    const io_result got = try_read(into);
    if (got.status == io_status::done) co_return got.bytes;
    if (got.status != io_status::would_block) co_return std::unexpected{got.error};
  }
}

task<io_error> stream::write_all(std::string_view data, instant deadline, cancel_source* cancel) {
  while (!data.empty()) {
    const iovec piece{const_cast<char*>(data.data()), data.size()};
    const io_result put = try_write({&piece, 1});
    if (put.status == io_status::done) {
      data.remove_prefix(put.bytes);
      continue;
    }
    if (put.status != io_status::would_block) co_return put.error;
    const wake woken = co_await writable(deadline, cancel);
    if (woken == wake::timeout) co_return io_error::timeout;
    if (woken == wake::canceled) co_return io_error::canceled;
  }
  co_return io_error::none;
}

task<io_error> stream::handshake(ssl_handle ssl, instant deadline, cancel_source* cancel) {
  ssl_ = std::move(ssl);
  if (ssl_ == nullptr) co_return io_error::tls;  // out of memory
  SSL_set_fd(ssl_.get(), source_.fd());
  for (;;) {
    ERR_clear_error();
    const int n = SSL_do_handshake(ssl_.get());
    if (n == 1) co_return io_error::none;
    const int reason = SSL_get_error(ssl_.get(), n);
    wake woken = wake::ready;
    if (reason == SSL_ERROR_WANT_READ) {
      source_.mark_drained();
      woken = co_await readable(deadline, cancel);
    } else if (reason == SSL_ERROR_WANT_WRITE) {
      source_.mark_unwritable();
      woken = co_await writable(deadline, cancel);
    } else {
      co_return io_error::tls;
    }
    if (woken == wake::timeout) co_return io_error::timeout;
    if (woken == wake::canceled) co_return io_error::canceled;
  }
}

void stream::shutdown_write() noexcept {
  if (is_open()) ::shutdown(source_.fd(), SHUT_WR);
}

void stream::say_end() noexcept {
  if (ssl_ == nullptr || tls_broken_ || !is_open() || hung_up() || !SSL_is_init_finished(ssl_.get())) return;
  ERR_clear_error();
  static_cast<void>(SSL_shutdown(ssl_.get()));
  ERR_clear_error();
}

std::size_t stream::unsent() const noexcept {
  int bytes = 0;
  if (!is_open() || ::ioctl(source_.fd(), SIOCOUTQ, &bytes) != 0 || bytes < 0) return 0;
  return static_cast<std::size_t>(bytes);
}

void stream::reset() noexcept {
  if (!is_open()) return;
  const linger hard{1, 0};
  ::setsockopt(source_.fd(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  source_.close();
}

}  // namespace tidegate::runtime
