#include "load/schedule.h"

#include <utility>

namespace tidegate::load {

schedule schedule::closed_loop(duration length) {
  schedule result;
  result.length_ = length;
  return result;
}

schedule schedule::fixed_rate(double calls_per_second, duration length) {
  schedule result;
  result.open_ = true;
  result.scale_ = 1e9 / calls_per_second;
  result.length_ = length;
  return result;
}

schedule schedule::replay(std::vector<trace_call> calls, double speed, duration length) {
  schedule result;
  result.open_ = true;
  result.scale_ = 1.0 / speed;
  result.length_ = length;
  result.trace_ = std::move(calls);
  return result;
}

std::optional<duration> schedule::due(std::uint64_t index) const {
  double ns = static_cast<double>(index) * scale_;
  if (!trace_.empty()) {
    if (index >= trace_.size()) return std::nullopt;
    ns = static_cast<double>(trace_[index].at.count()) * scale_;
  }
  if (ns >= static_cast<double>(length_.count())) return std::nullopt;
  return duration{static_cast<std::int64_t>(ns)};
}

const trace_call* schedule::traced(std::uint64_t index) const {
  return index < trace_.size() ? &trace_[index] : nullptr;
}

}  // namespace tidegate::load
