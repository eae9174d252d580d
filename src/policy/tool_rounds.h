// Tool calls of a session run (TOOL-1 to TOOL-4): fragments to calls, what a reply's calls mean for the run,
// and the caller's results put in order. Pure; no JSON is read here: the caller tells the form of arguments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/error.h"

namespace tidegate::policy {

using foundation::error_code;

// What the arguments' text is as JSON.
enum class arguments_form : std::uint8_t { object, other, unparsable };
using read_arguments_form = arguments_form (*)(std::string_view arguments);

struct tool_call {
  std::string id;
  std::string name;
  // JSON text: as the model wrote it, "{}" for blank ones, "null" where they could not be read.
  std::string arguments;
  arguments_form form = arguments_form::object;
  // Bytes of what could not be read, for the log (tool_call_json_parse_failed).
  std::size_t unparsable_bytes = 0;

  friend bool operator==(const tool_call&, const tool_call&) = default;
};

// Gathers the fragments of one reply by the index of their call (TOOL-1). Holds at most `calls_max` calls and
// `bytes_max` bytes: a call that does not fit is lost, one whose arguments do not fit becomes unparsable.
class tool_call_gatherer {
 public:
  static constexpr std::size_t calls_max = 128;
  static constexpr std::size_t bytes_max = std::size_t{4} << 20;

  // Names and ids of later fragments win over blank ones only.
  void start(std::uint32_t index, std::string_view id, std::string_view name);
  void arguments(std::uint32_t index, std::string_view fragment);
  bool empty() const { return slots_.empty(); }
  std::size_t bytes() const { return bytes_; }
  void clear();
  // Ordered by index; a call without id gets "tool-call-<index>".
  std::vector<tool_call> finish(read_arguments_form form_of) const;

 private:
  struct slot {
    std::uint32_t index = 0;
    std::string id;
    std::string name;
    std::string arguments;
    bool cut = false;
  };
  slot* at(std::uint32_t index);
  bool append(std::string& to, std::string_view text);

  std::vector<slot> slots_;
  std::size_t bytes_ = 0;
};

// Rides on a run that is otherwise completed.
struct tool_error {
  error_code code = error_code::tool_use_execution_failed;
  std::string message;
  bool retryable = false;

  friend bool operator==(const tool_error&, const tool_error&) = default;
};

// A reply that ended with calls. `round` counts such replies of one request from 1. Nothing: the round is
// open, and the caller is to run its declared calls. An error ends the run with the text so far: a round
// beyond `rounds_max`, arguments that are no object, or no call that names a declared tool.
std::optional<tool_error> judge_calls(std::span<const tool_call> calls, std::span<const std::string> declared,
                                      int round, int rounds_max);

struct tool_result {
  std::string call_id;
  bool success = false;
  std::string content;
};

// One call of a round with its answer, as the model and the push `skill:tool:use` are told it.
struct answered_call {
  std::string call_id;
  std::string tool_name;
  bool success = false;
  std::string content;
  // Set unless it succeeded: TOOL_USE_EXECUTION_FAILED, or TOOL_USE_TOOL_NOT_FOUND from the gateway itself.
  std::optional<tool_error> error;

  friend bool operator==(const answered_call&, const answered_call&) = default;
};

struct answered_round {
  // In the order of the calls, whatever the order of the results.
  std::vector<answered_call> answers;
  // TOOL_USE_ALL_FAILED: ends the run without a call upstream.
  std::optional<tool_error> error;
};

// Results of an open round. Calls of undeclared tools need none, and one that is given is not used. A result
// for an unknown call, two for one call, or none for a declared tool's call: INVALID_ARGUMENT, the round
// stays open.
std::expected<answered_round, foundation::failure> answer_calls(std::span<const tool_call> calls,
                                                                std::span<const std::string> declared,
                                                                std::span<const tool_result> results);

}  // namespace tidegate::policy
