// The canonical error codes (requirements section 3) and a failure on its way to a caller.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tidegate::foundation {

enum class error_code : std::uint8_t {
  validation_error,
  invalid_argument,
  not_found,
  conflict,
  forbidden,
  unsupported,
  db_error,
  io_error,
  internal,
  internal_error,
  ipc_timeout,
  ipc_channel_forbidden,
  ipc_payload_too_large,
  ipc_subscription_limit_exceeded,
  server_overloaded,
  timeout,
  canceled,
  ai_not_configured,
  ai_auth_failed,
  ai_rate_limited,
  ai_session_token_budget_exceeded,
  cost_budget_exceeded,
  llm_api_error,
  ai_provider_unavailable,
  preflight_missing_api_key,
  preflight_invalid_api_key_format,
  preflight_missing_model,
  preflight_model_provider_mismatch,
  skill_timeout,
  skill_queue_overflow,
  skill_dependency_missing,
  skill_input_empty,
  skill_output_invalid,
  skill_parse_failed,
  tool_use_parse_failed,
  tool_use_execution_failed,
  tool_use_tool_not_found,
  tool_use_all_failed,
  tool_use_max_rounds_exceeded,
  cost_model_not_found,
  cost_pricing_stale,
  trace_persistence_degraded,
};

// Every code once, in the order of the requirements' table.
std::span<const error_code> all_error_codes();
// "AI_RATE_LIMITED"
std::string_view name_of(error_code code);
// The default HTTP status; `failure::status` overrides it.
int http_status_of(error_code code);
// Whether the same request may succeed later. For llm_api_error it depends: see `failure::retryable`.
bool is_retryable(error_code code);

// What a caller is told. `message` and `details` never hold secrets, prompts or outputs.
struct failure {
  error_code code = error_code::internal;
  std::string message;
  // A JSON object as text, or empty.
  std::string details;
  // A wait after which the call has a chance, where one is known.
  std::optional<std::chrono::milliseconds> retry_after;
  // HTTP status when it differs from the code's own (a provider's 4xx that is kept, 502 for a refused
  // credential).
  int status = 0;
  // The offending request field, where the dialect has a place for it.
  std::string param;
  // The provider's own error type and code, kept for the caller's SDK where the status is kept.
  std::string upstream_type;
  std::string upstream_code;
  // Overrides is_retryable(code).
  std::optional<bool> retryable;

  int http_status() const { return status != 0 ? status : http_status_of(code); }
  bool worth_retrying() const { return retryable.value_or(is_retryable(code)); }
};

}  // namespace tidegate::foundation
