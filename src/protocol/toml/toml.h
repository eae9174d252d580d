// A TOML text as a plain tree in which every key and value knows its place. The TOML library stays behind it.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace tidegate::protocol::toml {

// Counted from 1, columns in code points; {0, 0}: nowhere.
struct position {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  bool operator==(const position&) const = default;
};

struct node;
struct entry;
using array = std::vector<node>;
// In the order of their places in the text.
using table = std::vector<entry>;

// A date, a time or both, in RFC 3339 form.
struct date_time {
  std::string text;
};

struct node {
  position where;
  std::variant<std::string, std::int64_t, double, bool, date_time, array, table> value;
};

struct entry {
  std::string key;
  position where;
  node content;
};

struct syntax_error {
  position where;
  std::string message;
};

// Bounds nesting at 256 values and 64 parts of a dotted key, so that a hostile text cannot exhaust the stack.
std::expected<node, syntax_error> parse(std::string_view text);

// "a string", "an integer", ...
std::string_view kind_name(const node& value);

}  // namespace tidegate::protocol::toml
