// TOML scripts: turned into JSON, so that both forms have one reader; a finding's path leads back to its
// line.
#include <algorithm>
#include <utility>

#include "mock/script.h"
#include "protocol/toml/toml.h"

namespace tidegate::mock {
namespace {

namespace toml = protocol::toml;

constexpr int depth_max = 32;

// False: a value that JSON has no word for, or nesting that no script needs.
bool write(const toml::node& node, json::writer& out, int depth) {
  if (depth > depth_max) return false;
  if (const auto* table = std::get_if<toml::table>(&node.value)) {
    out.begin_object();
    for (const toml::entry& each : *table) {
      out.key(each.key);
      if (!write(each.content, out, depth + 1)) return false;
    }
    out.end_object();
    return true;
  }
  if (const auto* array = std::get_if<toml::array>(&node.value)) {
    out.begin_array();
    for (const toml::node& each : *array) {
      if (!write(each, out, depth + 1)) return false;
    }
    out.end_array();
    return true;
  }
  if (const auto* text = std::get_if<std::string>(&node.value)) {
    out.string(*text);
  } else if (const auto* integer = std::get_if<std::int64_t>(&node.value)) {
    out.number(*integer);
  } else if (const auto* real = std::get_if<double>(&node.value)) {
    out.number(*real);
  } else if (const auto* flag = std::get_if<bool>(&node.value)) {
    out.boolean(*flag);
  } else {
    return false;
  }
  return true;
}

text_position position_of(toml::position where) { return {where.line, where.column}; }

// Where a finding stands: as deep as the path leads.
text_position locate(const toml::node& root, const std::vector<path_part>& path) {
  const toml::node* node = &root;
  text_position found{1, 1};
  for (const path_part& part : path) {
    const auto* table = std::get_if<toml::table>(&node->value);
    const auto* array = std::get_if<toml::array>(&node->value);
    if (table != nullptr && !part.key.empty()) {
      const auto at = std::ranges::find(*table, part.key, &toml::entry::key);
      if (at == table->end()) break;
      found = position_of(at->where);
      node = &at->content;
    } else if (array != nullptr && part.key.empty() && part.index < array->size()) {
      node = &(*array)[part.index];
      found = position_of(node->where);
    } else {
      break;
    }
  }
  return found;
}

}  // namespace

std::expected<script_change, script_file_error> read_script(std::string_view text, const file_reader& read) {
  const auto parsed = toml::parse(text);
  if (!parsed)
    return std::unexpected{script_file_error{position_of(parsed.error().where), parsed.error().message}};
  std::string translated;
  {
    json::writer out{translated};
    if (!write(*parsed, out, 0)) {
      return std::unexpected{script_file_error{{1, 1}, "holds a date or is nested too deeply"}};
    }
  }
  const auto body = json::parse(translated);
  if (!body) return std::unexpected{script_file_error{{1, 1}, std::string{body.error().reason}}};
  auto change = read_change(*body, read);
  if (!change) {
    return std::unexpected{script_file_error{locate(*parsed, change.error().path), change.error().text()}};
  }
  return std::move(*change);
}

}  // namespace tidegate::mock
