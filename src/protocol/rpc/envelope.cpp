#include "protocol/rpc/envelope.h"

#include <utility>

#include "protocol/json/json.h"
#include "protocol/rpc/contract.h"

namespace tidegate::protocol::rpc {
namespace {

void write_meta(json::writer& w, std::string_view request_id, std::chrono::milliseconds ts) {
  w.key("meta").begin_object();
  w.member("requestId", request_id).member("ts", std::int64_t{ts.count()});
  w.end_object();
}

}  // namespace

std::string ok_envelope(std::string_view data, std::string_view request_id,
                        std::chrono::milliseconds ts_since_epoch) {
  std::string out;
  out.reserve(data.size() + request_id.size() + 80);
  json::writer w{out};
  w.begin_object().member("ok", true).key("data").raw(data);
  write_meta(w, request_id, ts_since_epoch);
  w.end_object();
  return out;
}

foundation::failure presentable(foundation::failure f) {
  using foundation::error_code;
  if (!is_declared(f.code)) {
    foundation::failure hidden;
    hidden.code = error_code::internal_error;
    hidden.message = "the gateway made an error that it may not tell";
    return hidden;
  }
  if (f.code == error_code::llm_api_error) f.status = 0;
  if (!f.details.empty() && !json::validate(f.details)) f.details.clear();
  return f;
}

std::string error_json(const foundation::failure& f, std::string_view trace_id) {
  const foundation::failure told = presentable(f);
  std::string out;
  json::writer w{out};
  w.begin_object();
  w.member("code", foundation::name_of(told.code)).member("message", told.message);
  if (!trace_id.empty()) w.member("traceId", trace_id);
  if (!told.details.empty()) w.key("details").raw(told.details);
  w.member("retryable", told.worth_retrying());
  if (told.retry_after) w.member("retryAfterMs", std::int64_t{told.retry_after->count()});
  w.end_object();
  return out;
}

std::string error_envelope(const foundation::failure& f, std::string_view trace_id,
                           std::string_view request_id, std::chrono::milliseconds ts_since_epoch) {
  std::string out;
  json::writer w{out};
  w.begin_object().member("ok", false).key("error").raw(error_json(f, trace_id));
  write_meta(w, request_id, ts_since_epoch);
  w.end_object();
  return out;
}

foundation::failure validation_failure(std::span<const issue> issues) {
  foundation::failure f;
  f.code = foundation::error_code::validation_error;
  f.message = "the request does not fit the channel's schema";
  if (!issues.empty()) f.message += ": " + issues.front().path + ": " + issues.front().message;
  f.details = issues_json(issues);
  return f;
}

}  // namespace tidegate::protocol::rpc
