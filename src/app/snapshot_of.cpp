#include "app/snapshot_of.h"

#include <map>
#include <utility>

#include "policy/routing.h"

namespace tidegate::app {
namespace {

std::unique_ptr<gateway::provider> make_provider(const provider_settings& from, const environment& env,
                                                 const file_reader& read,
                                                 std::vector<config_warning>& warnings) {
  auto p = std::make_unique<gateway::provider>();
  p->name = from.name;
  p->kind = from.kind;
  p->enabled = from.enabled;
  if (auto url = policy::parse_base_url(from.base_url)) {
    p->has_url = true;
    p->url = std::move(*url);
    p->origin = {p->url.host, p->url.port, p->url.tls};
  }
  p->credential_configured = from.api_key.configured();
  if (p->credential_configured) {
    auto secret = resolve_credential(from.api_key, env, read);
    if (secret) {
      p->credential = std::move(*secret);
    } else {
      warnings.push_back({"provider_credential_absent", from.name, secret.error().message});
    }
  }
  p->max_tokens_field =
      from.tokens_field == max_tokens_field::max_completion_tokens ? "max_completion_tokens" : "max_tokens";
  if (from.first_byte) p->first_byte = *from.first_byte;
  return p;
}

std::optional<policy::failover_mode> mode_of(failover_mode mode) {
  switch (mode) {
    case failover_mode::after_trip:
      return policy::failover_mode::after_trip;
    case failover_mode::immediate:
      return policy::failover_mode::immediate;
    case failover_mode::automatic:
      break;
  }
  return std::nullopt;
}

policy::health_settings health_of(const breaker_settings& from) {
  policy::health_settings health;
  health.breaker.failure_threshold = static_cast<std::uint32_t>(from.failure_threshold);
  health.breaker.half_open_after = from.half_open_after;
  health.breaker.probe_permit = from.probe_permit;
  health.cooldown_default = from.cooldown_default;
  health.cooldown_max = from.cooldown_max;
  return health;
}

}  // namespace

served make_snapshot(const configuration& settings, const environment& env, const file_reader& read) {
  served result;
  result.routes = std::make_shared<gateway::snapshot>();
  gateway::snapshot& s = *result.routes;
  std::map<std::string, const gateway::provider*> by_name;
  std::map<std::string, policy::credential_id> credentials;
  for (const provider_settings& from : settings.providers) {
    auto p = make_provider(from, env, read, result.warnings);
    if (!p->credential.empty()) {
      const auto next = static_cast<policy::credential_id>(credentials.size() + 1);
      p->credential_id = credentials.try_emplace(p->credential, next).first->second;
    }
    by_name[p->name] = p.get();
    s.providers.push_back(std::move(p));
  }
  for (const route_settings& from : settings.routes) {
    gateway::route r;
    r.pattern = from.model;
    r.mode = mode_of(from.failover);
    for (const target_settings& t : from.targets) r.targets.push_back({by_name.at(t.provider), t.model});
    s.patterns.push_back(r.pattern);
    s.routes.push_back(std::move(r));
  }
  s.time = {settings.timeouts.v1, settings.timeouts.connect, settings.timeouts.idle, settings.timeouts.leg,
            settings.timeouts.blame_after};
  s.retry = {settings.retry.backoff, static_cast<unsigned>(settings.retry.jitter_percent),
             settings.retry.retry_on_status};
  s.max_body = settings.server.max_v1_body;
  s.max_upstream_body = settings.server.max_upstream_body;
  s.max_json_depth = settings.server.max_json_depth;
  s.max_in_flight = settings.server.max_in_flight;
  s.allowed_origins = settings.server.allowed_origins;
  result.health = health_of(settings.breaker);
  if (settings.admin.token.configured()) {
    auto token = resolve_credential(settings.admin.token, env, read);
    if (token) {
      result.admin_token = std::move(*token);
    } else {
      result.warnings.push_back({"admin_token_absent", "admin.token", token.error().message});
    }
  }
  return result;
}

}  // namespace tidegate::app
