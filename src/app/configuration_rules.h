// What must hold between settings: references, uniqueness, pairs of limits; and what follows from them, such
// as the vendors' URLs and the routes of a configuration that names none.
#pragma once

#include "app/configuration.h"
#include "app/configuration_reader.h"

namespace tidegate::app {

// Fills what follows from a provider's kind and the timeouts.
void complete_provider(provider_settings& provider, draft& out);

// Where no provider is configured, those that the environment names; with TIDEGATE_AI_PROXY_ENABLED the proxy
// in place of all targets (RES-2). The former goes before apply_rules, the latter behind them.
void add_environment_providers(const environment& env, draft& out);
void apply_proxy(const environment& env, draft& out);

// `before_environment`: the settings as the file alone made them, to tell whose fault a conflict is.
void apply_rules(const configuration& before_environment, draft& out);

}  // namespace tidegate::app
