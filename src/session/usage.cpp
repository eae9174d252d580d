#include "session/usage.h"

#include <algorithm>
#include <deque>
#include <mutex>

#include "gateway/store_wait.h"
#include "session/channels.h"

namespace tidegate::session {

using storage::usage_call;

struct usage_book::backlog {
  backlog(storage::usage_store& to, observe::logger& logger) : store{to}, log{logger} {}
  storage::usage_store& store;
  observe::logger& log;
  std::mutex mutex;
  std::deque<usage_call> waiting;  // guarded by mutex; the oldest first
};

namespace {

usage_call tidied(usage_call call) {
  for (std::int64_t* const n :
       {&call.input_tokens, &call.output_tokens, &call.cached_tokens, &call.duration_ms, &call.micro_usd}) {
    *n = std::max<std::int64_t>(*n, 0);
  }
  call.cached_tokens = std::min(call.cached_tokens, call.input_tokens);
  call.cache_hit = call.cached_tokens > 0;
  return call;
}

foundation::failure unreadable(const observe::logger& log, const storage::store_failure& why) {
  log.at(observe::level::warn, "usage_store_failed").field("message", why.message);
  return failure_of(why);
}

storage::usage_filter filter_of(const policy::principal& who, const usage_book::asked& what) {
  storage::usage_filter filter;
  if (who.role != policy::caller_role::admin) filter.key_id = who.id;
  filter.skill_id = what.skill_id;
  filter.since = what.since;
  return filter;
}

}  // namespace

usage_book::usage_book(storage::usage_store& store, observe::logger& log, foundation::wall_time started)
    : store_{store}, started_{started}, state_{std::make_shared<backlog>(store, log)} {}

void usage_book::record(usage_call call) {
  {
    const std::lock_guard lock{state_->mutex};
    state_->waiting.push_back(tidied(std::move(call)));
  }
  hand_over(state_, take_waiting());
}

// What the store refuses comes back to the front of those that wait.
void usage_book::hand_over(const std::shared_ptr<backlog>& state, std::vector<usage_call> calls) {
  if (calls.empty()) return;  // another thread took them along
  auto kept = std::make_shared<std::vector<usage_call>>(calls);
  state->store.record(std::move(calls), [state, kept](storage::result<void> given) {
    if (given) return;
    state->log.at(observe::level::warn, "ai_cost_record_persist_failed")
        .field("requestId", kept->back().request_id)
        .field("calls", kept->size())
        .field("reason", given.error().message);
    std::size_t lost = 0;
    {
      const std::lock_guard lock{state->mutex};
      state->waiting.insert(state->waiting.begin(), std::make_move_iterator(kept->begin()),
                            std::make_move_iterator(kept->end()));
      lost = state->waiting.size() - std::min(state->waiting.size(), backlog_max);
      state->waiting.erase(state->waiting.begin(),
                           state->waiting.begin() + static_cast<std::ptrdiff_t>(lost));
    }
    if (lost == 0) return;
    state->log.at(observe::level::error, "ai_cost_persistence_degraded")
        .field("reason", "more calls wait for the store than may")
        .field("lost", lost);
  });
}

runtime::task<std::expected<usage_book::listing, foundation::failure>> usage_book::list(
    gateway::loop_services& services, const policy::principal& who, asked what) {
  if (what.limit && *what.limit < 1) {
    co_return refusal(foundation::error_code::invalid_argument, "limit is less than 1");
  }
  const auto filter = filter_of(who, what);
  const auto limit =
      std::min<std::int64_t>(what.limit.value_or(storage::usage_listed_max), storage::usage_listed_max);
  flush();
  listing found;
  {
    gateway::store_wait<std::vector<storage::usage_request>> wait{services.loop};
    store_.list(filter, static_cast<std::size_t>(limit), wait.answer());
    auto given = co_await wait;
    if (!given) co_return std::unexpected{unreadable(state_->log, given.error())};
    found.records = std::move(*given);
  }
  gateway::store_wait<storage::usage_totals> wait{services.loop};
  store_.totals(filter, wait.answer());
  const auto given = co_await wait;
  if (!given) co_return std::unexpected{unreadable(state_->log, given.error())};
  for (const storage::usage_sum& sum : given->sums) found.total += sum.requests;
  co_return found;
}

runtime::task<std::expected<usage_book::summary, foundation::failure>> usage_book::summarize(
    gateway::loop_services& services, const policy::principal& who, asked what) {
  flush();
  gateway::store_wait<storage::usage_totals> wait{services.loop};
  store_.totals(filter_of(who, what), wait.answer());
  const auto given = co_await wait;
  if (!given) co_return std::unexpected{unreadable(state_->log, given.error())};
  summary all;
  all.started_at = given->started_at.value_or(started_);
  for (const storage::usage_sum& sum : given->sums) {
    all.micro_usd += sum.micro_usd;
    all.requests += sum.requests;
    all.input_tokens += sum.input_tokens;
    all.output_tokens += sum.output_tokens;
    all.cached_tokens += sum.cached_tokens;
    for (share* const part : {&all.by_model[sum.model], &all.by_skill[sum.skill_id]}) {
      part->micro_usd += sum.micro_usd;
      part->requests += sum.requests;
    }
  }
  co_return all;
}

// The store answers in order: what waits is in what is read next.
void usage_book::flush() {
  for (std::size_t handed = 0; handed < backlog_max; handed += batch_max) {
    std::vector<usage_call> calls = take_waiting();
    if (calls.empty()) return;
    hand_over(state_, std::move(calls));
  }
}

std::vector<usage_call> usage_book::take_waiting() {
  const std::lock_guard lock{state_->mutex};
  const auto end =
      state_->waiting.begin() + static_cast<std::ptrdiff_t>(std::min(state_->waiting.size(), batch_max));
  std::vector<usage_call> calls{std::make_move_iterator(state_->waiting.begin()),
                                std::make_move_iterator(end)};
  state_->waiting.erase(state_->waiting.begin(), end);
  return calls;
}

std::optional<std::string> warning_of(const gateway::leg_account& account) {
  if (account.charged && !account.priced) return "COST_MODEL_NOT_FOUND";
  if (account.charged && account.stale_price) return "COST_PRICING_STALE";
  return std::nullopt;
}

}  // namespace tidegate::session
