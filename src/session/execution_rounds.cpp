// An execution's tool rounds (TOOL-1 to TOOL-4): what a reply's calls and a caller's results mean for the
// request, and the end of one that needs no provider any more.
#include <utility>

#include "session/execution.h"

namespace tidegate::session {

using foundation::error_code;
using foundation::failure;
using runtime::task;

// Of a reply with calls: why it ends the request, or nothing where the caller is to run them.
std::optional<policy::tool_error> execution::judge(const candidate_run& said) const {
  return policy::judge_calls(said.tool_calls(), request_.declared, round_ ? round_->number + 1 : 1,
                             snapshot_->session.tool_rounds);
}

// CHAT-4: a request that waits for tool results is no turn yet; one that a tool error ends is (TOOL-3).
std::optional<std::string> execution::turn_text() const {
  std::string so_far = round_ ? round_->text : std::string{};
  if (candidates_.empty()) return so_far;
  for (const auto& c : candidates_) {
    if (!c->whole()) continue;
    if (!c->tool_calls().empty() && !judge(*c)) return std::nullopt;
    return so_far + c->text();
  }
  return std::nullopt;
}

// TOOL-1, TOOL-3: the calls are the caller's to run, or they end the request.
void execution::open_round() {
  const candidate_run& said = *winner();
  const int number = round_ ? round_->number + 1 : 1;
  tool_error_ = judge(said);
  for (const policy::tool_call& c : said.tool_calls()) {
    if (c.form != policy::arguments_form::unparsable) continue;
    world_.core.log()
        .at(observe::level::warn, "tool_call_json_parse_failed")
        .field("module", "session")
        .field("provider", said.provider())
        .field("toolCallId", c.id)
        .field("toolName", c.name)
        .field("error", "the arguments are not JSON")
        .field("rawJsonLength", c.unparsable_bytes);
  }
  push("skill:tool:use", note_id(),
       tool_error_ ? tool_failed_payload(ids(), number, *tool_error_, wall())
                   : tool_started_payload(ids(), number, said.tool_calls(), wall()));
  if (tool_error_) return;
  policy::open_round open;
  open.number = number;
  open.calls = said.tool_calls();
  open.declared = request_.declared;
  open.tools = request_.tools;
  open.skill_id = skill_id_;
  open.subject = subject_;
  open.input = round_ ? round_->input : request_.input;
  open.text = (round_ ? round_->text : std::string{}) + said.text();
  std::string asked;
  json::writer w{asked};
  w.begin_object().member("role", "assistant").key("content");
  if (said.text().empty()) {
    w.null();
  } else {
    w.string(said.text());
  }
  w.key("tool_calls").begin_array();
  for (const policy::tool_call& c : said.tool_calls()) {
    w.begin_object().member("id", c.id).member("type", "function").key("function").begin_object();
    const bool object = c.form == policy::arguments_form::object;
    w.member("name", c.name).member("arguments", object ? std::string_view{c.arguments} : "{}");
    w.end_object().end_object();
  }
  w.end_array().end_object();
  open.transcript = messages_ + ',' + asked;
  world_.tools.with(
      [&](policy::tool_book& book) { book.open(request_key_, std::move(open), services_.loop.now()); });
  request_key_.clear();
}

std::optional<failure> execution::take_results() {
  auto answered = policy::answer_calls(round_->calls, round_->declared, request_.results);
  if (!answered) return std::move(answered.error());
  tool_error_ = answered->error;
  if (!tool_error_) {
    // Before a round is announced: the guard ends a loop with what it has so far (COST-2).
    if (const auto why = may_spend()) tool_error_ = policy::tool_error{why->code, why->message, false};
  }
  const auto took =
      std::chrono::duration_cast<foundation::milliseconds>(services_.loop.now() - round_->opened);
  push("skill:tool:use", note_id(),
       tool_completed_payload(ids(), round_->number, answered->answers, !tool_error_, took, wall()));
  messages_ = round_->transcript;
  for (const policy::answered_call& a : answered->answers) {
    std::string text;
    json::writer w{text};
    w.begin_object().member("role", "tool").member("tool_call_id", a.call_id);
    w.member("content", !a.content.empty() || !a.error ? a.content : a.error->message).end_object();
    messages_ += ',' + text;
  }
  return std::nullopt;
}

// Admitted and queued like any run, and like any it leaves its turn, its records and its trace (CHAT-4,
// TRC-2, TRC-4, STR-12); only the provider is not asked.
task<void> execution::end_at_results() {
  const policy::tool_error error = *std::exchange(tool_error_, std::nullopt);
  if (auto why = co_await prepare()) {
    refuse(std::move(*why));
    co_return;
  }
  started_ = true;
  if (!answer_due_.fired()) answer_due_.fire();
  co_await record_end_at_results();
  if (refusal_) co_return;
  tool_error_ = error;
  push("skill:tool:use", note_id(), tool_failed_payload(ids(), round_->number, error, wall()));
}

task<void> execution::record_end_at_results() {
  const auto event = [&](std::string_view name, gateway::stage s, const auto& members) {
    services_.records.event(world_.core.log(), observe::level::info, name, s, [&](json::writer& w) {
      w.member("runId", id_).member("executionId", id_).member("traceId", trace_id_);
      members(w);
    });
  };
  storage::trace_record trace;
  trace.run_id = id_;
  trace.started_at = wall();
  event("ai_run_started", gateway::stage::start, [&](json::writer& w) {
    w.member("key", who_.id).member("provider", "").member("stream", request_.stream);
    w.member("timeoutMs", static_cast<std::int64_t>(timeout().count()));
  });
  co_await store_turn();
  refusal_ = store_failure_;
  const auto code = refusal_ ? foundation::name_of(refusal_->code) : std::string_view{"OK"};
  event(!refusal_                                ? "ai_run_completed"
        : refusal_->code == error_code::canceled ? "ai_run_canceled"
                                                 : "ai_run_failed",
        gateway::stage::end, [&](json::writer& w) { w.member("code", code); });
  world_.core.metrics().exchange_done(gateway::name_of(gateway::surface::session), "", code);
  if (refusal_) trace.code = code;
  trace.completed_at = trace.created_at = wall();
  if (!co_await services_.records.durable(gateway::stage::end)) {
    co_await take_back();
    refusal_ = gateway::journal_failure();
  }
  degraded_ = co_await keep_trace(std::move(trace), round_->text);
}

}  // namespace tidegate::session
