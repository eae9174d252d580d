#include "policy/run_settlement.h"

namespace tidegate::policy {
namespace {

run_status terminal_of(foundation::error_code code) noexcept {
  if (code == foundation::error_code::canceled) return run_status::cancelled;
  if (code == foundation::error_code::skill_timeout) return run_status::timeout;
  return run_status::failed;
}

}  // namespace

std::string_view name_of(error_source s) noexcept {
  if (s == error_source::none) return "";
  return s == error_source::response ? "response" : "completion";
}

std::optional<run_settlement> settle(response_state response, foundation::error_code code,
                                     completion_state completion) noexcept {
  if (completion == completion_state::pending) return std::nullopt;
  // A caller that has heard of a failure keeps it: the completion of a failed run adds nothing to it.
  if (response == response_state::error) return run_settlement{.terminal = terminal_of(code)};
  if (response == response_state::defect) {
    return run_settlement{run_status::failed, run_answer::defect, error_source::response};
  }
  switch (completion) {
    case completion_state::cancelled:
      return run_settlement{run_status::cancelled, run_answer::canceled, error_source::none};
    case completion_state::timeout:
      return run_settlement{run_status::timeout, run_answer::timeout, error_source::none};
    case completion_state::completed:
      if (response == response_state::ok) return run_settlement{.terminal = run_status::completed};
      break;
    case completion_state::failed:
      if (response == response_state::ok) return run_settlement{.terminal = run_status::failed};
      break;
    case completion_state::pending:
    case completion_state::defect:
      break;
  }
  // A run that completed without ever having answered is a defect of ours too.
  return run_settlement{run_status::failed, run_answer::defect, error_source::completion};
}

run_settlement recover(bool answered) noexcept {
  return {run_status::timeout, answered ? run_answer::nothing : run_answer::timeout, error_source::none};
}

}  // namespace tidegate::policy
