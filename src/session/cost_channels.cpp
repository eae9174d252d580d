#include "session/cost_channels.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "foundation/text.h"
#include "gateway/budget_reset.h"

namespace tidegate::session {

using foundation::error_code;
using policy::account_scope;
using policy::account_unit;
using runtime::task;

namespace {

// Beyond these no date can be told from another.
constexpr std::int64_t since_max = 253'402'300'799'999;  // the year 9999

usage_book::asked asked_of(json::value request) {
  usage_book::asked what;
  if (const auto skill = request.find("skillId")) what.skill_id = skill->as_string();
  if (const auto since = request.int_at("since"))
    what.since =
        foundation::wall_time{foundation::milliseconds{std::clamp<std::int64_t>(*since, 0, since_max)}};
  what.limit = request.int_at("limit");
  return what;
}

void write_shares(json::writer& w, std::string_view name,
                  const std::map<std::string, usage_book::share, std::less<>>& shares) {
  w.key(name).begin_object();
  for (const auto& [of, share] : shares) {
    w.key(of).begin_object().member("cost", policy::usd_of(share.micro_usd));
    w.member("requests", share.requests).end_object();
  }
  w.end_object();
}

std::string guard_json(const policy::cost_limits& limits) {
  std::string text;
  json::writer w{text};
  w.begin_object().member("warningThreshold", policy::usd_of(limits.warning));
  w.member("hardStopLimit", policy::usd_of(limits.hard_stop)).member("enabled", limits.enabled).end_object();
  return text;
}

std::optional<account_scope> scope_named(std::string_view name) {
  for (const auto scope :
       {account_scope::session, account_scope::project, account_scope::key, account_scope::guard}) {
    if (policy::name_of(scope) == name) return scope;
  }
  return std::nullopt;
}

}  // namespace

std::vector<binding> cost_channels::bindings() {
  return {{"cost:usage:list", [this](json::value r, request_context& c) { return list(r, c); }},
          {"cost:usage:summary", [this](json::value r, request_context& c) { return summary(r, c); }},
          {"cost:budget:get", [this](json::value r, request_context& c) { return get_guard(r, c); }},
          {"cost:budget:update", [this](json::value r, request_context& c) { return update_guard(r, c); }},
          {"cost:budget:reset", [this](json::value r, request_context& c) { return reset(r, c); }},
          {"cost:pricing:get", [this](json::value r, request_context& c) { return get_prices(r, c); }},
          {"cost:pricing:update", [this](json::value r, request_context& c) { return update_prices(r, c); }}};
}

task<channel_reply> cost_channels::list(json::value request, request_context& context) {
  const auto found = co_await usage_.list(context.services, context.who, asked_of(request));
  if (!found) co_return std::unexpected{found.error()};
  std::string reply;
  json::writer w{reply};
  w.begin_object().key("records").begin_array();
  for (const storage::usage_request& r : found->records) {
    w.begin_object().member("requestId", r.request_id).member("modelId", r.model);
    w.member("skillId", r.skill_id).member("inputTokens", r.input_tokens);
    w.member("outputTokens", r.output_tokens).member("cachedTokens", r.cached_tokens);
    w.member("cost", policy::usd_of(r.micro_usd));
    if (r.warning) w.member("warning", *r.warning);
    w.member("timestamp", r.created_at.time_since_epoch().count()).end_object();
  }
  w.end_array().member("totalCount", found->total).end_object();
  co_return reply;
}

task<channel_reply> cost_channels::summary(json::value request, request_context& context) {
  const auto all = co_await usage_.summarize(context.services, context.who, asked_of(request));
  if (!all) co_return std::unexpected{all.error()};
  std::string reply;
  json::writer w{reply};
  w.begin_object().member("totalCost", policy::usd_of(all->micro_usd));
  w.member("totalRequests", all->requests).member("totalInputTokens", all->input_tokens);
  w.member("totalOutputTokens", all->output_tokens).member("totalCachedTokens", all->cached_tokens);
  write_shares(w, "costByModel", all->by_model);
  write_shares(w, "costBySkill", all->by_skill);
  w.member("sessionStartedAt", all->started_at.time_since_epoch().count()).end_object();
  co_return reply;
}

std::expected<std::string, foundation::failure> cost_channels::key_named(std::string_view name,
                                                                         const policy::principal& who) {
  if (name == who.id || name == who.name) return who.id;
  if (who.role == policy::caller_role::admin) {
    const auto keys = core_.callers().keys();
    const auto known = [&](auto member) {
      const auto entries = keys->entries();
      const auto named = [&](const policy::key_entry& e) { return e.who.*member == name; };
      // A name is free again once its key is revoked: the live one is meant.
      const auto live = std::ranges::find_if(
          entries, [&](const policy::key_entry& e) { return named(e) && e.who.enabled; });
      return live != entries.end() ? live : std::ranges::find_if(entries, named);
    };
    for (const auto member : {&policy::principal::id, &policy::principal::name}) {
      if (const auto at = known(member); at != keys->entries().end()) return at->who.id;
    }
    return refusal(error_code::not_found, "there is no such client key");
  }
  return refusal(error_code::forbidden, "only an admin may look at another client key");
}

std::expected<std::string, foundation::failure> cost_channels::key_meant(json::value request,
                                                                         const policy::principal& who) {
  const std::string name{foundation::trim(request.string_or("key", ""))};
  return name.empty() ? who.id : key_named(name, who);
}

task<channel_reply> cost_channels::get_guard(json::value request, request_context& context) {
  const auto key = key_meant(request, context.who);
  if (!key) co_return std::unexpected{key.error()};
  co_return guard_json(guards_.limits_of(*key));
}

task<channel_reply> cost_channels::update_guard(json::value request, request_context& context) {
  const auto key = key_meant(request, context.who);
  if (!key) co_return std::unexpected{key.error()};
  const auto number = [&](std::string_view name) {
    const auto given = request.path({"policy", name});
    return given ? given->as_double().value_or(-1) : -1.0;
  };
  const auto enabled = request.path({"policy", "enabled"});
  const auto limits = policy::cost_limits_of(number("warningThreshold"), number("hardStopLimit"),
                                             enabled && enabled->as_bool().value_or(true));
  if (!limits) {
    co_return refusal(
        error_code::invalid_argument,
        "warningThreshold and hardStopLimit are dollars from 0 to 1,000,000, and the warning is "
        "not above the hard stop",
        R"({"fieldName":"policy"})");
  }
  const auto kept = co_await guards_.update(context.services, *key, *limits);
  if (!kept) co_return std::unexpected{kept.error()};
  co_return guard_json(*kept);
}

std::expected<std::string, foundation::failure> cost_channels::session_account(std::string_view id,
                                                                               const policy::principal& who) {
  constexpr std::string_view prefix = "session:";
  const std::string bare{id.starts_with(prefix) ? id.substr(prefix.size()) : id};
  const std::string given{id};
  const auto keys = core_.callers().keys();
  return core_.ledger().with([&](const policy::ledger& ledger)
                                 -> std::expected<std::string, foundation::failure> {
    const auto stands = [&](const std::string& account) {
      const auto balance = ledger.of(account_scope::session, account_unit::tokens, account);
      return balance.settled != 0 || balance.reserved != 0;
    };
    for (const std::string& account : {given, "chat:" + bare, who.id + '/' + bare, who.id + '/' + given}) {
      if (stands(account)) return account;
    }
    std::optional<std::string> found;
    for (const policy::key_entry& e : keys->entries()) {
      for (const std::string& account : {e.who.id + '/' + bare, e.who.id + '/' + given}) {
        if (!stands(account) || found == account) continue;
        if (found)
          return refusal(error_code::invalid_argument,
                         "several client keys have such a session; name one as <client key id>/<session>");
        found = account;
      }
    }
    return found.value_or(given);
  });
}

task<channel_reply> cost_channels::reset(json::value request, request_context& context) {
  const auto scope = scope_named(request.string_or("scope", ""));
  const std::string id{foundation::trim(request.string_or("id", ""))};
  if (!scope || id.empty()) co_return refusal(error_code::invalid_argument, "scope or id is missing");
  auto account = *scope == account_scope::project   ? std::expected<std::string, foundation::failure>{id}
                 : *scope == account_scope::session ? session_account(id, context.who)
                                                    : key_named(id, context.who);
  if (!account) co_return std::unexpected{account.error()};
  gateway::budget_reset order;
  order.scope = *scope;
  order.id = *account;
  order.trace_id = context.trace_id;
  order.by = context.who.id;
  const auto before = co_await gateway::reset_budget(core_, context.services, std::move(order));
  if (!before) co_return std::unexpected{before.error()};
  std::string reply;
  json::writer w{reply};
  w.begin_object().member("reset", true);
  if (*scope == account_scope::guard) {
    guards_.note_reset(*account);
    w.member("previousTotal", policy::usd_of(before->micro_usd));
  } else {
    w.member("previousTotal", before->tokens);
  }
  w.end_object();
  co_return reply;
}

task<channel_reply> cost_channels::get_prices(json::value, request_context& context) {
  co_return price_table_json(*core_.current(), context.services.loop.wall());
}

task<channel_reply> cost_channels::update_prices(json::value request, request_context& context) {
  const auto given = request.find("table");
  if (!given) co_return refusal(error_code::invalid_argument, "table is missing");
  auto table = price_table_of(*given);
  if (!table) co_return std::unexpected{table.error()};
  const auto kept = co_await prices_.update(context.services, std::move(*table));
  if (!kept) co_return std::unexpected{kept.error()};
  co_return price_table_json(*core_.current(), context.services.loop.wall());
}

}  // namespace tidegate::session
