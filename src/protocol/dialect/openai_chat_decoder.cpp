// Chat Completions streams: chunks into canonical events.
#include <algorithm>
#include <utility>

#include "foundation/text.h"
#include "protocol/dialect/openai_chat.h"

namespace tidegate::protocol::dialect::chat {
namespace {

// Arguments may come before the name; more than this is not held back for it.
constexpr std::size_t held_arguments_max = 64U << 10;

stream_event make_event(stream_event_kind kind, std::string text = {}) {
  stream_event out;
  out.kind = kind;
  out.text = std::move(text);
  return out;
}

std::string text_at(json::value object, std::string_view name) {
  const std::optional<json::value> v = object.find(name);
  return v.has_value() ? v->as_string().value_or(std::string{}) : std::string{};
}

// One call while it is streamed.
struct open_call {
  std::optional<std::int64_t> provider_index;
  std::string id;
  bool started = false;
  std::string held;  // arguments that came before the name
};

class chat_decoder final : public stream_decoder {
 public:
  bool decode(const sse::event_view& event, std::vector<stream_event>& out) override {
    if (!event.dispatch || ended_) return true;
    const std::string_view data = foundation::trim(event.data);
    if (data.empty()) return true;
    if (is_end_marker(data)) {
      read_end(out);
      return true;
    }
    const std::expected<json::value, json::syntax_error> chunk = json::parse(data);
    if (!chunk.has_value() || !chunk->is_object()) return false;
    if (std::optional<stream_error> error = error_in_chunk(*chunk, event.type)) {
      append_error(std::move(*error), out);
      return true;
    }
    read_chunk(*chunk, out);
    return true;
  }

 private:
  // A stream that ends by its own marker is whole, even where the provider never said why it finished.
  void read_end(std::vector<stream_event>& out) {
    if (last_finish_ == finish_reason::none && started_) say_finish(finish_reason::stop, out);
    out.push_back(make_event(stream_event_kind::end));
    ended_ = true;
  }

  void append_error(stream_error error, std::vector<stream_event>& out) {
    stream_event made = make_event(stream_event_kind::error, std::move(error.message));
    made.error_type = std::move(error.type);
    made.error_code = std::move(error.code);
    out.push_back(std::move(made));
    ended_ = true;
  }

  void read_chunk(json::value chunk, std::vector<stream_event>& out) {
    const json::value choices = chunk.find("choices").value_or(json::value{});
    const json::element_range list = choices.elements();
    start_once(chunk, list.begin() != list.end(), out);
    for (const json::value choice : list) {
      // Several choices cannot be told in another dialect: the first one is the answer.
      if (choice.is_object() && choice.int_at("index").value_or(0) == 0) read_choice(choice, out);
    }
    const usage tokens = read_openai_usage(usage_in_chunk(chunk));
    if (!tokens.known || same_usage(tokens, last_usage_)) return;
    last_usage_ = tokens;
    stream_event made = make_event(stream_event_kind::usage);
    made.tokens = tokens;
    out.push_back(std::move(made));
  }

  // Azure's first chunk is about the prompt alone and has neither id nor choices: it does not count.
  void start_once(json::value chunk, bool has_choices, std::vector<stream_event>& out) {
    if (started_) return;
    stream_event made = make_event(stream_event_kind::start);
    made.id = text_at(chunk, "id");
    if (!has_choices && made.id.empty()) return;
    made.name = text_at(chunk, "model");
    out.push_back(std::move(made));
    started_ = true;
  }

  void read_choice(json::value choice, std::vector<stream_event>& out) {
    std::optional<json::value> delta = member_of(choice, "delta");
    // A whole message in a stream is what some send for an answer that was ready at once.
    if (!delta.has_value() && !content_seen_) delta = member_of(choice, "message");
    if (delta.has_value() && delta->is_object()) {
      read_content(*delta, out);
      read_calls(*delta, out);
    }
    read_finish(choice, out);
  }

  void read_content(json::value delta, std::vector<stream_event>& out) {
    parts_.clear();
    append_content(delta, parts_);
    for (part& each : parts_) {
      content_seen_ = true;
      switch (each.kind) {
        case part_kind::thinking:
          if (!each.text.empty())
            out.push_back(make_event(stream_event_kind::thinking, std::move(each.text)));
          if (each.signature.empty()) break;
          out.push_back(make_event(stream_event_kind::thinking_signature, std::move(each.signature)));
          break;
        case part_kind::redacted_thinking:
          out.push_back(make_event(stream_event_kind::redacted_thinking, std::move(each.data)));
          break;
        case part_kind::refusal:
          out.push_back(make_event(stream_event_kind::refusal, std::move(each.text)));
          break;
        default:
          out.push_back(make_event(stream_event_kind::text, std::move(each.text)));
          break;
      }
    }
  }

  void read_calls(json::value delta, std::vector<stream_event>& out) {
    const std::optional<json::value> calls = member_of(delta, "tool_calls");
    if (calls.has_value()) {
      for (const json::value each : calls->elements()) {
        if (each.is_object()) read_call(each, out);
      }
      return;
    }
    const std::optional<json::value> older = member_of(delta, "function_call");
    if (!older.has_value() || !older->is_object()) return;
    if (text_at(*older, "name").empty() && calls_.empty()) return;
    const std::optional<std::size_t> at = place_of(0, {}, {});
    if (at.has_value()) add_to_call(*at, *older, out);
  }

  void read_call(json::value call, std::vector<stream_event>& out) {
    const json::value function = member_of(call, "function").value_or(json::value{});
    const std::optional<std::size_t> at =
        place_of(call.int_at("index"), text_at(call, "id"), text_at(function, "name"));
    if (at.has_value()) add_to_call(*at, function, out);
  }

  // Which call a fragment belongs to. The index says so, except that some providers leave it out and others
  // give every parallel call the index 0: then a new id together with a name begins a new call.
  std::optional<std::size_t> place_of(std::optional<std::int64_t> index, std::string id,
                                      std::string_view name) {
    for (std::size_t back = calls_.size(); back > 0; --back) {
      open_call& each = calls_[back - 1];
      if (index.has_value() && each.provider_index != index) continue;
      const bool another = !id.empty() && !each.id.empty() && id != each.id;
      if (another && (!index.has_value() || !name.empty())) {
        if (index.has_value()) break;
        continue;
      }
      // Without an index, an id never seen begins a new call and so does a name without an id; what has
      // neither goes on with the last one.
      if (!index.has_value() && !id.empty() && each.id.empty()) continue;
      if (!index.has_value() && id.empty() && !name.empty() && each.started) break;
      if (each.id.empty()) each.id = std::move(id);
      return back - 1;
    }
    if (calls_.size() >= calls_max) return std::nullopt;
    calls_.push_back({.provider_index = index, .id = std::move(id), .started = false, .held = {}});
    return calls_.size() - 1;
  }

  void add_to_call(std::size_t at, json::value function, std::vector<stream_event>& out) {
    open_call& call = calls_[at];
    std::string arguments = arguments_of(function.find("arguments"));
    if (!call.started) {
      std::string name = text_at(function, "name");
      call.held += arguments;
      if (name.empty() && call.held.size() <= held_arguments_max) return;
      start_call(at, std::move(name), out);
      return;
    }
    if (!arguments.empty()) append_arguments(at, std::move(arguments), out);
  }

  void start_call(std::size_t at, std::string name, std::vector<stream_event>& out) {
    open_call& call = calls_[at];
    call.started = true;
    content_seen_ = true;
    stream_event made = make_event(stream_event_kind::tool_start);
    made.index = static_cast<std::uint32_t>(at);
    if (call.id.empty()) call.id = default_call_id(at);
    made.id = call.id;
    made.name = std::move(name);
    out.push_back(std::move(made));
    if (!call.held.empty()) append_arguments(at, std::exchange(call.held, std::string{}), out);
  }

  void append_arguments(std::size_t at, std::string arguments, std::vector<stream_event>& out) {
    stream_event made = make_event(stream_event_kind::tool_arguments, std::move(arguments));
    made.index = static_cast<std::uint32_t>(at);
    out.push_back(std::move(made));
  }

  void start_unnamed_calls(std::vector<stream_event>& out) {
    for (std::size_t at = 0; at < calls_.size(); ++at) {
      if (!calls_[at].started && !calls_[at].held.empty()) start_call(at, {}, out);
    }
  }

  void read_finish(json::value choice, std::vector<stream_event>& out) {
    const finish_reason reason = finish_of(text_at(choice, "finish_reason"));
    if (reason != finish_reason::none) say_finish(reason, out);
  }

  // Said once, and again only when a later chunk says something else: the last one counts. With calls a plain
  // "stop" means that they are to be run.
  void say_finish(finish_reason reason, std::vector<stream_event>& out) {
    start_unnamed_calls(out);
    if (reason == finish_reason::stop && !calls_.empty()) reason = finish_reason::tool_use;
    if (reason == last_finish_) return;
    last_finish_ = reason;
    stream_event made = make_event(stream_event_kind::finish);
    made.finish = reason;
    out.push_back(std::move(made));
  }

  bool started_ = false;
  bool ended_ = false;
  bool content_seen_ = false;
  std::vector<open_call> calls_;
  std::vector<part> parts_;
  finish_reason last_finish_ = finish_reason::none;
  usage last_usage_;
};

}  // namespace

bool is_end_marker(std::string_view data) { return data == "[DONE]"; }

std::optional<json::value> usage_in_chunk(json::value chunk) {
  if (const auto tokens = member_of(chunk, "usage")) return tokens;
  if (const auto groq = chunk.path({"x_groq", "usage"}); groq.has_value() && groq->is_object()) return groq;
  const std::optional<json::value> choices = member_of(chunk, "choices");
  if (!choices.has_value()) return std::nullopt;
  // Moonshot's place for it.
  for (const json::value choice : choices->elements()) {
    if (const auto tokens = member_of(choice, "usage")) return tokens;
  }
  return std::nullopt;
}

std::optional<stream_error> error_in_chunk(json::value chunk, std::string_view event_type) {
  const std::optional<json::value> error = member_of(chunk, "error");
  if (error.has_value() && (error->is_object() || error->is_string())) {
    stream_error out = read_stream_error(*error);
    if (out.message.empty()) out.message = text_at(chunk, "message");
    return out;
  }
  if (event_type == "error") return read_stream_error(chunk);
  return std::nullopt;
}

std::unique_ptr<stream_decoder> make_decoder() { return std::make_unique<chat_decoder>(); }

}  // namespace tidegate::protocol::dialect::chat
