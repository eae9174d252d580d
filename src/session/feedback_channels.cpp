#include "session/feedback_channels.h"

#include <optional>
#include <utility>

#include "foundation/text.h"

namespace tidegate::session {

using foundation::error_code;
using foundation::failure;
using observe::level;
using runtime::task;

std::vector<binding> feedback_channels::bindings() {
  return {{"ai:skill:feedback", [this](json::value r, request_context& c) { return feedback(r, c); }}};
}

task<storage::result<bool>> feedback_channels::may_know(std::string run_id, request_context& context) {
  if (context.who.role == policy::caller_role::admin && policy::may_use_project(context.who, "*"))
    co_return true;  // nothing to look up
  const auto found = co_await ask_store<std::optional<storage::trace_record>>(
      context, [&](auto done) { traces_.get(std::move(run_id), std::move(done)); });
  if (!found) co_return std::unexpected{found.error()};
  const auto& trace = *found;
  if (!trace) co_return false;
  if (trace->project_id && !trace->project_id->empty())
    co_return policy::may_use_project(context.who, *trace->project_id);
  // A run of no project is its caller's own.
  co_return trace->key_id == context.who.id || context.who.role == policy::caller_role::admin;
}

failure feedback_channels::told(const storage::store_failure& why, const storage::feedback_record& given,
                                const request_context& context) const {
  failure f = failure_of(why);
  if (f.code == error_code::not_found) {
    f.message = "there is no such run, or its trace is gone";
    return f;
  }
  if (why.problem == storage::store_problem::too_large) {
    f.message = "evidenceRef is longer than " + std::to_string(storage::evidence_ref_max) + " bytes";
    f.details = R"({"fieldName":"evidenceRef"})";
    return f;
  }
  core_.log()
      .at(level::error, "trace_store_feedback_failed")
      .field("traceId", context.trace_id)
      .field("runId", given.run_id)
      .field("message", why.message);
  core_.log()
      .at(level::error, "ai_trace_feedback_persist_failed")
      .field("runId", given.run_id)
      .field("action", storage::name_of(given.action))
      .field("code", foundation::name_of(f.code))
      .field("message", why.message);
  return f;
}

task<channel_reply> feedback_channels::feedback(json::value request, request_context& context) {
  storage::feedback_record given;
  given.run_id = foundation::trim(request.string_or("runId", ""));
  if (given.run_id.empty())
    co_return refusal(error_code::invalid_argument, "runId is blank", R"({"fieldName":"runId"})");
  const auto action = storage::feedback_action_named(request.string_or("action", ""));
  if (!action) co_return refusal(error_code::invalid_argument, "action: expected accept, reject or partial");
  given.action = *action;
  given.evidence_ref = request.string_or("evidenceRef", "");
  given.created_at = context.services.loop.wall();
  const auto known = co_await may_know(given.run_id, context);
  if (!known) co_return std::unexpected{told(known.error(), given, context)};
  if (!*known) co_return refusal(error_code::not_found, "there is no such run, or its trace is gone");
  if (context.gone.fired()) co_return given_up();
  const auto kept = co_await ask_store<storage::feedback_outcome>(
      context, [&](auto done) { traces_.put_feedback(given, std::move(done)); });
  if (!kept) co_return std::unexpected{told(kept.error(), given, context)};
  context.services.records.event(
      core_.log(), level::info, "ai_feedback_received", gateway::stage::note, [&](json::writer& w) {
        w.member("runId", given.run_id).member("traceId", kept->trace_id);
        w.member("action", storage::name_of(given.action));
        w.member("evidenceRefLen", static_cast<std::int64_t>(given.evidence_ref.size()));
        if (kept->strong_negative) w.member("strongNegative", true);
      });
  static_cast<void>(co_await context.services.records.durable(gateway::stage::note));
  co_return R"({"recorded":true})";
}

}  // namespace tidegate::session
