// From a body's bytes to a value of a shape.
#include <array>

#include "protocol/rpc/json_path.h"
#include "protocol/rpc/schema.h"

namespace tidegate::protocol::rpc {
namespace {

// What writers that know no JSON leave where a number should be.
constexpr std::array<std::string_view, 5> no_numbers{"NaN", "nan", "Infinity", "-Infinity", "-NaN"};

std::string_view no_number_at(std::string_view text, std::size_t offset) {
  const std::size_t begin = offset > 0 && text[offset - 1] == '-' ? offset - 1 : offset;
  for (const std::string_view word : no_numbers) {
    if (text.substr(begin).starts_with(word)) return word;
  }
  return {};
}

issue syntax_issue(std::string_view text, const json::syntax_error& error, std::size_t depth_max) {
  const std::string where = " at byte " + std::to_string(error.offset);
  issue found{
      .path = path_at(text, error.offset), .message = {}, .expected = "JSON", .received_type = "invalid"};
  if (error.too_deep) {
    found.message = "nested too deeply" + where;
    found.expected = "at most " + std::to_string(depth_max) + " levels of nesting";
  } else if (const std::string_view word = no_number_at(text, error.offset); !word.empty()) {
    found.message = "not a JSON number" + where;
    found.expected = "finite number";
    found.received_type = word;
  } else {
    found.message = "not JSON" + where + ": " + std::string{error.reason};
  }
  return found;
}

}  // namespace

reading read(const shape& wanted, std::string_view text, std::size_t depth_max) {
  const auto parsed = json::parse(text, depth_max);
  if (parsed) return {.content = *parsed, .issues = validate(wanted, *parsed)};
  return {.content = {}, .issues = {syntax_issue(text, parsed.error(), depth_max)}};
}

}  // namespace tidegate::protocol::rpc
