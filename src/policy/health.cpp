#include "policy/health.h"

#include <algorithm>

#include "foundation/check.h"

namespace tidegate::policy {

using foundation::duration;
using foundation::instant;
using foundation::milliseconds;
using foundation::wall_time;

health_bank::entry& health_bank::at(provider_index provider) {
  TG_CHECK(provider < entries_.size());
  return entries_[provider];
}

const health_bank::entry& health_bank::at(provider_index provider) const {
  TG_CHECK(provider < entries_.size());
  return entries_[provider];
}

std::optional<provider_index> health_bank::find(std::string_view name) const {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].identity.name == name) return static_cast<provider_index>(i);
  }
  return std::nullopt;
}

namespace {

bool same_endpoint(const provider_identity& a, const provider_identity& b) {
  return a.base_url == b.base_url && a.credential_fingerprint == b.credential_fingerprint;
}

}  // namespace

provider_index health_bank::enroll(const provider_identity& identity) {
  const provider_index known = enrolled(identity);
  entry& e = at(known);
  if (same_endpoint(e.identity, identity)) return known;
  e.identity = identity;
  ++e.epoch;
  e.circuit.reset();
  e.cooldowns.clear();
  return known;
}

// Each look at a replaced endpoint begins a generation of its own, so that no two tickets of it ever match.
breaker& health_bank::breaker_of(provider_index provider, endpoint_epoch epoch) {
  entry& e = at(provider);
  if (e.epoch == epoch) return e.circuit;
  replaced_.reset();
  return replaced_;
}

const breaker& health_bank::breaker_of(provider_index provider, endpoint_epoch epoch) const {
  const entry& e = at(provider);
  return e.epoch == epoch ? e.circuit : replaced_;
}

// By name; a new one as it is.
provider_index health_bank::enrolled(const provider_identity& identity) {
  if (const auto known = find(identity.name)) return *known;
  entry e;
  e.identity = identity;
  e.circuit.configure(settings_.breaker);
  entries_.push_back(std::move(e));
  return static_cast<provider_index>(entries_.size() - 1);
}

duration health_bank::rest_of(std::optional<duration> retry_after) const {
  const duration rest = retry_after.value_or(settings_.cooldown_default);
  return std::clamp(rest, duration::zero(), std::max(settings_.cooldown_max, duration::zero()));
}

void health_bank::rest_until(entry& e, std::string_view model, instant until, instant now) {
  ++e.rests;
  std::erase_if(e.cooldowns, [now](const cooldown& c) { return c.until <= now; });
  for (cooldown& c : e.cooldowns) {
    if (c.model != model) continue;
    c.until = std::max(c.until, until);
    return;
  }
  if (e.cooldowns.size() >= cooldowns_max) {
    e.cooldowns.erase(std::ranges::min_element(e.cooldowns, {}, &cooldown::until));
  }
  e.cooldowns.push_back({std::string{model}, until});
}

duration health_bank::cool_down(provider_index provider, std::string_view model,
                                std::optional<duration> retry_after, instant now) {
  const duration rest = rest_of(retry_after);
  if (rest > duration::zero()) rest_until(at(provider), model, now + rest, now);
  return rest;
}

duration health_bank::cooldown_rest(provider_index provider, std::string_view model, instant now) const {
  for (const cooldown& c : at(provider).cooldowns) {
    if (c.model == model) return std::max(c.until - now, duration::zero());
  }
  return duration::zero();
}

std::optional<instant> health_bank::cooldown_until(provider_index provider, instant now) const {
  std::optional<instant> last;
  for (const cooldown& c : at(provider).cooldowns) {
    if (c.until > now && (!last || c.until > *last)) last = c.until;
  }
  return last;
}

void health_bank::configure(health_settings settings) {
  settings_ = settings;
  for (entry& e : entries_) e.circuit.configure(settings.breaker);
}

provider_snapshot health_bank::snapshot_of(const entry& e, instant now, wall_time wall) {
  provider_snapshot saved{e.identity, e.circuit.snapshot(now, wall), {}, e.revision};
  for (const cooldown& c : e.cooldowns) {
    if (c.until > now)
      saved.cooldowns.push_back({c.model, wall + std::chrono::ceil<milliseconds>(c.until - now)});
  }
  return saved;
}

std::vector<provider_snapshot> health_bank::snapshot(instant now, wall_time wall) const {
  std::vector<provider_snapshot> all;
  all.reserve(entries_.size());
  for (const entry& e : entries_) all.push_back(snapshot_of(e, now, wall));
  return all;
}

// A window always begins under a new generation, so its start needs no look of its own.
health_bank::recorded_state health_bank::state_of(const entry& e) {
  return {e.circuit.consecutive_failures(), e.circuit.generation(), e.rests};
}

std::optional<provider_snapshot> health_bank::take_change(provider_index provider, instant now,
                                                          wall_time wall) {
  entry& e = at(provider);
  const recorded_state state = state_of(e);
  if (state == e.recorded) return std::nullopt;
  e.recorded = state;
  ++e.revision;
  return snapshot_of(e, now, wall);
}

void health_bank::restore(std::span<const provider_snapshot> saved, instant now, wall_time wall) {
  const auto window = std::chrono::ceil<milliseconds>(settings_.cooldown_max);
  for (const provider_snapshot& s : saved) {
    // A provider that the configuration does not name now may come back by a reload.
    entry& e = at(enrolled(s.identity));
    // Also where the state is not taken over: a record of the new endpoint must count as the newer one.
    e.revision = std::max(e.revision, s.revision);
    if (!same_endpoint(e.identity, s.identity)) continue;
    e.circuit.restore(s.breaker, now, wall);
    for (const cooldown_snapshot& c : s.cooldowns) {
      if (c.until <= wall) continue;
      rest_until(e, c.model,
                 now + std::min<duration>(std::min(c.until - wall, window), settings_.cooldown_max), now);
    }
    e.recorded = state_of(e);
  }
}

}  // namespace tidegate::policy
