// TOML scripts: turned into JSON, so that both forms have one reader; a finding's path leads back to its
// line.
#include <cmath>
#include <utility>

#include "mock/script.h"

// Compiled in, and not taken from the shared library: sanitizers then see into it, and errors come as values.
#undef TOML_HEADER_ONLY
#undef TOML_SHARED_LIB
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_WINDOWS_COMPAT 0
#include <toml++/toml.h>

namespace tidegate::mock {
namespace {

constexpr int depth_max = 32;

// False: a value that JSON has no word for, or nesting that no script needs.
bool write(const ::toml::node& node, json::writer& out, int depth) {
  if (depth > depth_max) return false;
  if (const auto* table = node.as_table()) {
    out.begin_object();
    for (auto&& [key, value] : *table) {
      out.key(key.str());
      if (!write(value, out, depth + 1)) return false;
    }
    out.end_object();
    return true;
  }
  if (const auto* array = node.as_array()) {
    out.begin_array();
    for (auto&& value : *array) {
      if (!write(value, out, depth + 1)) return false;
    }
    out.end_array();
    return true;
  }
  if (const auto* text = node.as_string()) {
    out.string(text->get());
  } else if (const auto* integer = node.as_integer()) {
    out.number(integer->get());
  } else if (const auto* real = node.as_floating_point()) {
    out.number(real->get());
  } else if (const auto* flag = node.as_boolean()) {
    out.boolean(flag->get());
  } else {
    return false;
  }
  return true;
}

text_position position_of(const ::toml::source_region& region) {
  return {region.begin.line, region.begin.column};
}

// Where a finding stands: as deep as the path leads.
text_position locate(const ::toml::table& root, const std::vector<path_part>& path) {
  const ::toml::node* node = &root;
  text_position found{1, 1};
  for (const path_part& part : path) {
    if (const auto* table = node->as_table(); table != nullptr && !part.key.empty()) {
      const auto at = table->find(part.key);
      if (at == table->end()) break;
      found = position_of(at->first.source());
      node = &at->second;
    } else if (const auto* array = node->as_array(); array != nullptr && part.key.empty()) {
      node = array->get(part.index);
      if (node == nullptr) break;
      found = position_of(node->source());
    } else {
      break;
    }
  }
  return found;
}

}  // namespace

std::expected<script_change, script_file_error> read_script(std::string_view toml, const file_reader& read) {
  const auto parsed = ::toml::parse(toml);
  if (!parsed) {
    return std::unexpected{
        script_file_error{position_of(parsed.error().source()), std::string{parsed.error().description()}}};
  }
  std::string text;
  {
    json::writer out{text};
    if (!write(parsed.table(), out, 0)) {
      return std::unexpected{script_file_error{{1, 1}, "holds a date or is nested too deeply"}};
    }
  }
  const auto body = json::parse(text);
  if (!body) return std::unexpected{script_file_error{{1, 1}, std::string{body.error().reason}}};
  auto change = read_change(*body, read);
  if (!change) {
    return std::unexpected{
        script_file_error{locate(parsed.table(), change.error().path), change.error().text()}};
  }
  return std::move(*change);
}

}  // namespace tidegate::mock
