#include "app/chat/messages.h"

#include <utility>

namespace tidegate::app::chat {
namespace {

namespace json = protocol::json;

constexpr std::string_view chat_skill = "builtin:chat";

bool flag(json::value object, std::string_view key) {
  const auto found = object.find(key);
  return found && found->as_bool().value_or(false);
}

json::element_range rows(json::value object, std::string_view key) {
  return object.find(key).value_or(json::value{}).elements();
}

void write_if(json::writer& w, std::string_view key, std::string_view text) {
  if (!text.empty()) w.member(key, text);
}

std::optional<usage> read_usage(std::optional<json::value> from) {
  if (!from || !from->is_object()) return std::nullopt;
  usage used;
  used.prompt = from->int_at("promptTokens").value_or(0);
  used.output = from->int_at("completionTokens").value_or(0);
  used.cached = from->int_at("cachedTokens").value_or(0);
  used.session = from->int_at("sessionTotalTokens");
  if (const auto cost = from->find("estimatedCostUsd")) used.cost_usd = cost->as_double();
  return used;
}

std::string degradation_of(json::value object) {
  const auto found = object.find("degradation");
  return found ? found->string_or("message", "") : std::string{};
}

push_kind kind_named(std::string_view name) {
  if (name == "skill:stream:chunk") return push_kind::chunk;
  if (name == "skill:queue:status") return push_kind::queue;
  if (name == "skill:stream:done") return push_kind::done;
  if (name == "skill:stream:reset") return push_kind::reset;
  if (name == "ai:provider:failover") return push_kind::failover;
  return push_kind::other;
}

void read_done(json::value data, push& out) {
  out.text = data.string_or("outputText", "");
  out.terminal = data.string_or("terminal", "");
  out.finish_reason = data.string_or("finishReason", "");
  out.degraded = degradation_of(data);
  if (const auto error = data.find("error")) out.error = read_problem(*error);
  const auto metadata = data.path({"result", "metadata"});
  if (!metadata) return;
  out.model = metadata->string_or("model", "");
  out.used = read_usage(metadata);
}

}  // namespace

std::string run_body(const question& asked) {
  std::string body;
  json::writer w{body};
  w.begin_object().member("skillId", chat_skill).member("input", asked.text).member("mode", "ask");
  w.member("stream", asked.candidates == 1);
  if (asked.candidates > 1) w.member("candidateCount", asked.candidates);
  write_if(w, "model", asked.model);
  write_if(w, "requestId", asked.request_id);
  w.key("context").begin_object().member("projectId", asked.project);
  write_if(w, "sessionId", asked.session);
  write_if(w, "messageId", asked.message_id);
  write_if(w, "memory", asked.memory);
  w.end_object().end_object();
  return body;
}

std::string cancel_body(std::string_view execution_id) {
  std::string body;
  json::writer{body}.begin_object().member("executionId", execution_id).end_object();
  return body;
}

std::string send_body(const question& asked) {
  std::string body;
  json::writer w{body};
  w.begin_object().member("message", asked.text).member("projectId", asked.project);
  w.member("newSession", true).end_object();
  return body;
}

std::string session_body(std::string_view project, std::string_view session) {
  std::string body;
  json::writer w{body};
  w.begin_object().member("projectId", project);
  write_if(w, "sessionId", session);
  w.end_object();
  return body;
}

std::string feedback_body(std::string_view run_id, std::string_view action) {
  std::string body;
  json::writer w{body};
  w.begin_object().member("runId", run_id).member("action", action);
  w.member("evidenceRef", "tidegate chat").end_object();
  return body;
}

std::string usage_body(int limit) {
  std::string body;
  json::writer{body}.begin_object().member("limit", limit).end_object();
  return body;
}

problem read_problem(json::value error) {
  problem why;
  why.code = error.string_or("code", "INTERNAL_ERROR");
  why.message = error.string_or("message", "");
  why.trace_id = error.string_or("traceId", "");
  if (const auto details = error.find("details")) {
    why.reason = details->string_or("reason", "");
    why.source = details->string_or("source", "");
  }
  why.retryable = flag(error, "retryable");
  why.retry_after_ms = error.int_at("retryAfterMs");
  return why;
}

problem transport_problem(std::string message) {
  problem why;
  why.code = "IO_ERROR";
  why.message = std::move(message);
  why.retryable = true;
  return why;
}

std::expected<json::value, problem> read_envelope(std::string_view text) {
  const auto parsed = json::parse(text);
  if (!parsed || !parsed->is_object())
    return std::unexpected{transport_problem("the answer is no gateway's: it is not JSON")};
  if (flag(*parsed, "ok")) return parsed->find("data").value_or(json::value{});
  const auto error = parsed->find("error");
  if (!error) return std::unexpected{transport_problem("the answer is no gateway's: it has no envelope")};
  return std::unexpected{read_problem(*error)};
}

push read_push(std::string_view name, std::string_view data) {
  push out;
  const push_kind kind = kind_named(name);
  const auto parsed = json::parse(data);
  if (kind == push_kind::other || !parsed) return out;
  out.kind = kind;
  out.execution_id = parsed->string_or("executionId", "");
  out.text = parsed->string_or("chunk", "");
  out.status = parsed->string_or("status", "");
  out.position = parsed->int_at("queuePosition").value_or(0);
  out.queued = parsed->int_at("queued").value_or(0);
  out.from = parsed->string_or("from", "");
  out.to = parsed->string_or("to", "");
  out.reason = parsed->string_or("reason", "");
  if (kind == push_kind::done) read_done(*parsed, out);
  return out;
}

answer read_answer(json::value data) {
  answer out;
  out.run_id = data.string_or("runId", "");
  out.text = data.string_or("outputText", "");
  out.model = data.string_or("model", "");
  out.finish_reason = data.string_or("finishReason", "");
  out.degraded = degradation_of(data);
  if (const auto failover = data.find("failover")) {
    out.failover_from = failover->string_or("from", "");
    out.failover_to = failover->string_or("to", "");
    out.failover_reason = failover->string_or("reason", "");
  }
  for (const json::value c : rows(data, "candidates"))
    out.candidates.push_back({c.string_or("id", ""), c.string_or("runId", ""), c.string_or("text", "")});
  for (const json::value c : rows(data, "failedCandidates"))
    out.failed.push_back({c.string_or("id", ""), read_problem(c.find("error").value_or(json::value{}))});
  out.used = read_usage(data.find("usage"));
  return out;
}

std::vector<session_row> read_sessions(json::value data) {
  std::vector<session_row> out;
  for (const json::value s : rows(data, "sessions")) {
    out.push_back({s.string_or("sessionId", ""), s.string_or("title", ""), flag(s, "archived"),
                   s.int_at("createdAt").value_or(0)});
  }
  return out;
}

std::optional<session_row> current_session(const std::vector<session_row>& rows) {
  const session_row* last = nullptr;
  for (const session_row& row : rows) {
    if (!row.archived && (last == nullptr || row.created_at > last->created_at)) last = &row;
  }
  return last == nullptr ? std::nullopt : std::optional{*last};
}

std::vector<message> read_messages(json::value data) {
  std::vector<message> out;
  for (const json::value m : rows(data, "items"))
    out.push_back({m.string_or("role", ""), m.string_or("content", "")});
  return out;
}

std::optional<double> cost_of(json::value usage_list, std::string_view request_id) {
  for (const json::value record : rows(usage_list, "records")) {
    const auto id = record.find("requestId");
    if (!id || !id->equals(request_id)) continue;
    if (record.string_or("warning", "") == "COST_MODEL_NOT_FOUND") return std::nullopt;
    const auto cost = record.find("cost");
    return cost ? cost->as_double() : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace tidegate::app::chat
