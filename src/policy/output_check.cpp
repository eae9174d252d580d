#include "policy/output_check.h"

#include <algorithm>
#include <cstddef>

#include "policy/characters.h"

namespace tidegate::policy {
namespace {

constexpr std::int64_t input_characters_min = 8;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_name_character(char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '-'; }
bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// `text` begins behind a '<' and ends before the next one: no tag spans another's beginning, so that each
// byte is looked at once.
bool opens_tag(std::string_view text) {
  if (text.starts_with("!--")) return true;
  const bool declaration = text.starts_with('!');
  const bool closing = text.starts_with('/');
  if (declaration || closing) text.remove_prefix(1);
  if (text.empty() || !is_letter(text.front())) return false;
  const std::size_t end = text.find('>');
  if (end == std::string_view::npos) return false;
  const auto name_end = std::ranges::find_if_not(text, is_name_character);
  const char behind = *name_end;  // the '>' at the latest
  return behind == '>' || behind == '/' || is_space(behind);
}

bool is_too_long(std::string_view input, std::string_view output, double ratio) {
  const std::int64_t base = std::max(input_characters_min, count_characters(input));
  return static_cast<double>(count_characters(output)) > ratio * static_cast<double>(base);
}

}  // namespace

std::string_view describe(output_fault fault) {
  switch (fault) {
    case output_fault::none:
      return "the output passes";
    case output_fault::empty:
      return "the output is empty";
    case output_fault::code_fence:
      return "the output holds a code fence";
    case output_fault::html_tag:
      return "the output holds an HTML tag";
    case output_fault::forbidden_text:
      return "the output holds a text that the skill forbids";
    case output_fault::too_long:
      return "the output is too long for its input";
  }
  return {};
}

bool has_code_fence(std::string_view text) {
  if (text.contains("```")) return true;
  for (std::size_t at = text.find("~~~"); at != std::string_view::npos; at = text.find("~~~", at + 3)) {
    // CommonMark: up to three blanks may stand before a fence.
    std::size_t line = at;
    while (line > 0 && at - line < 3 && text[line - 1] == ' ') --line;
    if (line == 0 || text[line - 1] == '\n' || text[line - 1] == '\r') return true;
  }
  return false;
}

bool has_html_tag(std::string_view text) {
  for (std::size_t at = text.find('<'); at != std::string_view::npos;) {
    const std::size_t next = text.find('<', at + 1);
    if (opens_tag(text.substr(at + 1, (next == std::string_view::npos ? text.size() : next) - at - 1)))
      return true;
    at = next;
  }
  return false;
}

output_fault check_output(std::string_view input, std::string_view output, const output_rules& rules) {
  if (is_blank_text(output)) return output_fault::empty;
  if (rules.forbid_code_fence && has_code_fence(output)) return output_fault::code_fence;
  if (rules.forbid_html_tag && has_html_tag(output)) return output_fault::html_tag;
  const auto occurs = [output](const std::string& text) { return output.contains(text); };
  if (std::ranges::any_of(rules.forbidden_texts, occurs)) return output_fault::forbidden_text;
  if (rules.max_ratio && is_too_long(input, output, *rules.max_ratio)) return output_fault::too_long;
  return output_fault::none;
}

}  // namespace tidegate::policy
