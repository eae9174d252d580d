// What a skill's output must not be (PRM-5).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate::policy {

// Of all skills an empty output is refused; the rest is what the skill's file states.
struct output_rules {
  // Characters of output for each of input, of which at least 8 count.
  std::optional<double> max_ratio = std::nullopt;
  bool forbid_code_fence = false;
  bool forbid_html_tag = false;
  // Must not occur; never empty texts.
  std::vector<std::string> forbidden_texts = {};

  friend bool operator==(const output_rules&, const output_rules&) = default;
};

enum class output_fault : std::uint8_t { none, empty, code_fence, html_tag, forbidden_text, too_long };
// For a message: "the output is empty", ...
std::string_view describe(output_fault fault);

// A line that opens with three backquotes or tildes, or three backquotes anywhere.
bool has_code_fence(std::string_view text);
// <name>, </name>, <name attributes>, <name/>, comments and declarations; "a < b > c" is none.
bool has_html_tag(std::string_view text);

// Lengths in characters; an output of exactly the ratio passes. Linear in the output for each rule.
output_fault check_output(std::string_view input, std::string_view output, const output_rules& rules);

}  // namespace tidegate::policy
