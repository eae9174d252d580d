// What of a configuration and its environment bears on keys and secrets.
#include <algorithm>
#include <utility>

#include "app/keyring.h"
#include "app/keyring_inside.h"
#include "foundation/text.h"
#include "policy/routing.h"

namespace tidegate::app {

using keyring_inside::configured_prefix;
using storage::client_key;

namespace {

bool is_vendors_own(const provider_settings& provider) {
  const auto url = policy::parse_base_url(provider.base_url);
  if (!url) return false;
  return (provider.kind == provider_kind::openai && url->host == "api.openai.com") ||
         (provider.kind == provider_kind::anthropic && url->host == "api.anthropic.com");
}

}  // namespace

keyring_rules rules_of(const configuration& settings) {
  keyring_rules rules;
  for (const key_settings& from : settings.keys) {
    const auto mac = storage::parse_mac(from.hash);
    if (!mac) continue;  // the loader has refused it
    client_key key;
    key.id = std::string{configured_prefix} + from.name;
    key.name = from.name;
    key.mac = *mac;
    key.policy = from.policy;
    key.role = from.role == key_role::admin ? "admin" : "client";
    key.projects = from.projects;
    key.channels = from.channels;
    key.enabled = from.enabled;
    rules.configured.push_back(std::move(key));
  }
  rules.policies.clear();
  for (const auto& [name, unused] : settings.policies) rules.policies.push_back(name);
  for (const provider_settings& provider : settings.providers) {
    std::vector<std::string> names{provider.name};
    if (provider.api_key.source == credential_source::secret) names.push_back(provider.api_key.name);
    for (std::string& name : names) {
      std::erase(rules.vendor_secrets, name);
      if (is_vendors_own(provider)) rules.vendor_secrets.push_back(std::move(name));
    }
  }
  return rules;
}

storage::master_key_source master_key_source_of(const configuration& settings, const environment& env) {
  storage::master_key_source source;
  const auto named = env.find("TIDEGATE_MASTER_KEY");
  if (named != env.end() && !foundation::trim(named->second).empty()) source.environment = named->second;
  source.file = settings.storage.master_key_file.empty() ? settings.storage.dir + "/master.key"
                                                         : settings.storage.master_key_file;
  return source;
}

}  // namespace tidegate::app
