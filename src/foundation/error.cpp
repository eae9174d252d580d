#include "foundation/error.h"

#include <array>

#include "foundation/check.h"

namespace tidegate::foundation {
namespace {

struct row {
  error_code code;
  std::string_view name;
  int status;
  bool retryable;
};

constexpr std::array table{
    row{error_code::validation_error, "VALIDATION_ERROR", 400, false},
    row{error_code::invalid_argument, "INVALID_ARGUMENT", 400, false},
    row{error_code::not_found, "NOT_FOUND", 404, false},
    row{error_code::conflict, "CONFLICT", 409, false},
    row{error_code::forbidden, "FORBIDDEN", 403, false},
    row{error_code::unsupported, "UNSUPPORTED", 501, false},
    row{error_code::db_error, "DB_ERROR", 500, true},
    row{error_code::io_error, "IO_ERROR", 500, true},
    row{error_code::internal, "INTERNAL", 500, false},
    row{error_code::internal_error, "INTERNAL_ERROR", 500, false},
    row{error_code::ipc_timeout, "IPC_TIMEOUT", 504, true},
    row{error_code::ipc_channel_forbidden, "IPC_CHANNEL_FORBIDDEN", 403, false},
    row{error_code::ipc_payload_too_large, "IPC_PAYLOAD_TOO_LARGE", 413, false},
    row{error_code::ipc_subscription_limit_exceeded, "IPC_SUBSCRIPTION_LIMIT_EXCEEDED", 429, false},
    row{error_code::server_overloaded, "SERVER_OVERLOADED", 503, true},
    row{error_code::timeout, "TIMEOUT", 504, true},
    row{error_code::canceled, "CANCELED", 499, false},
    row{error_code::ai_not_configured, "AI_NOT_CONFIGURED", 503, false},
    row{error_code::ai_auth_failed, "AI_AUTH_FAILED", 401, false},
    row{error_code::ai_rate_limited, "AI_RATE_LIMITED", 429, true},
    row{error_code::ai_session_token_budget_exceeded, "AI_SESSION_TOKEN_BUDGET_EXCEEDED", 429, false},
    row{error_code::cost_budget_exceeded, "COST_BUDGET_EXCEEDED", 402, false},
    row{error_code::llm_api_error, "LLM_API_ERROR", 502, false},
    row{error_code::ai_provider_unavailable, "AI_PROVIDER_UNAVAILABLE", 503, true},
    row{error_code::preflight_missing_api_key, "PREFLIGHT_MISSING_API_KEY", 400, false},
    row{error_code::preflight_invalid_api_key_format, "PREFLIGHT_INVALID_API_KEY_FORMAT", 400, false},
    row{error_code::preflight_missing_model, "PREFLIGHT_MISSING_MODEL", 400, false},
    row{error_code::preflight_model_provider_mismatch, "PREFLIGHT_MODEL_PROVIDER_MISMATCH", 400, false},
    row{error_code::skill_timeout, "SKILL_TIMEOUT", 504, true},
    row{error_code::skill_queue_overflow, "SKILL_QUEUE_OVERFLOW", 429, true},
    row{error_code::skill_dependency_missing, "SKILL_DEPENDENCY_MISSING", 424, false},
    row{error_code::skill_input_empty, "SKILL_INPUT_EMPTY", 400, false},
    row{error_code::skill_output_invalid, "SKILL_OUTPUT_INVALID", 400, false},
    row{error_code::skill_parse_failed, "SKILL_PARSE_FAILED", 422, false},
    row{error_code::tool_use_parse_failed, "TOOL_USE_PARSE_FAILED", 200, false},
    row{error_code::tool_use_execution_failed, "TOOL_USE_EXECUTION_FAILED", 200, false},
    row{error_code::tool_use_tool_not_found, "TOOL_USE_TOOL_NOT_FOUND", 200, false},
    row{error_code::tool_use_all_failed, "TOOL_USE_ALL_FAILED", 200, false},
    row{error_code::tool_use_max_rounds_exceeded, "TOOL_USE_MAX_ROUNDS_EXCEEDED", 200, false},
    row{error_code::cost_model_not_found, "COST_MODEL_NOT_FOUND", 200, false},
    row{error_code::cost_pricing_stale, "COST_PRICING_STALE", 200, false},
    row{error_code::trace_persistence_degraded, "TRACE_PERSISTENCE_DEGRADED", 200, false},
};

constexpr std::array codes = [] {
  std::array<error_code, table.size()> all{};
  for (std::size_t i = 0; i < all.size(); ++i) all.at(i) = table.at(i).code;
  return all;
}();

const row& row_of(error_code code) {
  const row& found = table.at(static_cast<std::size_t>(code));
  TG_CHECK(found.code == code);
  return found;
}

}  // namespace

std::span<const error_code> all_error_codes() { return codes; }
std::string_view name_of(error_code code) { return row_of(code).name; }
int http_status_of(error_code code) { return row_of(code).status; }
bool is_retryable(error_code code) { return row_of(code).retryable; }

}  // namespace tidegate::foundation
