#include "runtime/server/downstream.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <utility>

#include "foundation/check.h"
#include "foundation/text.h"
#include "runtime/server/server.h"

namespace tidegate::runtime {
namespace {

constexpr std::size_t body_step = 256U << 10;
constexpr std::size_t linger_bytes_max = 1U << 20;
// Messages up to this size are copied and wait for the end of the round; copying more costs more than it
// saves.
constexpr std::size_t gathered_bytes_max = 16U << 10;
constexpr std::chrono::seconds linger_time{2};
constexpr std::chrono::milliseconds cut_step{5};

iovec piece_of(std::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

// Views outside the `size` bytes at `from` (the parser's own literals, such as the path of "GET http://h")
// stay.
void rebase(http1::request_head& head, const char* from, std::size_t size, const char* to) {
  const auto move = [&](std::string_view& view) {
    const bool inside = !std::less<>{}(view.data(), from) && !std::less<>{}(from + size, view.data());
    if (inside) view = {to + (view.data() - from), view.size()};
  };
  for (http1::field& f : head.fields) {
    move(f.name);
    move(f.value);
  }
  move(head.method);
  move(head.target);
  move(head.path_query);
  move(head.host);
}

// Of a head that was refused: as much as tells which dialect its caller speaks.
std::string target_of(std::string_view bytes) {
  const std::string_view line = bytes.substr(0, bytes.find('\r'));
  const std::size_t blank = line.find(' ');
  if (blank == std::string_view::npos) return {};
  const std::string_view rest = line.substr(blank + 1, 256);
  return std::string{rest.substr(0, rest.find(' '))};
}

}  // namespace

downstream::downstream(server& owner, int fd, bool from_loopback) noexcept
    : server_{owner}, stream_{owner.owner(), fd}, from_loopback_{from_loopback} {}

downstream::~downstream() {
  if (link_ != nullptr) *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
}

task<void> downstream::run() {
  if (server_.tls_ != nullptr) {
    const instant by = owner().now() + server_.settings_.header_timeout;
    if (co_await stream_.handshake(make_server_session(*server_.tls_), by, &server_.idle_) != io_error::none)
      co_return;
  }
  while (co_await serve_one()) {
  }
  if (broken_ || !stream_.is_open()) co_return;
  if (!body_open_) {
    stream_.say_end();
  } else if (!chunked_ && !stream_.encrypted()) {
    // Its length would be told by the connection's end: an ordinary one would make it whole. (TLS has an end
    // of its own, which is not said here.)
    co_await cut();
    co_return;
  }
  // Anything unread would turn our close into a reset and could take the answer with it.
  if (!body_complete_ || !pending_.empty()) co_await linger();
}

// An exchange under way, counted back also where its handler fails.
class downstream::busy {
 public:
  explicit busy(downstream& d) noexcept : of_{d} { ++of_.server_.active_; }
  busy(const busy&) = delete;
  busy& operator=(const busy&) = delete;
  ~busy() {
    --of_.server_.active_;
    of_.stream_.source().on_hangup(nullptr);
    of_.gone_ = nullptr;
  }

 private:
  downstream& of_;
};

task<bool> downstream::serve_one() {
  common_headers_.clear();
  const head_outcome outcome = co_await read_head();
  if (outcome == head_outcome::closed) co_return false;
  if (outcome == head_outcome::refused) {
    body_complete_ = false;
    co_await refuse(refusal_);
    co_return false;
  }
  cancel_source gone;
  gone_ = &gone;
  if (server_.stop_.fired()) gone.fire(cancel_reason::shutdown);
  stream_.source().on_hangup(&gone);
  responded_ = body_open_ = chunked_ = close_after_ = false;
  deadline_ = never;
  body_complete_ = head_.body == http1::framing::none ||
                   (head_.body == http1::framing::length && head_.content_length == body_.size());
  {
    const busy counted{*this};
    co_await server_.handler_.handle(*this);
  }
  const bool again = responded_ && !body_open_ && body_complete_ && !broken_ && !close_after_ &&
                     persistent() && stream_.is_open();
  server_.recycle(std::move(head_bytes_));
  server_.recycle(std::move(body_));
  co_return again;
}

bool downstream::persistent() const noexcept { return head_.keep_alive && !server_.draining_; }

task<downstream::head_outcome> downstream::read_head() {
  const server_settings& settings = server_.settings_;
  const bool fresh = head_.minor_version == 1 && arrived_ == instant{};
  instant deadline =
      owner().now() + (fresh || !pending_.empty() ? settings.header_timeout : settings.keep_alive);
  arrived_ = owner().now();
  std::size_t scanned = 0;
  std::string_view bytes = pending_;
  for (;;) {
    if (!bytes.empty()) {
      const http1::parse_result parsed = http1::parse_request_head(bytes, settings.head, scanned, head_);
      if (parsed.status == http1::parse_status::complete) {
        adopt(bytes, parsed.consumed);
        co_return head_outcome::complete;
      }
      if (parsed.status == http1::parse_status::failed) {
        refusal_ = {parsed.failure.status, parsed.failure.reason};
        refused_target_ = target_of(bytes);
        co_return head_outcome::refused;
      }
      if (bytes.data() != pending_.data()) pending_.assign(bytes);
      // The scratch is anybody's while we wait; a wake without bytes (part of a TLS record) must not parse
      // it.
      bytes = {};
    }
    const wake woken =
        co_await stream_.readable(deadline, pending_.empty() ? &server_.idle_ : &server_.stop_);
    if (woken == wake::canceled && server_.stop_.fired()) co_return head_outcome::closed;
    if (woken == wake::timeout) {
      if (pending_.empty()) co_return head_outcome::closed;
      refusal_ = {408, "the request head took too long"};
      refused_target_ = target_of(pending_);
      co_return head_outcome::refused;
    }
    const std::span<char> scratch = owner().scratch();
    const io_result got = stream_.try_read(scratch);
    if (got.status == io_status::would_block) {
      // Drained while idle; a request that is here already is answered first, for a close would reset it.
      if (woken == wake::canceled) co_return head_outcome::closed;
      continue;
    }
    if (got.status != io_status::done) co_return head_outcome::closed;
    if (pending_.empty()) {
      bytes = {scratch.data(), got.bytes};
      arrived_ = owner().now();
      if (!fresh) deadline = arrived_ + settings.header_timeout;
    } else {
      pending_.append(scratch.data(), got.bytes);
      bytes = pending_;
    }
  }
}

// Moves the head, and the part of the body that has come with it, out of the loop's scratch.
void downstream::adopt(std::string_view bytes, std::size_t consumed) {
  head_bytes_ = server_.spare_buffer();
  head_bytes_.assign(bytes.data(), consumed);
  rebase(head_, bytes.data(), consumed, head_bytes_.data());
  body_ = server_.spare_buffer();
  std::size_t taken = 0;
  if (head_.body == http1::framing::length) {
    taken = static_cast<std::size_t>(std::min<std::uint64_t>(head_.content_length, bytes.size() - consumed));
    body_.assign(bytes.data() + consumed, taken);
  }
  const std::string_view rest = bytes.substr(consumed + taken);
  if (bytes.data() == pending_.data()) {
    pending_.erase(0, consumed + taken);
  } else {
    pending_.assign(rest);
  }
  if (pending_.empty() && pending_.capacity() > 64) std::string{}.swap(pending_);
}

void downstream::release_request() {
  std::vector<http1::field>{}.swap(head_.fields);
  head_.method = head_.target = head_.host = {};
  server_.recycle(std::move(head_bytes_));
  server_.recycle(std::move(body_));
}

task<std::expected<std::string_view, http_refusal>> downstream::read_body(std::uint64_t limit) {
  if (head_.body == http1::framing::length && head_.content_length > limit) {
    co_return std::unexpected{http_refusal{413, "the request body is too large"}};
  }
  if (body_complete_) co_return std::string_view{body_};
  if (head_.expect_continue && pending_.empty() && body_.empty()) {
    if (co_await stream_.write_all("HTTP/1.1 100 Continue\r\n\r\n", deadline_, gone_) != io_error::none) {
      broken_ = true;
      co_return std::unexpected{http_refusal{0, "the client has gone"}};
    }
  }
  const auto read =
      head_.body == http1::framing::chunked ? co_await read_chunked(limit) : co_await read_sized(limit);
  if (!read) co_return std::unexpected{read.error()};
  body_complete_ = true;
  co_return std::string_view{body_};
}

task<std::expected<void, http_refusal>> downstream::read_sized(std::uint64_t limit) {
  TG_CHECK(head_.content_length <= limit);
  const auto total = static_cast<std::size_t>(head_.content_length);
  const instant started = owner().now();
  body_.reserve(std::min(total, body_step));
  while (body_.size() < total) {
    const std::size_t had = body_.size();
    // Grows with what has come, so that a promised length alone costs nothing.
    const std::size_t room = std::min(total - had, std::max(body_step, had));
    io_result got;
    body_.resize_and_overwrite(had + room, [&](char* data, std::size_t) {
      got = stream_.try_read({data + had, room});
      return had + (got.status == io_status::done ? got.bytes : 0);
    });
    if (got.status == io_status::done) continue;
    if (got.status != io_status::would_block) {
      broken_ = true;
      co_return std::unexpected{http_refusal{0, "the client has gone"}};
    }
    const auto ready = co_await more_body(body_.size(), started);
    if (!ready) co_return std::unexpected{ready.error()};
  }
  co_return std::expected<void, http_refusal>{};
}

// Waits for more of the body, as long as the caller keeps to the least rate.
task<std::expected<std::size_t, http_refusal>> downstream::more_body(std::size_t received, instant started) {
  const server_settings& settings = server_.settings_;
  instant by = never;
  if (settings.min_body_rate != 0) {
    by = started + settings.body_grace + std::chrono::milliseconds{received * 1000 / settings.min_body_rate};
  }
  const wake woken = co_await stream_.readable(by, gone_);
  if (woken == wake::canceled) {
    broken_ = true;
    co_return std::unexpected{http_refusal{0, "the client has gone"}};
  }
  if (woken == wake::timeout)
    co_return std::unexpected{http_refusal{408, "the request body came too slowly"}};
  co_return received;
}

task<std::expected<void, http_refusal>> downstream::read_chunked(std::uint64_t limit) {
  http1::chunk_decoder decoder;
  const instant started = owner().now();
  std::size_t received = 0;
  std::string input = std::move(pending_);
  pending_.clear();
  for (;;) {
    std::string_view left = input;
    while (!left.empty()) {
      const auto step = decoder.next(left);
      left.remove_prefix(step.consumed);
      if (step.status == http1::parse_status::failed) {
        co_return std::unexpected{http_refusal{step.failure.status, step.failure.reason}};
      }
      if (body_.size() + step.data.size() > limit) {
        co_return std::unexpected{http_refusal{413, "the request body is too large"}};
      }
      body_.append(step.data);
      if (step.status == http1::parse_status::complete) {
        pending_.assign(left);
        co_return std::expected<void, http_refusal>{};
      }
    }
    const std::span<char> scratch = owner().scratch();
    const io_result got = stream_.try_read(scratch);
    input.clear();
    if (got.status == io_status::done) {
      input.assign(scratch.data(), got.bytes);
      received += got.bytes;
      continue;
    }
    if (got.status != io_status::would_block) {
      broken_ = true;
      co_return std::unexpected{http_refusal{0, "the client has gone"}};
    }
    const auto ready = co_await more_body(received, started);
    if (!ready) co_return std::unexpected{ready.error()};
  }
}

void downstream::append_status(std::string& out, int status, std::string_view headers) const {
  out += "HTTP/1.1 ";
  foundation::append_number(out, status);
  out += ' ';
  out += http1::reason_phrase(status);
  out += "\r\n";
  out += headers;
  out += common_headers_;
  const bool keep = persistent() && !close_after_ && body_complete_;
  if (!keep) {
    out += "connection: close\r\n";
  } else if (head_.minor_version == 0) {
    out += "connection: keep-alive\r\n";
  }
}

task<bool> downstream::respond(int status, std::string_view headers, std::string_view body) {
  TG_CHECK(!responded_);
  responded_ = true;
  // A handler without a limit of its own must not lend its connection to a reader that never reads.
  if (deadline_ == never) deadline_ = owner().now() + server_.settings_.keep_alive;
  std::string out = server_.spare_buffer();
  append_status(out, status, headers);
  out += "content-length: ";
  foundation::append_number(out, static_cast<std::int64_t>(body.size()));
  out += "\r\n\r\n";
  if (head_.method == "HEAD") body = {};
  if (body.size() <= gathered_bytes_max) {
    out += std::exchange(body, {});
    co_await owner().round_end();
  }
  std::array pieces{piece_of(out), piece_of(body)};
  const bool sent = co_await send(pieces);
  server_.recycle(std::move(out));
  co_return sent;
}

task<bool> downstream::begin(int status, std::string_view headers) {
  TG_CHECK(!responded_);
  responded_ = true;
  body_open_ = true;
  chunked_ = head_.minor_version == 1;
  if (!chunked_) close_after_ = true;  // HTTP/1.0: the end of the connection is the end of the body
  std::string out;
  append_status(out, status, headers);
  out += chunked_ ? "transfer-encoding: chunked\r\n\r\n" : "\r\n";
  std::array pieces{piece_of(out)};
  co_return co_await send(pieces);
}

task<bool> downstream::write(std::string_view bytes) {
  if (bytes.empty()) co_return !broken_;
  if (!chunked_) co_return co_await write_raw(bytes);
  std::array<char, 20> size;
  char* end = std::to_chars(size.data(), size.data() + 16, bytes.size(), 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  const std::string_view size_line{size.data(), static_cast<std::size_t>(end - size.data())};
  if (bytes.size() > gathered_bytes_max) {
    std::array pieces{piece_of(size_line), piece_of(bytes), piece_of("\r\n")};
    co_return co_await send(pieces);
  }
  std::string out = server_.spare_buffer();
  out.append(size_line).append(bytes).append("\r\n");
  co_await owner().round_end();
  std::array pieces{piece_of(out)};
  const bool sent = co_await send(pieces);
  server_.recycle(std::move(out));
  co_return sent;
}

task<bool> downstream::write_raw(std::string_view bytes) {
  std::array pieces{piece_of(bytes)};
  co_return co_await send(pieces);
}

task<bool> downstream::finish() {
  TG_CHECK(body_open_);
  if (chunked_) {
    std::array pieces{piece_of(http1::last_chunk)};
    if (!co_await send(pieces)) co_return false;
  }
  body_open_ = false;
  co_return !broken_;
}

task<bool> downstream::send(std::span<iovec> pieces) {
  if (broken_) co_return false;
  for (;;) {
    const io_result put = stream_.try_write(pieces);
    if (put.status == io_status::would_block) break;
    if (put.status != io_status::done) {
      broken_ = true;
      co_return false;
    }
    std::size_t written = put.bytes;
    while (!pieces.empty() && written >= pieces.front().iov_len) {
      written -= pieces.front().iov_len;
      pieces = pieces.subspan(1);
    }
    if (pieces.empty()) co_return true;
    pieces.front().iov_base = static_cast<char*>(pieces.front().iov_base) + written;
    pieces.front().iov_len -= written;
  }
  // The kernel is full: what is left is copied, for the caller's view ends with our suspension.
  std::string rest;
  for (const iovec& piece : pieces) rest.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  const io_error error = co_await stream_.write_all(rest, deadline_, gone_);
  broken_ = error != io_error::none;
  co_return !broken_;
}

void downstream::reset() noexcept {
  broken_ = true;
  stream_.reset();
}

task<void> downstream::refuse(http_refusal why) {
  std::string headers;
  const std::string body = server_.handler_.refusal_body(why, refused_target_, headers);
  close_after_ = true;
  responded_ = false;
  head_.method = {};
  deadline_ = owner().now() + linger_time;
  static_cast<void>(co_await respond(why.status, headers, body));
}

// A reset takes along what has not arrived yet, and with it the error that says why.
task<void> downstream::cut() {
  const instant by = owner().now() + linger_time;
  while (stream_.unsent() > 0 && !stream_.hung_up() && owner().now() < by) {
    if (co_await owner().sleep_until(owner().now() + cut_step, &server_.stop_) == wake::canceled) break;
  }
  stream_.reset();
}

task<void> downstream::linger() {
  stream_.shutdown_write();
  const instant by = owner().now() + linger_time;
  std::size_t dropped = 0;
  while (dropped < linger_bytes_max) {
    const auto got = co_await stream_.read_some(owner().scratch(), by, &server_.stop_);
    if (!got) co_return;
    dropped += *got;
  }
}

}  // namespace tidegate::runtime
