#include "policy/outcome.h"

#include <gtest/gtest.h>

namespace tidegate::policy {
namespace {

using namespace std::chrono_literals;
using foundation::error_code;

TEST(outcome, t97_transport_faults_count) {
  for (const auto fault :
       {transport_fault::dns, transport_fault::tls, transport_fault::connect, transport_fault::reset}) {
    const leg_result r = result_of(fault);
    EXPECT_EQ(r.outcome, leg_outcome::availability_failure);
    EXPECT_EQ(r.code, error_code::llm_api_error);
    EXPECT_TRUE(r.retryable);
    EXPECT_FALSE(r.reason.empty());
  }
}

TEST(outcome, leg_timeouts_count) {
  for (const auto limit :
       {leg_timeout::connect, leg_timeout::first_byte, leg_timeout::idle, leg_timeout::leg}) {
    EXPECT_EQ(result_of(limit).outcome, leg_outcome::availability_failure);
    EXPECT_EQ(result_of(limit).code, error_code::timeout);
  }
}

TEST(outcome, every_status_has_its_row) {
  for (int status = 100; status < 600; ++status) {
    leg_outcome expected = leg_outcome::neutral;
    if (status >= 200 && status < 300) expected = leg_outcome::success;
    if (status == 429) expected = leg_outcome::pushback;
    if (status == 401 || status == 403) expected = leg_outcome::auth;
    if (status == 500 || status == 502 || status == 503 || status == 504 || status == 529) {
      expected = leg_outcome::availability_failure;
    }
    const leg_result r = result_of_status(status);
    EXPECT_EQ(r.outcome, expected) << status;
    if (expected == leg_outcome::success) continue;
    EXPECT_EQ(r.code, code_of_status(status)) << status;
    EXPECT_EQ(r.retryable, status == 429 || status >= 500) << status;
  }
}

TEST(outcome, ret5_status_map) {
  EXPECT_EQ(code_of_status(401), error_code::ai_auth_failed);
  EXPECT_EQ(code_of_status(403), error_code::ai_auth_failed);
  EXPECT_EQ(code_of_status(429), error_code::ai_rate_limited);
  for (const int status : {302, 400, 404, 422, 500, 503})
    EXPECT_EQ(code_of_status(status), error_code::llm_api_error);
}

TEST(outcome, t98_non_json_counts_and_wrong_shape_does_not) {
  EXPECT_EQ(result_of(reply_fault::not_as_asked).outcome, leg_outcome::availability_failure);
  EXPECT_EQ(result_of(reply_fault::cut).outcome, leg_outcome::availability_failure);
  EXPECT_EQ(result_of(reply_fault::wrong_shape).outcome, leg_outcome::neutral);
  EXPECT_EQ(result_of(reply_fault::wrong_shape).code, error_code::internal);
  EXPECT_EQ(result_of(reply_fault::too_large).outcome, leg_outcome::neutral);
}

TEST(outcome, in_stream_errors_follow_their_kind) {
  EXPECT_EQ(result_of(stream_fault::overloaded).outcome, leg_outcome::availability_failure);
  EXPECT_EQ(result_of(stream_fault::server).outcome, leg_outcome::availability_failure);
  EXPECT_EQ(result_of(stream_fault::rate_limit).outcome, leg_outcome::pushback);
  EXPECT_EQ(result_of(stream_fault::other).outcome, leg_outcome::neutral);
}

TEST(outcome, cancels_are_neutral) {
  EXPECT_EQ(result_of(local_end::canceled).outcome, leg_outcome::neutral);
  EXPECT_EQ(result_of(local_end::client_gone).code, error_code::canceled);
}

TEST(outcome, t130_tmo3_deadline_blames_the_provider_only_after_ten_silent_seconds) {
  EXPECT_EQ(result_of_deadline(5ms, false).outcome, leg_outcome::neutral);
  EXPECT_EQ(result_of_deadline(9'999ms, false).outcome, leg_outcome::neutral);
  EXPECT_EQ(result_of_deadline(10s, false).outcome, leg_outcome::availability_failure);
  EXPECT_EQ(result_of_deadline(30s, false).outcome, leg_outcome::availability_failure);
  EXPECT_EQ(result_of_deadline(30s, true).outcome, leg_outcome::neutral);
  EXPECT_EQ(result_of_deadline(2s, false, 1s).outcome, leg_outcome::availability_failure);
  EXPECT_EQ(result_of_deadline(30s, false).code, error_code::skill_timeout);
}

}  // namespace
}  // namespace tidegate::policy
