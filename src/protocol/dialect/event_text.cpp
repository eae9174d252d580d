#include "protocol/dialect/event_text.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

namespace tidegate::protocol::dialect {
namespace {

constexpr std::size_t npos = std::string_view::npos;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::size_t skip_blanks(std::string_view text, std::size_t at) {
  while (at < text.size() && is_blank(text[at])) ++at;
  return at;
}

std::size_t find(std::string_view text, std::string_view word, std::size_t from) {
  if (from >= text.size()) return npos;
  const void* const hit = ::memmem(text.data() + from, text.size() - from, word.data(), word.size());
  return hit == nullptr ? npos : static_cast<std::size_t>(static_cast<const char*>(hit) - text.data());
}

// Of the closing quote of the string whose inside begins at `at`; the text's end where there is none.
std::size_t end_of_string(std::string_view text, std::size_t at) {
  while (at < text.size() && text[at] != '"') at += text[at] == '\\' ? 2 : 1;
  return std::min(at, text.size());
}

// What follows a key's closing quote and its colon; npos where it was no key.
std::size_t value_behind(std::string_view text, std::size_t at) {
  at = skip_blanks(text, at);
  if (at >= text.size() || text[at] != ':') return npos;
  at = skip_blanks(text, at + 1);
  return at < text.size() ? at : npos;
}

// Members of a chat delta that hold words deeper inside. What a vendor's own tools found is in others.
constexpr std::array<std::string_view, 4> holders{"content", "tool_calls", "reasoning_details",
                                                  "function_call"};

// Hands over the strings of one object that stand behind the wanted keys.
class object_scan {
 public:
  // `nested`: also those inside of the holders.
  object_scan(std::string_view text, std::span<const std::string_view> wanted, bool nested, text_sink& sink)
      : text_{text}, wanted_{wanted}, nested_{nested}, sink_{sink} {}

  // From the object's brace; returns where it ends. Any other value ends where it begins.
  std::size_t run(std::size_t at) {
    if (at >= text_.size() || text_[at] != '{') return at;
    std::size_t depth = 0;
    while (at < text_.size()) {
      const char c = text_[at];
      if (c == '"') {
        at = string(at + 1, depth);
        continue;
      }
      ++at;
      if (c == '{' || c == '[') ++depth;
      if ((c == '}' || c == ']') && --depth == 0) return at;
    }
    return at;
  }

 private:
  // Returns what is behind the string.
  std::size_t string(std::size_t begin, std::size_t depth) {
    const std::size_t end = end_of_string(text_, begin);
    const std::string_view inside = text_.substr(begin, end - begin);
    const std::size_t behind = skip_blanks(text_, end + 1);
    if (behind < text_.size() && text_[behind] == ':') {
      key_ = inside;
      if (depth == 1) top_ = inside;
      return behind + 1;
    }
    const bool said = depth == 1 || (nested_ && std::ranges::find(holders, top_) != holders.end());
    if (said && std::ranges::find(wanted_, key_) != wanted_.end()) word(inside);
    return std::min(end + 1, text_.size());
  }

  // Some vendors send the same reasoning under two or three names; the first one counts.
  void word(std::string_view inside) {
    if (inside.empty()) return;
    if (top_.starts_with("reasoning")) {
      if (reasoning_.empty()) reasoning_ = top_;
      if (reasoning_ != top_) return;
    }
    // Opaque reasoning was paid for like the words it stands for: base64 counts as the bytes inside.
    if (key_ == "data") inside = inside.substr(0, inside.size() / 4 * 3);
    hand_over(inside, sink_);
  }

  std::string_view text_;
  std::span<const std::string_view> wanted_;
  bool nested_;
  text_sink& sink_;
  std::string_view key_;
  std::string_view top_;        // the key at the object's own level
  std::string_view reasoning_;  // the name that reasoning came under
};

constexpr std::array<std::string_view, 9> chat_words{"content",   "arguments", "name",
                                                     "reasoning", "text",      "reasoning_content",
                                                     "refusal",   "summary",   "thinking"};
constexpr std::array<std::string_view, 5> messages_words{"text", "thinking", "partial_json", "name", "data"};
constexpr std::array<std::string_view, 1> call_words{"name"};

}  // namespace

void event_text::scan(const sse::event_view& event, text_sink& sink) {
  switch (speaks_) {
    case dialect_id::openai_chat:
      return scan_chat(event.data, sink);
    case dialect_id::openai_responses:
      return scan_responses(event, sink);
    case dialect_id::anthropic_messages:
      return scan_messages(event.data, sink);
  }
}

std::size_t event_text::find_value(std::string_view data, std::string_view quoted_key, std::size_t from) {
  const bool first = from == 0;
  if (first && guess_ < data.size() && data.substr(guess_).starts_with(quoted_key)) from = guess_;
  for (;;) {
    const std::size_t at = find(data, quoted_key, from);
    if (at == npos) return npos;
    const std::size_t value = value_behind(data, at + quoted_key.size());
    if (value != npos) {
      if (first) guess_ = at;
      return value;
    }
    from = at + quoted_key.size();
  }
}

// Every choice has a delta. A vendor that sends whole messages instead has a chunk's words there; one that
// sends both repeats in the message what came before.
void event_text::scan_chat(std::string_view data, text_sink& sink) {
  std::size_t at = find_value(data, R"("delta")", 0);
  const std::string_view key = at != npos ? R"("delta")" : R"("message")";
  if (at == npos) at = find_value(data, key, 0);
  while (at != npos) at = find_value(data, key, object_scan{data, chat_words, true, sink}.run(at));
}

void event_text::scan_messages(std::string_view data, text_sink& sink) {
  std::size_t at = find_value(data, R"("delta")", 0);
  if (at == npos) at = find_value(data, R"("content_block")", 0);
  if (at != npos) object_scan{data, messages_words, false, sink}.run(at);
}

// Sound and images come in deltas too, as base64.
void event_text::scan_responses(const sse::event_view& event, text_sink& sink) {
  std::string_view type = event.type;
  if (type.empty()) {
    std::size_t at = find(event.data, R"("type")", 0);
    if (at != npos) at = value_behind(event.data, at + 6);
    if (at != npos && event.data[at] == '"') {
      type = event.data.substr(at + 1, end_of_string(event.data, at + 1) - at - 1);
    }
  }
  if (type == "response.output_item.added") {
    const std::size_t item = find_value(event.data, R"("item")", 0);
    if (item != npos) object_scan{event.data, call_words, false, sink}.run(item);
    return;
  }
  if (!type.ends_with(".delta") || type.ends_with("audio.delta")) return;
  const std::size_t at = find_value(event.data, R"("delta")", 0);
  if (at == npos || event.data[at] != '"') return;
  hand_over(event.data.substr(at + 1, end_of_string(event.data, at + 1) - at - 1), sink);
}

}  // namespace tidegate::protocol::dialect
