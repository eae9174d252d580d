// The cost guard of a client key (COST-2): what its session runs may cost before an alert and before they are
// stopped. Pure: the total is the owner's.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace tidegate::policy {

inline constexpr std::int64_t micro_usd_per_usd = 1'000'000;
// The most a limit may be: a million dollars.
inline constexpr std::int64_t guard_limit_max = 1'000'000 * micro_usd_per_usd;

// Micro-dollars. Off: no verdict but `none`.
struct cost_limits {
  std::int64_t warning = 1 * micro_usd_per_usd;
  std::int64_t hard_stop = 5 * micro_usd_per_usd;
  bool enabled = true;
  bool operator==(const cost_limits&) const = default;
};

// From dollars, each to the nearest micro-dollar. Nothing for what is negative, no number, over the most, or
// a warning over the hard stop.
std::optional<cost_limits> cost_limits_of(double warning_usd, double hard_stop_usd, bool enabled);
// Exact for every limit.
double usd_of(std::int64_t micro_usd);

// In rising order.
enum class cost_verdict : std::uint8_t { none, warning, hard_stop };
// "none", "warning", "hard-stop"
std::string_view name_of(cost_verdict verdict);

// Both limits count when they are reached, the hard stop first.
cost_verdict judge_cost(const cost_limits& limits, std::int64_t total);

// What alerts are told apart by: one as the verdict rises, none while it stays, and one again when it rises
// after it has fallen (a reset, higher limits).
class cost_edge {
 public:
  // `before`: the total that the last process left; what stood then has been told.
  cost_edge(const cost_limits& limits, std::int64_t before) : last_{judge_cost(limits, before)} {}
  // The verdict to alert of, or nothing.
  std::optional<cost_verdict> note(const cost_limits& limits, std::int64_t total);

 private:
  cost_verdict last_;
};

}  // namespace tidegate::policy
