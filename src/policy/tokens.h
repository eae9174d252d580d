// The one token estimator (BUD-9), for every provider and model: per code point 6 quarters for CJK, else its
// UTF-8 byte count in quarters. Deterministic, never exact: what a provider reports always wins.
#pragma once

#include <cstdint>
#include <string_view>

namespace tidegate::policy {

// Sums texts of one request without rounding in between.
class token_estimate {
 public:
  // UTF-8; a byte that is not part of a well-formed sequence counts as one quarter.
  void add(std::string_view text);
  // Rounded up; 0 for nothing.
  std::int64_t tokens() const { return (quarters_ + 3) / 4; }
  std::int64_t quarters() const { return quarters_; }

 private:
  std::int64_t quarters_ = 0;
};

std::int64_t estimate_tokens(std::string_view text);

// The longest beginning of `text` that ends between two graphemes (UAX #29, extended) and whose sum, not
// rounded, is at most `budget` tokens (BUD-10). Ill-formed UTF-8 ends it.
std::string_view trim_to_tokens(std::string_view text, double budget);

}  // namespace tidegate::policy
