#include "app/configuration.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "app/configuration_reader.h"
#include "app/configuration_rules.h"
#include "protocol/toml/toml.h"

namespace tidegate::app {

namespace {

std::unexpected<std::vector<config_error>> refuse(std::vector<config_error> errors) {
  // Errors of no place in the file come last.
  std::ranges::sort(errors, {}, [](const config_error& e) {
    return std::tuple{e.line == 0, e.line, e.column, std::string_view{e.file}, std::string_view{e.message}};
  });
  if (errors.size() > config_errors_max) errors.resize(config_errors_max);
  return std::unexpected{std::move(errors)};
}

}  // namespace

std::expected<loaded_configuration, std::vector<config_error>> load(const configuration_source& source) {
  draft made{source.name};
  if (source.text.size() > config_text_max) return refuse({{source.name, 1, 1, "larger than 4 MiB"}});
  const auto document = protocol::toml::parse(source.text);
  if (!document) {
    const auto& error = document.error();
    return refuse({{source.name, error.where.line, error.where.column, error.message}});
  }
  read_file_settings(*document, made);
  const configuration file_settings = made.settings;
  read_environment(source.env, made);
  read_overrides(source.overrides, made);
  add_environment_providers(source.env, made);
  // Targets are judged as the file has them: what the proxy hides must still be right.
  apply_rules(file_settings, made);
  apply_proxy(source.env, made);
  if (!made.errors.empty()) return refuse(std::move(made.errors));
  return loaded_configuration{source.name, std::move(made.settings), std::move(made.warnings)};
}

std::expected<configuration_source, config_error> find_configuration(const std::optional<std::string>& flag,
                                                                     environment env,
                                                                     const file_reader& read) {
  configuration_source source;
  std::string path;
  if (flag) {
    path = *flag;
  } else if (const auto variable = env.find("TIDEGATE_CONFIG");
             variable != env.end() && !variable->second.empty()) {
    path = variable->second;
  }
  source.env = std::move(env);
  if (path.empty() && flag) return std::unexpected{config_error{"--config", 0, 0, "needs a file name"}};
  if (path.empty()) {
    // Only here is a missing file no error.
    auto text = read("./tidegate.toml");
    if (text) {
      source.text = std::move(*text);
    } else if (text.error() != file_not_found) {
      return std::unexpected{config_error{source.name, 0, 0, text.error()}};
    } else {
      source.name = "built-in defaults";
    }
    return source;
  }
  source.name = path;
  auto text = read(path);
  if (!text) return std::unexpected{config_error{path, 0, 0, text.error()}};
  source.text = std::move(*text);
  return source;
}

std::expected<loaded_configuration, std::vector<config_error>> load_found(
    const std::optional<std::string>& flag, std::vector<configuration_override> overrides,
    const environment& env, const file_reader& read) {
  auto source = find_configuration(flag, env, read);
  if (!source) return std::unexpected{std::vector{std::move(source.error())}};
  source->overrides = std::move(overrides);
  return load(*source);
}

std::string to_text(const config_error& error) {
  std::string text = error.file;
  if (error.line != 0) {
    text.append(":").append(std::to_string(error.line)).append(":").append(std::to_string(error.column));
  }
  return text.append(": ").append(error.message);
}

}  // namespace tidegate::app
