#include "gateway/stream_relay.h"

#include <utility>

namespace tidegate::gateway {
namespace {

constexpr std::size_t sample_bytes = 200;

bool is_content(const dialect::stream_event& event) {
  switch (event.kind) {
    case dialect::stream_event_kind::text:
    case dialect::stream_event_kind::refusal:
    case dialect::stream_event_kind::thinking:
    case dialect::stream_event_kind::tool_arguments:
      return !event.text.empty();
    case dialect::stream_event_kind::tool_start:
    case dialect::stream_event_kind::redacted_thinking:
      return true;
    default:
      return false;
  }
}

}  // namespace

stream_relay::stream_relay(const dialect::dialect& provider, const dialect::dialect& caller,
                           dialect::encode_context context, relay_options options)
    : options_{options} {
  if (provider.id() == caller.id()) {
    watch_ = provider.watch();
  } else {
    decoder_ = provider.decoder();
    encoder_ = caller.encoder(std::move(context));
  }
}

relay_state stream_relay::feed(std::string_view bytes, std::string& out) {
  if (state_ != relay_state::open) return state_;
  const auto status = parser_.feed(bytes, [&](const sse::event_view& event) { return on_event(event, out); });
  if (status == sse::feed_status::too_large && state_ == relay_state::open) state_ = relay_state::broken;
  return state_;
}

relay_state stream_relay::finish(bool whole, std::string& out) {
  if (state_ != relay_state::open) return state_;
  static_cast<void>(parser_.finish([&](const sse::event_view& event) { return on_event(event, out); }));
  if (state_ != relay_state::open) return state_;
  if (watch_ != nullptr) out.append(parser_.rest());
  if (!whole || !finished_) return state_ = relay_state::broken;
  if (encoder_ != nullptr) {
    dialect::stream_event end;
    end.kind = dialect::stream_event_kind::end;
    encoder_->encode(end, tail_);
  }
  return state_ = relay_state::ended;
}

bool stream_relay::on_event(const sse::event_view& event, std::string& out) {
  return watch_ != nullptr ? relay(event, out) : translate(event, out);
}

bool stream_relay::relay(const sse::event_view& event, std::string& out) {
  if (!event.dispatch) {
    out.append(event.raw);
    return true;
  }
  const dialect::event_meaning meaning = watch_->look(event);
  if (meaning.malformed) {
    note_malformed(event.data);
    return true;
  }
  if (meaning.error) {
    error_ = watch_->error();
    error_bytes_.assign(event.raw);
    state_ = relay_state::failed;
    return false;
  }
  content_ |= meaning.content;
  finished_ |= meaning.finished;
  if (meaning.end) {
    tail_.assign(event.raw);
    state_ = relay_state::ended;
    return false;
  }
  if (!(meaning.usage_only && options_.drop_usage_only)) out.append(event.raw);
  return true;
}

bool stream_relay::translate(const sse::event_view& event, std::string& out) {
  if (!event.dispatch) return true;
  events_.clear();
  if (!decoder_->decode(event, events_)) {
    note_malformed(event.data);
    return true;
  }
  for (const dialect::stream_event& e : events_) {
    if (!apply(e, out)) return false;
  }
  return true;
}

bool stream_relay::apply(const dialect::stream_event& event, std::string& out) {
  if (event.kind == dialect::stream_event_kind::error) {
    error_ = {event.error_type, event.error_code, event.text};
    state_ = relay_state::failed;
    return false;
  }
  if (event.tokens.known) tokens_ = event.tokens;
  content_ |= is_content(event);
  finished_ |= event.kind == dialect::stream_event_kind::finish;
  if (event.kind == dialect::stream_event_kind::end) {
    encoder_->encode(event, tail_);
    state_ = relay_state::ended;
    return false;
  }
  encoder_->encode(event, out);
  return true;
}

void stream_relay::note_malformed(std::string_view data) {
  if (malformed_++ == 0) malformed_sample_.assign(data.substr(0, sample_bytes));
}

}  // namespace tidegate::gateway
