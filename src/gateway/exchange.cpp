#include "gateway/exchange.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <utility>

#include "foundation/text.h"
#include "gateway/run.h"
#include "protocol/dialect/anthropic_tokens.h"
#include "protocol/json/json.h"

namespace tidegate::gateway {

namespace json = protocol::json;
using foundation::error_code;
using foundation::failure;
using runtime::task;

namespace {

void append_line(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

std::string ids_headers(std::string_view run_id, std::string_view trace_id) {
  std::string lines;
  lines.reserve(512);
  append_line(lines, "x-tidegate-run-id", run_id);
  append_line(lines, "x-tidegate-trace-id", trace_id);
  return lines;
}

// GW-2: a wait that is known, and whether asking again is worth it.
void append_advice(std::string& lines, const failure& why) {
  if (why.retry_after) {
    const std::int64_t ms = std::max<std::int64_t>(why.retry_after->count(), 0);
    append_line(lines, "retry-after", std::to_string((ms + 999) / 1000));
    append_line(lines, "retry-after-ms", std::to_string(ms));
  }
  if (!why.worth_retrying()) append_line(lines, "x-should-retry", "false");
}

}  // namespace

run::run(core& shared, loop_services& services, call& request, reply_sink& reply)
    : core_{shared},
      services_{services},
      call_{request},
      reply_{reply},
      snapshot_{shared.current()},
      caller_{dialect::get(call_.dialect)},
      story_{request.session},
      limits_{snapshot_->policy_named(request.who.policy)} {}

void run::lost() {
  if (dispatched_) key_counted_ = provider_counted_ = false;  // the units were used
  if (!held_.empty()) close_reservation(dispatched_ ? std::optional{reserved_} : std::nullopt);
  give_back();
  if (streaming_) core_.metrics().open_streams(-1);
  streaming_ = false;
  record_terminal(started_recorded_ ? "ai_run_failed" : "ai_run_refused",
                  foundation::name_of(foundation::error_code::internal));
}

task<bool> run::take_turn() {
  auto why = co_await (story_ != nullptr ? begin_session_run() : wait_in_queue(*core_.queue()));
  if (why) refusal_ = std::make_unique<failure>(std::move(*why));
  co_return !why;
}

task<void> run::go() {
  started_ = now();
  if (!admit()) {
    co_await refuse();
    co_return;
  }
  const bool waits = story_ != nullptr || (!call_.who.session.empty() && core_.queue() != nullptr);
  if (waits && !co_await take_turn()) {
    co_await refuse();
    co_return;
  }
  if (call_.what == endpoint::count_tokens && provider_of(0).kind != policy::provider_kind::anthropic) {
    record_started();
    co_await answer_estimate();
    co_return;
  }
  co_await make_legs();
  // A wait for its turn is no work of ours; what a session run's story does behind its provider neither.
  const instant from = call_.who.session.empty() ? call_.arrived : started_;
  if (story_ == nullptr) core_.metrics().overhead(services_.loop.fresh_now() - from - upstream_time_);
}

// Nothing has been sent anywhere: the record need not be waited for.
task<void> run::refuse() {
  core_.metrics().refusal(foundation::name_of(refusal_->code));
  record_terminal("ai_run_refused", foundation::name_of(refusal_->code));
  static_cast<void>(co_await services_.records.durable(stage::note));
  co_await tell(*refusal_);
}

bool run::admit() {
  std::optional<failure> why;
  if (story_ == nullptr) arm_deadline();
  if (services_.records.stopped()) why = journal_failure();
  if (!why) why = read();
  if (!why) why = resolve();
  if (!why) why = bound_output();
  if (!why && story_ == nullptr) count_prompt();
  if (why) refusal_ = std::make_unique<failure>(std::move(*why));
  return refusal_ == nullptr;
}

task<std::optional<failure>> run::wait_in_queue(run_queue& queue) {
  auto entered = queue.enter(
      services_.loop,
      {.run_id = call_.run_id,
       .trace_id = call_.trace_id,
       .session = policy::session_key_of({.client_key = call_.who.key, .session = call_.who.session}),
       .project = call_.who.project,
       .key_id = call_.who.key,
       .session_id = call_.who.session,
       .told = false});
  if (!entered) co_return std::move(entered.error());
  turn_ = std::move(*entered);
  if (auto started = co_await turn_.started(reply_.gone()); !started) co_return std::move(started.error());
  started_ = now();
  arm_deadline();
  co_return std::nullopt;
}

void run::arm_deadline() {
  const duration limit = snapshot_->time.v1;
  deadline_ = started_ + std::min(call_.timeout.value_or(limit), limit);
  reply_.set_deadline(deadline_);
}

// The deadline is armed when the run starts, not while it waits for its turn (TMO-1).
task<std::optional<failure>> run::begin_session_run() {
  if (auto why = co_await story_->take_turn()) co_return why;
  started_ = now();
  deadline_ = started_ + call_.timeout.value_or(snapshot_->time.v1);
  auto body = co_await story_->compose();
  if (!body) co_return std::move(body.error());
  call_.body = std::move(*body);
  if (auto why = read_body()) co_return why;
  count_prompt();
  co_return std::nullopt;
}

task<void> run::answer_estimate() {
  const auto decoded = dialect::decode_count_tokens(read_.body);
  if (!decoded) {
    failure f;
    f.code = error_code::invalid_argument;
    f.message = decoded.error().message;
    f.param = decoded.error().param;
    record_terminal("ai_run_failed", foundation::name_of(f.code));
    static_cast<void>(co_await services_.records.durable(stage::end));
    co_await tell(f);
    co_return;
  }
  whole_ = dialect::encode_token_count(estimate_prompt(call_, read_));
  co_await deliver_whole();
}

dialect::encode_context run::encode_context() const {
  dialect::encode_context context;
  context.id = call_.run_id;
  context.model = read_.summary.model;
  context.created =
      std::chrono::floor<std::chrono::seconds>(services_.loop.wall()).time_since_epoch().count();
  context.include_usage = call_.dialect != dialect::dialect_id::openai_chat || read_.summary.stream_usage;
  context.asked = read_.canonical.get();
  return context;
}

std::string run::reply_headers() const {
  std::string lines = ids_headers(call_.run_id, call_.trace_id);
  if (legs_ == 0) return lines;
  append_line(lines, "x-tidegate-provider", provider_of(called_).name);
  append_line(lines, "x-tidegate-attempts", std::to_string(legs_));
  if (switched_) {
    std::string note =
        "from=" + provider_of(switched_->from).name + "; to=" + provider_of(switched_->to).name;
    note.append("; reason=").append(policy::name_of(switched_->reason));
    append_line(lines, "x-tidegate-failover", note);
  }
  return lines;
}

// Records the terminal, then sends the last byte: who has the answer can find it on the record.
task<void> run::answer(const policy::step& last, const leg_end& end) {
  if (last.verdict == policy::run_verdict::success) {
    if (story_ != nullptr) {
      co_await deliver_to_story();
    } else if (streaming_ || read_.summary.stream) {
      co_await deliver_end();
    } else {
      co_await deliver_whole();
    }
    co_return;
  }
  failure why = verdict_failure(last, end);
  if (!started_recorded_) {
    // No leg was made: a refusal, whatever stood in its way.
    refusal_ = std::make_unique<failure>(std::move(why));
    co_await refuse();
    co_return;
  }
  co_await end_failed(std::move(why));
}

task<void> run::end_failed(failure why) {
  const bool left = why.code == error_code::canceled;
  const bool late = why.code == error_code::skill_timeout;
  record_terminal(left   ? "ai_run_canceled"
                  : late ? "ai_run_timeout"
                         : "ai_run_failed",
                  foundation::name_of(why.code));
  // Told or not, the terminal is on the record first; where it cannot be, the failure is the journal's.
  if (!co_await services_.records.durable(stage::end)) {
    co_await tell(journal_failure());
  } else {
    co_await tell(why);
  }
}

// The story says whether the output is an answer, and stores it, before the end is recorded (CHAT-4).
task<void> run::deliver_to_story() {
  if (auto why = co_await story_->accept()) {
    co_await end_failed(std::move(*why));
    co_return;
  }
  record_terminal("ai_run_completed", "OK");
  if (!co_await services_.records.durable(stage::end)) {
    co_await story_->take_back();
    co_await tell(journal_failure());
    co_return;
  }
  if (streaming_) core_.metrics().open_streams(-1);
  co_await story_->ended(nullptr);
}

task<void> run::deliver_whole() {
  record_terminal("ai_run_completed", "OK");
  if (!co_await services_.records.durable(stage::end)) {
    co_await tell(journal_failure());
    co_return;
  }
  std::string headers = reply_headers();
  headers += passed_headers_;
  headers += "content-type: application/json\r\n";
  static_cast<void>(co_await reply_.whole(200, headers, whole_));
}

task<void> run::deliver_end() {
  record_terminal("ai_run_completed", "OK");
  if (!co_await services_.records.durable(stage::end)) {
    error_bytes_.clear();
    co_await tell(journal_failure());
    co_return;
  }
  // A stream without any content is still a whole answer.
  const bool open = streaming_ || co_await open_stream();
  core_.metrics().open_streams(-1);
  if (open && co_await reply_.write(tail_)) static_cast<void>(co_await reply_.end_stream());
}

task<void> run::tell(const failure& why) {
  if (streaming_) core_.metrics().open_streams(-1);
  if (story_ != nullptr) {
    co_await story_->ended(&why);
    co_return;
  }
  if (streaming_) {
    const std::string bytes =
        error_bytes_.empty() ? caller_.encode_stream_error(why, call_.run_id, call_.trace_id) : error_bytes_;
    static_cast<void>(co_await reply_.write(bytes));
    reply_.break_off();
    co_return;
  }
  std::string headers = reply_headers();
  append_advice(headers, why);
  headers += "content-type: application/json\r\n";
  const std::string body = caller_.encode_error(why, call_.run_id, call_.trace_id);
  static_cast<void>(co_await reply_.whole(why.http_status(), headers, body));
}

// FO-9: which providers were tried, and what each said.
failure run::unavailable_failure(const failure& latest,
                                 std::optional<foundation::milliseconds> retry_after) const {
  failure why;
  why.code = error_code::ai_provider_unavailable;
  why.message = targets_.size() > 1 ? "no provider of this model can answer now"
                                    : "the provider of this model cannot answer now";
  if (!latest.message.empty()) why.message += ": " + latest.message;
  json::writer w{why.details};
  w.begin_object().member("traceId", call_.trace_id).member("primary", provider_of(0).name).key("backup");
  if (targets_.size() > 1) {
    w.string(provider_of(1).name);
  } else {
    w.null();
  }
  w.key("attempts").begin_array();
  for (const attempt& a : attempts_) {
    w.begin_object().member("provider", provider_of(a.target).name).member("model", targets_[a.target].model);
    w.member("code", foundation::name_of(a.code)).end_object();
  }
  w.end_array().end_object();
  why.retry_after = retry_after;
  return why;
}

failure run::verdict_failure(const policy::step& last, const leg_end& end) const {
  const auto retry_after = last.retry_after
                               ? std::optional{std::chrono::ceil<foundation::milliseconds>(*last.retry_after)}
                               : std::nullopt;
  failure why;
  switch (last.verdict) {
    case policy::run_verdict::unavailable: {
      // The caller's own time limit is its answer, whoever is to blame for it.
      if (end.why().code == error_code::skill_timeout) return end.why();
      return unavailable_failure(end.why(), retry_after);
    }
    case policy::run_verdict::rate_limited:
      why = end.why();
      why.code = error_code::ai_rate_limited;
      if (why.message.empty()) why.message = "every provider of this model limits the rate of calls";
      why.retry_after = retry_after;
      json::writer{why.details = {}}
          .begin_object()
          .member("source", "upstream")
          .member("retryAfterMs", retry_after ? retry_after->count() : 0)
          .end_object();
      why.upstream_type.clear();
      why.upstream_code.clear();
      return why;
    case policy::run_verdict::abandoned:
      return reply_.gone().fired() ? canceled_end().why()
                                   : timeout_end(policy::leg_timeout::leg, false).why();
    case policy::run_verdict::unfit:
      return *unfit_;
    case policy::run_verdict::local_limit:
      return provider_limit_failure(last.retry_after.value_or(duration::zero()));
    default:
      return end.why();
  }
}

task<void> run_exchange(core& shared, loop_services& services, call& request, reply_sink& reply) {
  run exchange{shared, services, request, reply};
  try {
    co_await exchange.go();
  } catch (const std::exception&) {
    exchange.lost();
    throw;  // the connection ends with a reset
  }
}

namespace {

task<void> answer_refusal(dialect::dialect_id dialect, const failure& why, std::string_view run_id,
                          std::string_view trace_id, reply_sink& reply) {
  std::string headers = ids_headers(run_id, trace_id);
  append_advice(headers, why);
  headers += "content-type: application/json\r\n";
  const std::string body = dialect::get(dialect).encode_error(why, run_id, trace_id);
  static_cast<void>(co_await reply.whole(why.http_status(), headers, body));
}

void count_refusal(core& shared, surface from, std::string_view code) {
  shared.metrics().refusal(code);
  shared.metrics().exchange_done(name_of(from), "", code);
}

void refusal_event(core& shared, std::string_view code, std::string_view run_id, std::string_view trace_id,
                   record_log& records) {
  records.event(shared.log(), observe::level::info, "ai_run_refused", stage::note, [&](json::writer& w) {
    w.member("runId", run_id).member("traceId", trace_id).member("code", code);
  });
}

}  // namespace

void record_refusal(core& shared, surface from, const failure& why, std::string_view run_id,
                    std::string_view trace_id, record_log& records) {
  const std::string_view code = foundation::name_of(why.code);
  count_refusal(shared, from, code);
  refusal_event(shared, code, run_id, trace_id, records);
}

task<void> refuse(core& shared, dialect::dialect_id dialect, surface from, const failure& why,
                  std::string_view run_id, std::string_view trace_id, record_log& records,
                  reply_sink& reply) {
  const std::string_view code = foundation::name_of(why.code);
  count_refusal(shared, from, code);
  refusal_event(shared, code, run_id, trace_id, records);
  static_cast<void>(co_await records.durable(stage::note));
  co_await answer_refusal(dialect, why, run_id, trace_id, reply);
}

task<void> turn_away(core& shared, dialect::dialect_id dialect, surface from, const failure& why,
                     std::string_view run_id, std::string_view trace_id, reply_sink& reply) {
  const std::string_view code = foundation::name_of(why.code);
  count_refusal(shared, from, code);
  shared.log()
      .at(observe::level::info, "ai_run_refused")
      .field("runId", run_id)
      .field("traceId", trace_id)
      .field("code", code);
  co_await answer_refusal(dialect, why, run_id, trace_id, reply);
}

}  // namespace tidegate::gateway
