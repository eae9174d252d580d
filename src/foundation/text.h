// Small ASCII helpers on views. No locale, no allocation unless a string is returned.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tidegate::foundation {

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
std::string to_lower(std::string_view text);
bool iequals(std::string_view a, std::string_view b);
bool istarts_with(std::string_view text, std::string_view prefix);
// Without ASCII blanks, tabs and line ends at either side.
std::string_view trim(std::string_view text);
// For secrets: the time taken tells the length at most, never where two texts differ.
bool equal_in_constant_time(std::string_view a, std::string_view b);
// Decimal digits only, no sign, no blanks, no overflow.
std::optional<std::uint64_t> parse_u64(std::string_view digits);
void append_number(std::string& out, std::int64_t value);

// A step through bytes that may not be UTF-8: the length of the well-formed sequence at `p`, or, with `valid`
// false, of the maximal ill-formed part that one U+FFFD stands for (Unicode 15, section 3.9). Needs p < end.
struct utf8_step {
  std::ptrdiff_t length;
  bool valid;
};
utf8_step step_utf8(const char* p, const char* end);
// Every byte is part of a well-formed sequence.
bool is_utf8(std::string_view text);

}  // namespace tidegate::foundation
