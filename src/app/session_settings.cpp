#include "app/session_settings.h"

#include <algorithm>
#include <limits>

namespace tidegate::app {

session::service_settings session_settings_of(const configuration& settings) {
  const session_settings& from = settings.session;
  session::service_settings s;
  s.queue.session_concurrency = from.session_concurrency;
  s.queue.global_concurrency = from.global_concurrency;
  s.queue.queue_limit = from.queue_limit;
  s.queue.project_in_flight = from.project_in_flight;
  s.queue.queue_wait = from.queue_wait;
  s.queue.slot_recovery = from.slot_recovery;
  s.pushes.event_replay = settings.server.event_replay;
  s.pushes.chunks_per_second = static_cast<std::uint32_t>(std::min<std::uint64_t>(
      settings.server.push_chunks_per_second, std::numeric_limits<std::uint32_t>::max()));
  s.pushes.max_subscriptions = settings.server.max_subscriptions;
  s.pushes.buffer = settings.server.push_buffer;
  s.tools.open_for = from.tool_result_ttl;
  // Checked at load: the warning is not above the hard stop. What is beyond the guard's own most is that.
  const double most = static_cast<double>(policy::guard_limit_max) / policy::micro_usd_per_usd;
  s.guard = policy::cost_limits_of(std::min(from.cost_warning_usd, most),
                                   std::min(from.cost_hard_stop_usd, most), from.cost_guard)
                .value_or(policy::cost_limits{});
  s.chat_capacity = static_cast<std::int64_t>(
      std::min<std::uint64_t>(from.chat_capacity, std::numeric_limits<std::int64_t>::max()));
  s.skill_dirs = from.skill_dirs;
  return s;
}

}  // namespace tidegate::app
