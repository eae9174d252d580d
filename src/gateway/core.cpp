#include "gateway/core.h"

#include <string>

namespace tidegate::gateway {

void core::publish(std::shared_ptr<snapshot> next, const policy::health_settings& health) {
  health_.with([&](policy::health_bank& bank) {
    bank.configure(health);
    for (auto& p : next->providers) {
      p->url_text = p->url.text();
      policy::provider_identity identity;
      identity.name = p->name;
      identity.base_url = p->url_text;
      identity.credential_fingerprint = p->credential_fingerprint;
      p->health = bank.enroll(identity);
      p->endpoint = bank.epoch_of(p->health);
    }
  });
  limits_.with([&](policy::rate_limiter& limits) {
    for (auto& p : next->providers) p->window = limits.enroll("provider:" + p->name);
  });
  for (auto& p : next->providers) p->metrics = &metrics_.provider(p->name);
  for (route& r : next->routes) {
    for (std::size_t i = 0; i < surfaces; ++i) {
      r.exchanges[i] = &metrics_.exchanges(name_of(static_cast<surface>(i)), r.pattern);
    }
  }
  std::shared_ptr<const snapshot> previous = std::move(next);
  {
    const std::lock_guard lock{snapshot_mutex_};
    snapshot_.swap(previous);
  }
  // What was served before may end here, and then outside the lock.
}

core::place core::enter(std::uint64_t max) {
  if (in_flight_.fetch_add(1, std::memory_order_relaxed) >= max) {
    in_flight_.fetch_sub(1, std::memory_order_relaxed);
    return {};
  }
  return place{this};
}

bool core::may_log_a_stranger(foundation::instant now) noexcept {
  constexpr std::uint64_t lines_a_second = 10;
  const auto second = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
  std::uint64_t seen = stranger_lines_.load(std::memory_order_relaxed);
  while (true) {
    const std::uint64_t next = seen >> 8 == second ? seen + 1 : second << 8;
    if ((next & 0xff) >= lines_a_second) return false;
    if (stranger_lines_.compare_exchange_weak(seen, next, std::memory_order_relaxed)) return true;
  }
}

}  // namespace tidegate::gateway
