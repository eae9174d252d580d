// What ai:skill:run asks, read from a request that has passed its schema (requirements section 5).
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "foundation/error.h"
#include "foundation/time.h"
#include "policy/prompt_layers.h"
#include "policy/tool_rounds.h"
#include "protocol/json/json.h"
#include "storage/trace_store.h"

namespace tidegate::session {

inline constexpr int candidates_max = 5;
inline constexpr foundation::milliseconds run_timeout_default{30'000};
inline constexpr foundation::milliseconds run_timeout_max{120'000};

// Ids without blanks around them; empty: not given.
struct run_context {
  std::string project_id;
  std::string document_id;
  std::string session_id;
  std::string message_id;
  std::string user_rules;
  std::string memory;
  std::string text;
};

struct run_request {
  std::string skill_id;
  std::string input;
  policy::run_mode mode = policy::run_mode::ask;
  std::string model;
  bool stream = false;
  bool has_selection = false;
  std::string selection;
  int candidates = 1;
  std::optional<std::int64_t> max_tokens;
  std::optional<foundation::milliseconds> timeout;  // nothing: none that counts (TMO-1)
  std::string request_id;
  // As the OpenAI dialect writes them, one JSON array; empty: none.
  std::string tools;
  std::vector<std::string> declared;  // their names
  bool continues = false;             // toolResults were given
  std::vector<policy::tool_result> results;
  run_context context;
  std::optional<storage::prompt_diagnostics> diagnostics;
};

// INVALID_ARGUMENT that names the field.
std::expected<run_request, foundation::failure> read_run_request(protocol::json::value request);

// TMO-1: the request's, the skill's or the default, never above the most.
foundation::milliseconds run_timeout(std::optional<foundation::milliseconds> asked,
                                     std::optional<foundation::milliseconds> of_skill,
                                     foundation::milliseconds otherwise = run_timeout_default);

}  // namespace tidegate::session
