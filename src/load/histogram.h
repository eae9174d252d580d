// A log-linear histogram of durations: 128 buckets an octave, so a percentile reads at most 0.8 % high.
// Constant size, no allocation after construction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "foundation/time.h"

namespace tidegate::load {

using foundation::duration;

class histogram {
 public:
  histogram();
  // Negative values count as zero, values beyond `longest` as that.
  void record(duration value);
  void merge(const histogram& other);

  std::uint64_t count() const noexcept { return count_; }
  // Zero where nothing was recorded.
  duration mean() const;
  duration min() const noexcept { return count_ == 0 ? duration::zero() : min_; }
  duration max() const noexcept { return max_; }
  // The smallest recorded bucket that `percent` (0 to 100) of all values do not exceed.
  duration percentile(double percent) const;

  static constexpr duration longest{(std::int64_t{1} << 42) - 1};  // 73 minutes

 private:
  std::vector<std::uint64_t> buckets_;
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;  // nanoseconds
  duration min_ = longest;
  duration max_{};
};

}  // namespace tidegate::load
