// The caller's side of the port: keeps what it was sent, and may leave or read slowly.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "foundation/text.h"
#include "gateway/exchange.h"
#include "runtime/async/cancel.h"
#include "runtime/loop.h"

namespace tidegate::kit {

class recorded_reply final : public gateway::reply_sink {
 public:
  explicit recorded_reply(runtime::loop& owner) : loop_{owner} {}

  int status = 0;
  std::string headers;
  std::string body;                 // whole, or all bytes of the stream
  std::vector<std::string> writes;  // of the stream
  bool streamed = false;            // begin_stream was called
  bool whole_sent = false;
  bool ended = false;     // end_stream was called and the caller was there
  bool broken = false;    // break_off was called
  bool given_up = false;  // a write was not over by the deadline
  bool released = false;
  foundation::instant deadline{};
  foundation::instant first_write{};
  std::size_t answers = 0;          // heads sent: never more than one
  foundation::duration per_byte{};  // a slow reader: how long each byte takes
  std::function<void()> on_begin;   // when a stream is opened

  // The caller hangs up, as seen by the event loop.
  void leave() { gone_.fire(runtime::cancel_reason::client_left); }
  bool left() const { return gone_.reason() == runtime::cancel_reason::client_left; }

  std::string header(std::string_view lower_name) const {
    std::string_view lines = headers;
    while (!lines.empty()) {
      const std::string_view line = lines.substr(0, lines.find("\r\n"));
      const std::size_t colon = line.find(':');
      if (colon != std::string_view::npos && foundation::iequals(line.substr(0, colon), lower_name)) {
        return std::string{foundation::trim(line.substr(colon + 1))};
      }
      lines.remove_prefix(std::min(lines.size(), line.size() + 2));
    }
    return {};
  }

  runtime::task<bool> whole(int code, std::string_view lines, std::string_view text) override {
    ++answers;
    if (left()) co_return false;
    status = code;
    headers = lines;
    body = text;
    whole_sent = true;
    co_return true;
  }
  runtime::task<bool> begin_stream(int code, std::string_view lines) override {
    ++answers;
    streamed = true;
    if (on_begin) on_begin();
    if (left()) co_return false;
    status = code;
    headers = lines;
    co_return true;
  }
  runtime::task<bool> write(std::string_view bytes) override {
    if (left()) co_return false;
    if (writes.empty()) first_write = loop_.now();
    body.append(bytes);
    writes.emplace_back(bytes);
    if (per_byte > foundation::duration::zero() && !bytes.empty()) {
      const auto until = loop_.now() + per_byte * static_cast<std::int64_t>(bytes.size());
      const auto woken = co_await loop_.sleep_until(std::min(until, deadline), &gone_);
      given_up = until > deadline;
      if (woken == runtime::wake::canceled || given_up) co_return false;
    }
    co_return true;
  }
  runtime::task<bool> end_stream() override {
    ended = !left();
    co_return ended;
  }
  void break_off() override { broken = true; }
  void release_request() override { released = true; }
  runtime::cancel_source& gone() override { return gone_; }
  void set_deadline(foundation::instant when) override { deadline = when; }

 private:
  runtime::loop& loop_;
  runtime::cancel_source gone_;
};

}  // namespace tidegate::kit
