// Byte classes and vector scans that the head and chunk parsers share.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tidegate::protocol::http1 {

// Bits of byte_classes: a byte may stand in a token, a request target, a host with port.
inline constexpr std::uint8_t token_byte = 1;
inline constexpr std::uint8_t target_byte = 2;
inline constexpr std::uint8_t host_byte = 4;

inline constexpr std::array<std::uint8_t, 256> byte_classes = [] {
  std::array<std::uint8_t, 256> table{};
  const auto mark = [&table](std::string_view bytes, std::uint8_t bit) {
    for (const char c : bytes) {
      auto& entry = table[static_cast<unsigned char>(c)];
      entry = static_cast<std::uint8_t>(entry | bit);
    }
  };
  constexpr std::string_view alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  mark(alphanumeric, token_byte | host_byte);
  mark("!#$%&'*+-.^_`|~", token_byte);     // RFC 9110 5.6.2
  mark("-._~!$&'()*+,;=%:[]", host_byte);  // RFC 3986 3.2.2 and the port's colon
  // RFC 9112 3.2 has no fragment in a target: '#' is where parsers part ways on what the path is.
  for (std::size_t c = 0x21; c < 0x7f; ++c) {
    if (c != '#') table[c] = static_cast<std::uint8_t>(table[c] | target_byte);
  }
  return table;
}();

constexpr bool has_class(char c, std::uint8_t bit) {
  return (byte_classes[static_cast<unsigned char>(c)] & bit) != 0;
}

constexpr bool all_of_class(std::string_view bytes, std::uint8_t bit) {
  unsigned int common = bit;
  for (const char c : bytes) common &= byte_classes[static_cast<unsigned char>(c)];
  return (common & bit) != 0;
}

// A control byte no line may hold (RFC 9110 5.5): below blank, HTAB apart, and DEL. CR and LF are among them.
constexpr bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && byte != 0x09) || byte == 0x7f;
}

// The first control byte in [from, to), else `to`.
inline std::size_t find_control(const char* bytes, std::size_t from, std::size_t to) {
#if defined(__SSE2__)
  const __m128i unit_separator = _mm_set1_epi8(0x1f);
  const __m128i tab = _mm_set1_epi8(0x09);
  const __m128i del = _mm_set1_epi8(0x7f);
  for (; to - from >= 16; from += 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + from));
    const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(block, unit_separator), block);
    const __m128i bad =
        _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(block, tab), low), _mm_cmpeq_epi8(block, del));
    const auto mask = static_cast<unsigned int>(_mm_movemask_epi8(bad));
    if (mask != 0) return from + static_cast<std::size_t>(std::countr_zero(mask));
  }
#endif
  while (from < to && !is_control(bytes[from])) ++from;
  return from;
}

// The first byte of bytes[0, size) that is no token byte, else `size`.
inline std::size_t find_token_end(const char* bytes, std::size_t size) {
  std::size_t at = 0;
#if defined(__SSE2__)
  // Letters, digits and '-' make up nearly every name: those go by the block, whatever else stops them by the
  // table.
  const auto in_range = [](__m128i block, char first, char last) {
    const __m128i from_first = _mm_sub_epi8(block, _mm_set1_epi8(first));
    const __m128i span = _mm_set1_epi8(static_cast<char>(last - first));
    return _mm_cmpeq_epi8(_mm_min_epu8(from_first, span), from_first);
  };
  while (size - at >= 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + at));
    const __m128i letters = in_range(_mm_or_si128(block, _mm_set1_epi8(0x20)), 'a', 'z');
    const __m128i digits = in_range(block, '0', '9');
    const __m128i hyphens = _mm_cmpeq_epi8(block, _mm_set1_epi8('-'));
    const __m128i good = _mm_or_si128(_mm_or_si128(letters, digits), hyphens);
    const auto others = static_cast<unsigned int>(_mm_movemask_epi8(good)) ^ 0xffffU;
    at += others == 0 ? 16 : static_cast<std::size_t>(std::countr_zero(others));
    if (others == 0) continue;
    if (!has_class(bytes[at], token_byte)) return at;
    ++at;
  }
#endif
  while (at < size && has_class(bytes[at], token_byte)) ++at;
  return at;
}

}  // namespace tidegate::protocol::http1
