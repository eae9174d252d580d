#include "load/reply_reader.h"

#include <algorithm>
#include <utility>

#include "foundation/text.h"
#include "protocol/json/json.h"

namespace tidegate::load {
namespace {

namespace http1 = protocol::http1;
namespace json = protocol::json;
namespace sse = protocol::sse;

constexpr http1::limits head_limits{64U << 10, 200, 8U << 10};
constexpr std::size_t error_body_max = 4096;
constexpr std::size_t code_max = 64;

// Last event of a stream that went well: Chat Completions, Messages, Responses.
bool is_terminal(const sse::event_view& event) {
  return event.data == "[DONE]" || event.type == "message_stop" || event.type == "response.completed" ||
         event.type == "response.incomplete";
}

bool is_error(const sse::event_view& event) {
  return event.type == "error" || event.type == "response.failed" || event.data.starts_with("{\"error\"");
}

// The canonical code or the vendor's error type, in either dialect. Empty where there is none.
std::string error_code_in(std::string_view body) {
  const auto document = json::parse(body);
  if (!document) return {};
  std::string code = document->string_or("code", "");
  if (const auto error = document->find("error")) {
    if (code.empty()) code = error->string_or("code", "");
    if (code.empty()) code = error->string_or("type", "");
  }
  if (code.size() > code_max) code.resize(code_max);
  std::ranges::replace_if(code, [](char c) { return c <= ' ' || c > '~'; }, '?');
  return code;
}

}  // namespace

void reply_reader::begin() {
  state_ = state::head;
  started_ = reusable_ = event_stream_ = terminal_ = false;
  scanned_ = 0;
  left_ = events_ = 0;
  kept_.clear();
  error_body_.clear();
  failure_.clear();
}

reply_status reply_reader::feed(std::string_view bytes) {
  if (!bytes.empty()) started_ = true;
  while (state_ == state::head) {
    const reply_status status = feed_head(bytes);
    if (status == reply_status::failed || state_ == state::done) return status;
    if (bytes.empty()) return reply_status::need_more;
  }
  const reply_status status = feed_body(bytes);
  // Bytes behind the end belong to no call of ours.
  if (status == reply_status::complete && !bytes.empty()) reusable_ = false;
  return status;
}

reply_status reply_reader::feed_head(std::string_view& bytes) {
  const bool whole = kept_.empty();
  if (!whole) kept_.append(bytes);
  const std::string_view text = whole ? bytes : std::string_view{kept_};
  const http1::parse_result parsed = http1::parse_response_head(text, head_limits, scanned_, "POST", head_);
  if (parsed.status == http1::parse_status::failed) return fail("malformed reply");
  if (parsed.status == http1::parse_status::need_more) {
    if (whole) kept_.assign(bytes);
    bytes = {};
    return reply_status::need_more;
  }
  // What follows the head is the tail of this piece in either case.
  bytes = bytes.substr(bytes.size() - (text.size() - parsed.consumed));
  scanned_ = 0;
  kept_.clear();
  if (head_.status < 200) return reply_status::need_more;
  state_ = state::body;
  event_stream_ =
      head_.status < 300 && foundation::istarts_with(head_.get("content-type"), "text/event-stream");
  if (event_stream_) events_parser_ = sse::parser{1U << 20};
  if (head_.body == http1::framing::chunked) chunks_.reset();
  left_ = head_.content_length;
  const bool empty =
      head_.body == http1::framing::none || (head_.body == http1::framing::length && left_ == 0);
  return empty ? finish(head_.keep_alive) : reply_status::need_more;
}

reply_status reply_reader::feed_body(std::string_view& bytes) {
  if (state_ == state::done) return failure_.empty() ? reply_status::complete : reply_status::failed;
  if (head_.body == http1::framing::chunked) return feed_chunked(bytes);
  if (head_.body == http1::framing::until_close) return take(std::exchange(bytes, {}));
  const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
  left_ -= length;
  if (take(bytes.substr(0, length)) == reply_status::failed) return reply_status::failed;
  bytes.remove_prefix(length);
  return left_ == 0 ? finish(head_.keep_alive) : reply_status::need_more;
}

reply_status reply_reader::feed_chunked(std::string_view& bytes) {
  while (!bytes.empty()) {
    const http1::chunk_decoder::step step = chunks_.next(bytes);
    if (step.status == http1::parse_status::failed) return fail("malformed chunk");
    bytes.remove_prefix(step.consumed);
    if (!step.data.empty() && take(step.data) == reply_status::failed) return reply_status::failed;
    if (step.status == http1::parse_status::complete) return finish(head_.keep_alive);
  }
  return reply_status::need_more;
}

reply_status reply_reader::take(std::string_view data) {
  if (event_stream_) {
    const auto fed =
        events_parser_.feed(data, [this](const sse::event_view& event) { return on_event(event); });
    if (fed == sse::feed_status::stopped) return reply_status::failed;
    if (fed == sse::feed_status::too_large) return fail("event too large");
  } else if (head_.status >= 300 && error_body_.size() < error_body_max) {
    error_body_.append(data.substr(0, error_body_max - error_body_.size()));
  }
  return reply_status::need_more;
}

bool reply_reader::on_event(const sse::event_view& event) {
  if (!event.dispatch) return true;
  ++events_;
  if (is_error(event)) {
    const std::string code = error_code_in(event.data);
    fail(code.empty() ? "error in the stream" : "error in the stream: " + code);
    return false;
  }
  terminal_ = terminal_ || is_terminal(event);
  return true;
}

reply_status reply_reader::end_of_input() {
  if (state_ == state::body && head_.body == http1::framing::until_close) return finish(false);
  if (state_ == state::head)
    return fail(started_ ? "closed inside the reply's head" : "closed without a reply");
  return fail(event_stream_ ? "truncated stream" : "truncated reply");
}

reply_status reply_reader::fail(std::string reason) {
  state_ = state::done;
  reusable_ = false;
  failure_ = std::move(reason);
  return reply_status::failed;
}

reply_status reply_reader::finish(bool reusable) {
  state_ = state::done;
  if (event_stream_ && !terminal_) return fail("stream without its terminal event");
  if (head_.status >= 300) {
    const std::string code = error_code_in(error_body_);
    failure_ = std::to_string(head_.status) + (code.empty() ? "" : " " + code);
  }
  reusable_ = reusable;
  return failure_.empty() ? reply_status::complete : reply_status::failed;
}

std::string reply_reader::verdict() const { return failure_; }

}  // namespace tidegate::load
