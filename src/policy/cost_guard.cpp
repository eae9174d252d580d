#include "policy/cost_guard.h"

#include <cmath>

namespace tidegate::policy {
namespace {

std::optional<std::int64_t> micro_usd_of(double usd) {
  // Also false for what is no number.
  if (!(usd >= 0.0 && usd <= usd_of(guard_limit_max))) return std::nullopt;
  return std::llround(usd * static_cast<double>(micro_usd_per_usd));
}

}  // namespace

double usd_of(std::int64_t micro_usd) {
  return static_cast<double>(micro_usd) / static_cast<double>(micro_usd_per_usd);
}

std::optional<cost_limits> cost_limits_of(double warning_usd, double hard_stop_usd, bool enabled) {
  const auto warning = micro_usd_of(warning_usd);
  const auto hard_stop = micro_usd_of(hard_stop_usd);
  if (!warning || !hard_stop || *warning > *hard_stop) return std::nullopt;
  return cost_limits{*warning, *hard_stop, enabled};
}

std::string_view name_of(cost_verdict verdict) {
  switch (verdict) {
    case cost_verdict::none:
      return "none";
    case cost_verdict::warning:
      return "warning";
    case cost_verdict::hard_stop:
      return "hard-stop";
  }
  return "";
}

cost_verdict judge_cost(const cost_limits& limits, std::int64_t total) {
  if (!limits.enabled) return cost_verdict::none;
  if (total >= limits.hard_stop) return cost_verdict::hard_stop;
  return total >= limits.warning ? cost_verdict::warning : cost_verdict::none;
}

std::optional<cost_verdict> cost_edge::note(const cost_limits& limits, std::int64_t total) {
  const cost_verdict now = judge_cost(limits, total);
  const bool rises = now > last_;
  last_ = now;
  return rises ? std::optional{now} : std::nullopt;
}

}  // namespace tidegate::policy
