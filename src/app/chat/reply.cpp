#include "app/chat/reply.h"

#include <algorithm>

#include "foundation/text.h"

namespace tidegate::app::chat {
namespace {

namespace http1 = protocol::http1;
namespace sse = protocol::sse;

constexpr http1::limits head_limits{64U << 10, 200, 8U << 10};
// A full conversation's messages fit.
constexpr std::size_t body_max = 256UL << 20;

}  // namespace

reply_state reply_parser::feed(std::string_view bytes) {
  while (place_ == place::head) {
    const reply_state state = feed_head(bytes);
    if (state != reply_state::need_more || place_ == place::head) return state;
  }
  if (place_ == place::done) return fault_.empty() ? reply_state::complete : reply_state::failed;
  if (head_.body == http1::framing::chunked) return feed_chunked(bytes);
  if (head_.body == http1::framing::until_close) return take(bytes);
  const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
  left_ -= length;
  if (take(bytes.substr(0, length)) == reply_state::failed) return reply_state::failed;
  return left_ == 0 ? finish() : reply_state::need_more;
}

reply_state reply_parser::feed_head(std::string_view& bytes) {
  kept_.append(bytes);
  for (;;) {
    const auto parsed = http1::parse_response_head(kept_, head_limits, scanned_, "POST", head_);
    if (parsed.status == http1::parse_status::failed) return fail("the answer is not HTTP");
    if (parsed.status == http1::parse_status::need_more) return reply_state::need_more;
    const bool interim = head_.status < 200;
    if (!interim) {
      stream_ = foundation::istarts_with(head_.get("content-type"), "text/event-stream");
      left_ = head_.content_length;
      place_ = place::body;
      bytes.remove_prefix(bytes.size() - (kept_.size() - parsed.consumed));
    }
    const int status = head_.status;
    const http1::framing framing = head_.body;
    // The head's views end with the bytes that they look at.
    head_ = {};
    head_.status = status;
    head_.body = framing;
    kept_.erase(0, parsed.consumed);
    scanned_ = 0;
    if (interim) continue;
    kept_.clear();
    const bool empty = framing == http1::framing::none || (framing == http1::framing::length && left_ == 0);
    return empty ? finish() : reply_state::need_more;
  }
}

reply_state reply_parser::feed_chunked(std::string_view bytes) {
  while (!bytes.empty()) {
    const http1::chunk_decoder::step step = chunks_.next(bytes);
    if (step.status == http1::parse_status::failed) return fail("the answer is not HTTP");
    bytes.remove_prefix(step.consumed);
    if (!step.data.empty() && take(step.data) == reply_state::failed) return reply_state::failed;
    if (step.status == http1::parse_status::complete) return finish();
  }
  return reply_state::need_more;
}

reply_state reply_parser::take(std::string_view data) {
  if (!stream_) {
    if (body_.size() + data.size() > body_max) return fail("the answer is too long");
    body_ += data;
    return reply_state::need_more;
  }
  const auto fed = events_.feed(data, [this](const sse::event_view& event) {
    if (event.dispatch) on_event_(event.type, event.data);
    return true;
  });
  return fed == sse::feed_status::ok ? reply_state::need_more : fail("an event is too long");
}

reply_state reply_parser::end_of_input() {
  if (place_ == place::body && head_.body == http1::framing::until_close) return finish();
  if (place_ == place::done && fault_.empty()) return reply_state::complete;
  return fail(place_ == place::head && kept_.empty() ? "the gateway closed the connection"
                                                     : "the answer is cut short");
}

reply_state reply_parser::fail(std::string_view why) {
  place_ = place::done;
  fault_ = why;
  return reply_state::failed;
}

reply_state reply_parser::finish() {
  place_ = place::done;
  return reply_state::complete;
}

}  // namespace tidegate::app::chat
