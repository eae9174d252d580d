// Chat Completions streams: canonical events into chunks.
#include <utility>

#include "protocol/dialect/openai_chat.h"

namespace tidegate::protocol::dialect::chat {
namespace {

class chat_encoder final : public stream_encoder {
 public:
  explicit chat_encoder(encode_context context) : context_{std::move(context)} {}

  void encode(const stream_event& event, std::string& out) override {
    if (closed_) return;
    switch (event.kind) {
      case stream_event_kind::start:
        return start(event, out);
      case stream_event_kind::text:
        return write_text("content", event.text, out);
      case stream_event_kind::refusal:
        return write_text("refusal", event.text, out);
      case stream_event_kind::thinking:
        return write_text("reasoning_content", event.text, out);
      case stream_event_kind::thinking_signature:
      case stream_event_kind::redacted_thinking:
        return write_details(event, out);
      case stream_event_kind::tool_start:
        return write_tool_start(event, out);
      case stream_event_kind::tool_arguments:
        return write_arguments(event.index, event.text, out);
      case stream_event_kind::part_end:
        return;
      case stream_event_kind::usage:
        tokens_ = event.tokens;
        return;
      case stream_event_kind::finish:
        finish_ = event.finish;
        return;
      case stream_event_kind::end:
        return end(out);
      case stream_event_kind::error:
        return write_error(event, out);
    }
  }

 private:
  // Calls `write_choice(writer)` for the inside of the one choice, or nothing for none; `tokens` for the
  // usage.
  template <class WriteChoice>
  void write_chunk(std::string& out, const usage* tokens, WriteChoice&& write_choice) {
    out += "data: ";
    json::writer w{out};
    w.begin_object().member("id", std::string_view{id_}).member("object", "chat.completion.chunk");
    w.member("created", context_.created).member("model", std::string_view{context_.model});
    w.key("choices").begin_array();
    write_choice(w);
    w.end_array();
    if (context_.include_usage) {
      w.key("usage");
      if (tokens == nullptr) {
        w.null();
      } else {
        write_usage(w, *tokens);
      }
    }
    w.end_object();
    out += "\n\n";
  }

  template <class WriteDelta>
  void write_delta(std::string& out, WriteDelta&& write_inside, std::string_view finish = {}) {
    write_chunk(out, nullptr, [&](json::writer& w) {
      w.begin_object().member("index", 0).key("delta").begin_object();
      write_inside(w);
      w.end_object().key("logprobs").null().key("finish_reason");
      if (finish.empty()) {
        w.null();
      } else {
        w.string(finish);
      }
      w.end_object();
    });
  }

  void start(const stream_event& event, std::string& out) {
    if (started_) return;
    started_ = true;
    id_ = reply_id(event.id, context_);
    if (context_.model.empty()) context_.model = event.name;
    if (event.tokens.known) tokens_ = event.tokens;
    write_delta(out, [](json::writer& w) {
      w.member("role", "assistant").member("content", "").key("refusal").null();
    });
  }

  void ensure_started(std::string& out) {
    if (!started_) start(stream_event{}, out);
  }

  void write_text(std::string_view name, std::string_view text, std::string& out) {
    if (text.empty()) return;
    ensure_started(out);
    write_delta(out, [&](json::writer& w) { w.member(name, text); });
  }

  void write_details(const stream_event& event, std::string& out) {
    ensure_started(out);
    const std::int64_t index = details_++;
    write_delta(out, [&](json::writer& w) {
      w.key("reasoning_details").begin_array();
      if (event.kind == stream_event_kind::redacted_thinking) {
        write_redacted(w, event.text, index);
      } else {
        write_signature(w, event.text, index);
      }
      w.end_array();
    });
  }

  void write_tool_start(const stream_event& event, std::string& out) {
    if (event.index >= calls_max) return;
    ensure_started(out);
    if (event.index >= has_arguments_.size()) has_arguments_.resize(event.index + 1U, true);
    has_arguments_[event.index] = false;
    calls_seen_ = true;
    write_delta(out, [&](json::writer& w) {
      w.key("tool_calls")
          .begin_array()
          .begin_object()
          .member("index", static_cast<std::int64_t>(event.index));
      w.member("id", std::string_view{event.id}).member("type", "function").key("function").begin_object();
      w.member("name", std::string_view{event.name}).member("arguments", "");
      w.end_object().end_object().end_array();
    });
  }

  void write_arguments(std::uint32_t index, std::string_view text, std::string& out) {
    if (text.empty() || index >= has_arguments_.size()) return;
    has_arguments_[index] = true;
    write_delta(out, [&](json::writer& w) {
      w.key("tool_calls").begin_array().begin_object().member("index", static_cast<std::int64_t>(index));
      w.key("function").begin_object().member("arguments", text).end_object().end_object().end_array();
    });
  }

  // The finish reason and usage wait for the end: other dialects may correct both until then.
  void end(std::string& out) {
    ensure_started(out);
    for (std::uint32_t i = 0; i < has_arguments_.size(); ++i) {
      // SDKs parse the gathered arguments, and no text at all is not JSON.
      if (!has_arguments_[i]) write_arguments(i, "{}", out);
    }
    if (finish_ == finish_reason::none && calls_seen_) finish_ = finish_reason::tool_use;
    write_delta(out, [](json::writer&) {}, finish_text(finish_));
    if (context_.include_usage && tokens_.known) {
      write_chunk(out, &tokens_, [](json::writer&) {});
    }
    out += "data: [DONE]\n\n";
    closed_ = true;
  }

  void write_error(const stream_event& event, std::string& out) {
    out += "data: ";
    json::writer w{out};
    w.begin_object().key("error").begin_object().member("message", std::string_view{event.text});
    w.member("type", event.error_type.empty() ? std::string_view{"server_error"}
                                              : std::string_view{event.error_type});
    w.key("param").null().key("code");
    if (event.error_code.empty()) {
      w.null();
    } else {
      w.string(event.error_code);
    }
    w.end_object().end_object();
    out += "\n\n";
    closed_ = true;
  }

  encode_context context_;
  std::string id_;
  bool started_ = false;
  bool closed_ = false;
  bool calls_seen_ = false;
  std::int64_t details_ = 0;
  std::vector<bool> has_arguments_;  // by call; true for indices never started
  finish_reason finish_ = finish_reason::none;
  usage tokens_;
};

}  // namespace

std::unique_ptr<stream_encoder> make_encoder(encode_context context) {
  return std::make_unique<chat_encoder>(std::move(context));
}

}  // namespace tidegate::protocol::dialect::chat
