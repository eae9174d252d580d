#include "load/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tidegate::load {
namespace {

constexpr unsigned octave_bits = 7;
constexpr std::uint64_t octave = 1U << octave_bits;

// Exact below two octaves' worth, then `octave` steps for every doubling.
constexpr std::size_t index_of(std::uint64_t value) {
  if (value < 2 * octave) return value;
  const auto shift = static_cast<unsigned>(std::bit_width(value)) - (octave_bits + 1);
  return shift * octave + (value >> shift);
}

constexpr std::uint64_t last_value_of(std::size_t index) {
  if (index < 2 * octave) return index;
  const std::uint64_t shift = index / octave - 1;
  return ((index - shift * octave + 1) << shift) - 1;
}

constexpr std::size_t bucket_count = index_of(static_cast<std::uint64_t>(histogram::longest.count())) + 1;

}  // namespace

histogram::histogram() : buckets_(bucket_count) {}

void histogram::record(duration value) {
  value = std::clamp(value, duration::zero(), longest);
  const auto ns = static_cast<std::uint64_t>(value.count());
  ++buckets_[index_of(ns)];
  ++count_;
  sum_ += ns;
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
}

void histogram::merge(const histogram& other) {
  for (std::size_t i = 0; i < bucket_count; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
}

duration histogram::mean() const {
  return count_ == 0 ? duration::zero() : duration{static_cast<std::int64_t>(sum_ / count_)};
}

duration histogram::percentile(double percent) const {
  if (count_ == 0) return duration::zero();
  const double share = std::clamp(percent, 0.0, 100.0) / 100.0;
  const auto wanted =
      std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_))));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < bucket_count; ++i) {
    seen += buckets_[i];
    if (seen >= wanted) return std::min(duration{static_cast<std::int64_t>(last_value_of(i))}, max_);
  }
  return max_;
}

}  // namespace tidegate::load
