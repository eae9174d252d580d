#include <algorithm>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/command/commands.h"
#include "app/configuration_schema.h"
#include "app/configuration_values.h"
#include "protocol/json/json.h"

namespace tidegate::app::command {

namespace {

using row_cells = std::vector<std::string>;
namespace json = protocol::json;

std::string choice_name(std::string_view section, std::string_view key, record owner) {
  const key_row* row = find_key(*find_section(section), key);
  return std::string{row->choices[*std::get<choice_slot>(row->bind(owner)).index]};
}

// "set", "not set" and the like; the credential itself is dropped here.
std::string credential_state(const credential_reference& reference, const console& terminal) {
  const auto credential = resolve_credential(reference, terminal.env, terminal.read);
  if (credential) return "set";
  switch (credential.error().problem) {
    case credential_problem::not_configured:
      return "none";
    case credential_problem::blank:
      return "not set";
    case credential_problem::unreadable:
      return "unreadable";
    case credential_problem::no_store:
      return "sealed";  // the store is the gateway's to open
    case credential_problem::not_stored:
      return "not stored";
  }
  return "none";
}

bool needs_credential(const provider_settings& provider) {
  return provider.kind != provider_kind::openai_compatible;
}

void add_runtime_warnings(loaded_configuration& loaded, const console& terminal) {
  const configuration& settings = loaded.settings;
  if (settings.providers.empty()) {
    loaded.warnings.push_back(
        {"ai_not_configured", "provider", "no provider is configured: every run is refused"});
  }
  for (const provider_settings& provider : settings.providers) {
    if (!provider.api_key.configured() && !needs_credential(provider)) continue;
    const auto credential = resolve_credential(provider.api_key, terminal.env, terminal.read);
    if (!credential && credential.error().problem != credential_problem::no_store)
      loaded.warnings.push_back({"ai_credential_absent", provider.name, credential.error().message});
  }
  for (const std::string& problem : exposure_problems(settings, !settings.keys.empty())) {
    loaded.warnings.push_back(
        {"listener_needs_key", "server.listen", problem + ", or `serve` refuses to start"});
  }
}

// --- text

void print_heading(std::string_view text, const console& terminal) {
  terminal.out << '\n'
               << (terminal.colour ? "\033[1m" : "") << text << (terminal.colour ? "\033[0m" : "") << '\n';
}

void print_table(const std::vector<row_cells>& rows, std::ostream& out) {
  std::vector<std::size_t> widths;
  for (const row_cells& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const row_cells& row : rows) {
    std::string line = "  ";
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    out << line << '\n';
  }
}

void print_providers(configuration& settings, const console& terminal) {
  print_heading("providers", terminal);
  std::vector<row_cells> rows{{"NAME", "KIND", "BASE URL", "CREDENTIAL", "STATE"}};
  for (provider_settings& provider : settings.providers) {
    const std::string reference = to_text(provider.api_key);
    const std::string state = credential_state(provider.api_key, terminal);
    rows.push_back({provider.name, choice_name("provider", "kind", &provider),
                    provider.base_url.empty() ? "-" : provider.base_url,
                    reference.empty() ? state : reference + " (" + state + ")",
                    provider.enabled ? "enabled" : "disabled"});
  }
  if (settings.providers.empty()) rows = {{"none"}};
  print_table(rows, terminal.out);
}

std::string target_text(const target_settings& target) {
  const bool callers = target.model.empty() || target.model == "*";
  return target.provider + " " + (callers ? "(caller's model)" : target.model);
}

void print_routes(configuration& settings, const console& terminal) {
  print_heading("routes (the first match wins)", terminal);
  std::vector<row_cells> rows{{"MODEL", "FAILOVER", "TARGETS"}};
  for (route_settings& route : settings.routes) {
    std::string targets;
    for (const target_settings& target : route.targets) {
      if (!targets.empty()) targets += ", then ";
      targets += target_text(target);
    }
    rows.push_back({route.model, choice_name("route", "failover", &route), targets});
  }
  if (settings.routes.empty()) rows = {{"none"}};
  print_table(rows, terminal.out);
}

void print_policies(configuration& settings, const console& terminal) {
  print_heading("policies", terminal);
  const section_row& section = *find_section("policy");
  row_cells head{"SETTING"};
  for (const auto& [name, policy] : settings.policies) head.push_back(name);
  std::vector<row_cells> rows{head};
  for (const key_row& row : section.keys) {
    row_cells cells{std::string{row.key}};
    for (auto& [name, policy] : settings.policies) cells.push_back(format_value(row, row.bind(&policy)));
    rows.push_back(std::move(cells));
  }
  print_table(rows, terminal.out);
}

void print_text(loaded_configuration& loaded, const console& terminal) {
  configuration& settings = loaded.settings;
  terminal.out << "configuration: " << loaded.name << '\n';
  terminal.out << "data listener: " << settings.server.listen << '\n';
  terminal.out << "admin listener: " << (settings.admin.listen.empty() ? "off" : settings.admin.listen)
               << '\n';
  terminal.out << "client keys in the file: " << settings.keys.size() << '\n';
  print_providers(settings, terminal);
  print_routes(settings, terminal);
  print_policies(settings, terminal);
  print_heading("warnings", terminal);
  if (loaded.warnings.empty()) terminal.out << "  none\n";
  for (const config_warning& warning : loaded.warnings) {
    terminal.out << "  " << warning.event << ": " << warning.key << ": " << warning.reason << '\n';
  }
}

// --- JSON

void write_record(json::writer& writer, const section_row& section, record owner) {
  for (const key_row& row : section.keys) {
    if (row.kind == value_kind::target_list) continue;
    // A TOML value of these kinds is a JSON value too.
    const std::string value = format_value(row, row.bind(owner));
    if (!value.empty()) writer.key(row.key).raw(value);
  }
}

void write_providers(json::writer& writer, configuration& settings, const console& terminal) {
  writer.key("providers").begin_array();
  for (provider_settings& provider : settings.providers) {
    writer.begin_object();
    write_record(writer, *find_section("provider"), &provider);
    writer.member("credential", std::string_view{credential_state(provider.api_key, terminal)}).end_object();
  }
  writer.end_array();
}

void write_routes(json::writer& writer, configuration& settings) {
  writer.key("routes").begin_array();
  for (route_settings& route : settings.routes) {
    writer.begin_object();
    write_record(writer, *find_section("route"), &route);
    writer.key("targets").begin_array();
    for (const target_settings& target : route.targets) {
      const std::string_view model =
          target.model.empty() ? std::string_view{"*"} : std::string_view{target.model};
      writer.begin_object()
          .member("provider", std::string_view{target.provider})
          .member("model", model)
          .end_object();
    }
    writer.end_array().end_object();
  }
  writer.end_array();
}

std::string to_json(loaded_configuration& loaded, const console& terminal) {
  std::string text;
  json::writer writer{text};
  configuration& settings = loaded.settings;
  writer.begin_object().member("ok", true).member("configuration", std::string_view{loaded.name});
  writer.member("listen", std::string_view{settings.server.listen});
  writer.member("admin_listen", std::string_view{settings.admin.listen});
  write_providers(writer, settings, terminal);
  write_routes(writer, settings);
  writer.key("policies").begin_object();
  for (auto& [name, policy] : settings.policies) {
    writer.key(name).begin_object();
    write_record(writer, *find_section("policy"), &policy);
    writer.end_object();
  }
  writer.end_object().key("warnings").begin_array();
  for (const config_warning& warning : loaded.warnings) {
    writer.begin_object().member("event", std::string_view{warning.event});
    writer.member("key", std::string_view{warning.key})
        .member("reason", std::string_view{warning.reason})
        .end_object();
  }
  writer.end_array().end_object();
  return text;
}

std::string to_json(const std::vector<config_error>& errors) {
  std::string text;
  json::writer writer{text};
  writer.begin_object().member("ok", false).key("errors").begin_array();
  for (const config_error& error : errors) {
    writer.begin_object().member("file", std::string_view{error.file});
    writer.member("line", static_cast<std::int64_t>(error.line));
    writer.member("column", static_cast<std::int64_t>(error.column));
    writer.member("message", std::string_view{error.message}).end_object();
  }
  writer.end_array().end_object();
  return text;
}

}  // namespace

int run_check(const check_options& options, console& terminal) {
  auto loaded = load_found(options.config, {}, terminal.env, terminal.read);
  if (!loaded) {
    for (const config_error& error : loaded.error()) terminal.err << to_text(error) << '\n';
    if (options.json) terminal.out << to_json(loaded.error()) << '\n';
    return 2;
  }
  add_runtime_warnings(*loaded, terminal);
  if (options.json) {
    terminal.out << to_json(*loaded, terminal) << '\n';
  } else {
    print_text(*loaded, terminal);
  }
  return 0;
}

}  // namespace tidegate::app::command
