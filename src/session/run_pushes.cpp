#include "session/run_pushes.h"

#include "protocol/rpc/envelope.h"

namespace tidegate::session {
namespace {

namespace json = protocol::json;
using foundation::wall_time;

constexpr double micro = 1e6;

class payload {
 public:
  explicit payload(const run_ids& ids) : writer_{text_} {
    writer_.begin_object();
    writer_.member("executionId", ids.execution).member("runId", ids.run);
  }
  payload(const run_ids& ids, std::string_view type) : writer_{text_} {
    writer_.begin_object().member("type", type);
    writer_.member("executionId", ids.execution).member("runId", ids.run);
  }
  json::writer& w() { return writer_; }
  std::string close(wall_time ts) {
    writer_.member("ts", ts.time_since_epoch().count()).end_object();
    return std::move(text_);
  }

 private:
  std::string text_;
  json::writer writer_;
};

std::int64_t number(std::size_t n) { return static_cast<std::int64_t>(n); }

void write_result(json::writer& w, const run_ids& ids, const done_push& done) {
  w.key("result").begin_object().member("success", done.error == nullptr).member("output", done.output);
  w.key("metadata").begin_object().member("model", done.model);
  w.member("promptTokens", done.totals.prompt_tokens)
      .member("completionTokens", done.totals.completion_tokens);
  w.member("cachedTokens", done.totals.cached_tokens).end_object();
  w.member("traceId", ids.trace).end_object();
}

}  // namespace

std::string_view finish_name(protocol::dialect::finish_reason reason) {
  using protocol::dialect::finish_reason;
  switch (reason) {
    case finish_reason::none:
      return {};
    case finish_reason::length:
      return "length";
    case finish_reason::tool_use:
      return "tool_use";
    case finish_reason::content_filter:
      return "content_filter";
    case finish_reason::stop:
    case finish_reason::stop_sequence:
      break;
  }
  return "stop";
}

std::string chunk_payload(const run_ids& ids, std::uint64_t seq, std::string_view text, wall_time ts) {
  payload p{ids, "chunk"};
  p.w().member("traceId", ids.trace).member("seq", number(seq)).member("chunk", text);
  return p.close(ts);
}

std::string reset_payload(const run_ids& ids, std::uint32_t attempt, wall_time ts) {
  payload p{ids, "reset"};
  p.w().member("traceId", ids.trace).member("attempt", static_cast<std::int64_t>(attempt));
  return p.close(ts);
}

std::string done_payload(const run_ids& ids, const done_push& done, wall_time ts) {
  payload p{ids, "done"};
  json::writer& w = p.w();
  w.member("traceId", ids.trace).member("terminal", policy::name_of(done.terminal));
  w.member("outputText", done.output);
  if (done.error != nullptr) w.key("error").raw(protocol::rpc::error_json(*done.error, ids.trace));
  if (done.used) write_result(w, ids, done);
  if (!done.finish_reason.empty()) w.member("finishReason", done.finish_reason);
  if (!done.tool_calls.empty()) write_tool_calls(w, done.tool_calls);
  if (done.tool_error != nullptr) write_tool_error(w, *done.tool_error);
  if (done.degraded != nullptr) write_degradation(w, *done.degraded);
  return p.close(ts);
}

std::string queue_payload(const run_ids& ids, policy::run_status status, std::size_t position,
                          std::size_t queued, std::size_t global_running, wall_time ts) {
  payload p{ids, "queue"};
  p.w().member("traceId", ids.trace).member("status", policy::name_of(status));
  p.w().member("queuePosition", number(position)).member("queued", number(queued));
  p.w().member("globalRunning", number(global_running));
  return p.close(ts);
}

std::string failover_payload(const run_ids& ids, const failover_note& note, wall_time ts) {
  payload p{ids};
  p.w().member("traceId", ids.trace).member("from", note.from).member("to", note.to);
  p.w().member("reason", note.reason);
  return p.close(ts);
}

std::string tool_started_payload(const run_ids& ids, int round, std::span<const policy::tool_call> calls,
                                 wall_time ts) {
  payload p{ids, "tool-use-started"};
  p.w().member("round", round).key("toolNames").begin_array();
  for (const policy::tool_call& c : calls) p.w().string(c.name);
  p.w().end_array();
  return p.close(ts);
}

std::string tool_completed_payload(const run_ids& ids, int round,
                                   std::span<const policy::answered_call> answers, bool has_next_round,
                                   foundation::milliseconds took, wall_time ts) {
  payload p{ids, "tool-use-completed"};
  json::writer& w = p.w();
  w.member("round", round).key("results").begin_array();
  for (const policy::answered_call& a : answers) {
    w.begin_object().member("callId", a.call_id).member("toolName", a.tool_name);
    w.member("success", a.success).member("durationMs", static_cast<std::int64_t>(took.count()));
    if (a.error) {
      w.key("error").begin_object().member("code", foundation::name_of(a.error->code));
      w.member("message", a.error->message).member("retryable", a.error->retryable).end_object();
    }
    w.end_object();
  }
  w.end_array().member("hasNextRound", has_next_round);
  return p.close(ts);
}

std::string tool_failed_payload(const run_ids& ids, int round, const policy::tool_error& error,
                                wall_time ts) {
  payload p{ids, "tool-use-failed"};
  p.w().member("round", round).key("error").begin_object();
  p.w().member("code", foundation::name_of(error.code)).member("message", error.message);
  p.w().member("retryable", error.retryable).end_object();
  return p.close(ts);
}

void write_tool_calls(json::writer& w, std::span<const policy::tool_call> calls) {
  w.key("toolCalls").begin_array();
  for (const policy::tool_call& c : calls) {
    w.begin_object().member("id", c.id).member("name", c.name).key("arguments").raw(c.arguments).end_object();
  }
  w.end_array();
}

void write_tool_error(json::writer& w, const policy::tool_error& error) {
  w.key("toolError").begin_object().member("code", foundation::name_of(error.code));
  w.member("message", error.message).member("retryable", error.retryable).end_object();
}

void write_degradation(json::writer& w, const degradation& d) {
  w.key("degradation").begin_object().member("code", "TRACE_PERSISTENCE_DEGRADED");
  w.member("message", "the run is complete, but its trace could not be kept");
  w.member("runId", d.run_id).member("traceId", d.trace_id);
  w.key("cause").begin_object().member("code", d.cause_code).member("message", d.cause_message);
  w.end_object().end_object();
}

void write_failover(json::writer& w, const failover_note& note) {
  w.key("failover").begin_object().member("from", note.from).member("to", note.to);
  w.member("reason", note.reason).end_object();
}

void write_usage(json::writer& w, const run_totals& totals) {
  w.key("usage").begin_object().member("promptTokens", totals.prompt_tokens);
  w.member("completionTokens", totals.completion_tokens);
  if (totals.cached_tokens > 0) w.member("cachedTokens", totals.cached_tokens);
  w.member("sessionTotalTokens", totals.session_total);
  if (totals.priced) w.member("estimatedCostUsd", static_cast<double>(totals.micro_usd) / micro);
  w.end_object();
}

}  // namespace tidegate::session
