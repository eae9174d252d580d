// One caller's connection and the exchange that runs on it: the request as it came, and the ways to answer.
// Lives in one loop. The handler's coroutine is its only user while an exchange runs.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "protocol/http1/http1.h"
#include "runtime/async/cancel.h"
#include "runtime/async/task.h"
#include "runtime/net/stream.h"

namespace tidegate::runtime {

class server;
namespace http1 = protocol::http1;

// Why a request was refused by the HTTP side; `reason` is static text.
struct http_refusal {
  int status = 400;
  std::string_view reason;
};

class downstream {
 public:
  // Takes the descriptor.
  downstream(server& owner, int fd, bool from_loopback) noexcept;
  downstream(const downstream&) = delete;
  downstream& operator=(const downstream&) = delete;
  ~downstream();

  loop& owner() const noexcept { return stream_.owner(); }
  // Views stay valid until the exchange ends or release_request().
  const http1::request_head& request() const noexcept { return head_; }
  // Fires when the client leaves (client_left) or when the drain time is over (shutdown).
  cancel_source& gone() noexcept { return *gone_; }
  // When the first byte of the request was read.
  instant arrived() const noexcept { return arrived_; }
  bool from_loopback() const noexcept { return from_loopback_; }

  // The whole body, at most `limit` bytes. Answers "100 Continue" where asked. A refusal (413, 408, 400) is
  // to be answered by the handler; 0 as status: the client has gone.
  task<std::expected<std::string_view, http_refusal>> read_body(std::uint64_t limit);
  std::string take_body() noexcept { return std::move(body_); }
  // Frees head and body once nobody needs them any more (long streams).
  void release_request();

  // Writing stops (false) when the client has gone or this point in time has passed.
  void set_deadline(instant when) noexcept { deadline_ = when; }

  // Lines for whatever answers this exchange, the HTTP side's refusals of its body included.
  void add_headers(std::string_view lines) { common_headers_ += lines; }

  // `headers`: complete lines "name: value\r\n" without framing headers, which are ours. False: the client
  // has gone.
  task<bool> respond(int status, std::string_view headers, std::string_view body);
  // Opens a body of unknown length; then write() and finish().
  task<bool> begin(int status, std::string_view headers);
  // Waits until the bytes are with the kernel: a slow reader stops its writer. The view need not outlive a
  // suspension.
  task<bool> write(std::string_view bytes);
  task<bool> finish();
  // As write(), but the bytes go out as they are, without chunk framing (test instruments).
  task<bool> write_raw(std::string_view bytes);

  // The connection ends after this exchange; an open body is left without its end, so it never looks
  // complete.
  void close_after() noexcept { close_after_ = true; }
  // The client sees a reset.
  void reset() noexcept;
  bool responded() const noexcept { return responded_; }

 private:
  friend class server;
  class busy;
  enum class head_outcome : std::uint8_t { complete, refused, closed };

  task<void> run();
  task<head_outcome> read_head();
  task<bool> serve_one();
  void adopt(std::string_view bytes, std::size_t consumed);
  task<std::expected<void, http_refusal>> read_sized(std::uint64_t limit);
  task<std::expected<void, http_refusal>> read_chunked(std::uint64_t limit);
  task<std::expected<std::size_t, http_refusal>> more_body(std::size_t received, instant started);
  task<bool> send(std::span<iovec> pieces);
  [[gnu::noinline]] task<void> refuse(http_refusal why);
  [[gnu::noinline]] task<void> linger();
  [[gnu::noinline]] task<void> cut();
  void append_status(std::string& out, int status, std::string_view headers) const;
  bool persistent() const noexcept;

  server& server_;
  stream stream_;
  downstream* next_ = nullptr;  // in the server's list
  downstream** link_ = nullptr;
  cancel_source* gone_ = nullptr;  // of the exchange that runs
  http1::request_head head_;
  std::string head_bytes_;
  std::string body_;
  std::string pending_;  // read but not yet consumed: the next request, or a raw chunked body
  instant arrived_{};
  instant deadline_ = never;
  bool from_loopback_;
  bool body_complete_ = true;
  bool responded_ = false;
  bool chunked_ = false;
  bool body_open_ = false;
  bool close_after_ = false;
  bool broken_ = false;
  http_refusal refusal_;
  std::string refused_target_;
  std::string common_headers_;
};

}  // namespace tidegate::runtime
