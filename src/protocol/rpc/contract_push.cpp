// What the push stream carries.
#include <array>

#include "protocol/rpc/shapes.h"

namespace tidegate::protocol::rpc::shapes {
namespace {

constexpr shape type_of(std::span<const std::string_view> word) { return words_of("", word); }

constexpr std::array chunk_word{std::string_view{"chunk"}};
constexpr shape chunk_type = type_of(chunk_word);
constexpr std::array chunk_fields{need("type", chunk_type),
                                  need("executionId", uuid),
                                  need("runId", uuid),
                                  need("traceId", trace_id),
                                  need("seq", integer, "From 1, without gaps, anew after a reset"),
                                  need("chunk", text),
                                  need("ts", instant)};
constexpr shape chunk = object_of(chunk_fields);

constexpr std::array reset_word{std::string_view{"reset"}};
constexpr shape reset_type = type_of(reset_word);
constexpr std::array reset_fields{need("type", reset_type),  need("executionId", uuid), need("runId", uuid),
                                  need("traceId", trace_id), need("attempt", integer),  need("ts", instant)};
constexpr shape reset = object_of(reset_fields);

constexpr std::array terminal_words{std::string_view{"completed"}, std::string_view{"cancelled"},
                                    std::string_view{"error"}};
constexpr shape terminal = words_of("StreamTerminal", terminal_words);
constexpr std::array metadata_fields{need("model", text), need("promptTokens", integer),
                                     need("completionTokens", integer), need("cachedTokens", integer)};
constexpr shape metadata = object_of(metadata_fields);
constexpr std::array result_fields{need("success", flag), need("output", text), need("metadata", metadata),
                                   need("traceId", trace_id)};
constexpr shape result = named("RunResult", result_fields, "What a finished run came to");
constexpr std::array done_word{std::string_view{"done"}};
constexpr shape done_type = type_of(done_word);
constexpr std::array done_fields{need("type", done_type),
                                 need("executionId", uuid),
                                 need("runId", uuid),
                                 need("traceId", trace_id),
                                 need("terminal", terminal),
                                 need("outputText", text, "All chunks of the last attempt"),
                                 may("error", error_shape),
                                 may("result", result),
                                 may("finishReason", finish_reason),
                                 may("toolCalls", tool_call_list),
                                 may("toolError", tool_error),
                                 may("degradation", degradation),
                                 need("ts", instant)};
constexpr shape done = object_of(done_fields);

constexpr std::array queue_word{std::string_view{"queue"}};
constexpr shape queue_type = type_of(queue_word);
constexpr std::array status_words{std::string_view{"queued"},    std::string_view{"started"},
                                  std::string_view{"completed"}, std::string_view{"failed"},
                                  std::string_view{"cancelled"}, std::string_view{"timeout"}};
constexpr shape queue_state = words_of("QueueStatus", status_words);
constexpr std::array queue_fields{
    need("type", queue_type),
    need("executionId", uuid),
    need("runId", uuid),
    need("traceId", trace_id),
    need("status", queue_state),
    need("queuePosition", integer, "1 for the next of its session; 0 when not waiting"),
    need("queued", integer, "Waiting in that session"),
    need("globalRunning", integer),
    need("ts", instant)};
constexpr shape queue = object_of(queue_fields);

constexpr std::array started_word{std::string_view{"tool-use-started"}};
constexpr shape started_type = type_of(started_word);
constexpr std::array started_fields{need("type", started_type),   need("executionId", uuid),
                                    need("runId", uuid),          need("round", integer),
                                    need("toolNames", name_list), need("ts", instant)};
constexpr shape started = named("ToolUseStarted", started_fields, "The model asks for tools");

constexpr std::array outcome_fields{need("callId", text), need("toolName", text), need("success", flag),
                                    need("durationMs", duration), may("error", tool_error)};
constexpr shape outcome = named("ToolOutcome", outcome_fields, "What came of one tool call");
constexpr shape outcome_list = list_of(outcome);
constexpr std::array completed_word{std::string_view{"tool-use-completed"}};
constexpr shape completed_type = type_of(completed_word);
constexpr std::array completed_fields{
    need("type", completed_type),  need("executionId", uuid),  need("runId", uuid), need("round", integer),
    need("results", outcome_list), need("hasNextRound", flag), need("ts", instant)};
constexpr shape completed = named("ToolUseCompleted", completed_fields, "The tools' results have come");

constexpr std::array failed_word{std::string_view{"tool-use-failed"}};
constexpr shape failed_type = type_of(failed_word);
constexpr std::array failed_fields{need("type", failed_type), need("executionId", uuid), need("runId", uuid),
                                   need("round", integer),    need("error", tool_error), need("ts", instant)};
constexpr shape failed = named("ToolUseFailed", failed_fields, "A round of tools ends the run");
constexpr std::array tool_use_variants{&started, &completed, &failed};
constexpr shape tool_use{.kind = shape_kind::one_of, .variants = tool_use_variants, .tag = "type"};

constexpr std::array failover_fields{need("executionId", uuid),    need("runId", uuid),
                                     need("traceId", trace_id),    need("from", text, "Provider"),
                                     need("to", text, "Provider"), need("reason", failover_reason),
                                     need("ts", instant)};
constexpr shape failover = object_of(failover_fields);

constexpr std::array kind_words{std::string_view{"warning"}, std::string_view{"hard-stop"}};
constexpr shape alert_kind = words_of("CostAlertKind", kind_words);
constexpr std::array alert_fields{need("kind", alert_kind), need("currentCost", usd), need("threshold", usd),
                                  need("message", text), need("timestamp", instant)};
constexpr shape alert = object_of(alert_fields);

constexpr std::array pushes{
    push{"skill:stream:chunk", &chunk, "Text of a streamed run"},
    push{"skill:stream:reset", &reset, "The run is begun again: what was sent of it is void"},
    push{"skill:stream:done", &done, "The end of a run, once a run"},
    push{"skill:queue:status", &queue, "Where a run stands"},
    push{"skill:tool:use", &tool_use, "Tool rounds of a run"},
    push{"ai:provider:failover", &failover, "A run goes on at another target"},
    push{"judge:quality:result", &judge_result, "What the judge found"},
    push{"cost:alert", &alert, "A cost guard's threshold was reached"},
};

}  // namespace

part push_part() {
  static constexpr std::array names{&terminal, &result,    &queue_state, &started,
                                    &outcome,  &completed, &failed,      &alert_kind};
  return {.pushes = pushes, .shapes = names};
}

}  // namespace tidegate::protocol::rpc::shapes
