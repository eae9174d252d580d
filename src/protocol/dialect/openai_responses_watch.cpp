// Watches a Responses stream that is relayed as it came.
#include <cstring>
#include <utility>

#include "foundation/text.h"
#include "protocol/dialect/openai_responses.h"
#include "protocol/dialect/shared.h"

namespace tidegate::protocol::dialect::responses {
namespace {

bool contains(std::string_view text, std::string_view word) {
  return ::memmem(text.data(), text.size(), word.data(), word.size()) != nullptr;
}

bool is_delta(std::string_view type) { return type.ends_with(".delta"); }

bool has_text(json::value element) {
  return !element.string_or("text", "").empty() || !element.string_or("refusal", "").empty();
}

bool list_has_text(std::optional<json::value> list) {
  if (!list) return false;
  for (const json::value element : list->elements()) {
    if (has_text(element)) return true;
  }
  return false;
}

// An item that says or calls something by itself, without deltas before it.
bool item_has_content(json::value item) {
  return is_tool_call(item) || list_has_text(member_of(item, "content")) ||
         list_has_text(member_of(item, "summary"));
}

bool output_has_content(json::value response) {
  const auto output = member_of(response, "output");
  if (!output) return false;
  for (const json::value item : output->elements()) {
    if (item_has_content(item)) return true;
  }
  return false;
}

class watch final : public stream_watch {
 public:
  event_meaning look(const sse::event_view& event) override {
    event_meaning out;
    if (!event.dispatch || event.data == "[DONE]") return out;
    if (!content_seen_) return look_closely(event);
    const std::string_view data = foundation::trim(event.data);
    if (data.size() < 2 || data.front() != '{' || data.back() != '}') {
      out.malformed = true;
      return out;
    }
    out.content = is_delta(event.type);
    // Only lifecycle events have a `response` member and only failures an `error` or a type of that name. A
    // delta that happens to be one of these words is sorted out by the closer look.
    const bool ordinary = out.content || (!contains(data, R"("response")") && !contains(data, R"("error")"));
    return ordinary ? out : look_closely(event);
  }

 private:
  event_meaning look_closely(const sse::event_view& event) {
    event_meaning out;
    const auto data = json::parse(event.data);
    if (!data || !data->is_object()) {
      out.malformed = true;
      return out;
    }
    const std::string type = data->string_or("type", event.type);
    const json::value response = member_of(*data, "response").value_or(json::value{});
    if (is_delta(type)) {
      out.content = !data->string_or("delta", "").empty();
    } else if (type == "response.output_item.added" || type == "response.output_item.done") {
      out.content = item_has_content(member_of(*data, "item").value_or(json::value{}));
    } else if (type == "response.content_part.done") {
      out.content = has_text(member_of(*data, "part").value_or(json::value{}));
    } else if (type == "response.completed" || type == "response.incomplete") {
      out.content = !content_seen_ && output_has_content(response);
      out.end = out.finished = true;
    } else if (type == "response.failed" || type == "error" || (type.empty() && member_of(*data, "error"))) {
      out.error = true;
      error_ = read_failure(*data);
    }
    content_seen_ = content_seen_ || out.content;
    const usage found = read_openai_usage(member_of(response, "usage"));
    if (found.known) tokens_ = found;
    return out;
  }

  bool content_seen_ = false;
};

}  // namespace

std::unique_ptr<stream_watch> make_watch() { return std::make_unique<watch>(); }

}  // namespace tidegate::protocol::dialect::responses
