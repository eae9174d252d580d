#include <algorithm>

#include "protocol/dialect/anthropic_messages.h"

namespace tidegate::protocol::dialect::anthropic {
namespace {

constexpr std::array<std::string_view, 10> error_types = {
    "invalid_request_error", "authentication_error", "permission_error", "not_found_error",
    "request_too_large",     "rate_limit_error",     "api_error",        "overloaded_error",
    "billing_error",         "timeout_error"};

std::string_view type_of(const foundation::failure& f) {
  // A provider's own status is kept together with its own name for it, where this dialect knows the name.
  const bool is_own = std::ranges::find(error_types, f.upstream_type) != error_types.end();
  if (f.status != 0 && is_own) return *std::ranges::find(error_types, f.upstream_type);
  return anthropic_error_type(f);
}

}  // namespace

std::string encode_error(const foundation::failure& f, std::string_view run_id, std::string_view trace_id) {
  std::string text;
  json::writer out{text};
  out.begin_object().member("type", "error");
  out.key("error").begin_object().member("type", type_of(f)).member("message", f.message).end_object();
  out.member("code", foundation::name_of(f.code)).member("request_id", run_id).member("trace_id", trace_id);
  if (!f.details.empty()) out.key("details").raw(f.details);
  out.end_object();
  return text;
}

std::string_view error_type_of(const stream_error& error) {
  const auto* own = std::ranges::find(error_types, error.type);
  if (own != error_types.end()) return *own;
  switch (classify(error)) {
    case error_kind::rate_limit:
      return "rate_limit_error";
    case error_kind::availability:
      return "api_error";
    case error_kind::other:
      return "api_error";
  }
  return "api_error";
}

}  // namespace tidegate::protocol::dialect::anthropic
