// ai:skill:*: runs, their cancellation and feedback.
#include <array>

#include "protocol/rpc/shapes.h"

namespace tidegate::protocol::rpc {
namespace shapes {
namespace {

constexpr std::array error_fields{
    need("code", code),
    need("message", text, "For people; its wording may change"),
    may("traceId", trace_id),
    may("details", any_value, "An object, or an array for VALIDATION_ERROR and SKILL_DEPENDENCY_MISSING"),
    need("retryable", flag, "The same request may succeed later"),
    may("retryAfterMs", duration)};
constexpr std::array brief_error_fields{need("code", code), need("message", text)};
constexpr std::array tool_error_fields{need("code", code), need("message", text), need("retryable", flag)};

constexpr std::array tool_call_fields{
    need("id", text), need("name", text),
    need("arguments", any_value, "An object; null where the model's text could not be parsed")};
constexpr shape tool_call =
    named("ToolCall", tool_call_fields, "A tool that the model asks the caller to run");

constexpr std::array cause_fields{need("code", id), need("message", text)};
constexpr shape cause = object_of(cause_fields);
constexpr std::array degradation_fields{need("code", code), need("message", text), need("runId", uuid),
                                        need("traceId", trace_id), need("cause", cause)};

constexpr std::array reason_words{
    std::string_view{"primary_unavailable"},    std::string_view{"primary_degraded"},
    std::string_view{"half_open_probe_failed"}, std::string_view{"primary_cooldown"},
    std::string_view{"primary_auth_failed"},    std::string_view{"primary_local_limit"}};
constexpr std::array failover_fields{need("from", text, "Provider"), need("to", text, "Provider"),
                                     need("reason", failover_reason)};
constexpr shape failover = named("Failover", failover_fields, "A switch from one target to the next");

constexpr std::array finish_words{std::string_view{"stop"}, std::string_view{"length"},
                                  std::string_view{"tool_use"}, std::string_view{"content_filter"}};

// The request.

constexpr std::array mode_words{std::string_view{"agent"}, std::string_view{"plan"}, std::string_view{"ask"}};
constexpr shape mode = words_of("SkillMode", mode_words);

constexpr std::array tool_fields{need("name", id), need("description", text),
                                 need("parameters", any_object, "JSON Schema of the arguments")};
constexpr shape tool = named("Tool", tool_fields, "A tool that the caller offers to run for the model");
constexpr shape tool_list = list_of(tool, tools_max);

constexpr std::array tool_result_fields{need("callId", text), need("success", flag), need("content", text)};
constexpr shape tool_result = named("ToolResult", tool_result_fields, "What came of a tool call");
constexpr shape tool_result_list = list_of(tool_result, tools_max);

constexpr std::array context_fields{
    may("projectId", id),
    may("documentId", id),
    may("sessionId", id),
    may("messageId", id, "A user message already sent: only the answer is added to the chat"),
    may("userRules", text),
    may("memory", text),
    may("text", text, "Passed to the model as context")};
constexpr shape context = named("RunContext", context_fields, "Where a run belongs and what it may know");

constexpr std::array diagnostics_fields{need("stablePrefixHash", id), need("promptHash", id)};
constexpr shape diagnostics = object_of(diagnostics_fields, "Kept with the trace as it is");

constexpr std::array run_fields{
    need("skillId", id, "Blank: chosen by the input"),
    need("input", text),
    may("mode", mode, "Default ask"),
    may("model", id),
    may("stream", flag),
    may("hasSelection", flag),
    may("selection", text),
    may("candidateCount", number, "1 to 5"),
    may("maxTokens", integer),
    may("timeoutMs", number, "At most 120000; what is no positive integer is ignored"),
    may("requestId", id, "Links the tool rounds of one logical request"),
    may("tools", tool_list),
    may("toolResults", tool_result_list),
    may("context", context),
    may("promptDiagnostics", diagnostics)};
constexpr shape run_request = object_of(run_fields);

// The reply.

constexpr std::array candidate_fields{need("id", id), need("runId", uuid), need("text", text),
                                      need("summary", text)};
constexpr shape candidate = named("Candidate", candidate_fields, "One of several answers to a run");
constexpr shape candidate_list = list_of(candidate);

constexpr std::array failed_fields{need("id", id), need("runId", uuid), need("error", error_shape)};
constexpr shape failed_candidate =
    named("FailedCandidate", failed_fields, "A candidate that came to nothing");
constexpr shape failed_list = list_of(failed_candidate);

constexpr std::array usage_fields{need("promptTokens", integer), need("completionTokens", integer),
                                  may("cachedTokens", integer), need("sessionTotalTokens", integer),
                                  may("estimatedCostUsd", usd)};
constexpr shape usage = named("Usage", usage_fields, "Tokens of a run, its candidates together");

constexpr std::array run_reply_fields{need("executionId", uuid),
                                      need("runId", uuid),
                                      need("traceId", trace_id),
                                      need("requestId", id),
                                      may("outputText", text),
                                      may("candidates", candidate_list),
                                      may("failedCandidates", failed_list),
                                      may("usage", usage),
                                      may("finishReason", finish_reason),
                                      may("toolCalls", tool_call_list),
                                      may("toolError", tool_error),
                                      may("provider", text),
                                      may("model", text),
                                      may("failover", failover),
                                      may("degradation", degradation)};
constexpr shape run_reply = object_of(run_reply_fields);

constexpr std::array cancel_fields{may("executionId", id), may("runId", id, "Deprecated: use executionId")};
constexpr shape cancel_request = object_of(cancel_fields);
constexpr std::array cancel_reply_fields{need("canceled", truth)};
constexpr shape cancel_reply = object_of(cancel_reply_fields);

constexpr std::array action_words{std::string_view{"accept"}, std::string_view{"reject"},
                                  std::string_view{"partial"}};
constexpr shape action = words_of("FeedbackAction", action_words);
constexpr std::array feedback_fields{need("runId", id), need("action", action), need("evidenceRef", text)};
constexpr shape feedback_request = object_of(feedback_fields);
constexpr std::array feedback_reply_fields{need("recorded", truth)};
constexpr shape feedback_reply = object_of(feedback_reply_fields);

constexpr std::array channels{
    channel{.name = "ai:skill:run",
            .request = &run_request,
            .reply = &run_reply,
            .limit = time_class::run,
            .summary = "Run a skill, streamed or not"},
    channel{.name = "ai:skill:cancel",
            .request = &cancel_request,
            .reply = &cancel_reply,
            .summary = "Cancel a run, waiting or running"},
    channel{.name = "ai:skill:feedback",
            .request = &feedback_request,
            .reply = &feedback_reply,
            .summary = "Say what became of a run's output"},
};

}  // namespace

constexpr shape code{.kind = shape_kind::error_code};
constexpr shape finish_reason = words_of("FinishReason", finish_words);
constexpr shape brief_error = named("BriefError", brief_error_fields, "Why something that was tried failed");
constexpr shape failover_reason = words_of("FailoverReason", reason_words);
constexpr shape tool_call_list = list_of(tool_call);
constexpr shape tool_error = named("ToolError", tool_error_fields, "Why a tool loop ended or a round failed");
constexpr shape degradation =
    named("Degradation", degradation_fields, "The run is good, but its trace could not be kept");

part run_part() {
  static constexpr std::array names{&error_shape, &brief_error, &tool_call,        &tool_error,
                                    &degradation, &failover,    &failover_reason,  &mode,
                                    &tool,        &tool_result, &context,          &candidate,
                                    &usage,       &action,      &failed_candidate, &finish_reason};
  return {.channels = channels, .shapes = names};
}

}  // namespace shapes

constexpr shape error_shape =
    shapes::named("ErrorBody", shapes::error_fields, "What went wrong; the codes are those of ErrorCode");

}  // namespace tidegate::protocol::rpc
