// An execution's end: which candidate answers, done, the scheduler's terminal, the reply.
#include <algorithm>
#include <utility>

#include "gateway/store_wait.h"
#include "policy/characters.h"
#include "policy/run_settlement.h"
#include "protocol/rpc/envelope.h"
#include "session/execution.h"

namespace tidegate::session {

using foundation::error_code;
using foundation::failure;
using runtime::task;

namespace {

const failure& slot_lost() {
  static const failure f = [] {
    failure made;
    made.code = error_code::skill_timeout;
    made.message = "the run did not end in its time and has lost its place";
    return made;
  }();
  return f;
}

}  // namespace

const candidate_run* execution::winner() const {
  for (const auto& c : candidates_) {
    if (c->good()) return c.get();
  }
  return nullptr;
}

const failure* execution::fault() const {
  if (!refusal_ && (candidates_.empty() || winner() != nullptr)) return nullptr;
  const failure& first = refusal_ ? *refusal_ : *candidates_.front()->why();
  // Its slot was taken back: not the caller's doing (SCH-7).
  return recovered_ && first.code == error_code::canceled ? &slot_lost() : &first;
}

std::string_view execution::text() const {
  if (const candidate_run* best = winner()) return best->text();
  if (!candidates_.empty()) return candidates_.front()->text();
  return round_ ? std::string_view{round_->text} : std::string_view{};
}

run_totals execution::totals() const {
  run_totals sum;
  bool any = false;
  bool priced = true;
  for (const auto& c : candidates_) {
    const run_totals& u = c->used();
    sum.prompt_tokens += u.prompt_tokens;
    sum.completion_tokens += u.completion_tokens;
    sum.cached_tokens += u.cached_tokens;
    sum.micro_usd += u.micro_usd;
    any = any || c->used_any();
    priced = priced && (u.priced || !c->used_any());
  }
  sum.priced = any && priced;
  sum.session_total = world_.core.ledger().with([&](policy::ledger& ledger) {
    return ledger.of(policy::account_scope::session, policy::account_unit::tokens, account_).settled;
  });
  return sum;
}

void execution::refuse(failure why) {
  gateway::record_refusal(world_.core, gateway::surface::session, why, id_, trace_id_, services_.records);
  refusal_ = std::move(why);
}

task<void> execution::finish() {
  if (candidates_.empty() && refusal_)
    static_cast<void>(co_await services_.records.durable(gateway::stage::note));
  over_ = true;
  if (const candidate_run* best = winner(); best != nullptr && !best->tool_calls().empty()) open_round();
  close_request(fault() != nullptr);
  push_done();
  conclude();
}

void execution::close_request(bool refused) {
  if (request_key_.empty()) return;
  const foundation::instant now = services_.loop.now();
  world_.tools.with([&](policy::tool_book& book) {
    if (refused && round_) {
      book.give_back(request_key_, std::move(*round_), now);
    } else if (refused && !started_) {
      book.forget(request_key_);
    } else {
      book.end(request_key_, now);
    }
  });
  request_key_.clear();
}

task<std::optional<degradation>> execution::keep_trace(storage::trace_record trace, std::string_view output) {
  const std::string run_id = trace.run_id;
  trace.execution_id = id_;
  trace.trace_id = trace_id_;
  trace.key_id = who_.id;
  trace.skill_id = skill_id_;
  trace.mode = std::string{policy::name_of(request_.mode)};
  if (trace.model.empty()) trace.model = model();
  const run_context& context = request_.context;
  if (!context.project_id.empty()) trace.project_id = context.project_id;
  if (!context.document_id.empty()) trace.document_id = context.document_id;
  trace.diagnostics = request_.diagnostics;
  if (world_.core.keeps_texts()) {
    trace.input_text = user_text_.empty() && round_ ? round_->input : user_text_;
    trace.output_text = output;
  }
  gateway::store_wait<void> wait{services_.loop};
  std::vector<storage::trace_record> batch;
  batch.push_back(std::move(trace));
  world_.traces.put(std::move(batch), wait.answer());
  const auto kept = co_await wait;
  if (kept) co_return std::nullopt;
  world_.core.log()
      .at(observe::level::warn, "ai_trace_persistence_degraded")
      .field("code", "TRACE_PERSISTENCE_DEGRADED")
      .field("runId", run_id)
      .field("traceId", trace_id_)
      .field("causeCode", "DB_ERROR")
      .field("causeMessage", kept.error().message);
  co_return degradation{run_id, trace_id_, "DB_ERROR", "the trace store cannot be used"};
}

void execution::push_done() {
  done_push done;
  const failure* why = fault();
  const candidate_run* told = winner();
  if (told == nullptr && !candidates_.empty()) told = candidates_.front().get();
  done.error = why;
  done.terminal = why == nullptr                      ? policy::stream_terminal::completed
                  : why->code == error_code::canceled ? policy::stream_terminal::cancelled
                                                      : policy::stream_terminal::error;
  done.output = text();
  const std::string model_asked = model();
  done.model = model_asked;
  done.used = started_;
  std::uint32_t attempt = 1;
  std::uint64_t seq = 0;
  std::string_view finish;
  if (told != nullptr) {
    done.model = told->model();
    attempt = told->attempt();
    seq = told->streaming() ? told->last_seq() : 0;
    if (why == nullptr) {
      finish = finish_name(told->finish());
      done.tool_calls = told->tool_calls();
    }
    if (told->degraded()) done.degraded = &*told->degraded();
  }
  if (degraded_) done.degraded = &*degraded_;
  done.finish_reason = finish;
  if (tool_error_) done.tool_error = &*tool_error_;
  done.totals = totals();
  push("skill:stream:done", push_id(id_, attempt, seq + 1), done_payload(ids(), done, wall()));
  line_over_ = true;
  if (line_waiter_) services_.loop.schedule(std::exchange(line_waiter_, nullptr));
}

// SCH-6; behind done (STR-12). What the scheduler says of it takes it out of the live runs.
void execution::conclude() {
  if (!answer_due_.fired()) answer_due_.fire();
  place_.reset();
  const failure* why = fault();
  const auto settled =
      policy::settle(why == nullptr ? policy::response_state::ok : policy::response_state::error,
                     why == nullptr ? error_code::internal : why->code, policy::completion_state::completed);
  if (!queued_) {
    world_.live.remove(id_);
    return;
  }
  static_cast<void>(ticket_.finish(settled ? settled->terminal : policy::run_status::failed));
  ticket_ = {};
}

void execution::queue_news(policy::run_end cause, line_push told) {
  push_on_line(std::move(told));
  if (cause == policy::run_end::slot_recovery) {
    recovered_ = true;
    cancel(runtime::cancel_reason::requested);
  }
}

// --- pushes and the reply

std::string execution::note_id() { return push_id(id_, 0, notes_.fetch_add(1) + 1); }

void execution::push_on_line(line_push what) {
  if (!line_open_ || line_over_) return;
  line_.push_back(std::move(what));
  if (line_waiter_) services_.loop.schedule(std::exchange(line_waiter_, nullptr));
}

void execution::push(std::string_view name, std::string id, std::string data, bool droppable) {
  push_on_line({std::string{name}, id, data});
  session::push p;
  p.name = name;
  p.id = std::move(id);
  p.payload = std::move(data);
  p.project = request_.context.project_id;
  p.session_key = session_.name;
  p.session_id = request_.context.session_id;
  p.execution_id = id_;
  p.key_id = who_.id;
  p.droppable = droppable;
  world_.hub.publish(std::move(p));
}

task<std::optional<execution::line_push>> execution::next_push() {
  struct wait {
    execution& e;
    bool await_ready() const noexcept { return !e.line_.empty() || e.line_over_; }
    void await_suspend(std::coroutine_handle<> waiter) const noexcept { e.line_waiter_ = waiter; }
    void await_resume() const noexcept {}
  };
  co_await wait{*this};
  if (line_.empty()) co_return std::nullopt;
  line_push first = std::move(line_.front());
  line_.pop_front();
  co_return first;
}

task<channel_reply> execution::first_answer() {
  co_await answer_due_;
  if (refused_at_once()) co_return reply();
  std::string data;
  json::writer{data}
      .begin_object()
      .member("executionId", id_)
      .member("runId", id_)
      .member("traceId", trace_id_)
      .member("requestId", request_.request_id)
      .end_object();
  co_return data;
}

channel_reply execution::reply() const {
  if (const failure* why = fault()) return std::unexpected{*why};
  const candidate_run* best = winner();
  std::string data;
  json::writer w{data};
  w.begin_object().member("executionId", id_).member("runId", best != nullptr ? best->run_id() : id_);
  w.member("traceId", trace_id_).member("requestId", request_.request_id).member("outputText", text());
  if (request_.candidates > 1) {
    const auto each = [&](std::string_view name, bool good, const auto& write) {
      w.key(name).begin_array();
      for (const auto& c : candidates_) {
        if (c->good() != good) continue;
        w.begin_object().member("id", "candidate-" + std::to_string(c->number()));
        w.member("runId", c->run_id());
        write(*c);
        w.end_object();
      }
      w.end_array();
    };
    each("candidates", true, [&](const candidate_run& c) {
      w.member("text", c.text()).member("summary", policy::candidate_summary(c.text()));
    });
    if (std::ranges::any_of(candidates_, [](const auto& c) { return !c->good(); })) {
      each("failedCandidates", false, [&](const candidate_run& c) {
        w.key("error").raw(protocol::rpc::error_json(*c.why(), trace_id_));
      });
    }
  }
  if (best != nullptr) {
    write_usage(w, totals());
    if (const auto finish = finish_name(best->finish()); !finish.empty()) w.member("finishReason", finish);
    if (!best->tool_calls().empty()) write_tool_calls(w, best->tool_calls());
  }
  if (tool_error_) write_tool_error(w, *tool_error_);
  if (best != nullptr) {
    w.member("provider", best->provider()).member("model", best->model());
    if (best->switched_note()) write_failover(w, *best->switched_note());
    if (best->degraded()) write_degradation(w, *best->degraded());
  }
  if (degraded_) write_degradation(w, *degraded_);
  w.end_object();
  return data;
}

}  // namespace tidegate::session
