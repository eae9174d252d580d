#include "policy/outcome.h"

namespace tidegate::policy {

using foundation::error_code;

namespace {

constexpr leg_result unavailable(error_code code, std::string_view reason) {
  return {leg_outcome::availability_failure, code, true, reason};
}

constexpr leg_result neutral(error_code code, std::string_view reason, bool retryable = false) {
  return {leg_outcome::neutral, code, retryable, reason};
}

}  // namespace

std::string_view name_of(leg_outcome outcome) {
  switch (outcome) {
    case leg_outcome::success:
      return "success";
    case leg_outcome::availability_failure:
      return "availability_failure";
    case leg_outcome::pushback:
      return "pushback";
    case leg_outcome::auth:
      return "auth";
    case leg_outcome::neutral:
      return "neutral";
  }
  return "";
}

leg_result result_of(transport_fault fault) {
  switch (fault) {
    case transport_fault::dns:
      return unavailable(error_code::llm_api_error, "dns");
    case transport_fault::tls:
      return unavailable(error_code::llm_api_error, "tls");
    case transport_fault::connect:
      return unavailable(error_code::llm_api_error, "connect");
    case transport_fault::reset:
      return unavailable(error_code::llm_api_error, "reset");
  }
  return unavailable(error_code::llm_api_error, "transport");
}

leg_result result_of(leg_timeout limit) {
  switch (limit) {
    case leg_timeout::connect:
      return unavailable(error_code::timeout, "connect_timeout");
    case leg_timeout::first_byte:
      return unavailable(error_code::timeout, "first_byte_timeout");
    case leg_timeout::idle:
      return unavailable(error_code::timeout, "idle_timeout");
    case leg_timeout::leg:
      return unavailable(error_code::timeout, "leg_timeout");
  }
  return unavailable(error_code::timeout, "timeout");
}

leg_result result_of(stream_fault fault) {
  switch (fault) {
    case stream_fault::overloaded:
      return unavailable(error_code::llm_api_error, "stream_overloaded");
    case stream_fault::server:
      return unavailable(error_code::llm_api_error, "stream_server_error");
    case stream_fault::rate_limit:
      return {leg_outcome::pushback, error_code::ai_rate_limited, true, "stream_rate_limit"};
    case stream_fault::other:
      break;
  }
  return neutral(error_code::llm_api_error, "stream_error");
}

leg_result result_of(reply_fault fault) {
  switch (fault) {
    case reply_fault::not_as_asked:
      return unavailable(error_code::llm_api_error, "not_as_asked");
    case reply_fault::wrong_shape:
      return neutral(error_code::internal, "wrong_shape");
    case reply_fault::cut:
      return unavailable(error_code::llm_api_error, "stream_cut");
    case reply_fault::too_large:
      break;
  }
  return neutral(error_code::llm_api_error, "too_large");
}

leg_result result_of(local_end end) {
  return neutral(error_code::canceled, end == local_end::canceled ? "canceled" : "client_gone");
}

leg_result result_of_status(int status) {
  if (status >= 200 && status < 300) return {};
  switch (status) {
    case 500:
      return unavailable(error_code::llm_api_error, "http_500");
    case 502:
      return unavailable(error_code::llm_api_error, "http_502");
    case 503:
      return unavailable(error_code::llm_api_error, "http_503");
    case 504:
      return unavailable(error_code::llm_api_error, "http_504");
    case 529:
      return unavailable(error_code::llm_api_error, "http_529");
    case 429:
      return {leg_outcome::pushback, error_code::ai_rate_limited, true, "http_429"};
    case 401:
      return {leg_outcome::auth, error_code::ai_auth_failed, false, "http_401"};
    case 403:
      return {leg_outcome::auth, error_code::ai_auth_failed, false, "http_403"};
    default:
      break;
  }
  if (status >= 500) return neutral(error_code::llm_api_error, "http_5xx", true);
  if (status >= 400) return neutral(error_code::llm_api_error, "http_4xx");
  return neutral(error_code::llm_api_error, status >= 300 ? "http_3xx" : "http_1xx");
}

leg_result result_of_deadline(foundation::duration ran, bool content_seen, foundation::duration blame_after) {
  if (!content_seen && ran >= blame_after) return unavailable(error_code::skill_timeout, "deadline");
  return neutral(error_code::skill_timeout, "deadline", true);
}

foundation::error_code code_of_status(int status) {
  if (status == 401 || status == 403) return error_code::ai_auth_failed;
  if (status == 429) return error_code::ai_rate_limited;
  return error_code::llm_api_error;
}

}  // namespace tidegate::policy
