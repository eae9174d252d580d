// Texts as code points, for rules that count or compare characters. Any bytes: an ill-formed part counts as
// one U+FFFD (Unicode 15, section 3.9).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "foundation/text.h"

namespace tidegate::policy {

inline constexpr char32_t replacement_character = 0xFFFD;

// Takes the first character off `rest`. Needs a text that is not empty.
inline char32_t take_character(std::string_view& rest) {
  const char* const p = rest.data();
  if (static_cast<unsigned char>(*p) < 0x80) {
    rest.remove_prefix(1);
    return static_cast<char32_t>(*p);
  }
  const auto step = foundation::step_utf8(p, p + rest.size());
  rest.remove_prefix(static_cast<std::size_t>(step.length));
  if (!step.valid) return replacement_character;
  const auto byte = [p](std::ptrdiff_t i) { return static_cast<char32_t>(static_cast<unsigned char>(p[i])); };
  char32_t c = step.length == 2 ? byte(0) & 0x1FU : step.length == 3 ? byte(0) & 0x0FU : byte(0) & 0x07U;
  for (std::ptrdiff_t i = 1; i < step.length; ++i) c = (c << 6U) | (byte(i) & 0x3FU);
  return c;
}

// Blanks and line ends of all scripts (Unicode White_Space), and the byte order mark.
constexpr bool is_blank_character(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000 || c == 0xFEFF;
}

std::int64_t count_characters(std::string_view text);
// Without blanks at either side.
std::string_view trim_blanks(std::string_view text);
bool is_blank_text(std::string_view text);
// The first `count` characters of `text`, or all of it.
std::string_view first_characters(std::string_view text, std::size_t count);

// CAND-2: blanks collapsed to one space each; up to 120 characters whole, else the first 117 and "...".
std::string candidate_summary(std::string_view text);

}  // namespace tidegate::policy
