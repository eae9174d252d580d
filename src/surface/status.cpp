#include "surface/status.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "gateway/state_fold.h"
#include "policy/session_key.h"
#include "protocol/json/json.h"

namespace tidegate::surface {

namespace json = protocol::json;
using foundation::instant;
using foundation::wall_time;

namespace {

std::string_view name_of(policy::breaker_status status) {
  switch (status) {
    case policy::breaker_status::healthy:
      return "healthy";
    case policy::breaker_status::degraded:
      return "degraded";
    case policy::breaker_status::half_open:
      return "half_open";
  }
  return "";
}

void write_providers(json::writer& w, gateway::core& shared, instant now, wall_time wall) {
  const auto served = shared.current();
  w.key("providers").begin_array();
  shared.health().with([&](const policy::health_bank& bank) {
    const auto stamp = [&](instant at) {
      return foundation::to_rfc3339(wall + std::chrono::duration_cast<foundation::milliseconds>(at - now));
    };
    for (const auto& p : served->providers) {
      const policy::breaker& circuit = bank.breaker_of(p->health);
      w.begin_object().member("name", p->name).member("kind", policy::name_of(p->kind));
      w.member("enabled", p->enabled).member("baseUrl", p->url_text);
      w.member("apiKeyConfigured", !p->credential.empty()).member("usable", p->usable());
      w.member("status", name_of(circuit.status(now)));
      w.member("consecutiveFailures", static_cast<std::int64_t>(circuit.consecutive_failures()));
      if (const auto since = circuit.degraded_at(now)) w.member("degradedAt", stamp(*since));
      if (const auto until = bank.cooldown_until(p->health, now)) w.member("cooldownUntil", stamp(*until));
      w.end_object();
    }
  });
  w.end_array();
  w.member("inFlight", static_cast<std::int64_t>(shared.in_flight()));
  w.member("draining", shared.draining());
}

// The limit that the present configuration sets on an account; 0: none, or not known.
std::int64_t limit_of(const gateway::snapshot& served, const policy::key_table& keys,
                      const gateway::account_name& account) {
  if (account.scope == policy::account_scope::project) return served.project_token_budget;
  if (account.scope == policy::account_scope::guard)
    return 0;  // the cost guard's, which the ledger only counts
  // "<key>/<session>", "<key>\x1f<place>" and "<key>@<period>" begin with the key's id.
  std::string_view key = account.id;
  key = key.substr(0, key.find(policy::place_separator));
  key = key.substr(0, key.find(account.scope == policy::account_scope::session ? '/' : '@'));
  std::string_view name = "default";
  for (const policy::key_entry& e : keys.entries()) {
    if (e.who.id == key) name = e.who.policy;
  }
  const gateway::caller_policy& p = served.policy_named(name);
  if (account.unit == policy::account_unit::micro_usd) return p.key_micro_usd_budget;
  return account.scope == policy::account_scope::session ? p.session_token_budget : p.key_token_budget;
}

// As a person reads it: "session:<key>/<place>", and without the key where all keys share the place.
std::string shown(const gateway::account_name& account) {
  gateway::account_name readable = account;
  if (readable.id.starts_with(policy::place_separator)) readable.id.remove_prefix(1);
  std::string text = gateway::to_text(readable);
  std::ranges::replace(text, policy::place_separator, '/');
  return text;
}

void write_budgets(json::writer& w, gateway::core& shared) {
  struct row {
    policy::account_scope scope;
    policy::account_unit unit;
    std::string id;
    policy::balance standing;
    std::int64_t total() const { return standing.settled + standing.reserved; }
  };
  std::vector<row> rows;
  std::size_t accounts = 0;
  std::size_t reservations = 0;
  const auto higher = [](const row& a, const row& b) { return a.total() > b.total(); };
  shared.ledger().with([&](policy::ledger& ledger) {
    accounts = ledger.accounts();
    reservations = ledger.reservations();
    ledger.each([&](policy::account_scope scope, policy::account_unit unit, std::string_view id,
                    policy::balance standing) {
      if (rows.size() == status_accounts_max) {
        if (standing.settled + standing.reserved <= rows.front().total()) return;
        std::ranges::pop_heap(rows, higher);
        rows.pop_back();
      }
      rows.push_back({scope, unit, std::string{id}, standing});
      std::ranges::push_heap(rows, higher);
    });
  });
  std::ranges::sort(rows, higher);
  const auto served = shared.current();
  const auto keys = shared.callers().keys();
  w.key("budgets").begin_array();
  for (const row& r : rows) {
    const gateway::account_name account{r.scope, r.unit, r.id};
    w.begin_object().member("account", shown(account));
    w.member("settled", r.standing.settled).member("reserved", r.standing.reserved);
    w.member("limit", limit_of(*served, *keys, account)).end_object();
  }
  w.end_array().member("accounts", static_cast<std::int64_t>(accounts));
  w.member("reservations", static_cast<std::int64_t>(reservations));
}

void write_rates(json::writer& w, gateway::core& shared, instant now) {
  const auto served = shared.current();
  const auto keys = shared.callers().keys();
  w.key("rates").begin_array();
  shared.limits().with([&](policy::rate_limiter& limits) {
    const auto row = [&](const std::string& name, std::uint32_t limit) {
      if (limit == 0) return;
      const auto slot = limits.find(name);
      w.begin_object().member("name", name);
      w.member("used", static_cast<std::int64_t>(slot ? limits.in_window(*slot, now) : 0));
      w.member("limit", static_cast<std::int64_t>(limit)).end_object();
    };
    if (keys->empty()) row("key:local", served->policy_named("default").requests_per_minute);
    for (const policy::key_entry& e : keys->entries())
      row("key:" + e.who.id, served->policy_named(e.who.policy).requests_per_minute);
    for (const auto& p : served->providers) row("provider:" + p->name, p->requests_per_minute);
  });
  w.end_array();
}

}  // namespace

std::string providers_json(gateway::core& shared, instant now, wall_time wall) {
  std::string body;
  json::writer w{body};
  w.begin_object();
  write_providers(w, shared, now, wall);
  w.end_object();
  return body;
}

std::string status_json(gateway::core& shared, instant now, wall_time wall) {
  std::string body;
  json::writer w{body};
  w.begin_object().member("version", TIDEGATE_VERSION).member("time", foundation::to_rfc3339(wall));
  write_providers(w, shared, now, wall);
  w.member("recording", shared.recording());
  write_budgets(w, shared);
  write_rates(w, shared, now);
  w.end_object();
  return body;
}

}  // namespace tidegate::surface
