#include "protocol/dialect/anthropic_messages.h"

namespace tidegate::protocol::dialect::anthropic {
namespace {

bool looks_like_object(std::string_view data) {
  const auto first = data.find_first_not_of(" \t");
  const auto last = data.find_last_not_of(" \t\n");
  return first != std::string_view::npos && data[first] == '{' && data[last] == '}';
}

// The event's type as the `event:` line names it, or, without that line, as the data's first member does in
// the vendor's own spelling. Empty: unknown without a parse.
std::string_view quick_type(const sse::event_view& event) {
  if (!event.type.empty()) return event.type;
  constexpr std::string_view head = R"({"type":")";
  if (!event.data.starts_with(head)) return {};
  const std::string_view rest = event.data.substr(head.size());
  return rest.substr(0, rest.find('"'));
}

bool is_non_empty(json::value object, std::string_view key) {
  const auto v = object.find(key);
  return v && v->is_string() && v->raw() != "\"\"";
}

// A tool's call, or a tool that ran at the vendor, is content by itself: what was spent on it cannot be had
// again.
bool starts_content(json::value block) {
  const auto type = block.find("type");
  if (!type) return false;
  if (type->equals("text")) return is_non_empty(block, "text");
  if (type->equals("thinking")) return is_non_empty(block, "thinking");
  return !type->equals("compaction") && !type->equals("fallback");
}

bool is_content(json::value delta) {
  return is_non_empty(delta, "text") || is_non_empty(delta, "thinking") ||
         is_non_empty(delta, "partial_json");
}

class messages_watch final : public stream_watch {
 public:
  event_meaning look(const sse::event_view& event) override;

 private:
  event_meaning parse(const sse::event_view& event);
  bool content_seen_ = false;
};

// After the first content `content` only says "a delta": its bytes are not looked into.
event_meaning messages_watch::look(const sse::event_view& event) {
  if (!event.dispatch || event.data == "[DONE]") return {};
  if (content_seen_) {
    const std::string_view type = quick_type(event);
    const bool is_delta = type == "content_block_delta";
    if (is_delta || type == "content_block_stop" || type == "ping") {
      const bool whole = looks_like_object(event.data);
      return {.content = is_delta && whole, .malformed = !whole};
    }
  }
  const event_meaning meaning = parse(event);
  content_seen_ = content_seen_ || meaning.content;
  return meaning;
}

event_meaning messages_watch::parse(const sse::event_view& event) {
  const auto body = json::parse(event.data);
  if (!body || !body->is_object()) return {.malformed = true};
  const auto type_value = body->find("type");
  const std::string type = type_value ? type_value->as_string().value_or("") : std::string{event.type};
  event_meaning meaning;
  if (type == "content_block_delta") {
    const auto delta = body->find("delta");
    meaning.content = delta && is_content(*delta);
  } else if (type == "content_block_start") {
    const auto block = body->find("content_block");
    meaning.content = block && starts_content(*block);
  } else if (type == "message_start") {
    if (const auto reported = body->path({"message", "usage"})) tokens_ = merge_usage(tokens_, *reported);
  } else if (type == "message_delta") {
    if (const auto reported = body->find("usage")) tokens_ = merge_usage(tokens_, *reported);
    const auto stop_reason = body->path({"delta", "stop_reason"});
    meaning.finished = stop_reason && stop_reason->is_string();
  } else if (type == "message_stop") {
    meaning.end = true;
  } else if (const auto error = body->find("error"); type == "error" || (error && !error->is_null())) {
    meaning.error = true;
    error_ = read_stream_error(error.value_or(json::value{}));
  }
  return meaning;
}

}  // namespace

std::unique_ptr<stream_watch> make_watch() { return std::make_unique<messages_watch>(); }

}  // namespace tidegate::protocol::dialect::anthropic
