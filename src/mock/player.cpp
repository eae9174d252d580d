#include "mock/player.h"

#include <algorithm>

#include "foundation/text.h"
#include "mock/recording.h"
#include "protocol/http1/http1.h"
#include "protocol/sse/sse.h"

namespace tidegate::mock {
namespace {

namespace http1 = protocol::http1;
using namespace std::string_view_literals;

// No chunk size, no status line, no text.
constexpr std::string_view garbage_bytes = "\x00\xff\xfegarbage\x00\r\n\xff\xff\r\n\r\n"sv;
constexpr std::string_view garbage_json = "{\"choices\":[{\"delta\":{\"content\":\"half a";
// A stream without pauses lets others of the loop run now and then.
constexpr std::uint64_t events_a_turn = 64;

// A head of our own, for bodies that will not keep its promise or that take their time.
std::string sized_head(int status, std::string_view headers, std::size_t length) {
  std::string out = "HTTP/1.1 ";
  foundation::append_number(out, status);
  out += ' ';
  out += http1::reason_phrase(status);
  out += "\r\n";
  out += headers;
  out += "content-length: ";
  foundation::append_number(out, static_cast<std::int64_t>(length));
  out += "\r\nconnection: close\r\n\r\n";
  return out;
}

std::string_view first_bytes(std::string_view text, std::uint64_t count) {
  return text.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(count, text.size())));
}

}  // namespace

outcome player::gone() const {
  return to_.gone().reason() == runtime::cancel_reason::shutdown ? outcome::shutdown : outcome::client_closed;
}

task<bool> player::pause(foundation::duration time) {
  runtime::loop& owner = to_.owner();
  co_return co_await owner.sleep_until(owner.now() + time, &to_.gone()) == runtime::wake::timeout;
}

task<outcome> player::hang() {
  co_await to_.owner().sleep_until(foundation::never, &to_.gone());
  co_return gone();
}

task<outcome> player::reset() {
  to_.reset();
  co_return outcome::reset;
}

task<outcome> player::whole(int status, std::string_view headers, std::string_view body) {
  switch (does_.kind) {
    case behavior_kind::cut:
    case behavior_kind::stall:
    case behavior_kind::reset:
      co_return co_await whole_until(does_.after.value_or(body.size() / 2), status, headers, body);
    case behavior_kind::garbage:
      co_return co_await garbled(status, headers, body);
    case behavior_kind::slow:
      co_return co_await slowly(status, headers, body);
    default:
      break;
  }
  co_return co_await to_.respond(status, headers, body) ? outcome::completed : gone();
}

// The head promises the whole body; only its first bytes come.
task<outcome> player::whole_until(std::uint64_t bytes, int status, std::string_view headers,
                                  std::string_view body) {
  std::string out = sized_head(status, headers, body.size());
  out += first_bytes(body, bytes);
  if (!co_await to_.write_raw(out)) co_return gone();
  if (does_.kind == behavior_kind::stall) co_return co_await hang();
  if (does_.kind == behavior_kind::reset) co_return co_await reset();
  co_return outcome::cut;
}

task<outcome> player::slowly(int status, std::string_view headers, std::string_view body) {
  if (!co_await to_.write_raw(sized_head(status, headers, body.size()))) co_return gone();
  co_return co_await send_slowly(body, true) ? outcome::completed : gone();
}

task<outcome> player::garbled(int status, std::string_view headers, std::string_view body) {
  if (does_.garbage_in_frame) {
    std::string text{first_bytes(body, does_.after.value_or(body.size() / 2))};
    text += "\xff not json";
    co_return co_await to_.respond(status, headers, text) ? outcome::completed : gone();
  }
  to_.close_after();
  if (!co_await to_.begin(status, headers)) co_return gone();
  if (!co_await to_.write(first_bytes(body, does_.after.value_or(body.size() / 2)))) co_return gone();
  if (!co_await to_.write_raw(garbage_bytes)) co_return gone();
  co_return outcome::garbage;
}

task<outcome> player::stream(std::string_view headers, reply_stream& events, vendor shape) {
  if (!co_await to_.begin(200, headers)) co_return gone();
  const bool faulty = does_.kind == behavior_kind::cut || does_.kind == behavior_kind::stall ||
                      does_.kind == behavior_kind::garbage || does_.kind == behavior_kind::reset ||
                      does_.kind == behavior_kind::in_stream_error;
  const bool breaks = faulty && !(does_.kind == behavior_kind::garbage && does_.garbage_in_frame);
  const std::uint64_t good = does_.after.value_or(1);
  bool garbled = breaks || !faulty;
  reply_stream::event event;
  for (;;) {
    if (breaks && sent_ >= good) co_return co_await break_stream(events, shape);
    if (!garbled && sent_ >= good) {
      garbled = true;
      std::string line;
      protocol::sse::append_event(line, shape == vendor::anthropic ? "content_block_delta" : "",
                                  garbage_json);
      if (!co_await send(line)) co_return gone();
    }
    if (!events.next(event)) break;
    if (!co_await keep_pace(event.fragment) || !co_await send(event.bytes)) co_return gone();
    ++sent_;
  }
  if (breaks) co_return co_await break_stream(events, shape);
  co_return co_await end_stream();
}

task<outcome> player::end_stream() { co_return co_await to_.finish() ? outcome::completed : gone(); }

task<outcome> player::break_stream(reply_stream& events, vendor shape) {
  switch (does_.kind) {
    case behavior_kind::stall:
      co_return co_await hang();
    case behavior_kind::reset:
      co_return co_await reset();
    case behavior_kind::garbage:
      to_.close_after();
      co_return co_await to_.write_raw(garbage_bytes) ? outcome::garbage : gone();
    case behavior_kind::in_stream_error: {
      const named_error error = error_named(shape, does_.stream_error);
      const std::string_view message =
          does_.message.empty() ? error.message : std::string_view{does_.message};
      if (!co_await to_.write(events.fail(error.type, error.code, message))) co_return gone();
      co_return co_await end_stream();
    }
    default:
      to_.close_after();
      co_return outcome::cut;
  }
}

task<outcome> player::recorded(std::string_view headers, const recording& reply) {
  if (!reply.event_stream && does_.split == split_mode::event) {
    co_return co_await whole(reply.status, headers, reply.body);
  }
  if (!co_await to_.begin(reply.status, headers)) co_return gone();
  std::string_view left = reply.body;
  for (const std::size_t size : split_body(reply.body, does_.split, does_.seed)) {
    if (!co_await keep_pace(sent_ > 0) || !co_await to_.write(left.substr(0, size))) co_return gone();
    left.remove_prefix(size);
    ++sent_;
  }
  co_return co_await end_stream();
}

task<bool> player::send(std::string_view bytes) {
  if (does_.kind == behavior_kind::slow) co_return co_await send_slowly(bytes, false);
  co_return co_await to_.write(bytes);
}

// Fifty pieces a second, or one byte at a time where that is more than the rate allows.
task<bool> player::send_slowly(std::string_view bytes, bool raw) {
  constexpr std::uint64_t pieces_a_second = 50;
  const std::uint64_t rate = std::max<std::uint64_t>(does_.bytes_per_second, 1);
  const auto step = static_cast<std::size_t>(std::max<std::uint64_t>(rate / pieces_a_second, 1));
  if (next_ == foundation::instant{}) next_ = to_.owner().now();
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, step);
    bytes.remove_prefix(piece.size());
    next_ += foundation::duration{static_cast<std::int64_t>(piece.size() * 1'000'000'000ULL / rate)};
    if (co_await to_.owner().sleep_until(next_, &to_.gone()) != runtime::wake::timeout) co_return false;
    if (!co_await (raw ? to_.write_raw(piece) : to_.write(piece))) co_return false;
  }
  co_return true;
}

task<bool> player::keep_pace(bool fragment) {
  if (to_.gone().fired()) co_return false;
  const foundation::instant now = to_.owner().now();
  if (interval_ > milliseconds{0}) {
    // From due time to due time, so that pauses do not add up; whoever is late does not hurry afterwards.
    next_ = fragment ? std::max(next_ + interval_, now) : now;
    if (next_ <= now) co_return true;
    co_return co_await to_.owner().sleep_until(next_, &to_.gone()) == runtime::wake::timeout;
  }
  if (sent_ % events_a_turn != events_a_turn - 1) co_return true;
  co_return co_await to_.owner().sleep_until(now, &to_.gone()) == runtime::wake::timeout;
}

}  // namespace tidegate::mock
