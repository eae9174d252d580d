#include "app/configuration_reader.h"

#include <algorithm>
#include <utility>

#include "app/configuration_schema.h"
#include "app/configuration_values.h"
#include "foundation/check.h"
#include "foundation/text.h"

namespace tidegate::app {

namespace {

using protocol::toml::entry;
using protocol::toml::node;
using protocol::toml::table;

// As many tables of one kind as any installation has; beyond it a file is broken or hostile.
constexpr std::size_t tables_max = 1'000;

std::string quote(std::string_view text) {
  // A key can be any text; a message stays one short line.
  std::string out = "\"";
  for (const char c : text.substr(0, 64)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return out + (text.size() > 64 ? "...\"" : "\"");
}

std::vector<std::string_view> key_names(const section_row& section) {
  std::vector<std::string_view> names;
  for (const key_row& row : section.keys) names.push_back(row.key);
  return names;
}

void fail_unknown(const entry& found, std::string_view what, std::span<const std::string_view> known,
                  draft& out) {
  std::string message = "unknown " + std::string{what} + " " + quote(found.key);
  if (const std::string_view close = closest(found.key, known); !close.empty()) {
    message += "; did you mean \"" + std::string{close} + "\"?";
  }
  out.fail(found.where, std::move(message));
}

const table* expect_table(const node& value, std::string_view section, draft& out) {
  const auto* members = std::get_if<table>(&value.value);
  if (members == nullptr) {
    out.fail(value.where, quote(section) + " is a table, found " + std::string{kind_name(value)});
  }
  return members;
}

// --- route.targets

void read_target(const node& item, const std::string& path, target_settings& target, draft& out) {
  const auto* members = std::get_if<table>(&item.value);
  if (members == nullptr) {
    out.fail(item.where,
             "expected { provider = \"...\", model = \"...\" }, found " + std::string{kind_name(item)});
    return;
  }
  static constexpr std::string_view known[] = {"provider", "model"};
  for (const entry& member : *members) {
    if (std::ranges::find(known, member.key) == std::ranges::end(known)) {
      fail_unknown(member, "key", known, out);
      continue;
    }
    const bool is_provider = member.key == "provider";
    const key_row row{.key = is_provider ? "provider" : "model",
                      .kind = is_provider ? value_kind::name : value_kind::text,
                      .bind = nullptr};
    const auto stored = assign(row, is_provider ? &target.provider : &target.model, member.content);
    if (!stored) out.fail(stored.error().where, member.key + ": " + stored.error().message);
    out.origins[path + "." + member.key] = {member.content.where, {}};
  }
  if (!out.origins.contains(path + ".provider")) out.fail(item.where, "a target needs a provider");
}

void read_targets(const node& value, const std::string& path, std::vector<target_settings>& targets,
                  draft& out) {
  const auto* items = std::get_if<protocol::toml::array>(&value.value);
  if (items == nullptr || items->empty() || items->size() > tables_max) {
    out.fail(value.where, "targets: expected an array of 1 to 1000 tables such as { provider = \"openai\" }");
    return;
  }
  for (const node& item : *items) {
    const std::string item_path = path + "[" + std::to_string(targets.size()) + "]";
    out.origins[item_path] = {item.where, {}};
    read_target(item, item_path, targets.emplace_back(), out);
  }
}

// --- tables by the schema

// `path`: "server", "policy.default", "provider[0]". `sub_tables`: names the schema knows as tables of their
// own.
void read_table(const section_row& section, const table& members, const std::string& path, record owner,
                draft& out, std::string_view sub_table = {}) {
  for (const entry& member : members) {
    if (!sub_table.empty() && member.key == sub_table) continue;
    const key_row* row = find_key(section, member.key);
    if (row == nullptr) {
      fail_unknown(member, "key", key_names(section), out);
      continue;
    }
    const std::string key_path = path + "." + member.key;
    out.origins[key_path] = {member.content.where, {}};
    const slot target = row->bind(owner);
    if (row->kind == value_kind::target_list) {
      read_targets(member.content, key_path, *std::get<std::vector<target_settings>*>(target), out);
    } else if (const auto stored = assign(*row, target, member.content); !stored) {
      out.fail(stored.error().where, member.key + ": " + stored.error().message);
    }
  }
}

void require_keys(const section_row& section, const std::string& path, protocol::toml::position where,
                  draft& out) {
  for (const key_row& row : section.keys) {
    if (!row.required || out.origins.contains(path + "." + std::string{row.key})) continue;
    out.fail(where, std::string{section.name} + " needs the key \"" + std::string{row.key} + "\"");
  }
}

template <typename Settings>
void read_named_tables(const section_row& section, const node& value,
                       std::map<std::string, Settings, std::less<>>& into, bool any_name, draft& out) {
  const table* names = expect_table(value, section.name, out);
  if (names == nullptr) return;
  if (names->size() > tables_max) {
    out.fail(value.where, "more than 1000 tables in " + quote(section.name));
    return;
  }
  for (const entry& named : *names) {
    const auto* members = std::get_if<table>(&named.content.value);
    if (members == nullptr) {
      out.fail(named.where,
               "expected a table [" + std::string{section.name} + ".<name>] behind " + quote(named.key));
      continue;
    }
    if (!any_name && !is_name(named.key)) {
      out.fail(named.where, quote(named.key) + ": a name is 1 to 64 of the characters A-Z a-z 0-9 . _ -");
      continue;
    }
    const std::string path = std::string{section.name} + "." + named.key;
    read_table(section, *members, path, &into[named.key], out);
    require_keys(section, path, named.where, out);
  }
}

template <typename Settings>
void read_array_of_tables(const section_row& section, const node& value, std::vector<Settings>& into,
                          draft& out) {
  const auto* items = std::get_if<protocol::toml::array>(&value.value);
  if (items == nullptr || items->size() > tables_max) {
    out.fail(value.where, "expected up to 1000 tables [[" + std::string{section.name} + "]]");
    return;
  }
  for (const node& item : *items) {
    const auto* members = std::get_if<table>(&item.value);
    if (members == nullptr) {
      out.fail(item.where, "expected tables [[" + std::string{section.name} + "]]");
      continue;
    }
    const std::string path = element_path(section.name, into.size());
    out.origins[path] = {item.where, {}};
    read_table(section, *members, path, &into.emplace_back(), out);
    require_keys(section, path, item.where, out);
  }
}

void read_pricing(const section_row& section, const node& value, draft& out) {
  const table* members = expect_table(value, section.name, out);
  if (members == nullptr) return;
  read_table(section, *members, "pricing", &out.settings, out, "models");
  const auto models = std::ranges::find(*members, "models", &entry::key);
  if (models == members->end()) return;
  read_named_tables(*find_section("pricing.models"), models->content, out.settings.pricing.models, true, out);
}

void read_section(const section_row& section, const entry& found, draft& out) {
  configuration& settings = out.settings;
  if (section.name == "policy") {
    read_named_tables(section, found.content, settings.policies, false, out);
  } else if (section.name == "pricing") {
    read_pricing(section, found.content, out);
  } else if (section.name == "provider") {
    read_array_of_tables(section, found.content, settings.providers, out);
  } else if (section.name == "route") {
    read_array_of_tables(section, found.content, settings.routes, out);
  } else if (section.name == "key") {
    read_array_of_tables(section, found.content, settings.keys, out);
  } else if (const table* members = expect_table(found.content, section.name, out)) {
    read_table(section, *members, std::string{section.name}, &settings, out);
  }
}

// --- environment and command line

void copy_value(slot from, slot to) {
  std::visit(
      [&from](auto target) {
        const auto source = std::get<decltype(target)>(from);
        if constexpr (std::is_same_v<decltype(target), choice_slot>) {
          *target.index = *source.index;
        } else {
          *target = *source;
        }
      },
      to);
}

struct environment_reader {
  const environment& env;
  draft& out;
  std::vector<std::string> known = {};

  void read(const section_row& section, std::string_view name, record owner) {
    for (const key_row& row : section.keys) {
      std::string variable = variable_name(section.name, name, row.key);
      if (const auto found = env.find(variable); found != env.end()) {
        store(section, row, row.bind(owner), path_of(section, name, row), variable, found->second);
      }
      known.push_back(std::move(variable));
    }
  }

  static std::string path_of(const section_row& section, std::string_view name, const key_row& row) {
    std::string path{section.name};
    if (!name.empty()) path.append(".").append(name);
    return path.append(".").append(row.key);
  }

  void store(const section_row& section, const key_row& row, slot target, std::string path,
             const std::string& variable, std::string_view text) {
    const auto stored = assign_text(row, target, text);
    if (stored) {
      out.origins[path] = {{}, variable};
      return;
    }
    // The value stays out of the message: it could be a credential in the wrong place.
    const slot fallback = row.bind(section.defaults());
    copy_value(fallback, target);
    out.origins.erase(path);
    std::string reason = variable + ": " + stored.error();
    if (const std::string value = format_value(row, fallback); !value.empty())
      reason += "; the default " + value + " holds";
    out.warn("settings_json_parse_failed", std::move(path), std::move(reason));
  }

  // A slip in a name would otherwise go unseen.
  void warn_unknown() const {
    for (const section_row& section : schema()) {
      if (section.shape == section_shape::array_of_tables || section.name == "pricing.models") continue;
      const std::string prefix = variable_name(section.name, {}, "");
      for (auto at = env.lower_bound(prefix); at != env.end() && at->first.starts_with(prefix); ++at) {
        if (std::ranges::find(known, at->first) != known.end()) continue;
        const std::vector<std::string_view> names{known.begin(), known.end()};
        const std::string_view close = closest(at->first, names);
        std::string reason = "sets nothing";
        if (!close.empty()) reason += "; did you mean " + std::string{close} + "?";
        out.warn("settings_unknown_variable", at->first, std::move(reason));
      }
    }
  }
};

}  // namespace

const value_origin* draft::origin_of(std::string_view path) const {
  const auto found = origins.find(path);
  return found == origins.end() ? nullptr : &found->second;
}

void draft::fail(protocol::toml::position where, std::string message) {
  errors.push_back({file, where.line, where.column, std::move(message)});
}

void draft::fail_at(std::string_view path, std::string message) {
  while (true) {
    if (const value_origin* origin = origin_of(path)) {
      if (origin->variable.empty()) return fail(origin->where, std::move(message));
      errors.push_back({origin->variable, 0, 0, std::move(message)});
      return;
    }
    const std::size_t dot = path.rfind('.');
    if (dot == std::string_view::npos) return fail({1, 1}, std::move(message));
    path = path.substr(0, dot);
  }
}

void draft::warn(std::string_view event, std::string key, std::string reason) {
  warnings.push_back({std::string{event}, std::move(key), std::move(reason)});
}

std::string element_path(std::string_view section, std::size_t index, std::string_view key) {
  std::string path{section};
  path.append("[").append(std::to_string(index)).append("]");
  if (!key.empty()) path.append(".").append(key);
  return path;
}

void read_file_settings(const node& root, draft& out) {
  const auto* sections = std::get_if<table>(&root.value);
  TG_CHECK(sections != nullptr);  // a TOML text is a table
  std::vector<std::string_view> names;
  for (const section_row& section : schema()) {
    if (section.name != "pricing.models") names.push_back(section.name);
  }
  for (const entry& found : *sections) {
    if (std::ranges::find(names, std::string_view{found.key}) == names.end()) {
      fail_unknown(found, std::holds_alternative<table>(found.content.value) ? "section" : "key", names, out);
    } else {
      read_section(*find_section(found.key), found, out);
    }
  }
}

void read_environment(const environment& env, draft& out) {
  environment_reader reader{env, out};
  for (const section_row& section : schema()) {
    if (section.shape == section_shape::table) {
      reader.read(section, {}, &out.settings);
    } else if (section.name == "policy") {
      for (auto& [name, policy] : out.settings.policies) reader.read(section, name, &policy);
    } else if (section.name == "pricing.models") {
      for (auto& [id, price] : out.settings.pricing.models) reader.read(section, id, &price);
    }
  }
  reader.warn_unknown();
}

void read_overrides(const std::vector<configuration_override>& overrides, draft& out) {
  for (const configuration_override& override_ : overrides) {
    const section_row* section = find_section(override_.section);
    TG_CHECK(section != nullptr && section->shape == section_shape::table);
    const key_row* row = find_key(*section, override_.key);
    TG_CHECK(row != nullptr);
    const auto stored = assign_text(*row, row->bind(&out.settings), override_.value);
    if (stored) {
      out.origins[override_.section + "." + override_.key] = {{}, override_.flag};
    } else {
      out.errors.push_back({override_.flag, 0, 0, stored.error()});
    }
  }
}

std::string variable_name(std::string_view section, std::string_view name, std::string_view key) {
  std::string variable = "TIDEGATE_";
  const auto append = [&variable](std::string_view part) {
    for (const char c : part) {
      const bool small = c >= 'a' && c <= 'z';
      const bool kept = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      variable += small ? static_cast<char>(c - 32) : (kept ? c : '_');
    }
  };
  append(section);
  variable += '_';
  if (!name.empty()) {
    append(name);
    variable += '_';
  }
  append(key);
  return variable;
}

}  // namespace tidegate::app
