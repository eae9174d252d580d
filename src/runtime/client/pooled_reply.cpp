#include "runtime/client/pooled_reply.h"

#include <algorithm>
#include <array>

namespace tidegate::runtime {
namespace {

// What is left of `pieces` once that many bytes of them were written.
std::span<iovec> behind(std::span<iovec> pieces, std::size_t written) {
  while (!pieces.empty() && written >= pieces.front().iov_len) {
    written -= pieces.front().iov_len;
    pieces = pieces.subspan(1);
  }
  if (pieces.empty()) return pieces;
  pieces.front().iov_base = static_cast<char*>(pieces.front().iov_base) + written;
  pieces.front().iov_len -= written;
  return pieces;
}

}  // namespace

pooled_client::reply::~reply() {
  if (!done_ || connection_ == nullptr) return;
  if (head_.keep_alive && carry_.empty() && !request_cut_) {
    owner_.give_back(std::move(connection_));
  } else if (!request_cut_) {
    connection_->io().say_end();
  }
}

std::expected<bool, call_fault> pooled_client::reply::advance_head(std::string_view method) {
  const std::span<char> scratch = owner_.loop_.scratch();
  const io_result got = connection_->io().try_read(scratch);
  if (got.status == io_status::would_block) return false;
  if (got.status != io_status::done) {
    ended_ = got.error == io_error::closed;
    return std::unexpected{got.error == io_error::tls ? call_fault::tls : call_fault::reset};
  }
  answered_ = true;
  std::string_view bytes{scratch.data(), got.bytes};
  if (!reading_.empty()) {
    reading_.append(bytes);
    bytes = reading_;
  }
  for (;;) {
    const auto parsed = http1::parse_response_head(bytes, owner_.settings_.head, scanned_, method, head_);
    if (parsed.status == http1::parse_status::failed) return std::unexpected{call_fault::malformed};
    if (parsed.status == http1::parse_status::need_more) break;
    scanned_ = 0;
    if (head_.status >= 100 && head_.status < 200) {  // informational: the real head follows
      if (head_.status == 101) return std::unexpected{call_fault::malformed};
      bytes.remove_prefix(parsed.consumed);
      continue;
    }
    adopt(bytes, parsed.consumed);
    std::string{}.swap(reading_);
    return true;
  }
  if (bytes.data() != reading_.data() || bytes.size() != reading_.size()) reading_ = std::string{bytes};
  return false;
}

task<std::expected<bool, call_fault>> pooled_client::reply::read_head(std::string_view method, instant by,
                                                                      cancel_source* cancel) {
  for (;;) {
    const wake woken = co_await connection_->io().readable(by, cancel);
    if (woken == wake::canceled) co_return std::unexpected{call_fault::canceled};
    if (woken == wake::timeout) co_return std::unexpected{call_fault::first_byte_timeout};
    const auto whole = advance_head(method);
    if (!whole || *whole) co_return whole;
  }
}

task<pooled_client::send_end> pooled_client::reply::send_rest(io_result first, std::string_view head,
                                                              std::string_view body, instant by,
                                                              cancel_source* cancel) {
  const std::string_view method = head.substr(0, head.find(' '));
  send_end end;
  std::array pieces{iovec{const_cast<char*>(head.data()), head.size()},
                    iovec{const_cast<char*>(body.data()), body.size()}};
  std::span<iovec> left{pieces};
  for (io_result put = first;; put = connection_->io().try_write(left)) {
    if (put.status == io_status::done) {
      end.handed_over = true;
      left = behind(left, put.bytes);
      if (left.empty()) co_return end;
      continue;
    }
    if (put.status != io_status::would_block) {
      request_cut_ = true;
      end.error = io_error::reset;
      co_return end;
    }
    end.handed_over = true;  // a part may be with the kernel
    io_source& source = connection_->io().source();
    const bool answered = end.head.has_value() && *end.head;
    const wake woken = answered ? co_await source.writable(by, cancel) : co_await source.ready(by, cancel);
    if (woken != wake::ready) {
      end.error = woken == wake::timeout ? io_error::timeout : io_error::canceled;
      co_return end;
    }
    if (answered || !source.looks_readable()) continue;
    end.head = advance_head(method);
    if (!end.head) co_return end;
    // A refusal does not depend on what is still unsent, and whoever sent it may never read that. A success
    // does, also where the connection ends behind it.
    request_cut_ = *end.head && head_.status >= 300;
    if (request_cut_) co_return end;
  }
}

task<std::expected<std::string_view, call_fault>> pooled_client::reply::read(instant deadline,
                                                                             cancel_source* cancel) {
  while (!done_) {
    std::string_view data;
    if (malformed_) co_return std::unexpected{call_fault::malformed};
    if (!carry_.empty()) {
      reading_ = std::move(carry_);
      carry_.clear();
      if (!take(reading_, data)) co_return std::unexpected{call_fault::malformed};
    } else {
      const wake woken = co_await connection_->io().readable(deadline, cancel);
      if (woken == wake::canceled) co_return std::unexpected{call_fault::canceled};
      if (woken == wake::timeout) co_return std::unexpected{call_fault::idle_timeout};
      const std::span<char> scratch = owner_.loop_.scratch();
      const io_result got = connection_->io().try_read(scratch);
      if (got.status == io_status::would_block) continue;
      if (got.status == io_status::closed && head_.body == http1::framing::until_close) {
        done_ = true;
        break;
      }
      if (got.status != io_status::done) co_return std::unexpected{call_fault::reset};
      if (!take({scratch.data(), got.bytes}, data)) co_return std::unexpected{call_fault::malformed};
    }
    if (!data.empty()) co_return data;
  }
  co_return std::string_view{};
}

void pooled_client::reply::release_head() {
  upstream_reply::release_head();
  std::string{}.swap(head_bytes_);
}

void pooled_client::reply::adopt(std::string_view bytes, std::size_t consumed) {
  head_bytes_.assign(bytes.data(), consumed);
  const char* const from = bytes.data();
  const auto move = [&](std::string_view& view) {
    if (view.data() != nullptr) view = {head_bytes_.data() + (view.data() - from), view.size()};
  };
  for (http1::field& f : head_.fields) {
    move(f.name);
    move(f.value);
  }
  move(head_.reason);
  carry_.assign(bytes.substr(consumed));
  left_ = head_.content_length;
  done_ = head_.body == http1::framing::none || (head_.body == http1::framing::length && left_ == 0);
}

bool pooled_client::reply::take(std::string_view input, std::string_view& data) {
  if (head_.body == http1::framing::until_close) {
    data = input;
    return true;
  }
  if (head_.body == http1::framing::length) {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size()));
    data = input.substr(0, n);
    left_ -= n;
    done_ = left_ == 0;
    carry_ = input.substr(n);
    return true;
  }
  return take_chunks(input, data);
}

bool pooled_client::reply::take_chunks(std::string_view input, std::string_view& data) {
  bool joined = false;
  while (!input.empty()) {
    const auto step = decoder_.next(input);
    if (step.status == http1::parse_status::failed) {
      malformed_ = true;  // what came whole before it goes out first
      break;
    }
    input.remove_prefix(step.consumed);
    if (!step.data.empty()) {
      if (data.empty()) {
        data = step.data;
      } else {
        // Several chunks came in one read: they go on as one piece.
        if (!joined) joined_.assign(data);
        joined_.append(step.data);
        joined = true;
      }
    }
    if (step.status == http1::parse_status::complete) {
      done_ = true;
      carry_ = input;
      break;
    }
  }
  if (joined) data = joined_;
  return !malformed_ || !data.empty();
}

}  // namespace tidegate::runtime
