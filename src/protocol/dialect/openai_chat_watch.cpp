// Watching a Chat Completions stream that is relayed as it came.
//
// Until the first content every chunk is parsed. Afterwards a chunk is parsed only if it may hold usage, a
// finish reason or an error: those stand behind a key, and a key's closing quote cannot be mistaken, for
// quotes inside of strings are escaped. So one pass over the bytes for `"usage"`, `"error"` and
// `"finish_reason"` followed by a value that says something finds every candidate, and the parse decides.
#include <bit>
#include <cstring>

#include "foundation/text.h"
#include "protocol/dialect/openai_chat.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tidegate::protocol::dialect::chat {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// `rest` begins behind a key's closing quote: does a colon and a value other than null and "" follow?
bool says_something(std::string_view rest) {
  std::size_t at = 0;
  const auto skip = [&] {
    while (at < rest.size() && is_blank(rest[at])) ++at;
  };
  skip();
  if (at == rest.size() || rest[at] != ':') return false;
  ++at;
  skip();
  const std::string_view value = rest.substr(at);
  return !value.starts_with("null") && !value.starts_with("\"\"");
}

// `text` begins with a quote.
bool is_candidate(std::string_view text) {
  for (const std::string_view key : {"\"usage\"", "\"error\"", "\"finish_reason\""}) {
    if (text.starts_with(key)) return says_something(text.substr(key.size()));
  }
  return false;
}

bool is_key_start(char c) { return c == 'u' || c == 'e' || c == 'f'; }

#if defined(__SSE2__)
__m128i load(const char* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }

// Quotes followed by the first letter of a key we look for, as a bit mask of the 16 bytes at `from`;
// reads 17.
unsigned quotes_before_keys(const char* from) {
  const __m128i next = load(from + 1);
  const __m128i letters = _mm_or_si128(
      _mm_or_si128(_mm_cmpeq_epi8(next, _mm_set1_epi8('u')), _mm_cmpeq_epi8(next, _mm_set1_epi8('e'))),
      _mm_cmpeq_epi8(next, _mm_set1_epi8('f')));
  const __m128i quotes = _mm_cmpeq_epi8(load(from), _mm_set1_epi8('"'));
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_and_si128(quotes, letters)));
}
#endif

bool needs_parse(std::string_view data) {
  std::size_t at = 0;
#if defined(__SSE2__)
  for (; at + 17 <= data.size(); at += 16) {
    for (unsigned mask = quotes_before_keys(data.data() + at); mask != 0; mask &= mask - 1) {
      if (is_candidate(data.substr(at + static_cast<std::size_t>(std::countr_zero(mask))))) return true;
    }
  }
#endif
  for (; at + 1 < data.size(); ++at) {
    if (data[at] == '"' && is_key_start(data[at + 1]) && is_candidate(data.substr(at))) return true;
  }
  return false;
}

bool has_text(std::optional<json::value> v) { return v.has_value() && v->is_string() && v->raw().size() > 2; }

bool piece_has_text(json::value piece) {
  if (has_text(piece) || has_text(piece.find("text")) || has_text(piece.find("refusal"))) return true;
  const std::optional<json::value> thinking = piece.find("thinking");
  if (has_text(thinking)) return true;
  if (!thinking.has_value()) return false;
  for (const json::value each : thinking->elements()) {
    if (has_text(each.find("text"))) return true;
  }
  return false;
}

bool list_has_text(json::value list, bool (*test)(json::value)) {
  for (const json::value each : list.elements()) {
    if (test(each)) return true;
  }
  return false;
}

bool detail_has_text(json::value detail) {
  return has_text(detail.find("text")) || has_text(detail.find("summary")) || has_text(detail.find("data"));
}

bool call_has_text(json::value call) {
  const std::optional<json::value> function = call.find("function");
  if (!function.has_value()) return has_text(call.find("id"));
  const std::optional<json::value> arguments = function->find("arguments");
  return has_text(function->find("name")) || has_text(arguments) ||
         (arguments.has_value() && arguments->is_object());
}

// The first-content rule: text, reasoning, refusal or a piece of a tool call that is not empty.
bool has_content(json::value delta) {
  for (const std::string_view name : {"content", "reasoning_content", "reasoning", "refusal"}) {
    if (has_text(delta.find(name))) return true;
  }
  const json::value none;
  if (list_has_text(delta.find("content").value_or(none), piece_has_text)) return true;
  if (list_has_text(delta.find("tool_calls").value_or(none), call_has_text)) return true;
  if (list_has_text(delta.find("reasoning_details").value_or(none), detail_has_text)) return true;
  const std::optional<json::value> older = delta.find("function_call");
  return older.has_value() && (has_text(older->find("name")) || has_text(older->find("arguments")));
}

class chat_watch final : public stream_watch {
 public:
  event_meaning look(const sse::event_view& event) override {
    event_meaning out;
    if (!event.dispatch) return out;
    const std::string_view data = foundation::trim(event.data);
    if (data.empty()) return out;
    if (data.front() == '{' && data.back() == '}') {
      const bool ordinary = content_seen_ && event.type != "error" && !needs_parse(data);
      if (!ordinary) return read(data, event.type);
      out.content = true;
      return out;
    }
    if (is_end_marker(data)) {
      out.end = true;
    } else {
      out.malformed = true;
    }
    return out;
  }

 private:
  event_meaning read(std::string_view data, std::string_view type) {
    event_meaning out;
    const std::expected<json::value, json::syntax_error> chunk = json::parse(data);
    if (!chunk.has_value()) {
      out.malformed = true;
      return out;
    }
    if (std::optional<stream_error> error = error_in_chunk(*chunk, type)) {
      error_ = std::move(*error);
      out.error = true;
      return out;
    }
    bool any_choice = false;
    const json::value choices = chunk->find("choices").value_or(json::value{});
    for (const json::value choice : choices.elements()) {
      any_choice = true;
      read_choice(choice, out);
    }
    if (out.content) content_seen_ = true;
    const usage tokens = read_openai_usage(usage_in_chunk(*chunk));
    if (!tokens.known) return out;
    tokens_ = tokens;
    out.usage_only = !any_choice;
    return out;
  }

  void read_choice(json::value choice, event_meaning& out) {
    std::optional<json::value> delta = member_of(choice, "delta");
    if (!delta.has_value() && !content_seen_) delta = member_of(choice, "message");
    if (delta.has_value() && has_content(*delta)) out.content = true;
    if (has_text(choice.find("finish_reason"))) out.finished = true;
  }

  bool content_seen_ = false;
};

}  // namespace

std::unique_ptr<stream_watch> make_watch() { return std::make_unique<chat_watch>(); }

}  // namespace tidegate::protocol::dialect::chat
