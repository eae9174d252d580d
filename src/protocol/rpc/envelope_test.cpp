#include "protocol/rpc/envelope.h"

#include <gtest/gtest.h>

#include "protocol/json/json.h"
#include "protocol/rpc/contract.h"

namespace tidegate::protocol::rpc {
namespace {

using foundation::error_code;
using std::chrono::milliseconds;

foundation::failure failure_of(error_code code, std::string message = "m") {
  foundation::failure f;
  f.code = code;
  f.message = std::move(message);
  return f;
}

TEST(envelope, carries_the_data_as_it_is) {
  EXPECT_EQ(ok_envelope(R"({"a": 1.50})", "r-1", milliseconds{1700000000123}),
            R"({"ok":true,"data":{"a": 1.50},"meta":{"requestId":"r-1","ts":1700000000123}})");
}

TEST(envelope, tells_all_of_an_error) {
  foundation::failure f = failure_of(error_code::ai_rate_limited, "slow \"down\"");
  f.details = R"({"source":"local"})";
  f.retry_after = milliseconds{1500};
  EXPECT_EQ(error_envelope(f, "t-1", "r-1", milliseconds{5}),
            R"({"ok":false,"error":{"code":"AI_RATE_LIMITED","message":"slow \"down\"","traceId":"t-1",)"
            R"("details":{"source":"local"},"retryable":true,"retryAfterMs":1500},)"
            R"("meta":{"requestId":"r-1","ts":5}})");
}

TEST(envelope, leaves_out_what_is_not_known) {
  EXPECT_EQ(error_envelope(failure_of(error_code::not_found), "", "r", milliseconds{0}),
            R"({"ok":false,"error":{"code":"NOT_FOUND","message":"m","retryable":false},)"
            R"("meta":{"requestId":"r","ts":0}})");
}

// RPC-1: undeclared code -> INTERNAL_ERROR. Codes that only mark a good reply are not declared for errors.
TEST(envelope, an_undeclared_code_becomes_internal_error) {
  foundation::failure f = failure_of(error_code::tool_use_parse_failed, "inner text");
  f.details = R"({"inner":1})";
  for (const error_code code : {error_code::tool_use_parse_failed, error_code::cost_pricing_stale,
                                error_code::trace_persistence_degraded, static_cast<error_code>(250)}) {
    f.code = code;
    const foundation::failure told = presentable(f);
    EXPECT_EQ(told.code, error_code::internal_error);
    EXPECT_EQ(told.http_status(), 500);
    EXPECT_EQ(error_json(f, "").find("inner"), std::string::npos);
  }
}

TEST(envelope, every_code_with_a_failing_status_is_told_by_its_own_name) {
  std::size_t told = 0;
  for (const error_code code : foundation::all_error_codes()) {
    if (foundation::http_status_of(code) == 200) continue;
    const std::string text = error_json(failure_of(code), "");
    EXPECT_EQ(json::value{text}.string_or("code", ""), foundation::name_of(code));
    const auto issues = validate(error_shape, json::value{text});
    EXPECT_TRUE(issues.empty()) << issues_json(issues);
    ++told;
  }
  EXPECT_EQ(told, 34U);
}

// Section 3: on /rpc a provider's own 4xx is a 502.
TEST(envelope, a_providers_status_stays_inside) {
  foundation::failure f = failure_of(error_code::llm_api_error);
  f.status = 422;
  f.retryable = true;
  EXPECT_EQ(presentable(f).http_status(), 502);
  EXPECT_TRUE(presentable(f).worth_retrying());
  foundation::failure refused = failure_of(error_code::ai_auth_failed);
  refused.status = 502;
  EXPECT_EQ(presentable(refused).http_status(), 502);
}

TEST(envelope, details_that_are_no_json_are_left_out) {
  foundation::failure f = failure_of(error_code::internal);
  f.details = "{\"half\":";
  EXPECT_EQ(error_json(f, ""), R"({"code":"INTERNAL","message":"m","retryable":false})");
}

TEST(envelope, a_validation_failure_lists_its_issues) {
  const foundation::failure f =
      validation_failure(std::vector<issue>{{"a.b", "unknown field", "no such field", "null"}});
  EXPECT_EQ(f.code, error_code::validation_error);
  EXPECT_EQ(f.http_status(), 400);
  EXPECT_EQ(f.details,
            R"([{"path":"a.b","message":"unknown field","expected":"no such field","receivedType":"null"}])");
}

}  // namespace
}  // namespace tidegate::protocol::rpc
