#include <deque>
#include <utility>

#include "protocol/dialect/anthropic_messages.h"
#include "protocol/sse/sse.h"

namespace tidegate::protocol::dialect::anthropic {
namespace {

// Fragments that wait for the block before them; beyond this the stream goes on at the price of that block.
constexpr std::size_t waiting_bytes_max = std::size_t{8} << 20U;
constexpr std::size_t waiting_blocks_max = 256;

// Whether the fragments of one JSON object have come to its closing brace. Only counts; validity is not its
// business.
class object_progress {
 public:
  void feed(std::string_view fragment) {
    for (const char c : fragment) step(c);
  }
  bool complete() const { return opened_ && depth_ == 0; }

 private:
  void step(char c) {
    if (in_string_) {
      if (escaped_)
        escaped_ = false;
      else if (c == '\\')
        escaped_ = true;
      else if (c == '"')
        in_string_ = false;
      return;
    }
    if (c == '"') in_string_ = true;
    if (c == '{' || c == '[') {
      opened_ = true;
      ++depth_;
    }
    if ((c == '}' || c == ']') && depth_ > 0) --depth_;
  }

  std::uint32_t depth_ = 0;
  bool opened_ = false;
  bool in_string_ = false;
  bool escaped_ = false;
};

enum class block_kind : std::uint8_t { text, thinking, redacted, tool };

struct block {
  block_kind kind = block_kind::text;
  std::uint32_t tool = 0;  // canonical index of the call
  std::string id;
  std::string name;
  std::string held;  // text, thinking, arguments or opaque data not written yet
  std::string signature;
  object_progress progress;
  bool ended = false;   // nothing more may be added
  bool opened = false;  // its start has been written

  // A call is done when its arguments are; everything else may end at any fragment.
  bool can_close() const { return kind != block_kind::tool || ended || progress.complete(); }
};

// The vendor's streams have one block open at a time, and SDKs count on it. Where other dialects interleave
// parallel calls, the block in front streams and the others wait in order (T150).
class messages_encoder final : public stream_encoder {
 public:
  explicit messages_encoder(encode_context context) : context_{std::move(context)} {}
  void encode(const stream_event& event, std::string& out) override;

 private:
  void start(std::string_view id, std::string& out);
  void on_text(block_kind kind, std::string_view text, std::string& out);
  void on_signature(std::string_view signature, std::string& out);
  void on_tool_start(const stream_event& event, std::string& out);
  void on_arguments(const stream_event& event, std::string& out);
  void on_part_end(std::string& out);
  void on_end(std::string& out);
  void on_error(const stream_event& event, std::string& out);

  // Writes what the front blocks can say; `all`: to the last of them, whether complete or not.
  void advance(bool all, std::string& out);
  void write_front(std::string& out);
  void write_block_start(const block& b, std::string& out);
  void write_delta(std::string_view type, std::string_view key, std::string_view text, std::string& out);
  void write_block_stop(std::string& out);

  encode_context context_;
  std::deque<block> blocks_;  // front: the open one
  std::size_t waiting_bytes_ = 0;
  std::int64_t index_ = 0;  // of the front block
  usage tokens_;
  finish_reason finish_ = finish_reason::none;
  std::string stop_sequence_;
  bool has_tool_calls_ = false;
  bool started_ = false;
  bool ended_ = false;
};

void messages_encoder::encode(const stream_event& event, std::string& out) {
  if (ended_) return;
  if (event.kind == stream_event_kind::error) {
    on_error(event, out);
    return;
  }
  if (event.tokens.known) tokens_ = event.tokens;
  if (!started_) start(event.kind == stream_event_kind::start ? event.id : std::string_view{}, out);
  switch (event.kind) {
    case stream_event_kind::start:
    case stream_event_kind::usage:
    case stream_event_kind::error:
      break;
    case stream_event_kind::text:
    case stream_event_kind::refusal:
      on_text(block_kind::text, event.text, out);
      break;
    case stream_event_kind::thinking:
      on_text(block_kind::thinking, event.text, out);
      break;
    case stream_event_kind::thinking_signature:
      on_signature(event.text, out);
      break;
    case stream_event_kind::redacted_thinking:
      on_text(block_kind::redacted, event.text, out);
      on_part_end(out);
      break;
    case stream_event_kind::tool_start:
      on_tool_start(event, out);
      break;
    case stream_event_kind::tool_arguments:
      on_arguments(event, out);
      break;
    case stream_event_kind::part_end:
      on_part_end(out);
      break;
    case stream_event_kind::finish:
      finish_ = event.finish;
      stop_sequence_ = event.text;
      advance(true, out);
      break;
    case stream_event_kind::end:
      on_end(out);
      break;
  }
}

void messages_encoder::start(std::string_view id, std::string& out) {
  started_ = true;
  std::string data;
  json::writer w{data};
  w.begin_object().member("type", "message_start").key("message").begin_object();
  w.member("id", message_id(id, context_)).member("type", "message").member("role", "assistant");
  w.member("model", context_.model).key("content").begin_array().end_array();
  w.key("stop_reason").null().key("stop_sequence").null().key("stop_details").null().key("container").null();
  w.key("usage");
  write_usage(w, tokens_, true);
  w.end_object().end_object();
  sse::append_event(out, "message_start", data);
}

void messages_encoder::on_text(block_kind kind, std::string_view text, std::string& out) {
  if (text.empty()) return;
  const bool joins = !blocks_.empty() && blocks_.back().kind == kind && !blocks_.back().ended;
  if (!joins) blocks_.emplace_back().kind = kind;
  blocks_.back().held += text;
  waiting_bytes_ += text.size();
  advance(false, out);
}

// A signature closes its thinking; one without text before it is a block of its own (thinking that is not
// shown).
void messages_encoder::on_signature(std::string_view signature, std::string& out) {
  const bool joins = !blocks_.empty() && blocks_.back().kind == block_kind::thinking && !blocks_.back().ended;
  if (!joins) blocks_.emplace_back().kind = block_kind::thinking;
  blocks_.back().signature += signature;
  waiting_bytes_ += signature.size();
  advance(false, out);
}

void messages_encoder::on_tool_start(const stream_event& event, std::string& out) {
  has_tool_calls_ = true;
  block& b = blocks_.emplace_back();
  b.kind = block_kind::tool;
  b.tool = event.index;
  b.id = event.id.empty() ? default_call_id(event.index) : event.id;
  b.name = event.name;
  advance(false, out);
}

void messages_encoder::on_arguments(const stream_event& event, std::string& out) {
  for (block& b : blocks_) {
    if (b.kind != block_kind::tool || b.tool != event.index) continue;
    b.held += event.text;
    b.progress.feed(event.text);
    waiting_bytes_ += event.text.size();
    break;
  }
  advance(false, out);
}

void messages_encoder::on_part_end(std::string& out) {
  if (blocks_.empty() || blocks_.back().kind == block_kind::tool) return;
  blocks_.back().ended = true;
  advance(false, out);
}

void messages_encoder::advance(bool all, std::string& out) {
  while (!blocks_.empty()) {
    write_front(out);
    const block& front = blocks_.front();
    const bool done = front.ended && front.kind != block_kind::tool;
    const bool crowded = waiting_bytes_ > waiting_bytes_max || blocks_.size() > waiting_blocks_max;
    const bool gives_way = blocks_.size() > 1 && (crowded || front.can_close());
    if (!done && !gives_way && !all) return;
    write_block_stop(out);
    blocks_.pop_front();
    ++index_;
  }
}

void messages_encoder::write_front(std::string& out) {
  block& b = blocks_.front();
  if (!b.opened) {
    b.opened = true;
    write_block_start(b, out);
  }
  if (!b.held.empty()) {
    switch (b.kind) {
      case block_kind::text:
        write_delta("text_delta", "text", b.held, out);
        break;
      case block_kind::thinking:
        write_delta("thinking_delta", "thinking", b.held, out);
        break;
      case block_kind::tool:
        write_delta("input_json_delta", "partial_json", b.held, out);
        break;
      case block_kind::redacted:
        break;  // all of it is in the start
    }
  }
  if (!b.signature.empty()) write_delta("signature_delta", "signature", b.signature, out);
  waiting_bytes_ -= b.held.size() + b.signature.size();
  b.held.clear();
  b.signature.clear();
}

void messages_encoder::write_block_start(const block& b, std::string& out) {
  std::string data;
  json::writer w{data};
  w.begin_object()
      .member("type", "content_block_start")
      .member("index", index_)
      .key("content_block")
      .begin_object();
  switch (b.kind) {
    case block_kind::text:
      w.member("type", "text").member("text", "").key("citations").null();
      break;
    case block_kind::thinking:
      w.member("type", "thinking").member("thinking", "").member("signature", "");
      break;
    case block_kind::redacted:
      w.member("type", "redacted_thinking").member("data", b.held);
      break;
    case block_kind::tool:
      w.member("type", "tool_use").member("id", b.id).member("name", b.name);
      w.key("input").begin_object().end_object();
      break;
  }
  w.end_object().end_object();
  sse::append_event(out, "content_block_start", data);
}

void messages_encoder::write_delta(std::string_view type, std::string_view key, std::string_view text,
                                   std::string& out) {
  std::string data;
  json::writer w{data};
  w.begin_object().member("type", "content_block_delta").member("index", index_);
  w.key("delta").begin_object().member("type", type).member(key, text).end_object().end_object();
  sse::append_event(out, "content_block_delta", data);
}

void messages_encoder::write_block_stop(std::string& out) {
  std::string data;
  json::writer{data}.begin_object().member("type", "content_block_stop").member("index", index_).end_object();
  sse::append_event(out, "content_block_stop", data);
}

// message_delta carries the last word on usage, which OpenAI's streams send behind the finish reason: it
// waits for the end of the stream.
void messages_encoder::on_end(std::string& out) {
  advance(true, out);
  ended_ = true;
  std::string data;
  json::writer w{data};
  w.begin_object().member("type", "message_delta").key("delta").begin_object();
  w.member("stop_reason", stop_reason_of(finish_, has_tool_calls_)).key("stop_sequence");
  if (finish_ == finish_reason::stop_sequence && !stop_sequence_.empty())
    w.string(stop_sequence_);
  else
    w.null();
  w.key("stop_details").null().key("container").null().end_object().key("usage");
  write_usage(w, tokens_, false);
  w.end_object();
  sse::append_event(out, "message_delta", data);
  sse::append_event(out, "message_stop", R"({"type":"message_stop"})");
}

void messages_encoder::on_error(const stream_event& event, std::string& out) {
  ended_ = true;
  const stream_error error{.type = event.error_type, .code = event.error_code, .message = event.text};
  std::string data;
  json::writer w{data};
  w.begin_object().member("type", "error").key("error").begin_object();
  w.member("type", error_type_of(error)).member("message", event.text).end_object().end_object();
  sse::append_event(out, "error", data);
}

}  // namespace

std::unique_ptr<stream_encoder> make_encoder(encode_context context) {
  return std::make_unique<messages_encoder>(std::move(context));
}

}  // namespace tidegate::protocol::dialect::anthropic
