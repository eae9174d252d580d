#include "policy/tokens.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "foundation/text.h"

namespace tidegate::policy {
namespace {

struct block {
  char32_t first;
  char32_t last;
};

constexpr std::array cjk{
    block{0x2E80, 0x2FDF},   block{0x3000, 0x30FF},   block{0x31C0, 0x31FF},   block{0x3400, 0x4DBF},
    block{0x4E00, 0x9FFF},   block{0xAC00, 0xD7AF},   block{0xF900, 0xFAFF},   block{0xFF00, 0xFFEF},
    block{0x20000, 0x2A6DF}, block{0x2A700, 0x2EE5F}, block{0x2F800, 0x2FA1F}, block{0x30000, 0x3134A},
    block{0x31350, 0x323AF},
};

bool is_cjk(char32_t c) {
  return std::ranges::any_of(cjk, [c](const block& b) { return c >= b.first && c <= b.last; });
}

char32_t decode(const char* p, std::ptrdiff_t length) {
  const auto byte = [p](std::ptrdiff_t i) { return static_cast<char32_t>(static_cast<unsigned char>(p[i])); };
  char32_t c = length == 3 ? byte(0) & 0x0FU : byte(0) & 0x07U;
  for (std::ptrdiff_t i = 1; i < length; ++i) c = (c << 6) | (byte(i) & 0x3FU);
  return c;
}

}  // namespace

void token_estimate::add(std::string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end) {
    // Mostly ASCII: eight characters a step, a quarter each.
    std::uint64_t word = 0;
    while (end - p >= 8 && (std::memcpy(&word, p, 8), (word & 0x8080808080808080U) == 0)) {
      quarters_ += 8;
      p += 8;
    }
    if (p == end) break;
    if (static_cast<unsigned char>(*p) < 0x80) {
      ++quarters_;
      ++p;
      continue;
    }
    const auto step = foundation::step_utf8(p, end);
    // No CJK block lies below U+0800, so two-byte sequences need no look-up.
    const bool wide = step.valid && step.length >= 3 && is_cjk(decode(p, step.length));
    quarters_ += wide ? 6 : step.length;
    p += step.length;
  }
}

std::int64_t estimate_tokens(std::string_view text) {
  token_estimate sum;
  sum.add(text);
  return sum.tokens();
}

std::string_view trim_to_tokens(std::string_view text, double budget) {
  if (!(budget >= 1)) return {};
  const double whole = std::floor(std::min(budget, 1e15));
  const auto quarters = static_cast<std::int64_t>(whole) * 4;
  token_estimate sum;
  std::size_t fits = 0;  // up to here, all graphemes are whole and within the budget
  std::size_t at = 0;
  utf8proc_int32_t state = 0;
  utf8proc_int32_t previous = -1;
  while (at < text.size()) {
    utf8proc_int32_t point = 0;
    const auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                                         static_cast<utf8proc_ssize_t>(text.size() - at), &point);
    if (length <= 0) break;
    if (previous >= 0 && utf8proc_grapheme_break_stateful(previous, point, &state)) fits = at;
    sum.add(text.substr(at, static_cast<std::size_t>(length)));
    if (sum.quarters() > quarters) return text.substr(0, fits);
    previous = point;
    at += static_cast<std::size_t>(length);
  }
  return text.substr(0, at);
}

}  // namespace tidegate::policy
