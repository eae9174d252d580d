// SipHash-1-3 (Aumasson, Bernstein 2012) over a string: for hash tables whose keys come from callers, so that
// nobody without the seed can make names that collide.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tidegate::policy {

class keyed_hash {
 public:
  using is_transparent = void;

  explicit keyed_hash(std::uint64_t seed = 0) : seed_{seed} {}

  std::size_t operator()(std::string_view text) const noexcept {
    lanes s{seed_ ^ 0x736f6d6570736575U, ~seed_ ^ 0x646f72616e646f6dU, seed_ ^ 0x6c7967656e657261U,
            ~seed_ ^ 0x7465646279746573U};
    std::size_t at = 0;
    for (; at + 8 <= text.size(); at += 8) absorb(s, word(text.substr(at, 8)));
    absorb(s, word(text.substr(at)) | std::uint64_t{text.size()} << 56U);
    s.c ^= 0xffU;
    for (int i = 0; i < 3; ++i) round(s);
    return s.a ^ s.b ^ s.c ^ s.d;
  }

 private:
  struct lanes {
    std::uint64_t a, b, c, d;
  };

  // At most 8 bytes, the first one lowest.
  static std::uint64_t word(std::string_view bytes) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8U * i);
    }
    return value;
  }

  static void absorb(lanes& s, std::uint64_t block) noexcept {
    s.d ^= block;
    round(s);
    s.a ^= block;
  }

  static void round(lanes& s) noexcept {
    s.a += s.b;
    s.b = std::rotl(s.b, 13) ^ s.a;
    s.a = std::rotl(s.a, 32);
    s.c += s.d;
    s.d = std::rotl(s.d, 16) ^ s.c;
    s.a += s.d;
    s.d = std::rotl(s.d, 21) ^ s.a;
    s.c += s.b;
    s.b = std::rotl(s.b, 17) ^ s.c;
    s.c = std::rotl(s.c, 32);
  }

  std::uint64_t seed_;
};

}  // namespace tidegate::policy
