// Byte scanning shared by the parts of this module: SSE2 where the target has it (every x86-64), plain loops
// elsewhere and in the last few bytes. No function reads at or behind `end`.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tidegate::protocol::json::scan {

constexpr unsigned char byte(char c) { return static_cast<unsigned char>(c); }
constexpr bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool ends_string_run(char c) { return c == '"' || c == '\\' || byte(c) < 0x20; }
constexpr bool needs_care(char c) { return ends_string_run(c) || byte(c) >= 0x80; }
// 0..15, or -1.
constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

inline const char* skip_blanks(const char* p, const char* end) {
  while (p != end && is_blank(*p)) ++p;
  return p;
}

// Where in 64 bytes the quotes, backslashes and brackets are: bit i for byte i.
struct block_masks {
  std::uint64_t quote = 0;
  std::uint64_t backslash = 0;
  std::uint64_t open = 0;
  std::uint64_t close = 0;
};

#if defined(__SSE2__)
inline constexpr std::ptrdiff_t block = 16;

inline __m128i load(const char* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
inline unsigned mask_of(__m128i hits) { return static_cast<unsigned>(_mm_movemask_epi8(hits)); }

inline unsigned string_run_mask(const char* p) {
  const __m128i x = load(p);
  const __m128i quote = _mm_cmpeq_epi8(x, _mm_set1_epi8('"'));
  const __m128i slash = _mm_cmpeq_epi8(x, _mm_set1_epi8('\\'));
  const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1F)), x);
  return mask_of(_mm_or_si128(_mm_or_si128(quote, slash), control));
}

inline unsigned care_mask(const char* p) {
  const __m128i x = load(p);
  const __m128i quote = _mm_cmpeq_epi8(x, _mm_set1_epi8('"'));
  const __m128i slash = _mm_cmpeq_epi8(x, _mm_set1_epi8('\\'));
  // Signed: below 0x20 are the control bytes and everything from 0x80.
  const __m128i odd = _mm_cmplt_epi8(x, _mm_set1_epi8(0x20));
  return mask_of(_mm_or_si128(_mm_or_si128(quote, slash), odd));
}

template <auto mask, auto matches>
const char* find(const char* p, const char* end) {
  for (; end - p >= block; p += block) {
    if (const unsigned hits = mask(p); hits != 0) return p + std::countr_zero(hits);
  }
  while (p != end && !matches(*p)) ++p;
  return p;
}

// First quote, backslash or control byte, else `end`.
inline const char* find_string_run_end(const char* p, const char* end) {
  return find<string_run_mask, ends_string_run>(p, end);
}
// First byte that cannot be copied into a string literal unseen, else `end`.
inline const char* find_care(const char* p, const char* end) { return find<care_mask, needs_care>(p, end); }

// Whether no byte needs care. Most texts of a record are short: they take one step, of two loads that may
// overlap.
inline bool is_plain(std::string_view text) {
  const char* const p = text.data();
  const std::size_t n = text.size();
  if (n >= 16) {
    for (std::size_t i = 0; i < n - 16; i += 16) {
      if (care_mask(p + i) != 0) return false;
    }
    return care_mask(p + n - 16) == 0;
  }
  if (n < 4) return find<care_mask, needs_care>(p, p + n) == p + n;
  std::array<char, 16> both;
  const std::size_t half = n >= 8 ? 8 : 4;
  both.fill(' ');
  std::memcpy(both.data(), p, half);
  std::memcpy(both.data() + 8, p + n - half, half);
  return care_mask(both.data()) == 0;
}

inline block_masks classify(const char* p) {
  block_masks out;
  for (unsigned i = 0; i < 64; i += 16) {
    const __m128i x = load(p + i);
    // Brackets and braces differ by 0x20 only.
    const __m128i folded = _mm_or_si128(x, _mm_set1_epi8(0x20));
    const auto bits = [i](__m128i hits) { return std::uint64_t{mask_of(hits)} << i; };
    out.quote |= bits(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')));
    out.backslash |= bits(_mm_cmpeq_epi8(x, _mm_set1_epi8('\\')));
    out.open |= bits(_mm_cmpeq_epi8(folded, _mm_set1_epi8('{')));
    out.close |= bits(_mm_cmpeq_epi8(folded, _mm_set1_epi8('}')));
  }
  return out;
}
#else
template <auto matches>
const char* find(const char* p, const char* end) {
  while (p != end && !matches(*p)) ++p;
  return p;
}
inline const char* find_string_run_end(const char* p, const char* end) {
  return find<ends_string_run>(p, end);
}
inline const char* find_care(const char* p, const char* end) { return find<needs_care>(p, end); }
inline bool is_plain(std::string_view text) {
  const char* const end = text.data() + text.size();
  return find_care(text.data(), end) == end;
}

inline block_masks classify(const char* p) {
  block_masks out;
  for (unsigned i = 0; i < 64; ++i) {
    const std::uint64_t bit = std::uint64_t{1} << i;
    if (p[i] == '"') out.quote |= bit;
    if (p[i] == '\\') out.backslash |= bit;
    if (p[i] == '{' || p[i] == '[') out.open |= bit;
    if (p[i] == '}' || p[i] == ']') out.close |= bit;
  }
  return out;
}
#endif

// Behind the closing quote of the literal whose inside starts at `p`; `end` when it is not closed.
inline const char* skip_string(const char* p, const char* end) {
  while (true) {
    p = find_string_run_end(p, end);
    if (p == end) return end;
    if (*p == '"') return p + 1;
    const std::ptrdiff_t step = *p == '\\' ? 2 : 1;
    if (end - p <= step) return end;
    p += step;
  }
}

// Whether the bytes are well-formed UTF-8 (RFC 3629).
bool is_utf8(std::string_view text);

// One escape sequence at `p` (which points at the backslash) as UTF-8; a surrogate pair is one character,
// a lone surrogate U+FFFD. Moves `p` behind it.
struct decoded_char {
  std::array<char, 4> bytes;
  std::size_t size;
  std::string_view view() const { return {bytes.data(), size}; }
};
decoded_char decode_escape(const char*& p, const char* end);

}  // namespace tidegate::protocol::json::scan
