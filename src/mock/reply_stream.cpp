#include "mock/reply_stream.h"

#include <algorithm>
#include <utility>

#include "foundation/text.h"

namespace tidegate::mock {
namespace {

using dialect::part;
using dialect::part_kind;
using dialect::stream_event;
using dialect::stream_event_kind;

constexpr std::string_view ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n";

std::size_t fragment_end(std::string_view text, std::size_t at, std::uint64_t chars) {
  const char* p = text.data() + at;
  const char* const end = text.data() + text.size();
  for (; p < end && chars > 0; --chars) p += foundation::step_utf8(p, end).length;
  return static_cast<std::size_t>(p - text.data());
}

}  // namespace

reply_stream::reply_stream(const dialect::dialect& speaks, answer says, const dialect::request& asked,
                           std::uint64_t fragment_chars)
    : answer_{std::move(says)},
      fragment_chars_{std::max<std::uint64_t>(fragment_chars, 1)},
      is_anthropic_{speaks.id() == dialect::dialect_id::anthropic_messages} {
  dialect::encode_context context;
  context.id = answer_.reply.id;
  context.model = answer_.reply.model;
  context.created = answer_.reply.created;
  context.include_usage = asked.stream_usage;
  context.asked = &asked;
  encoder_ = speaks.encoder(std::move(context));
}

bool reply_stream::next(event& out) {
  out.fragment = false;
  if (std::exchange(ping_due_, false)) {
    out.bytes = ping;
    return true;
  }
  if (at_ == buffer_.size()) {
    buffer_.clear();
    at_ = 0;
    while (buffer_.empty()) {
      fragment_ = false;
      if (!produce()) return false;
    }
    out.fragment = fragment_;
  }
  const std::string_view left = std::string_view{buffer_}.substr(at_);
  const std::size_t end = left.find("\n\n");
  out.bytes = left.substr(0, end == std::string_view::npos ? left.size() : end + 2);
  at_ += out.bytes.size();
  take_ping(out.bytes);
  return true;
}

// The vendor sends one ping behind the start of the first block.
void reply_stream::take_ping(std::string_view event) {
  if (!is_anthropic_ || pinged_ || !event.starts_with("event: content_block_start")) return;
  pinged_ = ping_due_ = true;
}

std::string_view reply_stream::fail(std::string_view error_type, std::string_view error_code,
                                    std::string_view message) {
  stream_event e;
  e.kind = stream_event_kind::error;
  e.error_type = error_type;
  e.error_code = error_code;
  e.text = message;
  buffer_.clear();
  encoder_->encode(e, buffer_);
  at_ = buffer_.size();
  phase_ = phase::done;
  ping_due_ = false;
  return buffer_;
}

void reply_stream::emit(stream_event e) { encoder_->encode(e, buffer_); }

void reply_stream::emit_fragment(stream_event_kind kind, std::uint32_t index, std::string_view text) {
  stream_event e;
  e.kind = kind;
  e.index = index;
  e.text = text;
  fragment_ = fragments_++ > 0;
  emit(std::move(e));
}

bool reply_stream::produce() {
  stream_event e;
  switch (phase_) {
    case phase::start:
      phase_ = phase::parts;
      e.kind = stream_event_kind::start;
      e.id = answer_.reply.id;
      e.name = answer_.reply.model;
      e.tokens = answer_.reply.tokens;
      e.tokens.completion = std::min<std::int64_t>(e.tokens.completion, 1);
      e.tokens.reasoning = 0;
      break;
    case phase::parts:
      if (produce_part()) return true;
      phase_ = phase::filler;
      return true;
    case phase::filler:
      if (filler_sent_ == answer_.filler_fragments) {
        phase_ = phase::usage;
        return true;
      }
      ++filler_sent_;
      emit_fragment(stream_event_kind::text, 0, std::string(answer_.filler_bytes, 'x'));
      return true;
    case phase::usage:
      phase_ = phase::finish;
      e.kind = stream_event_kind::usage;
      e.tokens = answer_.reply.tokens;
      break;
    case phase::finish:
      phase_ = phase::end;
      e.kind = stream_event_kind::finish;
      e.finish = answer_.reply.finish;
      e.text = answer_.reply.stop_sequence;
      break;
    case phase::end:
      phase_ = phase::done;
      e.kind = stream_event_kind::end;
      break;
    case phase::done:
      return false;
  }
  emit(std::move(e));
  return true;
}

bool reply_stream::produce_part() {
  if (part_ == answer_.reply.parts.size()) return false;
  const part& p = answer_.reply.parts[part_];
  const bool call = p.kind == part_kind::tool_call;
  const bool thought = p.kind == part_kind::thinking;
  if (call && !std::exchange(part_begun_, true)) {
    stream_event e;
    e.kind = stream_event_kind::tool_start;
    e.index = calls_;
    e.id = p.id;
    e.name = p.name;
    emit(std::move(e));
    return true;
  }
  const std::string& text = call ? p.data : p.text;
  if (offset_ < text.size()) {
    const std::size_t end = fragment_end(text, offset_, fragment_chars_);
    emit_fragment(call      ? stream_event_kind::tool_arguments
                  : thought ? stream_event_kind::thinking
                            : stream_event_kind::text,
                  call ? calls_ : 0, std::string_view{text}.substr(offset_, end - offset_));
    offset_ = end;
    return true;
  }
  if (thought && !p.signature.empty()) {
    stream_event e;
    e.kind = stream_event_kind::thinking_signature;
    e.text = p.signature;
    emit(std::move(e));
  }
  // Filler joins the text before it.
  const bool last = part_ + 1 == answer_.reply.parts.size();
  if (!call && !(last && answer_.filler_fragments > 0)) {
    stream_event e;
    e.kind = stream_event_kind::part_end;
    emit(std::move(e));
  }
  calls_ += call ? 1 : 0;
  ++part_;
  offset_ = 0;
  part_begun_ = false;
  return true;
}

}  // namespace tidegate::mock
