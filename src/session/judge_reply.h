// The judge's own prompt, and the reading of what a model answers to it (JDG-3).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "policy/judge_rules.h"

namespace tidegate::session {

struct judge_prompt {
  std::string system;
  std::string user;
};

// Asks for a JSON array of {"severity","label"}; labels in the reader's language.
judge_prompt make_judge_prompt(std::string_view text, std::string_view context_summary,
                               policy::judge_locale locale);

// What lies behind is not read: no answer to the prompt is that long.
inline constexpr std::size_t judge_reply_bytes_max = std::size_t{256} << 10;
inline constexpr std::size_t judge_findings_max = 32;
inline constexpr std::size_t judge_label_characters_max = 200;

// The findings in the outermost JSON array of `reply`, whatever stands around it: those with severity high,
// medium or low and a label that is not blank. No array: none. Labels are trimmed and cut to their maximum.
// Any bytes, in bounded time.
std::vector<policy::judge_finding> read_judge_reply(std::string_view reply);

}  // namespace tidegate::session
