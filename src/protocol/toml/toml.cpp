#include "protocol/toml/toml.h"

#include <algorithm>
#include <sstream>

// Compiled in, and not taken from the shared library: sanitizers and the fuzzer then see into it, and errors
// come as values. Version 3.3 asserts about its input before it checks it ("[!]" fails one), and with NDEBUG
// hands the same to the optimiser as a promise: both are turned off, and the check behind them decides. Its
// inline functions thus differ from those of other units that use it, so here they get a namespace of their
// own.
#undef TOML_HEADER_ONLY
#undef TOML_SHARED_LIB
#undef NDEBUG
#define toml tidegate_toml
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_WINDOWS_COMPAT 0
#define TOML_ASSERT(expression) static_assert(true)
#include <toml++/impl/preprocessor.h>
#if TOML_LIB_MAJOR == 3 && TOML_LIB_MINOR == 3
// Its test for Unicode blanks calls characters such as U+03A0 unreachable, though any text can hold one; "no
// blank" is the answer there.
#include <toml++/impl/forward_declarations.h>
#undef TOML_UNREACHABLE
#define TOML_UNREACHABLE \
  return {}
#include <toml++/impl/unicode.h>
#undef TOML_UNREACHABLE
#define TOML_UNREACHABLE __builtin_unreachable()
#endif
#include <toml++/toml.h>
#undef toml

namespace tidegate::protocol::toml {

namespace {

constexpr int key_parts_max = 64;

position position_of(const ::tidegate_toml::source_region& region) {
  return {region.begin.line, region.begin.column};
}

node convert(const ::tidegate_toml::node& source);

template <typename Value>
date_time text_of(const Value& value) {
  std::ostringstream out;
  out << value;
  return {out.str()};
}

table convert_table(const ::tidegate_toml::table& source) {
  table result;
  result.reserve(source.size());
  for (auto&& [key, value] : source) {
    result.push_back({std::string{key.str()}, position_of(key.source()), convert(value)});
  }
  std::ranges::sort(result, [](const entry& a, const entry& b) {
    return a.where.line != b.where.line ? a.where.line < b.where.line : a.where.column < b.where.column;
  });
  return result;
}

array convert_array(const ::tidegate_toml::array& source) {
  array result;
  result.reserve(source.size());
  for (auto&& value : source) result.push_back(convert(value));
  return result;
}

node convert(const ::tidegate_toml::node& source) {
  node result{position_of(source.source()), {}};
  if (const auto* string = source.as_string()) {
    result.value = string->get();
  } else if (const auto* integer = source.as_integer()) {
    result.value = integer->get();
  } else if (const auto* real = source.as_floating_point()) {
    result.value = real->get();
  } else if (const auto* boolean = source.as_boolean()) {
    result.value = boolean->get();
  } else if (const auto* date = source.as_date()) {
    result.value = text_of(date->get());
  } else if (const auto* time = source.as_time()) {
    result.value = text_of(time->get());
  } else if (const auto* both = source.as_date_time()) {
    result.value = text_of(both->get());
  } else if (const auto* list = source.as_array()) {
    result.value = convert_array(*list);
  } else if (const auto* members = source.as_table()) {
    result.value = convert_table(*members);
  }
  return result;
}

// Skips a string or comment that starts at `i`; returns the index of its last character.
std::size_t skip_opaque(std::string_view text, std::size_t i) {
  const char quote = text[i];
  if (quote == '#') return std::min(text.find('\n', i), text.size());
  const bool multi_line = text.substr(i).starts_with(quote == '"' ? "\"\"\"" : "'''");
  i += multi_line ? 3 : 1;
  for (; i < text.size(); ++i) {
    if (text[i] == '\\' && quote == '"') {
      ++i;
    } else if (multi_line && text.substr(i).starts_with(quote == '"' ? "\"\"\"" : "'''")) {
      return i + 2;
    } else if (!multi_line && (text[i] == quote || text[i] == '\n')) {
      return i;
    }
  }
  return text.size();
}

// The TOML library builds and destroys one nested table per part of a dotted key by recursion without a bound
// of its own. Finds a key with too many parts before it does; a misread odd text only fails differently.
std::optional<position> find_deep_key(std::string_view text) {
  position at{1, 1};
  std::size_t line_start = 0;
  int dots = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' || c == '\'' || c == '#') {
      const std::size_t last = skip_opaque(text, i);
      for (; i < last && i < text.size(); ++i) {
        if (text[i] == '\n') ++at.line, line_start = i + 1;
      }
      if (i >= text.size()) break;
    }
    if (text[i] == '\n') ++at.line, line_start = i + 1;
    if (std::string_view{"\n=,[]{}"}.find(text[i]) != std::string_view::npos) dots = 0;
    if (text[i] == '.' && ++dots >= key_parts_max) {
      at.column = static_cast<std::uint32_t>(i - line_start + 1);
      return at;
    }
  }
  return std::nullopt;
}

}  // namespace

std::expected<node, syntax_error> parse(std::string_view text) {
  if (const auto deep = find_deep_key(text)) {
    return std::unexpected{syntax_error{*deep, "a dotted key of more than 64 parts"}};
  }
  const ::tidegate_toml::parse_result result = ::tidegate_toml::parse(text);
  if (!result) {
    const auto& error = result.error();
    return std::unexpected{syntax_error{position_of(error.source()), std::string{error.description()}}};
  }
  return node{{1, 1}, convert_table(result.table())};
}

std::string_view kind_name(const node& value) {
  static constexpr std::string_view names[] = {"a string", "an integer",         "a number", "true or false",
                                               "a date",   "an array of values", "a table"};
  return names[value.value.index()];
}

}  // namespace tidegate::protocol::toml
