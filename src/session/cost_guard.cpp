#include "session/cost_guard.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "gateway/store_wait.h"
#include "protocol/json/json.h"
#include "session/channels.h"

namespace tidegate::session {
namespace {

using policy::account_scope;
using policy::account_unit;
using policy::cost_limits;
using policy::cost_verdict;

constexpr std::string_view prefix = "guard/";

std::string text_of(const cost_limits& limits) {
  std::string text;
  json::writer w{text};
  w.begin_object().member("warningMicroUsd", limits.warning).member("hardStopMicroUsd", limits.hard_stop);
  w.member("enabled", limits.enabled).end_object();
  return text;
}

std::optional<cost_limits> limits_in(std::string_view text) {
  const auto parsed = json::parse(text);
  if (!parsed) return std::nullopt;
  const auto warning = parsed->int_at("warningMicroUsd");
  const auto hard_stop = parsed->int_at("hardStopMicroUsd");
  const auto enabled = parsed->find("enabled");
  if (!warning || !hard_stop || !enabled || !enabled->as_bool()) return std::nullopt;
  return cost_limits{*warning, *hard_stop, *enabled->as_bool()};
}

// "0.0002", "1.00": never an exponent, for people.
std::string dollars(std::int64_t micro_usd) {
  std::string digits = std::to_string(std::max<std::int64_t>(micro_usd, 0));
  if (digits.size() < 7) digits.insert(0, 7 - digits.size(), '0');
  digits.insert(digits.size() - 6, 1, '.');
  const std::size_t cents = digits.find('.') + 3;
  while (digits.size() > cents && digits.back() == '0') digits.pop_back();
  return digits;
}

}  // namespace

std::string to_json(const cost_alert& alert) {
  std::string text;
  json::writer w{text};
  w.begin_object().member("kind", policy::name_of(alert.kind));
  w.member("currentCost", policy::usd_of(alert.total)).member("threshold", policy::usd_of(alert.threshold));
  w.member("message", alert.kind == cost_verdict::hard_stop
                          ? "session runs of this client key are stopped: " + dollars(alert.total) +
                                " USD of " + dollars(alert.threshold) + " USD are spent"
                          : "session runs of this client key have cost " + dollars(alert.total) +
                                " USD; the warning threshold is " + dollars(alert.threshold) + " USD");
  w.member("timestamp", alert.at.time_since_epoch().count()).end_object();
  return text;
}

foundation::failure cost_guards::stop::failure() const {
  std::string details;
  json::writer w{details};
  w.begin_object().member("reason", "cost_guard");
  members(w);
  w.end_object();
  return refusal(
             foundation::error_code::cost_budget_exceeded,
             "the cost guard of this client key has stopped its session runs; an admin may raise the limit "
             "(cost:budget:update) or set the total back (cost:budget:reset)",
             std::move(details))
      .error();
}

cost_guards::cost_guards(gateway::core& core, storage::setting_store& store, observe::logger& log,
                         cost_limits defaults, std::function<void(const cost_alert&)> alerts)
    : core_{core}, store_{store}, log_{log}, alerts_{std::move(alerts)} {
  book_->defaults = defaults;
}

const cost_limits& cost_guards::book::limits_of(std::string_view key_id) const {
  const auto found = own.find(key_id);
  return found != own.end() ? found->second : defaults;
}

std::expected<void, std::string> cost_guards::load() {
  const auto kept = storage::wait_for<std::vector<storage::setting>>(
      [&](auto answer) { store_.list(std::string{prefix}, std::move(answer)); });
  if (!kept) return std::unexpected{kept.error().message};
  const std::lock_guard lock{book_->mutex};
  for (const storage::setting& s : *kept) {
    if (const auto limits = limits_in(s.json)) {
      book_->own.insert_or_assign(s.name.substr(prefix.size()), *limits);
    } else {
      log_.at(observe::level::warn, "settings_json_parse_failed")
          .field("key", s.name)
          .field("reason", "no cost guard; the defaults hold");
    }
  }
  return {};
}

void cost_guards::set_defaults(cost_limits defaults) {
  const std::lock_guard lock{book_->mutex};
  book_->defaults = defaults;
}

cost_limits cost_guards::limits_of(std::string_view key_id) const {
  const std::lock_guard lock{book_->mutex};
  return book_->limits_of(key_id);
}

std::int64_t cost_guards::total_of(std::string_view key_id) {
  return core_.ledger().with([&](const policy::ledger& ledger) {
    return ledger.of(account_scope::guard, account_unit::micro_usd, key_id).settled;
  });
}

std::optional<cost_guards::stop> cost_guards::check(std::string_view key_id) {
  const cost_limits limits = limits_of(key_id);
  const std::int64_t total = total_of(key_id);
  if (policy::judge_cost(limits, total) != cost_verdict::hard_stop) return std::nullopt;
  return stop{total, limits.hard_stop};
}

void cost_guards::note(std::string_view key_id, std::int64_t charged, foundation::wall_time at) {
  const judgement now = judge(key_id, charged, at);
  {
    auto line = log_.at(observe::level::info, "cost-recorded");
    line.field("requestCost", policy::usd_of(charged)).field("sessionTotalCost", policy::usd_of(now.total));
    if (now.alert) line.field("budgetAlert", policy::name_of(now.alert->kind));
  }
  if (now.alert && alerts_) alerts_(*now.alert);
}

void cost_guards::note_reset(std::string_view key_id) { static_cast<void>(judge(key_id, 0, {})); }

cost_guards::judgement cost_guards::judge(std::string_view key_id, std::int64_t charged,
                                          foundation::wall_time at) {
  const std::lock_guard lock{book_->mutex};
  // Read under the lock: totals are judged in the order in which they grow.
  const std::int64_t total = total_of(key_id);
  const cost_limits& limits = book_->limits_of(key_id);
  auto edge = book_->edges.find(key_id);
  if (edge == book_->edges.end())
    edge = book_->edges.emplace(key_id, policy::cost_edge{limits, total - charged}).first;
  const auto rises = edge->second.note(limits, total);
  if (!rises) return {total, std::nullopt};
  const std::int64_t threshold = *rises == cost_verdict::hard_stop ? limits.hard_stop : limits.warning;
  return {total, cost_alert{std::string{key_id}, *rises, total, threshold, at}};
}

runtime::task<std::expected<cost_limits, foundation::failure>> cost_guards::update(
    gateway::loop_services& services, std::string key_id, cost_limits limits) {
  // Where nothing has been noted yet, what the limits so far say counts as told.
  static_cast<void>(judge(key_id, 0, services.loop.wall()));
  std::vector<storage::setting_change> change;
  change.push_back({std::string{prefix} + key_id, text_of(limits)});
  gateway::store_wait<void> wait{services.loop};
  // In force from the store's own thread: of two updates the later one stands in both places.
  auto take_over = [book = book_, key_id, limits,
                    go_on = wait.answer()](storage::result<void> given) mutable {
    if (given) {
      const std::lock_guard lock{book->mutex};
      book->own.insert_or_assign(key_id, limits);
    }
    go_on(std::move(given));
  };
  store_.apply(std::move(change), {}, services.loop.wall(), std::move(take_over));
  const auto given = co_await wait;
  if (!given) {
    log_.at(observe::level::warn, "cost_guard_update_failed").field("message", given.error().message);
    co_return std::unexpected{failure_of(given.error())};
  }
  const judgement now = judge(key_id, 0, services.loop.wall());
  if (now.alert && alerts_) alerts_(*now.alert);
  co_return limits;
}

}  // namespace tidegate::session
