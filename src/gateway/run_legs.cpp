// The legs of a run: which target is asked, the call with its retries inside the leg, and what is done about
// its end. How a reply is read stands in run_replies.cpp, what an end means in run_leg_ends.cpp.
#include <algorithm>
#include <exception>
#include <utility>

#include "foundation/text.h"
#include "gateway/run.h"

namespace tidegate::gateway {

namespace json = protocol::json;

using foundation::error_code;
using policy::reply_fault;
using runtime::task;

namespace {

bool is_event_stream(std::string_view content_type) {
  return foundation::istarts_with(foundation::trim(content_type), "text/event-stream");
}

// What of a provider's reply head is the caller's business in its own dialect.
std::string passed_reply_headers(const protocol::http1::response_head& head) {
  std::string lines;
  for (const auto& f : head.fields) {
    const bool wanted =
        foundation::iequals(f.name, "x-request-id") || foundation::iequals(f.name, "request-id") ||
        foundation::iequals(f.name, "openai-processing-ms") ||
        foundation::iequals(f.name, "openai-version") || foundation::iequals(f.name, "openai-model");
    if (wanted) lines.append(f.name).append(": ").append(f.value).append("\r\n");
  }
  return lines;
}

// A plan whose run is torn down in the middle of a leg, by an exception of our own or with its coroutine,
// still ends the leg: a probe's permit returns at once and not by its expiry (FO-6).
class plan_guard {
 public:
  plan_guard(core& shared, const runtime::loop& time, policy::failover_plan& plan)
      : core_{shared}, time_{time}, plan_{plan} {}
  plan_guard(const plan_guard&) = delete;
  plan_guard& operator=(const plan_guard&) = delete;
  ~plan_guard() {
    if (!plan_.under_way()) return;
    core_.health().with([&](policy::health_bank& bank) { plan_.abandon(bank, true, time_.now()); });
  }

 private:
  core& core_;
  const runtime::loop& time_;
  policy::failover_plan& plan_;
};

}  // namespace

task<void> run::make_legs() {
  policy::failover_plan plan{mode_, refs_};
  const plan_guard ends_its_leg{core_, services_.loop, plan};
  leg_end end;
  policy::step step;
  for (;;) {
    // Nobody is called for a caller that has left, nor once its time is over (TMO-1).
    const bool over = reply_.gone().fired() || now() >= deadline_;
    step = core_.health().with([&](policy::health_bank& bank) {
      if (over) plan.abandon(bank, false, now());
      return plan.next(bank, now());
    });
    if (step.what == policy::step_kind::finish) {
      if (step.verdict != policy::run_verdict::broken || !co_await replays(end)) break;
      plan_again(plan);
      continue;
    }
    current_ = step.target;
    if (!build_leg(step, plan)) continue;
    const gate guards = co_await pass_guards(step, plan);
    if (guards == gate::passed) continue;
    if (guards == gate::refused) {
      co_await answer_refused();
      co_return;
    }
    legs_ = step.leg;
    called_ = step.target;
    leg_started_ = now();
    try {
      end = co_await make_leg(step, plan);
    } catch (const std::exception&) {
      end = defect_end();  // out of memory: a probe's permit still returns, and the run has its terminal
    }
    const bool left = reply_.gone().fired();
    core_.health().with([&](policy::health_bank& bank) {
      if (left && end.result.outcome == policy::leg_outcome::neutral) {
        plan.abandon(bank, true, now());
      } else {
        plan.report(bank, end.result, end.retry_after, now());
      }
    });
    record_leg_finished(step, end, leg_started_);
    settle(end);
    record_events(plan);
    record_health(refs_[step.target].provider);
    if (end.result.outcome != policy::leg_outcome::success)
      attempts_.push_back({step.target, end.why().code});
  }
  co_await answer(step, end);
}

void run::plan_again(policy::failover_plan& plan) const { plan = policy::failover_plan{mode_, refs_, legs_}; }

task<bool> run::replays(leg_end& broken) {
  if (story_ == nullptr || broken.result.outcome != policy::leg_outcome::availability_failure)
    co_return false;
  if (broken.why().code != error_code::skill_timeout) {
    failure& why = broken.why();
    why.code = error_code::llm_api_error;
    why.retryable = true;
    why.details = R"({"reason":"STREAM_DISCONNECTED","retryable":true})";
  }
  if (attempt_ > 1) co_return false;
  const auto wait = policy::next_wait(snapshot_->retry, 0, deadline_, now(), services_.random);
  if (!wait) co_return false;
  if (co_await services_.loop.sleep_until(now() + *wait, &reply_.gone()) == runtime::wake::canceled) {
    broken = canceled_end();
    co_return false;
  }
  attempt_ = 2;
  core_.metrics().open_streams(-1);
  streaming_ = false;
  core_.log()
      .at(observe::level::warn, "ai_stream_replay_retry")
      .field("runId", call_.run_id)
      .field("executionId", call_.run_id)
      .field("traceId", call_.trace_id)
      .field("attempt", attempt_);
  co_return true;
}

// A target whose dialect cannot say the request is none to this run, as one that preflight finds unfit
// (RES-4, FO-10). The first of them in order tells the caller why, should none be left.
bool run::build_leg(const policy::step& step, policy::failover_plan& plan) {
  retries_ = 0;
  dispatched_ = false;
  usage_ = {};
  received_ = 0;
  error_bytes_.clear();
  const chosen_target& target = targets_[step.target];
  auto made = make_leg_request(call_, read_, *target.to, target.model, effective_max_);
  if (made) {
    leg_ = std::move(*made);
    return true;
  }
  core_.health().with([&](policy::health_bank& bank) { plan.cannot_carry(bank, now()); });
  record(observe::level::warn, "ai_target_passed_over", stage::note, [&](json::writer& w) {
    w.member("traceId", call_.trace_id).member("runId", call_.run_id);
    w.member("provider", target.to->name).member("model", target.model);
    w.member("reason", "not_expressible").member("param", made.error().param);
  });
  if (unfit_ == nullptr || step.target < unfit_target_) {
    unfit_ = std::make_unique<failure>(std::move(made.error()));
    unfit_target_ = step.target;
  }
  return false;
}

task<leg_end> run::make_leg(policy::step step, policy::failover_plan& plan) {
  const chosen_target& target = targets_[step.target];
  const instant leg_deadline = std::min(now() + snapshot_->time.leg, deadline_);
  for (;;) {
    leg_end end = co_await send_once(step.target, leg_deadline, plan);
    std::optional<duration> wait;
    if (end.transport && step.transport_retries_allowed) {
      wait = policy::next_wait(snapshot_->retry, retries_, leg_deadline, now(), services_.random);
      core_.log()
          .at(observe::level::warn, "ai_fetch_transient_failure")
          .field("attempt", retries_)
          .field("url", target.to->url.url_of(leg_.speaks->path()))
          .field("message", end.why().message)
          .field("provider", target.to->name)
          .field("model", target.model)
          .field("runId", call_.run_id)
          .field("executionId", call_.run_id)
          .field("traceId", call_.trace_id);
    } else if (end.status != 0 && !end.content && step.transport_retries_allowed) {
      wait = policy::next_status_wait(snapshot_->retry, end.status, retries_, end.retry_after, leg_deadline,
                                      now(), services_.random);
    }
    if (!wait) co_return end;
    ++retries_;
    if (co_await services_.loop.sleep_until(now() + *wait, &reply_.gone()) == runtime::wake::canceled) {
      co_return canceled_end();
    }
  }
}

task<leg_end> run::send_once(std::size_t target, instant leg_deadline, policy::failover_plan& plan) {
  const provider& to = provider_of(target);
  runtime::call_deadlines by;
  by.connect = std::min(now() + snapshot_->time.connect, leg_deadline);
  by.first_byte = read_.summary.stream ? std::min(now() + to.first_byte, leg_deadline) : leg_deadline;
  const instant sent = services_.loop.fresh_now();
  auto reply = co_await services_.upstream.call(to.origin, leg_.head, leg_.body(), by, &reply_.gone());
  upstream_time_ += services_.loop.fresh_now() - sent;
  const bool before = dispatched_;
  dispatched_ = dispatched_ || reply || reply.error().sent;
  if (!reply) co_return fault_end(reply.error().fault, false);
  runtime::upstream_reply& from = **reply;
  const int status = from.head().status;
  if (status < 200 || status >= 300) {
    leg_end refused = co_await read_error(from, leg_deadline);
    // What was answered with an error is not billed (BUD-5), also where the wait for a retry is the leg's
    // end.
    if (refused.status != 0) dispatched_ = before;
    co_return refused;
  }
  passed_headers_ = leg_.same_dialect ? passed_reply_headers(from.head()) : std::string{};
  leg_end end;
  if (read_.summary.stream) {
    if (!is_event_stream(from.head().get("content-type"))) {
      co_return reply_fault_end(reply_fault::not_as_asked,
                                "the provider did not answer with an event stream");
    }
    end = co_await read_stream(from, leg_deadline, plan);
  } else {
    end = co_await read_whole(from, leg_deadline);
  }
  end.status = status;
  co_return end;
}

}  // namespace tidegate::gateway
