#include "gateway/state_fold.h"

#include <algorithm>
#include <array>
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

std::int64_t saturated_sum(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (!__builtin_add_overflow(a, b, &result)) return result;
  return a > 0 ? INT64_MAX : INT64_MIN;
}

std::uint32_t hour_of(wall_time t) {
  const auto hours = std::chrono::floor<std::chrono::hours>(t.time_since_epoch()).count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(hours, 0, UINT32_MAX));
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

std::vector<std::string> accounts_of(std::optional<json::value> list) {
  std::vector<std::string> names;
  for (const json::value account : list.value_or(json::value{}).elements()) {
    names.push_back(account.as_string().value_or(""));
  }
  return names;
}

}  // namespace

// A record's members, found in one pass over it: json::value::find makes one for each name. Names of ours are
// written without escapes.
class state_fold::fields {
 public:
  explicit fields(std::string_view payload) : whole_{payload} {
    for (const json::member& m : whole_.members()) {
      if (count_ < all_.size()) all_[count_] = m;
      ++count_;
    }
  }
  std::optional<value> find(std::string_view key) const {
    if (count_ > all_.size()) return whole_.find(key);
    for (std::size_t i = count_; i-- > 0;) {
      if (all_[i].raw_key == key) return all_[i].content;
    }
    return std::nullopt;
  }
  std::int64_t integer(std::string_view key) const {
    return find(key).value_or(value{}).as_int().value_or(0);
  }
  std::uint32_t leg() const { return static_cast<std::uint32_t>(integer("leg")); }
  std::string text(std::string_view key) const {
    return find(key).value_or(value{}).as_string().value_or(std::string{});
  }

 private:
  value whole_;
  std::array<json::member, 16> all_;
  std::size_t count_ = 0;
};

std::string to_text(const account_name& account) {
  std::string text;
  if (account.unit == policy::account_unit::micro_usd) text = dollars;
  text.append(policy::name_of(account.scope)).append(1, ':').append(account.id);
  return text;
}

std::optional<account_name> parse_account(std::string_view text) {
  account_name account;
  if (text.starts_with(dollars)) {
    account.unit = policy::account_unit::micro_usd;
    text.remove_prefix(dollars.size());
  }
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  using enum policy::account_scope;
  for (const auto scope : {session, project, key, guard}) {
    if (text.substr(0, colon) != policy::name_of(scope)) continue;
    account.scope = scope;
    account.id = text.substr(colon + 1);
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
  hour_ = std::max(hour_, hour_of(record.time));
  const std::string_view payload = record.payload;  // what we wrote, and what its hash has proven since
  const value body{payload};
  if (event == "ai_budget_reserved") {
    on_reserved(fields{payload});
  } else if (event == "ai_budget_settled") {
    on_ended(fields{payload}, true);
  } else if (event == "ai_budget_released") {
    on_ended(fields{payload}, false);
  } else if (event == "ai_leg_started") {
    on_leg_started(fields{payload}, record.time);
  } else if (event == "ai_run_started") {
    on_run_started(fields{payload});
  } else if (event == "provider_health") {
    on_health(body);
  } else if (event == "budget_reset") {
    on_reset(body);
  } else if (event == "budget_accounts_dropped") {
    on_dropped(body);
  } else if (event == usage_recorded) {
    usage_.apply(payload);
  } else if (event == "models_listed") {
    if (body.find("countedKey")) stamp("key:" + body.string_or("key", ""), record.time);
  } else if (event.starts_with("ai_run_") && event != "ai_run_refused") {
    on_run_ended(fields{payload});
  }
}

void state_fold::on_run_started(const fields& record) {
  open_run& run = open_[record.text("runId")];
  run.trace_id = record.text("traceId");
  run.started = true;
}

void state_fold::on_run_ended(const fields& record) {
  const auto found = open_.find(record.text("runId"));
  if (found == open_.end()) return;
  found->second.started = false;
  if (found->second.reservations.empty()) open_.erase(found);
}

void state_fold::on_reserved(const fields& record) {
  open_run& run = open_[record.text("runId")];
  if (run.trace_id.empty()) run.trace_id = record.text("traceId");
  open_reservation r;
  r.leg = record.leg();
  r.accounts = accounts_of(record.find("accounts"));
  r.tokens = record.integer("tokens");
  r.micro_usd = record.integer("microUsd");
  run.reservations.push_back(std::move(r));
}

void state_fold::on_leg_started(const fields& record, wall_time time) {
  // Only units that a limit counts: a key without one may make more calls than anybody wants to remember.
  if (record.find("countedKey")) stamp("key:" + record.text("key"), time);
  if (record.find("countedProvider")) stamp("provider:" + record.text("provider"), time);
  const auto found = open_.find(record.text("runId"));
  if (found == open_.end()) return;
  const auto leg = record.leg();
  for (open_reservation& r : found->second.reservations) {
    if (r.leg == leg) r.dispatched = true;
  }
}

void state_fold::on_ended(const fields& record, bool settled) {
  if (settled) {
    for (const std::string& account : accounts_of(record.find("accounts")))
      charge(account, record.integer("tokens"), record.integer("microUsd"));
  }
  const auto found = open_.find(record.text("runId"));
  if (found == open_.end()) return;
  const auto leg = record.leg();
  std::erase_if(found->second.reservations, [leg](const open_reservation& r) { return r.leg == leg; });
  if (!found->second.started && found->second.reservations.empty()) open_.erase(found);
}

void state_fold::charge(const std::string& account, std::int64_t tokens, std::int64_t micro_usd) {
  add(account, account.starts_with(dollars) ? micro_usd : tokens);
}

void state_fold::add(const std::string& account, std::int64_t amount) {
  account_total& total = settled_[account];
  total.amount = saturated_sum(total.amount, amount);
  total.hour = hour_;
  if (total.amount == 0) settled_.erase(account);
}

// The difference, not zero: what was settled beside a reset stays, in whatever order the two were written. In
// between a total may be below zero.
void state_fold::take_back(const std::string& account, std::int64_t amount) {
  add(account, amount == INT64_MIN ? INT64_MAX : -amount);
}

void state_fold::on_reset(value record) {
  take_back(record.string_or("account", ""), int_of(record, "previousTotal"));
}

void state_fold::on_dropped(value record) {
  for (const json::member& m : record.find("accounts").value_or(value{}).members())
    take_back(m.key(), m.content.as_int().value_or(0));
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
  for (const auto& [account, total] : settled_) w.member(account, total.amount);
  w.end_object().key("settledHours").begin_array();  // in the order of `settled`
  for (const auto& [account, total] : settled_) w.number(std::int64_t{total.hour != 0 ? total.hour : hour_});
  w.end_array().key("open").begin_array();
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
  w.end_object().key("usage").begin_array();
  usage_.save(w);
  w.end_array().end_object();
  return text;
}

void state_fold::load_totals(value amounts, value hours) {
  std::vector<std::uint32_t> known;
  for (const value hour : hours.elements())
    known.push_back(
        static_cast<std::uint32_t>(std::clamp<std::int64_t>(hour.as_int().value_or(0), 0, UINT32_MAX)));
  std::size_t at = 0;
  for (const json::member& m : amounts.members()) {
    const std::uint32_t hour = at < known.size() ? known[at] : 0;
    hour_ = std::max(hour_, hour);
    settled_[m.key()] = {m.content.as_int().value_or(0), hour};
    ++at;
  }
}

bool state_fold::load(std::string_view saved) {
  clear();
  const auto parsed = json::parse(saved);
  if (!parsed || parsed->int_at("version") != 1) return false;
  const auto part = [&](std::string_view key) { return parsed->find(key).value_or(value{}); };
  load_totals(part("settled"), part("settledHours"));
  for (const value from : part("open").elements()) {
    open_run run;
    run.trace_id = from.string_or("traceId", "");
    run.started = from.find("started").value_or(value{}).as_bool().value_or(false);
    for (const value r : from.find("reservations").value_or(value{}).elements()) {
      run.reservations.push_back({static_cast<std::uint32_t>(int_of(r, "leg")),
                                  accounts_of(r.find("accounts")), int_of(r, "tokens"), int_of(r, "microUsd"),
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
  usage_.load(part("usage"));
  return true;
}

void state_fold::clear() {
  settled_.clear();
  hour_ = 0;
  open_.clear();
  health_.clear();
  stamps_.clear();
  usage_.clear();
}

state_fold::totals state_fold::after_restart() const {
  totals all = settled_;
  for (const auto& [run_id, run] : open_) {
    for (const open_reservation& r : run.reservations) {
      if (!r.dispatched) continue;
      for (const std::string& account : r.accounts) {
        account_total& total = all[account];
        total.amount = saturated_sum(total.amount, account.starts_with(dollars) ? r.micro_usd : r.tokens);
        total.hour = hour_;
      }
    }
  }
  return all;
}

void state_fold::restore(policy::ledger& ledger) const {
  for (const auto& [text, total] : after_restart()) {
    const auto account = parse_account(text);
    if (!account || total.amount <= 0) continue;
    const wall_time used{std::chrono::hours{total.hour}};
    ledger.restore(account->scope, account->unit, account->id, total.amount, used);
  }
}

std::vector<std::pair<std::string, std::int64_t>> state_fold::overdrawn() const {
  std::vector<std::pair<std::string, std::int64_t>> all;
  for (const auto& [text, total] : after_restart()) {
    if (total.amount < 0) all.emplace_back(text, total.amount);
  }
  return all;
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
