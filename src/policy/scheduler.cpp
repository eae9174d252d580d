#include "policy/scheduler.h"

#include <algorithm>
#include <iterator>

#include "foundation/check.h"

namespace tidegate::policy {
namespace {

using foundation::instant;

scheduler_settings floored(scheduler_settings s) {
  for (std::size_t* limit :
       {&s.session_concurrency, &s.global_concurrency, &s.queue_limit, &s.project_in_flight}) {
    *limit = std::max<std::size_t>(*limit, 1);
  }
  return s;
}

// An instant so late that the sum cannot be told is never.
instant after(instant since, foundation::duration wait) {
  return wait > foundation::never - since ? foundation::never : since + wait;
}

}  // namespace

std::string_view name_of(run_status s) noexcept {
  switch (s) {
    case run_status::queued:
      return "queued";
    case run_status::started:
      return "started";
    case run_status::completed:
      return "completed";
    case run_status::failed:
      return "failed";
    case run_status::cancelled:
      return "cancelled";
    case run_status::timeout:
      return "timeout";
  }
  return "";
}

scheduler::scheduler(const scheduler_settings& settings, std::uint64_t hash_seed)
    : settings_{floored(settings)},
      sessions_{0, keyed_hash{hash_seed}},
      projects_{0, keyed_hash{hash_seed}} {}

scheduler::entry scheduler::enter(std::string_view session, std::string_view project, instant now,
                                  effects& out) {
  latest(now);
  if (draining_) return {.refused = refusal::draining};
  if (const auto found = projects_.find(project);
      found != projects_.end() && found->second >= settings_.project_in_flight) {
    return {.refused = refusal::project, .limit = settings_.project_in_flight};
  }
  const auto known = sessions_.find(session);
  const std::size_t ahead = known == sessions_.end() ? 0 : known->second.waiters.size();
  const std::size_t beside = known == sessions_.end() ? 0 : known->second.running;
  // Whoever waits is served before a slot stands free, so a run that finds one has nobody ahead.
  const bool at_once = slots_ < settings_.global_concurrency && beside < settings_.session_concurrency;
  if (!at_once && ahead >= settings_.queue_limit) {
    return {.refused = refusal::session, .limit = settings_.queue_limit};
  }
  if (!at_once && waiting_.size() >= waiting_max) return {.refused = refusal::all, .limit = waiting_max};

  run_state& run = admit(session, project);
  if (at_once) {
    tell(run, run_status::queued, run_end::none, 0, out);
    start(run, out);
    return {.run = run.number};
  }
  session_state& s = *run.session;
  run.in_session = s.waiters.insert(s.waiters.end(), &run);
  run.in_time = waiting_.insert(waiting_.end(), &run);
  if (s.waiters.size() == 1) {
    s.turn = ++last_turn_;
    place_in_ring(s);
  }
  touch(s);
  settle(out);
  return {.run = run.number, .position = s.waiters.size()};
}

scheduler::session_state& scheduler::session_of(std::string_view key) {
  if (const auto found = sessions_.find(key); found != sessions_.end()) return found->second;
  const auto place = sessions_.emplace(std::string{key}, session_state{}).first;
  place->second.key = place->first;
  return place->second;
}

scheduler::run_state& scheduler::admit(std::string_view session, std::string_view project) {
  run_state& run = runs_[++last_run_];
  run.number = last_run_;
  run.session = &session_of(session);
  run.since = now_;
  if (!project.empty()) {
    auto place = projects_.find(project);
    if (place == projects_.end()) place = projects_.emplace(std::string{project}, 0).first;
    ++place->second;
    run.project = place->first;
  }
  return run;
}

void scheduler::tell(run_state& run, run_status status, run_end cause, std::size_t position,
                     effects& out) const {
  out.news.push_back({.run = run.number,
                      .status = status,
                      .cause = cause,
                      .position = position,
                      .queued = run.session->waiters.size(),
                      .global_running = slots_});
}

void scheduler::touch(session_state& session) {
  if (session.touched) return;
  session.touched = true;
  touched_.push_back(&session);
}

// A session that may not run one more keeps its turn, but stands aside until it may.
void scheduler::place_in_ring(session_state& session) {
  if (session.waiters.empty()) {
    ring_.erase(session.turn);
    session.turn = 0;
  } else if (session.running < settings_.session_concurrency) {
    ring_.insert_or_assign(session.turn, ring_entry{.session = &session});
  } else {
    ring_.erase(session.turn);
  }
}

void scheduler::start(run_state& run, effects& out) {
  run.running = true;
  run.since = now_;
  run.in_time = running_.insert(running_.end(), &run);
  ++run.session->running;
  ++slots_;
  tell(run, run_status::started, run_end::none, 0, out);
}

void scheduler::grant(extra_number number, effects& out) {
  extra_state& extra = extras_.at(number);
  ring_.erase(extra.turn);
  extra.turn = 0;
  // The first one under way takes the slot that the run holds.
  if (++extra.run->active > 1) ++slots_;
  out.granted.push_back(number);
}

void scheduler::dispatch(effects& out) {
  while (slots_ < settings_.global_concurrency && !ring_.empty()) {
    const ring_entry next = ring_.begin()->second;
    if (next.extra != 0) {
      grant(next.extra, out);
      continue;
    }
    session_state& session = *next.session;
    run_state& run = *session.waiters.front();
    ring_.erase(session.turn);
    session.waiters.pop_front();
    waiting_.erase(run.in_time);
    start(run, out);
    session.turn = ++last_turn_;
    place_in_ring(session);
    touch(session);
  }
}

void scheduler::forget_extras(run_state& run, effects& out) {
  for (const extra_number number : run.asked) {
    const auto extra = extras_.find(number);
    if (extra->second.turn != 0) {
      ring_.erase(extra->second.turn);
      out.voided.push_back(number);
    }
    extras_.erase(extra);
  }
  run.asked.clear();
}

void scheduler::remove(run_state& run, run_status terminal, run_end cause, effects& out) {
  session_state& session = *run.session;
  if (run.running) {
    forget_extras(run, out);
    slots_ -= slots_of(run);
    --session.running;
    running_.erase(run.in_time);
  } else {
    session.waiters.erase(run.in_session);
    waiting_.erase(run.in_time);
  }
  if (session.turn != 0) place_in_ring(session);
  if (!run.project.empty()) {
    const auto project = projects_.find(run.project);
    if (--project->second == 0) projects_.erase(project);
  }
  tell(run, terminal, cause, 0, out);
  touch(session);
  runs_.erase(run.number);
}

// Ends an operation: positions of every session that it moved, once each; sessions without runs are
// forgotten.
void scheduler::settle(effects& out) {
  for (session_state* session : touched_) {
    session->touched = false;
    std::size_t position = 0;
    for (run_state* run : session->waiters) tell(*run, run_status::queued, run_end::none, ++position, out);
    if (position == 0 && session->running == 0) sessions_.erase(sessions_.find(session->key));
  }
  touched_.clear();
}

bool scheduler::finish(run_number run, run_status terminal, instant now, effects& out) {
  TG_CHECK(is_terminal(terminal));
  latest(now);
  const auto found = runs_.find(run);
  if (found == runs_.end()) return false;
  remove(found->second, terminal, run_end::finished, out);
  dispatch(out);
  settle(out);
  return true;
}

scheduler::cancel_result scheduler::cancel(run_number run, instant now, effects& out) {
  latest(now);
  const auto found = runs_.find(run);
  if (found == runs_.end()) return cancel_result::unknown;
  if (found->second.running) return cancel_result::running;
  remove(found->second, run_status::cancelled, run_end::canceled_waiting, out);
  settle(out);
  return cancel_result::removed;
}

scheduler::extra scheduler::ask_extra(run_number run, instant now) {
  latest(now);
  const auto found = runs_.find(run);
  if (found == runs_.end()) return {};
  run_state& owner = found->second;
  TG_CHECK(owner.running && owner.asked.size() < extras_max);
  const extra_number number = ++last_extra_;
  owner.asked.push_back(number);
  extra_state& extra = extras_[number];
  extra.run = &owner;
  if (owner.active == 0 || slots_ < settings_.global_concurrency) {
    if (++owner.active > 1) ++slots_;
    return {.number = number, .granted = true};
  }
  extra.turn = ++last_turn_;
  ring_.emplace(extra.turn, ring_entry{.extra = number});
  return {.number = number};
}

void scheduler::release_extra(extra_number number, instant now, effects& out) {
  latest(now);
  const auto found = extras_.find(number);
  if (found == extras_.end()) return;
  const extra_state extra = found->second;
  run_state& run = *extra.run;
  extras_.erase(found);
  std::erase(run.asked, number);
  if (extra.turn != 0) {
    ring_.erase(extra.turn);
    return;
  }
  if (--run.active > 0) {
    --slots_;
    dispatch(out);
    settle(out);
  } else if (!run.asked.empty()) {
    grant(run.asked.front(), out);  // none is under way, so all of them wait
  }
}

instant scheduler::due() const noexcept {
  instant first = foundation::never;
  if (!waiting_.empty()) first = std::min(first, after(waiting_.front()->since, settings_.queue_wait));
  if (!running_.empty()) first = std::min(first, after(running_.front()->since, settings_.slot_recovery));
  return first;
}

void scheduler::expire(instant now, effects& out) {
  latest(now);
  for (;;) {
    const instant slot =
        running_.empty() ? foundation::never : after(running_.front()->since, settings_.slot_recovery);
    const instant queue =
        waiting_.empty() ? foundation::never : after(waiting_.front()->since, settings_.queue_wait);
    if (std::min(slot, queue) > now_ || std::min(slot, queue) == foundation::never) break;
    // In the order in which they fell due: a slot that came free in time serves who waited for it.
    if (slot <= queue) {
      remove(*running_.front(), run_status::timeout, run_end::slot_recovery, out);
      dispatch(out);
    } else {
      remove(*waiting_.front(), run_status::timeout, run_end::queue_wait, out);
    }
  }
  settle(out);
}

void scheduler::drain(instant now, effects& out) {
  latest(now);
  draining_ = true;
  while (!waiting_.empty()) remove(*waiting_.front(), run_status::cancelled, run_end::drained, out);
  settle(out);
}

void scheduler::configure(const scheduler_settings& settings, instant now, effects& out) {
  latest(now);
  settings_ = floored(settings);
  for (auto& [key, session] : sessions_) {
    if (session.turn != 0) place_in_ring(session);
  }
  dispatch(out);
  settle(out);
}

}  // namespace tidegate::policy
