// Counters, gauges and latency histograms with Prometheus text exposition (format 0.0.4). Metrics are made
// once and live as long as their registry, so callers keep references; counting is one or two relaxed atomic
// additions on a cell that few threads share. Label sets per family are bounded: beyond `label_sets_max`
// every new one is counted under "other".
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/time.h"

namespace tidegate::observe {

inline constexpr std::size_t label_sets_max = 1000;
// Longer label values are cut, at a character's border.
inline constexpr std::size_t label_value_max = 128;

inline constexpr std::size_t shard_count = 8;
// The calling thread's cell: threads are dealt cells in turn.
std::size_t shard_index() noexcept;

class counter {
 public:
  void add(std::uint64_t n = 1) noexcept { cells_[shard_index()].n.fetch_add(n, std::memory_order_relaxed); }
  std::uint64_t total() const noexcept;

 private:
  struct alignas(64) cell {
    std::atomic<std::uint64_t> n = 0;
  };
  std::array<cell, shard_count> cells_;
};

class gauge {
 public:
  void set(std::int64_t n) noexcept { n_.store(n, std::memory_order_relaxed); }
  void add(std::int64_t n) noexcept { n_.fetch_add(n, std::memory_order_relaxed); }
  std::int64_t current() const noexcept { return n_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> n_ = 0;
};

// Durations in buckets by upper bound, inclusive; a negative one counts as zero.
class latency_histogram {
 public:
  static constexpr std::size_t bounds_max = 23;

  // Ascending, at most bounds_max.
  explicit latency_histogram(std::span<const foundation::duration> bounds);
  void observe(foundation::duration d) noexcept;

  struct snapshot {
    std::vector<std::uint64_t> counts;  // one a bound and one beyond, not cumulated
    std::uint64_t count = 0;
    foundation::duration sum{};
  };
  snapshot read() const;
  std::span<const foundation::duration> bounds() const { return {bounds_.data(), size_}; }

 private:
  struct alignas(64) cell {
    std::array<std::atomic<std::uint64_t>, bounds_max + 1> counts{};
    std::atomic<std::uint64_t> sum_ns = 0;
  };
  std::array<foundation::duration, bounds_max> bounds_{};
  std::size_t size_;
  std::array<cell, shard_count> cells_;
};

// All label sets of one metric name. Thread safe.
template <typename Metric>
class family {
 public:
  using make_metric = std::function<std::unique_ptr<Metric>()>;
  family(std::string name, std::string help, std::vector<std::string> labels, make_metric make)
      : name_{std::move(name)}, help_{std::move(help)}, labels_{std::move(labels)}, make_{std::move(make)} {}

  // The metric of these label values (as many as the family has labels), made at first sight. Takes a lock
  // and formats text: on hot paths keep the reference.
  Metric& with(std::initializer_list<std::string_view> values) {
    return with(std::span{values.begin(), values.size()});
  }
  Metric& with(std::span<const std::string_view> values);
  std::size_t size() const;
  void expose(std::string& out) const;

 private:
  const std::string name_;
  const std::string help_;
  const std::vector<std::string> labels_;
  const make_metric make_;
  mutable std::shared_mutex mutex_;
  std::map<std::string, std::unique_ptr<Metric>, std::less<>> metrics_;  // by rendered labels
};

extern template class family<counter>;
extern template class family<gauge>;
extern template class family<latency_histogram>;

// A family's counters with all labels fixed but the last: repeated values are found without a lock.
class counter_by {
 public:
  counter_by(family<counter>& source, std::initializer_list<std::string_view> fixed);
  counter& of(std::string_view last);
  void add(std::string_view last, std::uint64_t n = 1) { of(last).add(n); }

 private:
  struct entry {
    std::string last;
    counter& counted;
  };
  static constexpr std::size_t entries_max = 64;

  family<counter>& source_;
  const std::vector<std::string> fixed_;
  std::array<std::atomic<const entry*>, entries_max> table_{};  // filled from the front, never changed
  std::mutex mutex_;
  std::vector<std::unique_ptr<entry>> owned_;  // guarded by mutex_
};

// Families in the order of their making. Make them all at start-up; then everything is thread safe.
class registry {
 public:
  static constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

  family<counter>& counters(std::string name, std::string help, std::vector<std::string> labels = {});
  family<gauge>& gauges(std::string name, std::string help, std::vector<std::string> labels = {});
  family<latency_histogram>& latencies(std::string name, std::string help,
                                       std::vector<foundation::duration> bounds,
                                       std::vector<std::string> labels = {});
  // The whole exposition.
  std::string expose() const;

 private:
  template <typename Metric>
  family<Metric>& keep(std::unique_ptr<family<Metric>> made);

  std::vector<std::shared_ptr<void>> families_;
  std::vector<std::function<void(std::string&)>> exposers_;
};

}  // namespace tidegate::observe
