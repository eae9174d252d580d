// What a leg must pass before its first byte leaves, in RES-5's order: budgets, rate limit, journal; and how
// its reservation ends. A refusal takes back what was taken before it.
#include <algorithm>
#include <array>
#include <utility>

#include "gateway/billing.h"
#include "gateway/run.h"
#include "gateway/state_fold.h"
#include "protocol/json/json.h"

namespace tidegate::gateway {

namespace json = protocol::json;
using foundation::error_code;
using foundation::milliseconds;
using runtime::task;

namespace {

std::string dollars(std::int64_t micro_usd) {
  std::string digits = std::to_string(std::max<std::int64_t>(micro_usd, 0));
  if (digits.size() < 7) digits.insert(0, 7 - digits.size(), '0');
  return digits.insert(digits.size() - 6, 1, '.');
}

}  // namespace

failure journal_failure() {
  failure f;
  f.code = error_code::db_error;
  f.status = 503;
  f.message = "the gateway cannot record calls and serves none until an operator has looked; see /readyz";
  return f;
}

static failure local_limit(std::string_view scope, std::string message, duration retry_after) {
  failure f;
  f.code = error_code::ai_rate_limited;
  f.retry_after = std::chrono::ceil<milliseconds>(retry_after);
  f.message = std::move(message);
  json::writer{f.details}
      .begin_object()
      .member("source", "local")
      .member("scope", scope)
      .member("retryAfterMs", f.retry_after->count())
      .end_object();
  return f;
}

failure key_limit_failure(std::uint32_t per_minute, duration retry_after) {
  return local_limit("key",
                     "this client key has used up its " + std::to_string(per_minute) + " requests a minute",
                     retry_after);
}

failure run::provider_limit_failure(duration retry_after) {
  return local_limit("provider", "the gateway's own limit of calls to this provider is used up", retry_after);
}

failure run::quota_failure(const policy::quota_refusal& why) const {
  failure f;
  if (why.full) {
    f.code = error_code::server_overloaded;
    f.message = "the gateway keeps as many accounts as it can; use a session or project that exists";
    f.details = R"({"reason":"accounts"})";
    return f;
  }
  json::writer w{f.details};
  w.begin_object().member("traceId", call_.trace_id).member("scope", policy::name_of(why.scope));
  if (why.unit == policy::account_unit::micro_usd) {
    f.code = error_code::cost_budget_exceeded;
    f.message =
        "the dollar budget of this client key does not cover the call: " + dollars(why.current_total) +
        " of " + dollars(why.limit) + " USD are used or reserved, the call may cost " +
        dollars(why.projected);
    w.member("budgetMicroUsd", why.limit).member("currentTotal", why.current_total);
    w.member("projectedMicroUsd", why.projected).end_object();
    return f;
  }
  f.code = error_code::ai_session_token_budget_exceeded;
  f.message = "the token budget of this " + std::string{policy::name_of(why.scope)} +
              " does not cover the call: " + std::to_string(why.current_total) + " of " +
              std::to_string(why.limit) + " tokens are used or reserved, the call may need " +
              std::to_string(why.projected) + "; begin a new session or ask for fewer max tokens";
  const caller& who = call_.who;
  w.member("sessionKey", !who.session_key.empty() ? who.session_key
                         : who.session.empty()    ? std::string{}
                                                  : "session:" + who.session);
  w.member("sessionTokenBudget", why.limit);
  w.member("currentTotal", why.current_total).member("projectedTokens", why.projected).end_object();
  return f;
}

// BUD-3, BUD-4: what is sent and reserved as the output's bound, and what the prompt counts as.
std::optional<failure> run::bound_output() {
  if (call_.what == endpoint::generate) {
    // On the session surface more than the cap is always refused, and there is a default below it (BUD-3).
    output_cap cap{.max = limits_.max_output_tokens, .clamp = limits_.clamp, .fallback = std::nullopt};
    if (story_ != nullptr) {
      cap.clamp = false;
      cap.fallback = limits_.default_max_tokens;
    }
    auto bound = effective_max_tokens(read_.summary, cap);
    if (!bound) return std::move(bound.error());
    effective_max_ = *bound;
    // The body is composed without it.
    if (story_ != nullptr) read_.summary.max_tokens.reset();
  }
  return std::nullopt;
}

void run::count_prompt() {
  prompt_tokens_ = call_.what == endpoint::count_tokens ? 0 : estimate_prompt(call_, read_);
}

task<run::gate> run::pass_guards(const policy::step& step, policy::failover_plan& plan) {
  if (services_.records.stopped()) co_return stop_at(journal_failure(), plan);
  if (story_ != nullptr) {
    if (auto why = story_->may_spend()) co_return stop_at(std::move(*why), plan);
  }
  if (auto why = reserve(step)) co_return stop_at(std::move(*why), plan);
  if (auto why = take_unit(step)) {
    give_back();
    co_return stop_at(std::move(*why), plan);
  }
  const provider& to = provider_of(step.target);
  if (to.requests_per_minute != 0) {
    const auto full = core_.limits().with([&](policy::rate_limiter& limits) {
      return limits.try_take(to.window, to.requests_per_minute, now());
    });
    if (!full.admitted) {
      give_back();
      core_.health().with(
          [&](policy::health_bank& bank) { plan.local_limited(bank, full.retry_after, now()); });
      co_return gate::passed;
    }
    provider_counted_ = true;
  }
  if (!started_recorded_) record_started();
  record_events(plan);
  record_health(refs_[step.target].provider);
  if (!held_.empty()) {
    record(observe::level::info, "ai_budget_reserved", stage::start, [&](json::writer& w) {
      w.member("traceId", call_.trace_id).member("runId", call_.run_id);
      w.member("leg", static_cast<std::int64_t>(step.leg)).key("accounts").raw(accounts_);
      w.member("tokens", reserved_.tokens).member("microUsd", reserved_.micro_usd);
    });
  }
  record_leg_started(step);
  if (co_await services_.records.durable(stage::start)) {
    if (story_ != nullptr && !story_told_) {
      story_told_ = true;
      story_->started(to.name, targets_[step.target].model);
    }
    co_return gate::open;
  }
  give_back();
  co_return stop_at(journal_failure(), plan);
}

run::gate run::stop_at(failure why, policy::failover_plan& plan) {
  core_.health().with([&](policy::health_bank& bank) { plan.abandon(bank, false, now()); });
  refusal_ = std::make_unique<failure>(std::move(why));
  return gate::refused;
}

// All or nothing over every account concerned, in one step.
std::optional<failure> run::reserve(const policy::step& step) {
  accounts_.clear();
  if (call_.what == endpoint::count_tokens) return std::nullopt;  // asks nothing of a model
  const chosen_target& target = targets_[step.target];
  const std::int64_t output =
      call_.what == endpoint::generate ? projected_output(read_.summary, effective_max_) : 0;
  reserved_ = {.tokens = prompt_tokens_ + output, .micro_usd = 0};
  price_ = target.to->prices->find(*snapshot_->prices,
                                   {policy::name_of(target.to->kind), target.to->url_text, target.model},
                                   services_.loop.wall());
  if (price_) {
    reserved_.micro_usd = policy::projected_cost(*price_, prompt_tokens_, output);
  } else if (limits_.key_micro_usd_budget > 0) {
    failure f;
    f.code = error_code::cost_budget_exceeded;
    f.message = "model '" + target.model + "' has no price, so its cost cannot be held within the budget";
    json::writer{f.details}
        .begin_object()
        .member("reason", "unpriced_model")
        .member("model", target.model)
        .end_object();
    return f;
  }
  using policy::account_scope;
  using policy::account_unit;
  std::array<policy::demand, policy::ledger::demands_max> demands;
  std::size_t count = 0;
  const auto demand = [&](account_scope scope, account_unit unit, std::string_view id, std::int64_t limit) {
    demands[count++] = {scope, unit, id, limit,
                        unit == account_unit::tokens ? reserved_.tokens : reserved_.micro_usd};
  };
  const caller& who = call_.who;
  const std::string key = who.key + policy::period_suffix(limits_.period, services_.loop.wall());
  // Sessions of two client keys are two sessions (SCH-1).
  std::string session = who.session_account;
  if (session.empty() && !who.session.empty()) session = who.key + '/' + who.session;
  if (!session.empty())
    demand(account_scope::session, account_unit::tokens, session, limits_.session_token_budget);
  if (!who.project.empty())
    demand(account_scope::project, account_unit::tokens, who.project, snapshot_->project_token_budget);
  demand(account_scope::key, account_unit::tokens, key, limits_.key_token_budget);
  demand(account_scope::key, account_unit::micro_usd, key, limits_.key_micro_usd_budget);
  // What session runs of this key have cost; the guard itself decides (COST-2).
  if (story_ != nullptr) demand(account_scope::guard, account_unit::micro_usd, who.key, 0);
  auto held = core_.ledger().with([&](policy::ledger& ledger) {
    return ledger.reserve(std::span<const policy::demand>{demands.data(), count});
  });
  if (!held) return quota_failure(held.error());
  held_ = std::move(*held);
  held_leg_ = step.leg;
  json::writer w{accounts_};
  w.begin_array();
  for (std::size_t i = 0; i < count; ++i)
    w.string(to_text(account_name{demands[i].scope, demands[i].unit, demands[i].id}));
  w.end_array();
  return std::nullopt;
}

// One unit of the key's window a leg (RL-2). The first failover leg of an admitted run is never refused, but
// counted (RL-3).
std::optional<failure> run::take_unit(const policy::step& step) {
  key_counted_ = provider_counted_ = false;
  counted_at_ = now();
  if (limits_.requests_per_minute == 0) return std::nullopt;
  const bool reserved = step.leg == 2 && attempt_ == 1 && limits_.reserve_failover_unit;
  const auto verdict = core_.limits().with([&](policy::rate_limiter& limits) {
    key_window_ = limits.enroll("key:" + call_.who.key);
    if (!reserved) return limits.try_take(key_window_, limits_.requests_per_minute, counted_at_);
    limits.stamp(key_window_, counted_at_);
    return policy::rate_limiter::verdict{};
  });
  if (!verdict.admitted) return key_limit_failure(limits_.requests_per_minute, verdict.retry_after);
  key_counted_ = true;
  return std::nullopt;
}

// What this leg's guards have taken.
void run::give_back() {
  if (!held_.empty()) core_.ledger().with([&](policy::ledger& ledger) { ledger.release(held_); });
  if (!key_counted_ && !provider_counted_) return;
  core_.limits().with([&](policy::rate_limiter& limits) {
    if (key_counted_) limits.give_back(key_window_, counted_at_);
    if (provider_counted_) limits.give_back(provider_of(current_).window, counted_at_);
  });
  key_counted_ = provider_counted_ = false;
}

// What was reported, else the estimate of what was sent and came.
dialect::usage run::used_of(const leg_end& end) const {
  dialect::usage used = usage_;
  if (!used.known) used.prompt = prompt_tokens_;
  // What was reported of a stream that broke may be from its beginning.
  const bool whole = end.result.outcome == policy::leg_outcome::success;
  if (!used.known || !whole) used.completion = std::max(used.completion, received_);
  return used;
}

// BUD-5. Nothing: released.
std::optional<run::bill> run::bill_of(const leg_end& end) const {
  const bool answered = end.status >= 200 && end.status < 300;
  if (!dispatched_ || (end.status != 0 && !answered)) return std::nullopt;
  const bool whole = end.result.outcome == policy::leg_outcome::success;
  const dialect::usage used = used_of(end);
  bill b{.tokens = used.prompt + used.completion, .micro_usd = 0};
  if (price_) b.micro_usd = policy::cost_of(*price_, priced_usage(used));
  if (whole && used.known) return b;
  b.tokens = std::clamp<std::int64_t>(b.tokens, 1, std::max<std::int64_t>(reserved_.tokens, 1));
  b.micro_usd = std::min(b.micro_usd, reserved_.micro_usd);
  return b;
}

void run::settle(const leg_end& end) {
  key_counted_ = provider_counted_ = false;  // the units were used
  if (held_.empty()) return;
  const std::optional<bill> charged = bill_of(end);
  close_reservation(charged);
  if (story_ != nullptr) account(end, charged);
}

void run::account(const leg_end& end, const std::optional<bill>& charged) {
  leg_account told;
  told.provider = provider_of(current_).name;
  told.model = targets_[current_].model;
  told.charged = charged.has_value();
  told.priced = price_ != nullptr;
  told.stale_price = price_ != nullptr && price_->owners && snapshot_->prices->stale(services_.loop.wall());
  told.took = now() - leg_started_;
  if (charged) {
    told.usage = used_of(end);
    told.micro_usd = charged->micro_usd;
  }
  story_->leg_ended(told);
}

void run::close_reservation(std::optional<bill> charged) {
  policy::ledger::settled settled;
  core_.ledger().with([&](policy::ledger& ledger) {
    if (charged) {
      settled = ledger.settle(held_, charged->tokens, charged->micro_usd);
    } else {
      ledger.release(held_);
    }
  });
  const bill ended = charged.value_or(reserved_);
  record(observe::level::info, charged ? "ai_budget_settled" : "ai_budget_released", stage::note,
         [&](json::writer& w) {
           w.member("traceId", call_.trace_id).member("runId", call_.run_id);
           w.member("leg", static_cast<std::int64_t>(held_leg_)).key("accounts").raw(accounts_);
           w.member("tokens", ended.tokens).member("microUsd", ended.micro_usd);
         });
  if (!charged) return;
  core_.metrics().cost_microdollars(static_cast<std::uint64_t>(charged->micro_usd));
  if (!settled.overrun) return;
  record(observe::level::warn, "ai_budget_overrun", stage::note, [&](json::writer& w) {
    w.member("traceId", call_.trace_id).member("runId", call_.run_id);
    w.member("provider", provider_of(current_).name).member("model", targets_[current_].model);
    w.member("reserved", reserved_.tokens).member("actual", charged->tokens);
  });
}

// A run that ends at a guard: refused, or failed where legs of it were made before.
task<void> run::answer_refused() {
  if (!started_recorded_) {
    co_await refuse();
    co_return;
  }
  core_.metrics().refusal(foundation::name_of(refusal_->code));
  record_terminal("ai_run_failed", foundation::name_of(refusal_->code));
  if (!co_await services_.records.durable(stage::end)) *refusal_ = journal_failure();
  co_await tell(*refusal_);
}

}  // namespace tidegate::gateway
