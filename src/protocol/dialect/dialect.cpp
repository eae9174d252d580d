#include "protocol/dialect/dialect.h"

#include <algorithm>
#include <array>
#include <utility>

#include "foundation/check.h"
#include "foundation/text.h"
#include "protocol/dialect/shared.h"

namespace tidegate::protocol::dialect {
namespace {

bool contains_any(std::string_view text, std::span<const std::string_view> words) {
  return std::ranges::any_of(
      words, [text](std::string_view word) { return text.find(word) != std::string_view::npos; });
}

// What one word of an error, its code or its type, says about the provider's health. Vendors spell the same
// thing in many ways ("engine_overloaded_error", "RESOURCE_EXHAUSTED"), hence parts of words.
error_kind kind_of_word(std::string_view raw) {
  constexpr std::array<std::string_view, 5> pushback{"rate_limit", "ratelimit", "too_many_requests",
                                                     "insufficient_quota", "resource_exhausted"};
  constexpr std::array<std::string_view, 9> unavailable{"overloaded",     "server_error", "api_error",
                                                        "internal_error", "timeout",      "timed_out",
                                                        "unavailable",    "bad_gateway",  "engine_error"};
  constexpr std::array<std::string_view, 5> unavailable_statuses{"500", "502", "503", "504", "529"};
  const std::string word = foundation::to_lower(raw);
  if (word == "429" || contains_any(word, pushback)) return error_kind::rate_limit;
  if (std::ranges::find(unavailable_statuses, word) != unavailable_statuses.end())
    return error_kind::availability;
  if (contains_any(word, unavailable)) return error_kind::availability;
  return error_kind::other;
}

// Cuts at a character's start, for a provider's message may be of any length.
std::string bounded(std::string text) {
  constexpr std::size_t message_max = 4096;
  if (text.size() <= message_max) return text;
  std::size_t end = message_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  text.resize(end);
  return text;
}

// FastAPI's validation errors: [{"loc": [...], "msg": "..."}].
std::string first_message(json::value list) {
  for (const json::value each : list.elements()) {
    if (std::optional<std::string> text = each.as_string()) return std::move(*text);
    std::string text = each.string_or("msg", "");
    if (text.empty()) text = each.string_or("message", "");
    return text;
  }
  return {};
}

std::string text_of(std::optional<json::value> v) {
  if (!v.has_value()) return {};
  if (std::optional<std::string> text = v->as_string()) return std::move(*text);
  if (v->is_array()) return first_message(*v);
  if (v->is_object()) return v->string_or("message", "");
  return {};
}

}  // namespace

const dialect& get(dialect_id id) {
  switch (id) {
    case dialect_id::openai_chat:
      return openai_chat();
    case dialect_id::openai_responses:
      return openai_responses();
    case dialect_id::anthropic_messages:
      return anthropic_messages();
  }
  TG_CHECK(false);
  std::unreachable();
}

// The code is the sharper word: a "server_error" with the code "rate_limit_exceeded" is pushback.
error_kind classify(const stream_error& error) {
  const error_kind by_code = kind_of_word(error.code);
  return by_code != error_kind::other ? by_code : kind_of_word(error.type);
}

upstream_error read_error(std::string_view body) {
  upstream_error out;
  const std::expected<json::value, json::syntax_error> parsed = json::parse(body);
  if (!parsed.has_value()) return out;
  json::value root = *parsed;
  if (root.is_array()) {
    // Google's streaming endpoints wrap the error object in an array.
    const json::element_range list = root.elements();
    const auto first = list.begin();
    if (first == list.end()) return out;
    root = *first;
  }
  const json::value error = member_of(root, "error").value_or(json::value{});
  if (error.is_object()) {
    out.message = bounded(error.string_or("message", ""));
    out.type = bounded(text_or_number(error.find("type")));
    out.code = bounded(text_or_number(error.find("code")));
    out.param = bounded(error.string_or("param", ""));
    if (out.type.empty()) out.type = bounded(error.string_or("status", ""));
  } else {
    out.message = bounded(text_of(error));
    out.type = bounded(text_or_number(root.find("type")));
    out.code = bounded(text_or_number(root.find("code")));
    out.param = bounded(root.string_or("param", ""));
  }
  if (out.message.empty()) out.message = bounded(text_of(root.find("message")));
  if (out.message.empty()) out.message = bounded(text_of(root.find("detail")));
  return out;
}

}  // namespace tidegate::protocol::dialect
