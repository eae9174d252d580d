#include "gateway/stream_relay.h"

#include <algorithm>
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

void keep(std::string& kept, std::string_view piece, std::size_t bytes_max) {
  if (kept.size() < bytes_max) kept.append(piece.substr(0, bytes_max - kept.size()));
}

class counting_sink final : public dialect::prompt_sink {
 public:
  explicit counting_sink(policy::token_estimate& sum) : sum_{sum} {}
  counting_sink(policy::token_estimate& sum, std::string& kept, std::size_t bytes_max)
      : sum_{sum}, kept_{&kept}, bytes_max_{bytes_max} {}
  void text(std::string_view piece) override {
    sum_.add(piece);
    if (bytes_max_ != 0) keep(*kept_, piece, bytes_max_);
  }
  // A reply's media are the provider's own counters' business; what is sealed came from reasoning.
  void media(const dialect::media_item& item) override {
    if (item.kind == dialect::media_kind::sealed) sealed_ += std::max<std::int64_t>(item.bytes, 0);
  }
  void tokens(std::int64_t) override {}
  std::int64_t sealed_tokens() const { return (sealed_ + 3) / 4; }

 private:
  policy::token_estimate& sum_;
  std::string* kept_ = nullptr;
  std::size_t bytes_max_ = 0;
  std::int64_t sealed_ = 0;
};

class keeping_sink final : public dialect::prompt_sink {
 public:
  keeping_sink(std::string& kept, std::size_t bytes_max) : kept_{kept}, bytes_max_{bytes_max} {}
  void text(std::string_view piece) override { keep(kept_, piece, bytes_max_); }
  void media(const dialect::media_item&) override {}
  void tokens(std::int64_t) override {}

 private:
  std::string& kept_;
  std::size_t bytes_max_;
};

}  // namespace

stream_relay::stream_relay(const dialect::dialect& provider, const dialect::dialect& caller,
                           dialect::encode_context context, relay_options options)
    : options_{options}, words_{provider.id()} {
  if (provider.id() == caller.id()) {
    watch_ = provider.watch();
  } else {
    decoder_ = provider.decoder();
    encoder_ = caller.encoder(std::move(context));
  }
}

stream_relay::stream_relay(const dialect::dialect& provider, std::unique_ptr<dialect::stream_encoder> encoder,
                           relay_options options)
    : decoder_{provider.decoder()}, encoder_{std::move(encoder)}, options_{options}, words_{provider.id()} {}

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
  counting_sink sink{received_, text_, options_.keep_text};
  words_.scan(event, sink);
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
  if (is_content(event)) {
    content_ = true;
    const bool sealed = event.kind == dialect::stream_event_kind::redacted_thinking;
    received_.add(sealed ? std::string_view{event.text}.substr(0, event.text.size() / 4 * 3) : event.text);
    if (event.kind == dialect::stream_event_kind::tool_start) received_.add(event.name);
    if (options_.keep_text != 0 && !sealed) keep(text_, event.text, options_.keep_text);
  }
  finished_ |= event.kind == dialect::stream_event_kind::finish;
  if (event.kind == dialect::stream_event_kind::end) {
    encoder_->encode(event, tail_);
    state_ = relay_state::ended;
    return false;
  }
  encoder_->encode(event, out);
  return true;
}

std::int64_t stream_relay::received_tokens() const noexcept {
  return std::max<std::int64_t>(received_.tokens(), content_ ? 1 : 0);
}

void stream_relay::note_malformed(std::string_view data) {
  if (malformed_++ == 0) malformed_sample_.assign(data.substr(0, sample_bytes));
}

std::int64_t estimate_reply(dialect::dialect_id speaks, protocol::json::value body) {
  policy::token_estimate sum;
  counting_sink sink{sum};
  dialect::walk_reply(speaks, body, sink);
  return sum.tokens() + sink.sealed_tokens();
}

std::string text_of_reply(dialect::dialect_id speaks, protocol::json::value body, std::size_t bytes_max) {
  std::string text;
  keeping_sink sink{text, bytes_max};
  dialect::walk_reply(speaks, body, sink);
  return text;
}

}  // namespace tidegate::gateway
