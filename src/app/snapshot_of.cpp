#include "app/snapshot_of.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "foundation/text.h"
#include "policy/routing.h"

namespace tidegate::app {
namespace {

std::unique_ptr<gateway::provider> make_provider(const provider_settings& from, const environment& env,
                                                 const file_reader& read, const secret_reader& secrets,
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
  credential_reference reference = from.api_key;
  if (!reference.configured() && secrets && secrets(from.name))
    reference = {credential_source::secret, from.name};
  p->credential_configured = reference.configured();
  if (p->credential_configured) {
    auto secret = resolve_credential(reference, env, read, secrets);
    if (secret) {
      p->credential = std::move(*secret);
    } else {
      warnings.push_back({"provider_credential_absent", from.name, secret.error().message});
    }
  }
  p->max_tokens_field =
      from.tokens_field == max_tokens_field::max_completion_tokens ? "max_completion_tokens" : "max_tokens";
  if (from.first_byte) p->first_byte = *from.first_byte;
  p->requests_per_minute = static_cast<std::uint32_t>(from.requests_per_minute);
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

// Budgets are integers inside: a fraction of a micro-dollar rounds to the nearest.
std::int64_t micro_usd_of(double usd) { return std::llround(std::min(usd, 1e12) * 1e6); }

gateway::caller_policy policy_of(const std::string& name, const policy_settings& from) {
  gateway::caller_policy p;
  p.name = name;
  p.requests_per_minute = static_cast<std::uint32_t>(from.requests_per_minute);
  p.reserve_failover_unit = from.reserve_failover_unit;
  p.max_output_tokens = static_cast<std::int64_t>(from.max_output_tokens);
  p.clamp = from.on_exceed == exceed_action::clamp;
  p.default_max_tokens = static_cast<std::int64_t>(from.default_max_tokens);
  p.session_token_budget = static_cast<std::int64_t>(from.session_token_budget);
  p.key_token_budget = static_cast<std::int64_t>(from.key_token_budget);
  p.key_micro_usd_budget = micro_usd_of(from.key_usd_budget);
  p.period = from.period == budget_period::day     ? policy::budget_period::day
             : from.period == budget_period::month ? policy::budget_period::month
                                                   : policy::budget_period::none;
  return p;
}

gateway::session_rules session_of(const session_settings& from, foundation::duration timeout) {
  return {.timeout = timeout,
          .model = from.model,
          .auxiliary_model = from.auxiliary_model,
          .history_token_budget = static_cast<std::int64_t>(from.history_token_budget),
          .compaction = from.compaction,
          .output_max_chars = from.output_max_chars,
          .batch_deltas = from.batch_deltas,
          .batch_window = from.batch_window,
          .completion_grace = from.completion_grace,
          .temperature = from.temperature,
          .tool_rounds = static_cast<int>(from.tool_rounds)};
}

// `text` was checked at load: a date, or empty.
std::optional<foundation::wall_time> date_of(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const auto number = [&](std::size_t from, std::size_t size) {
    return static_cast<int>(foundation::parse_u64(text.substr(from, size)).value_or(1));
  };
  const std::chrono::year_month_day date{std::chrono::year{number(0, 4)},
                                         std::chrono::month{static_cast<unsigned>(number(5, 2))},
                                         std::chrono::day{static_cast<unsigned>(number(8, 2))}};
  return foundation::wall_time{std::chrono::sys_days{date}};
}

std::shared_ptr<const policy::price_book> prices_of(const pricing_settings& from) {
  policy::owner_table table;
  table.last_updated = date_of(from.last_updated);
  table.stale_after = std::chrono::days{from.stale_days};
  for (const auto& [model, price] : from.models) {
    policy::owner_price p;
    p.model = p.display_name = model;
    p.input = policy::rate_of_usd_per_1k(price.input_per_1k);
    p.output = policy::rate_of_usd_per_1k(price.output_per_1k);
    if (price.cached_input_per_1k) p.cached = policy::rate_of_usd_per_1k(*price.cached_input_per_1k);
    p.effective_date = from.last_updated;
    table.models.push_back(std::move(p));
  }
  return std::make_shared<const policy::price_book>(std::move(table));
}

}  // namespace

served make_snapshot(const configuration& settings, const environment& env, const file_reader& read,
                     const secret_reader& secrets) {
  served result;
  result.routes = std::make_shared<gateway::snapshot>();
  gateway::snapshot& s = *result.routes;
  std::map<std::string, const gateway::provider*> by_name;
  std::map<std::string, policy::credential_id> credentials;
  for (const provider_settings& from : settings.providers) {
    auto p = make_provider(from, env, read, secrets, result.warnings);
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
  s.rpc = {settings.server.max_body, settings.timeouts.rpc, settings.timeouts.config_test};
  s.judge = {
      settings.judge.model,
      settings.judge.advanced,
      settings.judge.temperature,
      settings.judge.timeout,
      settings.judge.ensure_timeout,
      settings.session.locale == message_locale::zh ? policy::judge_locale::zh : policy::judge_locale::en};
  s.session = session_of(settings.session, settings.timeouts.run);
  s.retry = {settings.retry.backoff, static_cast<unsigned>(settings.retry.jitter_percent),
             settings.retry.retry_on_status};
  s.max_body = settings.server.max_v1_body;
  s.max_upstream_body = settings.server.max_upstream_body;
  s.max_json_depth = settings.server.max_json_depth;
  s.max_in_flight = settings.server.max_in_flight;
  s.allowed_origins = settings.server.allowed_origins;
  s.listens_on_a_socket_file = settings.server.listen.starts_with("unix:");
  s.policies.clear();
  for (const auto& [name, from] : settings.policies) s.policies.push_back(policy_of(name, from));
  s.project_token_budget = static_cast<std::int64_t>(settings.session.project_token_budget);
  s.prices = prices_of(settings.pricing);
  s.idempotency_ttl = settings.server.idempotency_ttl;
  result.health = health_of(settings.breaker);
  if (settings.admin.token.configured()) {
    auto token = resolve_credential(settings.admin.token, env, read, secrets);
    if (token) {
      result.admin_token = std::move(*token);
    } else {
      result.warnings.push_back({"admin_token_absent", "admin.token", token.error().message});
    }
  }
  return result;
}

}  // namespace tidegate::app
