// A skill file (PRM-1): Markdown whose TOML front matter stands between two lines `+++`.
//
//   +++
//   name = "Polish"                      # required
//   description = "..."
//   version = "1.0.0"
//   input = "selection"                  # chat, selection (default) or document
//   model_class = "auxiliary"            # or primary; default by the id (RTE-1)
//   timeout = "60s"                      # or milliseconds; at most 120,000
//   dependsOn = ["summarize"]
//   keywords = ["polish", "润色"]
//   [output]
//   max_ratio = 10
//   forbid = ["code_fence", "html_tag"]  # or any text that must not occur
//   +++
//   The prompt.
//
// depends_on, input_kind and output_rules are read as well, and so are max_ratio and forbid outside a table.
// Other keys are left alone: such files are shared with tools that keep their own.
#pragma once

#include <chrono>
#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/output_check.h"
#include "policy/skill_choice.h"

namespace tidegate::session {

inline constexpr std::size_t skill_file_bytes_max = std::size_t{64} << 10;
inline constexpr std::chrono::milliseconds skill_timeout_max{120'000};

struct skill_definition {
  std::string name;
  std::string description;
  std::string version = "1.0.0";
  policy::skill_input input = policy::skill_input::selection;
  std::optional<policy::model_class> model;
  std::optional<std::chrono::milliseconds> timeout;
  // Trimmed, not blank, without duplicates.
  std::vector<std::string> depends_on;
  std::vector<std::string> keywords;
  policy::output_rules output;
  // Without blanks around it; never blank.
  std::string prompt;
};

// The error is "<shown_name>:<line>: <what is wrong>", fit for the file's author (SKILL_PARSE_FAILED).
std::expected<skill_definition, std::string> parse_skill_file(std::string_view text,
                                                              std::string_view shown_name);

}  // namespace tidegate::session
