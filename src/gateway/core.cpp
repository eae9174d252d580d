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

}  // namespace tidegate::gateway
