// Randomness as an argument: xoshiro256** (Blackman, Vigna 2018). For jitter, ids and tests, not for keys.
#pragma once

#include <array>
#include <cstdint>

namespace tidegate::foundation {

class random_source {
 public:
  explicit random_source(std::uint64_t seed) noexcept;
  std::uint64_t next() noexcept;
  // Uniform in [0, bound); 0 when bound is 0.
  std::uint64_t below(std::uint64_t bound) noexcept;
  // Uniform in [0, 1).
  double unit() noexcept;

 private:
  std::array<std::uint64_t, 4> state_;
};

// A seed from the operating system.
std::uint64_t system_seed();

}  // namespace tidegate::foundation
