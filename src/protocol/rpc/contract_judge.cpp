// judge:*.
#include <array>

#include "protocol/rpc/shapes.h"

namespace tidegate::protocol::rpc::shapes {
namespace {

constexpr std::array status_words{std::string_view{"not_ready"}, std::string_view{"downloading"},
                                  std::string_view{"ready"}, std::string_view{"error"}};
constexpr shape judge_status = words_of("JudgeStatus", status_words);
constexpr std::array state_fields{need("status", judge_status), may("error", brief_error)};
constexpr shape state = named("JudgeState", state_fields, "Whether the judge's model answers");
constexpr std::array state_reply_fields{need("state", state)};
constexpr shape state_reply = object_of(state_reply_fields);

constexpr std::array ensure_fields{may("timeoutMs", number)};
constexpr shape ensure_request = object_of(ensure_fields);

constexpr std::array evaluate_fields{need("projectId", id), need("traceId", id), need("text", text),
                                     need("contextSummary", text)};
constexpr shape evaluate_request = object_of(evaluate_fields);

constexpr std::array severity_words{std::string_view{"high"}, std::string_view{"medium"},
                                    std::string_view{"low"}};
constexpr shape severity = words_of("JudgeSeverity", severity_words);
constexpr std::array result_fields{need("projectId", id),      need("traceId", id),
                                   need("severity", severity), need("labels", name_list),
                                   need("summary", text),      need("partialChecksSkipped", flag),
                                   need("ts", instant)};
constexpr std::array evaluate_reply_fields{need("accepted", truth), need("result", judge_result)};
constexpr shape evaluate_reply = object_of(evaluate_reply_fields);

constexpr std::array channels{
    channel{.name = "judge:model:getstate",
            .request = &nothing,
            .reply = &state_reply,
            .summary = "State of the judge's model"},
    channel{.name = "judge:model:ensure",
            .request = &ensure_request,
            .reply = &state_reply,
            .summary = "Check that the judge's model answers"},
    channel{.name = "judge:quality:evaluate",
            .request = &evaluate_request,
            .reply = &evaluate_reply,
            .limit = time_class::judge,
            .summary = "Judge a text by rules and, where enabled, by a model"},
};

}  // namespace

constexpr shape judge_result = named("JudgeResult", result_fields, "What the judge found");

part judge_part() {
  static constexpr std::array names{&judge_status, &state, &severity, &judge_result};
  return {.channels = channels, .shapes = names};
}

}  // namespace tidegate::protocol::rpc::shapes
