#include "session/usage.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <iterator>
#include <mutex>
#include <set>

#include "gateway/store_wait.h"
#include "session/channels.h"

namespace tidegate::session {

using storage::usage_call;

struct usage_book::backlog {
  backlog(storage::usage_store& to, observe::logger& logger) : store{to}, log{logger} {}
  storage::usage_store& store;
  observe::logger& log;
  std::mutex mutex;
  std::condition_variable idle;
  // Guarded by mutex.
  std::deque<numbered> waiting;        // the oldest first
  std::set<std::int64_t> unconfirmed;  // those that wait, or are with the store
  std::int64_t last = 0;
  std::size_t batches = 0;  // with the store

  std::int64_t confirmed() const { return unconfirmed.empty() ? last : *unconfirmed.begin() - 1; }
  // How many of the oldest were given up.
  std::size_t take_back(batch refused);
};

std::size_t usage_book::backlog::take_back(batch refused) {
  waiting.insert(waiting.begin(), std::make_move_iterator(refused.begin()),
                 std::make_move_iterator(refused.end()));
  const std::size_t lost = waiting.size() - std::min(waiting.size(), backlog_max);
  for (std::size_t i = 0; i < lost; ++i) {
    unconfirmed.erase(waiting.front().number);
    waiting.pop_front();
  }
  return lost;
}

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

usage_book::~usage_book() {
  flush();
  std::unique_lock lock{state_->mutex};
  state_->idle.wait(lock, [this] { return state_->batches == 0; });
  if (state_->waiting.empty()) return;
  state_->log.at(observe::level::error, "ai_cost_persistence_degraded")
      .field("reason", "the store has refused calls to the end; the next start hands them over again")
      .field("waiting", state_->waiting.size());
}

void usage_book::restore(std::vector<gateway::usage_entry> unconfirmed, foundation::wall_time now) {
  {
    const std::lock_guard lock{state_->mutex};
    for (gateway::usage_entry& e : unconfirmed) {
      state_->last = std::max(state_->last, e.number);
      if (now - e.call.created_at > restored_age) continue;
      state_->unconfirmed.insert(e.number);
      state_->waiting.push_back({e.number, tidied(std::move(e.call))});
    }
  }
  flush();
}

void usage_book::record(gateway::record_log& records, usage_call call) {
  call = tidied(std::move(call));
  std::string text;
  {
    const std::lock_guard lock{state_->mutex};
    const std::int64_t confirmed = state_->confirmed();
    const std::int64_t number = ++state_->last;
    text = gateway::to_record({number, confirmed, call});
    state_->unconfirmed.insert(number);
    state_->waiting.push_back({number, std::move(call)});
  }
  records.append(gateway::stage::note, text);
  hand_over(state_, take_waiting());
}

// What the store refuses comes back to the front of those that wait.
void usage_book::hand_over(const std::shared_ptr<backlog>& state, batch calls) {
  if (calls.empty()) return;  // another thread took them along
  std::vector<usage_call> rows;
  rows.reserve(calls.size());
  for (const numbered& n : calls) rows.push_back(n.call);
  auto kept = std::make_shared<batch>(std::move(calls));
  state->store.record(std::move(rows), [state, kept](storage::result<void> given) {
    const std::string request = kept->back().call.request_id;
    const std::size_t count = kept->size();
    std::size_t lost = 0;
    {
      const std::lock_guard lock{state->mutex};
      if (given) {
        for (const numbered& n : *kept) state->unconfirmed.erase(n.number);
      } else {
        lost = state->take_back(std::move(*kept));
      }
    }
    if (!given) {
      state->log.at(observe::level::warn, "ai_cost_record_persist_failed")
          .field("requestId", request)
          .field("calls", count)
          .field("reason", given.error().message);
    }
    if (lost != 0) {
      state->log.at(observe::level::error, "ai_cost_persistence_degraded")
          .field("reason", "more calls wait for the store than may")
          .field("lost", lost);
    }
    // Behind the last use of what whoever waits for it may take down.
    const std::lock_guard lock{state->mutex};
    --state->batches;
    state->idle.notify_all();
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
    batch calls = take_waiting();
    if (calls.empty()) return;
    hand_over(state_, std::move(calls));
  }
}

usage_book::batch usage_book::take_waiting() {
  const std::lock_guard lock{state_->mutex};
  const auto end =
      state_->waiting.begin() + static_cast<std::ptrdiff_t>(std::min(state_->waiting.size(), batch_max));
  batch calls{std::make_move_iterator(state_->waiting.begin()), std::make_move_iterator(end)};
  state_->waiting.erase(state_->waiting.begin(), end);
  if (!calls.empty()) ++state_->batches;
  return calls;
}

std::optional<std::string> warning_of(const gateway::leg_account& account) {
  if (account.charged && !account.priced) return "COST_MODEL_NOT_FOUND";
  if (account.charged && account.stale_price) return "COST_PRICING_STALE";
  return std::nullopt;
}

}  // namespace tidegate::session
