#include "journal/crc32c.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace tidegate::journal {

namespace {

constexpr std::uint32_t polynomial = 0x82F63B78U;

// tables[k][b]: what byte b does when k more bytes follow it in the same step.
constexpr auto tables = [] {
  std::array<std::array<std::uint32_t, 256>, 8> made{};
  for (std::uint32_t b = 0; b < 256; ++b) {
    std::uint32_t sum = b;
    for (int bit = 0; bit < 8; ++bit) sum = (sum >> 1) ^ ((sum & 1U) != 0 ? polynomial : 0U);
    made[0][b] = sum;
  }
  for (std::size_t k = 1; k < 8; ++k) {
    for (std::size_t b = 0; b < 256; ++b) {
      made[k][b] = (made[k - 1][b] >> 8) ^ made[0][made[k - 1][b] & 0xFFU];
    }
  }
  return made;
}();

std::uint64_t load64(const char* p) {
  std::uint64_t word = 0;
  std::memcpy(&word, p, sizeof word);
  return word;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(std::string_view bytes) noexcept {
  std::uint64_t sum = 0xFFFFFFFFU;
  const char* p = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, p += 8) sum = _mm_crc32_u64(sum, load64(p));
  auto narrow = static_cast<std::uint32_t>(sum);
  for (; left > 0; --left, ++p) narrow = _mm_crc32_u8(narrow, static_cast<unsigned char>(*p));
  return ~narrow;
}

bool has_instruction() noexcept {
  static const bool has = __builtin_cpu_supports("sse4.2") != 0;
  return has;
}
#endif

}  // namespace

std::uint32_t crc32c_portable(std::string_view bytes) noexcept {
  static_assert(std::endian::native == std::endian::little, "records are little-endian and read in place");
  std::uint32_t sum = 0xFFFFFFFFU;
  const char* p = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, p += 8) {
    const std::uint64_t word = load64(p) ^ sum;
    sum = 0;
    for (unsigned k = 0; k < 8; ++k) sum ^= tables[7 - k][(word >> (8 * k)) & 0xFFU];
  }
  for (; left > 0; --left, ++p) {
    sum = (sum >> 8) ^ tables[0][(sum ^ static_cast<unsigned char>(*p)) & 0xFFU];
  }
  return ~sum;
}

std::uint32_t crc32c(std::string_view bytes) noexcept {
#if defined(__x86_64__)
  if (has_instruction()) return crc32c_sse42(bytes);
#endif
  return crc32c_portable(bytes);
}

}  // namespace tidegate::journal
