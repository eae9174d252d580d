// A connected byte stream: TCP or Unix socket, plain or TLS (OpenSSL on the non-blocking descriptor).
// try_* never wait; the waiting forms take one deadline and one cancel source.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "runtime/async/task.h"
#include "runtime/loop.h"

struct ssl_st;

namespace tidegate::runtime {

enum class io_error : std::uint8_t { none, closed, reset, timeout, canceled, refused, unreachable, dns, tls };
std::string_view to_text(io_error error);

enum class io_status : std::uint8_t { done, would_block, closed, failed };

struct io_result {
  io_status status = io_status::done;
  std::size_t bytes = 0;
  io_error error = io_error::none;  // where failed; `closed`: a TLS peer ended without saying so (a cut)
};

struct ssl_deleter {
  void operator()(ssl_st* ssl) const noexcept;
};
using ssl_handle = std::unique_ptr<ssl_st, ssl_deleter>;

class stream {
 public:
  // Takes the descriptor, which must be non-blocking.
  stream(loop& owner, int fd) noexcept : source_{owner, fd} {}

  loop& owner() const noexcept { return source_.owner(); }
  io_source& source() noexcept { return source_; }
  bool hung_up() const noexcept { return source_.hung_up(); }

  io_result try_read(std::span<char> into);
  // Writes as much as fits. With TLS several pieces go out as one record where they are small.
  io_result try_write(std::span<const iovec> pieces);
  io_wait readable(instant deadline, cancel_source* cancel) { return source_.readable(deadline, cancel); }
  io_wait writable(instant deadline, cancel_source* cancel) { return source_.writable(deadline, cancel); }

  // Some bytes, at least one; closed at the end of the stream.
  task<std::expected<std::size_t, io_error>> read_some(std::span<char> into, instant deadline,
                                                       cancel_source* cancel);
  // All bytes. `data` must stay valid until it returns.
  task<io_error> write_all(std::string_view data, instant deadline, cancel_source* cancel);

  // TLS from here on. The handle must be configured (client or server side) and not yet attached.
  task<io_error> handshake(ssl_handle ssl, instant deadline, cancel_source* cancel);
  bool encrypted() const noexcept { return ssl_ != nullptr; }

  void shutdown_write() noexcept;
  // Nothing follows what was written, and it was whole: a TLS peer is told so (close_notify), as far as that
  // can be done without waiting. Only behind this may a connection end that says by its end that a body is
  // whole.
  void say_end() noexcept;
  void close() noexcept { source_.close(); }
  // The peer sees a reset instead of an end.
  void reset() noexcept;
  bool is_open() const noexcept { return source_.fd() >= 0; }
  // Nothing more can be said or heard on it, though the descriptor is open.
  bool tls_broken() const noexcept { return tls_broken_; }
  // Bytes that the peer's side has not acknowledged yet; 0 where that cannot be told.
  std::size_t unsent() const noexcept;

 private:
  io_result tls_failure(int code, bool reading);
  io_result tls_write(std::span<const iovec> pieces);

  io_source source_;
  ssl_handle ssl_;
  bool tls_broken_ = false;  // the session has failed and must not be used any more
};

}  // namespace tidegate::runtime
