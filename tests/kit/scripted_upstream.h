// A provider's side of the port, told what to do: each call takes the next behaviour of its host's script,
// then the host's standing one. Runs on the loop's (simulated) time and keeps a record of every call.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kit/provider_texts.h"
#include "protocol/http1/http1.h"
#include "runtime/client/upstream.h"
#include "runtime/loop.h"

namespace tidegate::kit {

using foundation::duration;
using foundation::instant;
using runtime::call_fault;

// How a stream leaves its way to the end.
enum class stream_end : std::uint8_t {
  whole,        // finish reason, end marker, end of body
  no_marker,    // finish reason, then the end of the body
  cut,          // the body ends early, its framing whole
  reset,        // the connection breaks
  stall,        // silence
  error_event,  // an error in the stream, then the end of the body
};

struct behavior {
  enum class kind : std::uint8_t { answer, raw, fault, hang };
  kind what = kind::answer;
  duration delay{};                      // before the head, or before the fault
  call_fault fault = call_fault::reset;  // kind fault
  int status = 200;                      // kind raw
  std::string headers;                   // extra lines, "name: value\r\n"
  std::string text = "hello world, how are you?";
  std::vector<std::string> pieces;                 // kind raw: the body as it arrives
  duration pause{};                                // before each piece of the body
  stream_end end = stream_end::whole;              // kind answer, streamed; raw: whole, reset or stall
  std::size_t content_events = std::string::npos;  // sent before an end other than whole
  bool preamble = true;                            // sent before such an end
  std::string error_type = "overloaded_error";
  std::string error_message = "Overloaded";

  behavior&& after(duration d) && {
    delay = d;
    return std::move(*this);
  }
  behavior&& paced(duration d) && {
    pause = d;
    return std::move(*this);
  }
  behavior&& with(std::string lines) && {
    headers = std::move(lines);
    return std::move(*this);
  }
};

inline behavior answers(std::string text = "hello world, how are you?") {
  behavior b;
  b.text = std::move(text);
  return b;
}
inline behavior replies(int status, std::string body = "{}",
                        std::string headers = "content-type: application/json\r\n") {
  behavior b;
  b.what = behavior::kind::raw;
  b.status = status;
  b.pieces = {std::move(body)};
  b.headers = std::move(headers);
  return b;
}
inline behavior status(int code, std::string headers = {}) {
  return replies(code,
                 R"({"error":{"message":"scripted )" + std::to_string(code) + R"(","type":"scripted"}})",
                 "content-type: application/json\r\n" + std::move(headers));
}
inline behavior fails(call_fault fault) {
  behavior b;
  b.what = behavior::kind::fault;
  b.fault = fault;
  return b;
}
inline behavior hangs() {
  behavior b;
  b.what = behavior::kind::hang;
  return b;
}
// A stream that ends as told behind its preamble and `content_events` pieces of content.
inline behavior streams(stream_end end, std::size_t content_events,
                        std::string text = "hello world, how are you?") {
  behavior b;
  b.end = end;
  b.content_events = content_events;
  b.text = std::move(text);
  return b;
}

struct call_record {
  std::string host;
  std::string head;
  std::string body;
  instant at{};
  instant ended_at{};
  bool open = true;            // until the call failed or its reply was destroyed
  std::size_t bytes_read = 0;  // of the body, by the gateway
  bool body_ended = false;     // the gateway has seen its end
  behavior did;
  std::string tag;  // in every id of the reply

  std::string_view path() const {
    const std::string_view line = std::string_view{head}.substr(0, head.find("\r\n"));
    const std::size_t from = line.find(' ') + 1;
    return line.substr(from, line.find(' ', from) - from);
  }
  bool streamed() const { return head.find("accept: text/event-stream") != std::string::npos; }
};

class scripted_upstream final : public runtime::upstream_client {
 public:
  explicit scripted_upstream(runtime::loop& owner) : loop_{owner} {}

  // The next calls of this host, in order.
  void next(std::string_view host, behavior b) { scripts_[std::string{host}].push_back(std::move(b)); }
  void next(std::string_view host, std::size_t times, const behavior& b) {
    for (std::size_t i = 0; i < times; ++i) next(host, b);
  }
  // What it does when its script is used up.
  void always(std::string_view host, behavior b) { standing_[std::string{host}] = std::move(b); }

  const std::deque<call_record>& calls() const { return calls_; }
  std::size_t count(std::string_view host) const {
    std::size_t n = 0;
    for (const call_record& c : calls_) n += c.host == host ? 1U : 0U;
    return n;
  }
  const call_record* last(std::string_view host) const {
    for (auto c = calls_.rbegin(); c != calls_.rend(); ++c) {
      if (c->host == host) return &*c;
    }
    return nullptr;
  }
  std::size_t open_calls() const {
    std::size_t n = 0;
    for (const call_record& c : calls_) n += c.open ? 1U : 0U;
    return n;
  }

  runtime::task<std::expected<std::unique_ptr<runtime::upstream_reply>, runtime::call_end>> call(
      const runtime::origin& to, std::string_view head, std::string_view body, runtime::call_deadlines by,
      runtime::cancel_source* cancel) override {
    call_record& seen = calls_.emplace_back();
    seen.host = to.host;
    seen.head = head;
    seen.body = body;
    seen.at = loop_.now();
    seen.tag = "tag" + std::to_string(calls_.size()) + "of" + to.host.substr(0, to.host.rfind('.'));
    seen.did = take(to.host);
    open_mark mark{seen, loop_};
    const behavior& b = seen.did;
    const bool connecting = b.what == behavior::kind::fault && b.fault == call_fault::connect_timeout;
    const auto ended = [&](call_fault fault) {
      const bool sent =
          !connecting && fault != call_fault::dns && fault != call_fault::tls && fault != call_fault::connect;
      return std::unexpected{runtime::call_end{fault, sent}};
    };
    const instant limit = connecting ? std::min(by.connect, by.first_byte) : by.first_byte;
    const bool silent = b.what == behavior::kind::hang || connecting;
    const waited end = co_await wait(silent ? foundation::never : loop_.now() + b.delay, limit, cancel);
    if (end == waited::canceled) co_return ended(call_fault::canceled);
    if (end == waited::timeout)
      co_return ended(connecting ? call_fault::connect_timeout : call_fault::first_byte_timeout);
    if (b.what == behavior::kind::fault) co_return ended(b.fault);
    co_return std::make_unique<scripted_reply>(*this, seen, std::move(mark));
  }

 private:
  enum class waited : std::uint8_t { ready, timeout, canceled };

  // Marks the end of a call whatever way it takes.
  class open_mark {
   public:
    open_mark(call_record& of, runtime::loop& time) : of_{&of}, loop_{&time} {}
    open_mark(open_mark&& other) noexcept : of_{std::exchange(other.of_, nullptr)}, loop_{other.loop_} {}
    open_mark& operator=(open_mark&&) = delete;
    ~open_mark() {
      if (of_ == nullptr) return;
      of_->open = false;
      of_->ended_at = loop_->now();
    }

   private:
    call_record* of_;
    runtime::loop* loop_;
  };

  class scripted_reply final : public runtime::upstream_reply {
   public:
    scripted_reply(scripted_upstream& owner, call_record& seen, open_mark mark)
        : owner_{owner}, seen_{seen}, mark_{std::move(mark)}, ready_at_{owner.loop_.now()} {
      render();
    }

    runtime::task<std::expected<std::string_view, call_fault>> read(instant deadline,
                                                                    runtime::cancel_source* cancel) override {
      const bool more = at_ < pieces_.size();
      const bool silent = !more && ending_ == stream_end::stall;
      const instant when = silent ? foundation::never : ready_at_ + (more ? seen_.did.pause : duration{});
      const waited end = co_await owner_.wait(when, deadline, cancel);
      if (end == waited::canceled) co_return std::unexpected{call_fault::canceled};
      if (end == waited::timeout) co_return std::unexpected{call_fault::idle_timeout};
      if (more) {
        ready_at_ = when;
        seen_.bytes_read += pieces_[at_].size();
        co_return std::string_view{pieces_[at_++]};
      }
      if (ending_ == stream_end::reset) co_return std::unexpected{call_fault::reset};
      seen_.body_ended = true;
      co_return std::string_view{};
    }

   private:
    void render() {
      const behavior& b = seen_.did;
      std::string headers = b.headers;
      int code = b.status;
      if (b.what == behavior::kind::answer) {
        code = 200;
        headers +=
            seen_.streamed() ? "content-type: text/event-stream\r\n" : "content-type: application/json\r\n";
        render_answer();
      } else {
        for (const std::string& piece : b.pieces) {
          if (!piece.empty()) pieces_.push_back(piece);
        }
        ending_ = b.end;
      }
      head_text_ = "HTTP/1.1 " + std::to_string(code) + " Scripted\r\n" + headers +
                   "transfer-encoding: chunked\r\n\r\n";
      std::size_t scanned = 0;
      const auto parsed =
          protocol::http1::parse_response_head(head_text_, protocol::http1::limits{}, scanned, "POST", head_);
      if (parsed.status != protocol::http1::parse_status::complete) std::abort();
    }

    static void add(std::vector<std::string>& to, const std::vector<std::string>& from) {
      to.insert(to.end(), from.begin(), from.end());
    }

    void render_answer() {
      const behavior& b = seen_.did;
      const std::string_view path = seen_.path();
      const dialect_id dialect =
          path.find("/messages") != std::string_view::npos    ? dialect_id::anthropic_messages
          : path.find("/responses") != std::string_view::npos ? dialect_id::openai_responses
                                                              : dialect_id::openai_chat;
      ending_ = b.end;
      if (!seen_.streamed()) {
        pieces_ = {whole_text(dialect, seen_.tag, b.text)};
        if (ending_ != stream_end::reset && ending_ != stream_end::stall) ending_ = stream_end::whole;
        return;
      }
      const stream_text text = streamed_text(dialect, seen_.tag, b.text);
      if (b.preamble) add(pieces_, text.preamble);
      const std::size_t kept = std::min(b.content_events, text.content.size());
      pieces_.insert(pieces_.end(), text.content.begin(),
                     text.content.begin() + static_cast<std::ptrdiff_t>(kept));
      if (ending_ == stream_end::whole || ending_ == stream_end::no_marker) add(pieces_, text.finish);
      if (ending_ == stream_end::whole) add(pieces_, text.end);
      if (ending_ == stream_end::error_event) {
        pieces_.push_back(stream_error_text(dialect, b.error_type, b.error_message));
      }
    }

    scripted_upstream& owner_;
    call_record& seen_;
    open_mark mark_;
    instant ready_at_;
    std::string head_text_;
    std::vector<std::string> pieces_;
    std::size_t at_ = 0;
    stream_end ending_ = stream_end::whole;
  };

  // At equal times what is ready wins over the deadline.
  runtime::task<waited> wait(instant when, instant deadline, runtime::cancel_source* cancel) {
    if (cancel != nullptr && cancel->fired()) co_return waited::canceled;
    if (when <= loop_.now()) co_return waited::ready;
    const instant until = std::min(when, deadline);
    if (until > loop_.now() || deadline <= loop_.now()) {
      const runtime::wake woken = co_await loop_.sleep_until(until, cancel);
      if (woken == runtime::wake::canceled) co_return waited::canceled;
    }
    co_return when <= deadline ? waited::ready : waited::timeout;
  }

  behavior take(const std::string& host) {
    std::deque<behavior>& script = scripts_[host];
    if (!script.empty()) {
      behavior b = std::move(script.front());
      script.pop_front();
      return b;
    }
    const auto standing = standing_.find(host);
    return standing == standing_.end() ? answers() : standing->second;
  }

  runtime::loop& loop_;
  std::map<std::string, std::deque<behavior>> scripts_;
  std::map<std::string, behavior> standing_;
  std::deque<call_record> calls_;
};

}  // namespace tidegate::kit
