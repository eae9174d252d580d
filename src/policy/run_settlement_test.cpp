#include "policy/run_settlement.h"

#include <gtest/gtest.h>

namespace tidegate::policy {
namespace {

using foundation::error_code;

constexpr error_code no_code = error_code::internal;

std::optional<run_settlement> settled(response_state response, completion_state completion,
                                      error_code code = no_code) {
  return settle(response, code, completion);
}

// SCH-6, row by row.
TEST(run_settlement, an_ok_run_completes_when_its_completion_does) {
  EXPECT_FALSE(settled(response_state::ok, completion_state::pending).has_value()) << "the slot is in use";
  EXPECT_EQ(settled(response_state::ok, completion_state::completed),
            (run_settlement{run_status::completed, run_answer::response, error_source::none}));
  EXPECT_EQ(settled(response_state::ok, completion_state::failed),
            (run_settlement{run_status::failed, run_answer::response, error_source::none}));
}

TEST(run_settlement, an_error_response_fails_the_run_and_keeps_its_code) {
  for (const auto completion : {completion_state::completed, completion_state::failed,
                                completion_state::cancelled, completion_state::timeout}) {
    EXPECT_EQ(settled(response_state::error, completion, error_code::ai_rate_limited),
              (run_settlement{run_status::failed, run_answer::response, error_source::none}));
    EXPECT_EQ(settled(response_state::error, completion, error_code::canceled)->terminal,
              run_status::cancelled);
    EXPECT_EQ(settled(response_state::error, completion, error_code::skill_timeout)->terminal,
              run_status::timeout);
  }
}

TEST(run_settlement, T33_a_run_that_has_answered_keeps_its_answer_when_its_slot_is_taken_back) {
  EXPECT_EQ(recover(true), (run_settlement{run_status::timeout, run_answer::nothing, error_source::none}));
}

TEST(run_settlement, T34_a_run_that_never_answered_is_told_of_a_timeout_when_its_slot_is_taken_back) {
  EXPECT_EQ(recover(false), (run_settlement{run_status::timeout, run_answer::timeout, error_source::none}));
}

TEST(run_settlement, T35_a_cancelled_or_timed_out_completion_beats_an_ok_response) {
  EXPECT_EQ(settled(response_state::ok, completion_state::cancelled),
            (run_settlement{run_status::cancelled, run_answer::canceled, error_source::none}));
  EXPECT_EQ(settled(response_state::ok, completion_state::timeout),
            (run_settlement{run_status::timeout, run_answer::timeout, error_source::none}));
}

TEST(run_settlement, T36_a_defect_is_internal_and_says_where_it_was) {
  EXPECT_EQ(settled(response_state::defect, completion_state::completed),
            (run_settlement{run_status::failed, run_answer::defect, error_source::response}));
  EXPECT_EQ(settled(response_state::ok, completion_state::defect),
            (run_settlement{run_status::failed, run_answer::defect, error_source::completion}));
  EXPECT_EQ(settled(response_state::pending, completion_state::completed),
            (run_settlement{run_status::failed, run_answer::defect, error_source::completion}))
      << "completed without an answer";
  EXPECT_EQ(name_of(error_source::response), "response");
  EXPECT_EQ(name_of(error_source::completion), "completion");
}

}  // namespace
}  // namespace tidegate::policy
