#include <algorithm>
#include <string>
#include <utility>

#include "app/configuration_rules.h"
#include "foundation/text.h"
#include "policy/routing.h"

namespace tidegate::app {

namespace {

constexpr std::string_view parse_failed = "settings_json_parse_failed";

// Unset and blank are the same.
std::string_view variable(const environment& env, std::string_view name) {
  const auto found = env.find(name);
  return found == env.end() ? std::string_view{} : foundation::trim(found->second);
}

// CFG-3: a URL that does not fit counts as unset.
std::string base_url_from(const environment& env, std::string_view name, draft& out) {
  const std::string_view text = variable(env, name);
  if (text.empty()) return {};
  const auto url = policy::parse_base_url(text);
  if (url) return url->text();
  out.warn(parse_failed, std::string{name},
           "base URL " + std::string{policy::describe(url.error())} + "; it counts as unset");
  return {};
}

credential_reference credential_from(const environment& env, std::string_view name) {
  if (variable(env, name).empty()) return {};
  return {credential_source::environment, std::string{name}};
}

provider_settings vendor(provider_kind kind, std::string_view key_variable) {
  provider_settings provider;
  provider.name = policy::name_of(kind);
  provider.kind = kind;
  provider.api_key = {credential_source::environment, std::string{key_variable}};
  return provider;
}

// TIDEGATE_AI_PROVIDER and its companions define one provider, without backup.
bool add_single_provider(const environment& env, draft& out) {
  const std::string_view kind_name = variable(env, "TIDEGATE_AI_PROVIDER");
  const bool has_url = !variable(env, "TIDEGATE_AI_BASE_URL").empty();
  if (kind_name.empty() && !has_url && variable(env, "TIDEGATE_AI_API_KEY").empty()) return false;
  provider_settings provider;
  provider.kind = has_url ? provider_kind::openai_compatible : provider_kind::openai;
  if (const auto kind = policy::provider_kind_of(kind_name)) {
    provider.kind = *kind;
  } else if (!kind_name.empty()) {
    out.warn(parse_failed, "TIDEGATE_AI_PROVIDER",
             "expected one of openai, anthropic, openai-compatible; " +
                 std::string{policy::name_of(provider.kind)} + " holds");
  }
  provider.name = policy::name_of(provider.kind);
  provider.base_url = base_url_from(env, "TIDEGATE_AI_BASE_URL", out);
  // The vendor's URL stands in for one that was not given, never for one that was given and is broken.
  if (has_url && provider.base_url.empty()) provider.enabled = false;
  provider.api_key = credential_from(env, "TIDEGATE_AI_API_KEY");
  if (out.settings.routes.empty()) {
    out.settings.routes.push_back(
        {"*", failover_mode::automatic, {{provider.name, std::string{variable(env, "TIDEGATE_AI_MODEL")}}}});
  }
  out.settings.providers.push_back(std::move(provider));
  return true;
}

bool is_routed(const configuration& settings, std::string_view provider) {
  return std::ranges::any_of(settings.routes, [&](const route_settings& route) {
    return std::ranges::find(route.targets, provider, &target_settings::provider) != route.targets.end();
  });
}

}  // namespace

void add_environment_providers(const environment& env, draft& out) {
  if (!out.settings.providers.empty() || add_single_provider(env, out)) return;
  struct vendor_key {
    provider_kind kind;
    std::string_view variable;
  };
  static constexpr vendor_key vendors[] = {{provider_kind::openai, "OPENAI_API_KEY"},
                                           {provider_kind::anthropic, "ANTHROPIC_API_KEY"}};
  for (const auto& [kind, key_variable] : vendors) {
    // A file may route to a vendor whose key is absent today: its runs are refused, not the start (CFG-2).
    if (!variable(env, key_variable).empty() || is_routed(out.settings, policy::name_of(kind))) {
      out.settings.providers.push_back(vendor(kind, key_variable));
    }
  }
}

void apply_proxy(const environment& env, draft& out) {
  const std::string_view enabled = variable(env, "TIDEGATE_AI_PROXY_ENABLED");
  if (enabled.empty() || enabled == "0" || foundation::iequals(enabled, "false")) return;
  if (enabled != "1" && !foundation::iequals(enabled, "true")) {
    out.warn(parse_failed, "TIDEGATE_AI_PROXY_ENABLED", "expected 1 or 0; the default 0 holds");
    return;
  }
  configuration& settings = out.settings;
  provider_settings proxy;
  proxy.name = "proxy";
  const auto taken = [&settings](const std::string& name) {
    return std::ranges::find(settings.providers, name, &provider_settings::name) != settings.providers.end();
  };
  for (int suffix = 2; taken(proxy.name); ++suffix) proxy.name = "proxy-" + std::to_string(suffix);
  proxy.kind = provider_kind::openai_compatible;
  proxy.base_url = base_url_from(env, "TIDEGATE_AI_PROXY_BASE_URL", out);
  proxy.api_key = credential_from(env, "TIDEGATE_AI_PROXY_API_KEY");
  // Whoever asks for a proxy does not want to be sent past it: without a URL its runs are refused.
  complete_provider(proxy, out);
  const bool takes_all =
      std::ranges::find(settings.routes, "*", &route_settings::model) != settings.routes.end();
  // Routes made up from the vendors' names would keep the proxy from other models.
  if (!takes_all && out.origin_of("route[0]") == nullptr) settings.routes.clear();
  for (route_settings& route : settings.routes) {
    const std::string model = route.targets.empty() ? std::string{} : route.targets.front().model;
    route.targets.assign(1, target_settings{proxy.name, model});
  }
  if (settings.routes.empty()) settings.routes.push_back({"*", failover_mode::automatic, {{proxy.name, {}}}});
  settings.providers.push_back(std::move(proxy));
}

}  // namespace tidegate::app
