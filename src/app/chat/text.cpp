#include "app/chat/text.h"

#include <algorithm>
#include <cmath>

#include "foundation/text.h"

namespace tidegate::app::chat {
namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd";

// Of a well-formed sequence.
bool is_shown(std::string_view character) {
  const auto first = static_cast<unsigned char>(character.front());
  if (character.size() == 1) return (first >= 0x20 && first != 0x7f) || first == '\n' || first == '\t';
  // U+0080 to U+009F are C2 80 to C2 9F.
  return first != 0xc2 || static_cast<unsigned char>(character[1]) >= 0xa0;
}

}  // namespace

std::string plain(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const char* const end = text.data() + text.size();
  for (const char* at = text.data(); at < end;) {
    const foundation::utf8_step step = foundation::step_utf8(at, end);
    const std::string_view character{at, static_cast<std::size_t>(step.length)};
    if (!step.valid) {
      out += replacement;
    } else if (is_shown(character)) {
      out += character;
    }
    at += step.length;
  }
  return out;
}

std::string plain_line(std::string_view text) {
  std::string out = plain(text);
  std::ranges::replace_if(out, [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return out;
}

std::string grouped(std::int64_t n) {
  std::string digits = std::to_string(n);
  const std::size_t first = n < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

std::string dollars(double usd) {
  constexpr double cents_max = 1e15;
  if (!std::isfinite(usd) || usd < 0) usd = 0;
  // A millionth is the smallest that is told (USE-1): what binary fractions leave behind it is no part of it.
  const double micro = std::floor(usd * 1e6 + 0.5);
  const auto cents = static_cast<std::int64_t>(std::min(std::floor((micro + 5'000) / 10'000), cents_max));
  if (cents == 0 && micro > 0) return "<$0.01";
  const std::int64_t rest = cents % 100;
  return '$' + grouped(cents / 100) + (rest < 10 ? ".0" : ".") + std::to_string(rest);
}

std::string waiting_time(std::int64_t ms) {
  constexpr std::int64_t minute = 60'000;
  constexpr std::int64_t tenth = 100;
  ms = std::clamp<std::int64_t>(ms, 0, 1'000'000'000'000);
  if (ms > 2 * minute) return std::to_string((ms + minute - 1) / minute) + " min";
  const std::int64_t tenths = (ms + tenth - 1) / tenth;
  std::string text = std::to_string(tenths / 10);
  if (tenths % 10 != 0) text += '.' + std::to_string(tenths % 10);
  return text + " s";
}

std::string usage_line(const usage& used) {
  std::string line = "Prompt: " + grouped(used.prompt);
  if (used.cached > 0) line += " (" + grouped(used.cached) + " cached)";
  line += " | Output: " + grouped(used.output);
  line += used.session ? " | Session: " + grouped(*used.session) + " tokens" : " tokens";
  if (used.cost_usd) line += " | " + dollars(*used.cost_usd);
  return line;
}

}  // namespace tidegate::app::chat
