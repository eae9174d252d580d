#include "gateway/state_fold.h"

#include <algorithm>
#include <charconv>
#include <exception>
#include <utility>

namespace tidegate::gateway {

namespace json = protocol::json;
using foundation::milliseconds;
using foundation::wall_time;

namespace {

constexpr milliseconds window{60'000};
constexpr std::string_view dollars = "usd:";

std::string_view name_of(policy::account_scope scope) {
  switch (scope) {
    case policy::account_scope::session:
      return "session:";
    case policy::account_scope::project:
      return "project:";
    case policy::account_scope::key:
      break;
  }
  return "key:";
}

std::int64_t int_of(json::value object, std::string_view key) { return object.int_at(key).value_or(0); }

std::string hex_of(std::uint64_t n) {
  char digits[16];
  const auto end = std::to_chars(std::begin(digits), std::end(digits), n, 16).ptr;
  return {std::begin(digits), end};
}

std::uint64_t of_hex(std::string_view text) {
  std::uint64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n, 16);
  return n;
}

std::int64_t ms_of(wall_time t) { return t.time_since_epoch().count(); }
wall_time wall_of(std::int64_t ms) { return wall_time{milliseconds{ms}}; }

policy::provider_snapshot read_health(json::value from) {
  policy::provider_snapshot state;
  state.identity.name = from.string_or("provider", "");
  state.identity.base_url = from.string_or("baseUrl", "");
  state.identity.credential_fingerprint = of_hex(from.string_or("credential", "0"));
  state.breaker.consecutive_failures = static_cast<std::uint32_t>(int_of(from, "failures"));
  state.breaker.generation = static_cast<std::uint64_t>(int_of(from, "generation"));
  if (const auto since = from.int_at("degradedAtMs")) state.breaker.degraded_at = wall_of(*since);
  state.revision = static_cast<std::uint64_t>(int_of(from, "revision"));
  for (const json::value rest : from.find("cooldowns").value_or(json::value{}).elements()) {
    state.cooldowns.push_back({rest.string_or("model", ""), wall_of(int_of(rest, "untilMs"))});
  }
  return state;
}

void write_reservation(json::writer& w, const state_fold::open_reservation& r) {
  w.begin_object().member("leg", static_cast<std::int64_t>(r.leg)).key("accounts").begin_array();
  for (const std::string& account : r.accounts) w.string(account);
  w.end_array().member("tokens", r.tokens).member("microUsd", r.micro_usd);
  w.member("dispatched", r.dispatched).end_object();
}

std::vector<std::string> accounts_of(json::value record) {
  std::vector<std::string> names;
  for (const json::value account : record.find("accounts").value_or(json::value{}).elements()) {
    names.push_back(account.as_string().value_or(""));
  }
  return names;
}

}  // namespace

std::string to_text(const account_name& account) {
  std::string text;
  if (account.unit == policy::account_unit::micro_usd) text = dollars;
  text.append(name_of(account.scope)).append(account.id);
  return text;
}

std::optional<account_name> parse_account(std::string_view text) {
  account_name account;
  if (text.starts_with(dollars)) {
    account.unit = policy::account_unit::micro_usd;
    text.remove_prefix(dollars.size());
  }
  for (const auto scope :
       {policy::account_scope::session, policy::account_scope::project, policy::account_scope::key}) {
    if (!text.starts_with(name_of(scope))) continue;
    account.scope = scope;
    account.id = text.substr(name_of(scope).size());
    return account;
  }
  return std::nullopt;
}

void write_health(json::writer& w, const policy::provider_snapshot& state) {
  w.member("provider", state.identity.name).member("baseUrl", state.identity.base_url);
  w.member("credential", hex_of(state.identity.credential_fingerprint));
  w.member("failures", static_cast<std::int64_t>(state.breaker.consecutive_failures));
  w.member("generation", static_cast<std::int64_t>(state.breaker.generation));
  if (state.breaker.degraded_at) w.member("degradedAtMs", ms_of(*state.breaker.degraded_at));
  w.key("cooldowns").begin_array();
  for (const policy::cooldown_snapshot& c : state.cooldowns) {
    w.begin_object().member("model", c.model).member("untilMs", ms_of(c.until)).end_object();
  }
  w.end_array().member("revision", static_cast<std::int64_t>(state.revision));
}

void state_fold::apply(const journal::record_view& record) noexcept {
  constexpr std::string_view opening = R"({"event":")";
  std::string_view event = record.payload;
  if (!event.starts_with(opening)) return;
  event.remove_prefix(opening.size());
  event = event.substr(0, event.find('"'));
  const value body{record.payload};  // what we wrote ourselves, and what its hash has proven since
  if (event == "ai_budget_reserved") {
    on_reserved(body);
  } else if (event == "ai_budget_settled") {
    on_ended(body, true);
  } else if (event == "ai_budget_released") {
    on_ended(body, false);
  } else if (event == "ai_leg_started") {
    on_leg_started(body, record.time);
  } else if (event == "ai_run_started") {
    on_run_started(body);
  } else if (event == "provider_health") {
    on_health(body);
  } else if (event == "budget_reset") {
    on_reset(body);
  } else if (event == "models_listed") {
    if (body.find("countedKey")) stamp("key:" + body.string_or("key", ""), record.time);
  } else if (event.starts_with("ai_run_") && event != "ai_run_refused") {
    on_run_ended(body);
  }
}

void state_fold::on_run_started(value record) {
  open_run& run = open_[record.string_or("runId", "")];
  run.trace_id = record.string_or("traceId", "");
  run.started = true;
}

void state_fold::on_run_ended(value record) {
  const auto found = open_.find(record.string_or("runId", ""));
  if (found == open_.end()) return;
  found->second.started = false;
  if (found->second.reservations.empty()) open_.erase(found);
}

void state_fold::on_reserved(value record) {
  open_run& run = open_[record.string_or("runId", "")];
  if (run.trace_id.empty()) run.trace_id = record.string_or("traceId", "");
  open_reservation r;
  r.leg = static_cast<std::uint32_t>(int_of(record, "leg"));
  r.accounts = accounts_of(record);
  r.tokens = int_of(record, "tokens");
  r.micro_usd = int_of(record, "microUsd");
  run.reservations.push_back(std::move(r));
}

void state_fold::on_leg_started(value record, wall_time time) {
  // Only units that a limit counts: a key without one may make more calls than anybody wants to remember.
  if (record.find("countedKey")) stamp("key:" + record.string_or("key", ""), time);
  if (record.find("countedProvider")) stamp("provider:" + record.string_or("provider", ""), time);
  const auto found = open_.find(record.string_or("runId", ""));
  if (found == open_.end()) return;
  const auto leg = static_cast<std::uint32_t>(int_of(record, "leg"));
  for (open_reservation& r : found->second.reservations) {
    if (r.leg == leg) r.dispatched = true;
  }
}

void state_fold::on_ended(value record, bool settled) {
  if (settled) {
    for (const std::string& account : accounts_of(record))
      charge(account, int_of(record, "tokens"), int_of(record, "microUsd"));
  }
  const auto found = open_.find(record.string_or("runId", ""));
  if (found == open_.end()) return;
  const auto leg = static_cast<std::uint32_t>(int_of(record, "leg"));
  std::erase_if(found->second.reservations, [leg](const open_reservation& r) { return r.leg == leg; });
  if (!found->second.started && found->second.reservations.empty()) open_.erase(found);
}

void state_fold::charge(const std::string& account, std::int64_t tokens, std::int64_t micro_usd) {
  std::int64_t& total = settled_[account];
  const std::int64_t more = account.starts_with(dollars) ? micro_usd : tokens;
  total = total > 0 && more > INT64_MAX - total ? INT64_MAX : total + more;
  if (total == 0) settled_.erase(account);
}

void state_fold::on_reset(value record) {
  // The difference, not zero: what was settled beside the reset stays, in whatever order the two were
  // written. In between a total may be below zero.
  const std::string account = record.string_or("account", "");
  std::int64_t& total = settled_[account];
  total -= int_of(record, "previousTotal");
  if (total == 0) settled_.erase(account);
}

void state_fold::on_health(value record) {
  policy::provider_snapshot state = read_health(record);
  policy::provider_snapshot& known = health_[state.identity.name];
  if (state.revision >= known.revision) known = std::move(state);
}

void state_fold::stamp(std::string name, wall_time time) {
  std::deque<wall_time>& stamps = stamps_[std::move(name)];
  // Two loops' records may stand a little out of order.
  stamps.insert(std::ranges::upper_bound(stamps, time), time);
  while (!stamps.empty() && stamps.front() + window <= time) stamps.pop_front();
}

std::string state_fold::save() const {
  std::string text;
  json::writer w{text};
  w.begin_object().member("version", 1).key("settled").begin_object();
  for (const auto& [account, total] : settled_) w.member(account, total);
  w.end_object().key("open").begin_array();
  for (const auto& [run_id, run] : open_) {
    w.begin_object().member("runId", run_id).member("traceId", run.trace_id).member("started", run.started);
    w.key("reservations").begin_array();
    for (const open_reservation& r : run.reservations) write_reservation(w, r);
    w.end_array().end_object();
  }
  w.end_array().key("health").begin_array();
  for (const auto& [name, state] : health_) {
    w.begin_object();
    write_health(w, state);
    w.end_object();
  }
  w.end_array().key("stamps").begin_object();
  for (const auto& [name, stamps] : stamps_) {
    w.key(name).begin_array();
    for (const wall_time t : stamps) w.number(ms_of(t));
    w.end_array();
  }
  w.end_object().end_object();
  return text;
}

bool state_fold::load(std::string_view saved) {
  clear();
  const auto parsed = json::parse(saved);
  if (!parsed || parsed->int_at("version") != 1) return false;
  const auto part = [&](std::string_view key) { return parsed->find(key).value_or(value{}); };
  for (const json::member& m : part("settled").members()) settled_[m.key()] = m.content.as_int().value_or(0);
  for (const value from : part("open").elements()) {
    open_run run;
    run.trace_id = from.string_or("traceId", "");
    run.started = from.find("started").value_or(value{}).as_bool().value_or(false);
    for (const value r : from.find("reservations").value_or(value{}).elements()) {
      run.reservations.push_back({static_cast<std::uint32_t>(int_of(r, "leg")), accounts_of(r),
                                  int_of(r, "tokens"), int_of(r, "microUsd"),
                                  r.find("dispatched").value_or(value{}).as_bool().value_or(false)});
    }
    open_[from.string_or("runId", "")] = std::move(run);
  }
  for (const value from : part("health").elements()) {
    policy::provider_snapshot state = read_health(from);
    health_[state.identity.name] = std::move(state);
  }
  for (const json::member& m : part("stamps").members()) {
    std::deque<wall_time>& stamps = stamps_[m.key()];
    for (const value t : m.content.elements()) stamps.push_back(wall_of(t.as_int().value_or(0)));
  }
  return true;
}

void state_fold::clear() {
  settled_.clear();
  open_.clear();
  health_.clear();
  stamps_.clear();
}

void state_fold::restore(policy::ledger& ledger) const {
  for (const auto& [text, total] : settled_) {
    if (const auto account = parse_account(text))
      ledger.restore(account->scope, account->unit, account->id, total);
  }
}

void state_fold::restore(policy::rate_limiter& limits, foundation::instant now, wall_time wall) const {
  std::vector<policy::rate_limiter::saved> all;
  for (const auto& [name, stamps] : stamps_) all.push_back({name, {stamps.begin(), stamps.end()}});
  limits.restore(all, now, wall);
}

std::vector<policy::provider_snapshot> state_fold::health() const {
  std::vector<policy::provider_snapshot> all;
  for (const auto& [name, state] : health_) all.push_back(state);
  return all;
}

}  // namespace tidegate::gateway
