#include "app/configuration_rules.h"

#include <algorithm>
#include <set>
#include <utility>

#include "app/configuration_schema.h"
#include "app/configuration_values.h"
#include "foundation/text.h"
#include "policy/routing.h"

namespace tidegate::app {

namespace {

std::string quote(std::string_view text) { return "\"" + std::string{text} + "\""; }

std::string with_suggestion(std::string message, std::string_view word,
                            const std::vector<std::string_view>& known) {
  if (const std::string_view close = closest(word, known); !close.empty()) {
    message += "; did you mean " + quote(close) + "?";
  }
  return message;
}

// --- pairs of limits

void check_listeners(draft& out) {
  const server_settings& server = out.settings.server;
  if (server.tls_cert.empty() != server.tls_key.empty()) {
    const bool has_cert = !server.tls_cert.empty();
    out.fail_at(has_cert ? "server.tls_cert" : "server.tls_key",
                "tls_cert and tls_key are set together or not at all");
  }
  for (const std::string& problem : exposure_problems(out.settings, true))
    out.fail_at("admin.listen", problem);
}

// BUD-3: the default request never exceeds the cap. A cap lowered by the environment lowers the default with
// it.
void check_policy(const std::string& name, const configuration& before, policy_settings& policy, draft& out) {
  if (policy.max_output_tokens == 0 || policy.default_max_tokens <= policy.max_output_tokens) return;
  const std::string path = "policy." + name + ".default_max_tokens";
  const value_origin* origin = out.origin_of(path);
  const auto file_policy = before.policies.find(name);
  const bool file_conflict = origin != nullptr && origin->variable.empty() &&
                             file_policy != before.policies.end() &&
                             file_policy->second.max_output_tokens != 0 &&
                             file_policy->second.default_max_tokens > file_policy->second.max_output_tokens;
  if (file_conflict) {
    out.fail_at(path, "default_max_tokens: must be at most max_output_tokens (" +
                          std::to_string(file_policy->second.max_output_tokens) + ")");
    return;
  }
  if (origin != nullptr) {
    out.warn("settings_json_parse_failed", path,
             "above max_output_tokens; lowered to " + std::to_string(policy.max_output_tokens));
  }
  policy.default_max_tokens = policy.max_output_tokens;
}

void check_cost_guard(const configuration& before, draft& out) {
  session_settings& session = out.settings.session;
  if (session.cost_hard_stop_usd >= session.cost_warning_usd) return;
  if (before.session.cost_hard_stop_usd >= before.session.cost_warning_usd) {
    session.cost_warning_usd = before.session.cost_warning_usd;
    session.cost_hard_stop_usd = before.session.cost_hard_stop_usd;
    out.warn("settings_json_parse_failed", "session.cost_hard_stop_usd",
             "the environment puts it below cost_warning_usd; both keep the file's values");
    return;
  }
  const bool has_stop = out.origin_of("session.cost_hard_stop_usd") != nullptr;
  out.fail_at(has_stop ? "session.cost_hard_stop_usd" : "session.cost_warning_usd",
              "cost_hard_stop_usd must be at least cost_warning_usd");
}

// --- providers

std::vector<std::string_view> provider_names(const configuration& settings) {
  std::vector<std::string_view> names;
  for (const provider_settings& provider : settings.providers) names.push_back(provider.name);
  return names;
}

// The first element of each name stands; a second is an error at its own place.
template <typename Elements>
void check_unique_names(std::string_view section, const Elements& elements, draft& out) {
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < elements.size(); ++i) {
    if (elements[i].name.empty() || seen.insert(elements[i].name).second) continue;
    out.fail_at(element_path(section, i, "name"),
                "a " + std::string{section} + " named " + quote(elements[i].name) + " exists already");
  }
}

std::string_view vendor_url(provider_kind kind) {
  switch (kind) {
    case provider_kind::openai:
      return "https://api.openai.com";
    case provider_kind::anthropic:
      return "https://api.anthropic.com";
    case provider_kind::openai_compatible:
      return {};
  }
  return {};
}

// --- routes

// What a vendor's models are called, so that a configuration without routes serves what its providers have.
void add_default_routes(configuration& settings) {
  static constexpr std::string_view openai_models[] = {"gpt-*", "o*", "chatgpt-*", "text-embedding-*"};
  static constexpr std::string_view anthropic_models[] = {"claude-*"};
  static constexpr std::string_view any_model[] = {"*"};
  const auto add = [&settings](provider_kind kind, std::span<const std::string_view> models) {
    const auto provider = std::ranges::find(settings.providers, kind, &provider_settings::kind);
    if (provider == settings.providers.end()) return;
    for (const std::string_view model : models) {
      settings.routes.push_back({std::string{model}, failover_mode::automatic, {{provider->name, {}}}});
    }
  };
  add(provider_kind::openai, openai_models);
  add(provider_kind::anthropic, anthropic_models);
  add(provider_kind::openai_compatible, any_model);
}

void check_target(const std::string& path, bool first, const target_settings& target, draft& out) {
  const std::vector<std::string_view> names = provider_names(out.settings);
  const auto provider = std::ranges::find(out.settings.providers, target.provider, &provider_settings::name);
  // A provider whose own name was refused has been complained about.
  const bool all_named = std::ranges::none_of(names, &std::string_view::empty);
  if (provider == out.settings.providers.end()) {
    if (!target.provider.empty() && all_named) {
      out.fail_at(path + ".provider",
                  with_suggestion("no provider is named " + quote(target.provider), target.provider, names));
    }
  } else if (policy::is_foreign_model(provider->kind, target.model)) {
    out.warn("ai_preflight_failed", path,
             quote(target.model) + " is not a model of kind " + std::string{policy::name_of(provider->kind)});
  }
  if (!first && foundation::trim(target.model).empty()) {
    out.fail_at(path, "a backup target names its model, or \"*\" for the caller's");
  }
}

// A route behind one that matches whatever it matches is never reached.
void check_shadowed(std::size_t index, draft& out) {
  const std::vector<route_settings>& routes = out.settings.routes;
  for (std::size_t earlier = 0; earlier < index; ++earlier) {
    const bool same = routes[earlier].model == routes[index].model;
    if (!same && !policy::glob_matches(routes[earlier].model, routes[index].model)) continue;
    out.warn("route_never_reached", element_path("route", index),
             quote(routes[index].model) + " is covered by " + quote(routes[earlier].model) + " before it");
    return;
  }
}

void check_routes(draft& out) {
  const std::vector<route_settings>& routes = out.settings.routes;
  for (std::size_t i = 0; i < routes.size(); ++i) {
    for (std::size_t j = 0; j < routes[i].targets.size(); ++j) {
      check_target(element_path("route", i, "targets") + "[" + std::to_string(j) + "]", j == 0,
                   routes[i].targets[j], out);
    }
    check_shadowed(i, out);
  }
  const std::string& model = out.settings.session.model;
  if (!model.empty() && std::ranges::none_of(routes, [&](const route_settings& route) {
        return policy::glob_matches(route.model, model);
      })) {
    out.warn("route_missing", "session.model", "no route matches " + quote(model));
  }
}

void check_keys(draft& out) {
  check_unique_names("key", out.settings.keys, out);
  std::vector<std::string_view> policies;
  for (const auto& [name, policy] : out.settings.policies) policies.push_back(name);
  for (std::size_t i = 0; i < out.settings.keys.size(); ++i) {
    const key_settings& key = out.settings.keys[i];
    if (out.settings.policies.contains(key.policy)) continue;
    out.fail_at(element_path("key", i, "policy"),
                with_suggestion("no policy is named " + quote(key.policy), key.policy, policies));
  }
}

}  // namespace

void complete_provider(provider_settings& provider, draft& out) {
  if (provider.base_url.empty() && provider.enabled) provider.base_url = vendor_url(provider.kind);
  if (const auto url = policy::parse_base_url(provider.base_url)) provider.base_url = url->text();
  if (provider.base_url.empty() && provider.enabled) {
    out.warn("ai_provider_without_url", provider.name, "has no base_url: it is passed over");
  }
  if (provider.tokens_field == max_tokens_field::by_kind) {
    const bool is_openai = provider.kind == provider_kind::openai;
    provider.tokens_field =
        is_openai ? max_tokens_field::max_completion_tokens : max_tokens_field::max_tokens;
  }
  if (!provider.first_byte) provider.first_byte = out.settings.timeouts.first_byte;
}

void apply_rules(const configuration& before_environment, draft& out) {
  check_listeners(out);
  for (auto& [name, policy] : out.settings.policies) check_policy(name, before_environment, policy, out);
  check_cost_guard(before_environment, out);
  check_unique_names("provider", out.settings.providers, out);
  for (provider_settings& provider : out.settings.providers) complete_provider(provider, out);
  if (out.settings.routes.empty()) add_default_routes(out.settings);
  check_routes(out);
  check_keys(out);
  for (auto& [id, price] : out.settings.pricing.models) {
    if (!price.cached_input_per_1k) price.cached_input_per_1k = price.input_per_1k;
  }
}

std::vector<std::string> exposure_problems(const configuration& settings, bool any_key) {
  std::vector<std::string> problems;
  const auto admin = parse_listen(settings.admin.listen);
  if (admin && !admin->is_loopback() && !settings.admin.token.configured()) {
    problems.push_back("an admin listener off loopback needs admin.token");
  }
  const auto data = parse_listen(settings.server.listen);
  if (data && !data->is_loopback() && !any_key) {
    problems.push_back("a data listener off loopback needs at least one client key");
  }
  return problems;
}

}  // namespace tidegate::app
