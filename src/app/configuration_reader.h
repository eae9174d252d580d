// The three sources, one after the other, into one configuration: file, environment, command line. What each
// key's value came from is kept, for the rules that judge keys together.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "app/configuration.h"
#include "protocol/toml/toml.h"

namespace tidegate::app {

// Where a value that is not the default came from: a place in the file, or a variable or flag.
struct value_origin {
  protocol::toml::position where;
  std::string variable;
};

// A configuration in the making.
struct draft {
  explicit draft(std::string file_name) : file{std::move(file_name)} {}

  std::string file;
  configuration settings;
  // By path: "server.listen", "policy.default.on_exceed", "provider[0].name", "route[1].targets[0]".
  std::map<std::string, value_origin, std::less<>> origins;
  std::vector<config_error> errors;
  std::vector<config_warning> warnings;

  const value_origin* origin_of(std::string_view path) const;
  void fail(protocol::toml::position where, std::string message);
  // At the place the path's value came from, or failing that its parent's, or the file's start.
  void fail_at(std::string_view path, std::string message);
  void warn(std::string_view event, std::string key, std::string reason);
};

// "provider[2]", with ".name" or the like behind it.
std::string element_path(std::string_view section, std::size_t index, std::string_view key = {});

void read_file_settings(const protocol::toml::node& root, draft& out);
// TIDEGATE_<SECTION>_<KEY>; a bad value leaves the key's default and a warning (CFG-1).
void read_environment(const environment& env, draft& out);
void read_overrides(const std::vector<configuration_override>& overrides, draft& out);

// "TIDEGATE_POLICY_DEFAULT_ON_EXCEED" for ("policy", "default", "on_exceed"); name is empty for plain tables.
std::string variable_name(std::string_view section, std::string_view name, std::string_view key);

}  // namespace tidegate::app
