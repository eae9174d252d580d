// How a session run ends when its two halves have their say (SCH-6, SCH-7): the response, which the caller
// hears, and the completion, which frees the slot. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "foundation/error.h"
#include "policy/scheduler.h"

namespace tidegate::policy {

enum class response_state : std::uint8_t { pending, ok, error, defect };
enum class completion_state : std::uint8_t { pending, completed, failed, cancelled, timeout, defect };

// What the caller is told in the end.
enum class run_answer : std::uint8_t {
  response,  // what the response said, ok or error
  canceled,  // CANCELED
  timeout,   // SKILL_TIMEOUT
  defect,    // INTERNAL{errorSource}
  nothing,   // it has its answer already
};
enum class error_source : std::uint8_t { none, response, completion };
// "response", "completion"; "" for none.
std::string_view name_of(error_source s) noexcept;

struct run_settlement {
  run_status terminal = run_status::failed;
  run_answer answer = run_answer::response;
  error_source source = error_source::none;
  bool operator==(const run_settlement&) const = default;
};

// `code`: of a response in state `error`; CANCELED and SKILL_TIMEOUT name their own terminals. A defect at
// the start counts as the response's. Nothing while the completion is pending: the slot is still in use.
std::optional<run_settlement> settle(response_state response, foundation::error_code code,
                                     completion_state completion) noexcept;

// The slot's recovery time is over (SCH-7): the run ends as `timeout`, whatever comes later. `answered`: the
// response has reached the caller.
run_settlement recover(bool answered) noexcept;

}  // namespace tidegate::policy
