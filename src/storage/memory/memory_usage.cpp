#include "storage/memory/memory_usage.h"

#include <algorithm>

namespace tidegate::storage::memory {
namespace {

std::int64_t day_of(wall_time at) {
  return std::chrono::floor<std::chrono::days>(at).time_since_epoch().count();
}

void add_to(usage_sum& sum, const usage_sum& more) {
  sum.micro_usd += more.micro_usd;
  sum.requests += more.requests;
  sum.input_tokens += more.input_tokens;
  sum.output_tokens += more.output_tokens;
  sum.cached_tokens += more.cached_tokens;
}

usage_sum sum_of(const usage_call& call, bool first) {
  return {call.model,        call.skill_id,      call.micro_usd,    first ? 1 : 0,
          call.input_tokens, call.output_tokens, call.cached_tokens};
}

bool passes(const usage_filter& filter, const std::string& key, const std::string& skill) {
  return (!filter.key_id || *filter.key_id == key) && (!filter.skill_id || *filter.skill_id == skill);
}

}  // namespace

void memory_usage::add(usage_call call) {
  if (!ids_.insert(call.id).second) return;
  const auto known = std::ranges::find_if(requests_, [&](const usage_request& r) {
    return r.key_id == call.key_id && r.request_id == call.request_id;
  });
  const bool first = known == requests_.end();
  if (first) {
    requests_.push_back({call.request_id, call.key_id, call.model, call.skill_id, call.input_tokens,
                         call.output_tokens, call.cached_tokens, call.micro_usd, call.warning,
                         call.created_at});
  } else {
    if (call.input_tokens + call.output_tokens > 0) known->model = call.model;
    known->input_tokens += call.input_tokens;
    known->output_tokens += call.output_tokens;
    known->cached_tokens += call.cached_tokens;
    known->micro_usd += call.micro_usd;
    if (call.warning) known->warning = call.warning;
  }
  add_to(totals_[{call.key_id, call.model, call.skill_id, day_of(call.created_at)}], sum_of(call, first));
  auto [start, fresh] = started_.try_emplace(call.key_id, call.created_at);
  start->second = std::min(start->second, call.created_at);
  calls_.push_back({std::move(call), first});
}

void memory_usage::record(std::vector<usage_call> calls, done<void> answer) {
  shared_.call<void>(
      [&]() -> result<void> {
        for (usage_call& call : calls) add(std::move(call));
        return {};
      },
      answer);
}

void memory_usage::list(usage_filter filter, std::size_t limit, done<std::vector<usage_request>> answer) {
  shared_.call<std::vector<usage_request>>(
      [&]() -> result<std::vector<usage_request>> {
        std::vector<usage_request> found;
        std::size_t seen = 0;
        for (auto r = requests_.rbegin(); r != requests_.rend(); ++r) {
          if (filter.key_id && r->key_id != *filter.key_id) continue;
          if (++seen > usage_listed_max || found.size() >= limit) break;
          if (!passes(filter, r->key_id, r->skill_id)) continue;
          if (!filter.since || r->created_at >= *filter.since) found.push_back(*r);
        }
        return found;
      },
      answer);
}

void memory_usage::totals(usage_filter filter, done<usage_totals> answer) {
  shared_.call<usage_totals>(
      [&]() -> result<usage_totals> {
        const auto since = filter.since.value_or(wall_time::min());
        const auto whole_from = day_of(since);
        const bool by_call = filter.since && std::ranges::any_of(calls_, [&](const held_call& c) {
                               return day_of(c.call.created_at) == whole_from;
                             });
        std::map<std::pair<std::string, std::string>, usage_sum> sums;
        for (const auto& [at, sum] : totals_) {
          const auto& [key, model, skill, day] = at;
          if (!passes(filter, key, skill) || day < whole_from || (by_call && day == whole_from)) continue;
          add_to(sums[{model, skill}], sum);
        }
        for (const held_call& c : calls_) {
          if (!by_call || !passes(filter, c.call.key_id, c.call.skill_id)) continue;
          if (c.call.created_at < since || day_of(c.call.created_at) != whole_from) continue;
          add_to(sums[{c.call.model, c.call.skill_id}], sum_of(c.call, c.first));
        }
        usage_totals totals;
        for (auto& [names, sum] : sums) {
          std::tie(sum.model, sum.skill_id) = names;
          totals.sums.push_back(std::move(sum));
        }
        for (const auto& [key, start] : started_) {
          if (filter.key_id && *filter.key_id != key) continue;
          totals.started_at = std::min(totals.started_at.value_or(start), start);
        }
        return totals;
      },
      answer);
}

void memory_usage::calls_of(std::string key_id, std::string request_id,
                            done<std::vector<usage_call>> answer) {
  shared_.call<std::vector<usage_call>>(
      [&]() -> result<std::vector<usage_call>> {
        std::vector<usage_call> found;
        for (const held_call& c : calls_) {
          if (c.call.key_id == key_id && c.call.request_id == request_id) found.push_back(c.call);
        }
        return found;
      },
      answer);
}

void memory_usage::purge(wall_time before, std::size_t rows_max, done<std::size_t> answer) {
  shared_.call<std::size_t>(
      [&]() -> result<std::size_t> {
        const auto day = day_of(before);
        std::size_t gone = 0;
        std::erase_if(calls_, [&](const held_call& c) {
          const bool old = day_of(c.call.created_at) < day && gone < rows_max;
          if (old) ++gone;
          return old;
        });
        std::size_t requests = 0;
        std::erase_if(requests_, [&](const usage_request& r) {
          return day_of(r.created_at) < day && requests++ < rows_max;
        });
        return gone;
      },
      answer);
}

}  // namespace tidegate::storage::memory
