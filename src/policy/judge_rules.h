// What the judge finds without a model (JDG-2), and how findings become one result (JDG-4). Pure, linear in
// the text up to a sort of its sentences, no state.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate::policy {

enum class judge_locale : std::uint8_t { en, zh };
// "en", "zh"; anything else is nothing.
std::optional<judge_locale> judge_locale_named(std::string_view name);

// Rising.
enum class judge_severity : std::uint8_t { low, medium, high };
// "low", "medium", "high", and back (nothing else is a severity).
std::string_view name_of(judge_severity severity);
std::optional<judge_severity> judge_severity_named(std::string_view name);

inline constexpr std::string_view label_pov_inconsistent = "pov_inconsistent";
inline constexpr std::string_view label_repetition = "repetition";

struct judge_finding {
  judge_severity severity = judge_severity::low;
  // Never blank: one of the two above, or a model's own words.
  std::string label;

  friend bool operator==(const judge_finding&, const judge_finding&) = default;
};

// A sentence of at least four characters that occurs twice, or a block of 4 to 12 characters that follows
// itself at once, blanks left out.
bool is_repetitive(std::string_view text);
// pov_inconsistent before repetition. Any bytes.
std::vector<judge_finding> check_judge_rules(std::string_view text, std::string_view context_summary);

// What a reader is told of a label: its text in that language, or the label itself where a model wrote it.
std::string label_text(std::string_view label, judge_locale locale);

struct judge_result {
  judge_severity severity = judge_severity::low;
  // Without duplicates, the rules' first.
  std::vector<std::string> labels;
  std::string summary;
  bool partial_checks_skipped = false;

  friend bool operator==(const judge_result&, const judge_result&) = default;
};

// `advanced`: what the model found; nothing where its call failed, which the result and its summary then say.
// Where the advanced check is switched off, pass an empty list: nothing was skipped.
judge_result combine_findings(std::span<const judge_finding> rules,
                              std::optional<std::span<const judge_finding>> advanced, judge_locale locale);

}  // namespace tidegate::policy
