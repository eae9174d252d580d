// Any text is a configuration or a list of errors with a place; what loads keeps the promises others rely on.
#include <cstddef>
#include <cstdint>
#include <string>

#include "app/configuration.h"
#include "foundation/check.h"

namespace {

using namespace tidegate::app;

void check_loaded(const configuration& settings) {
  TG_CHECK(settings.policies.contains("default"));
  for (const auto& [name, policy] : settings.policies) {
    TG_CHECK(policy.default_max_tokens >= 1);
    TG_CHECK(policy.max_output_tokens == 0 || policy.default_max_tokens <= policy.max_output_tokens);
  }
  TG_CHECK(settings.session.cost_hard_stop_usd >= settings.session.cost_warning_usd);
  for (const provider_settings& provider : settings.providers) {
    TG_CHECK(!provider.name.empty() && provider.first_byte &&
             provider.tokens_field != max_tokens_field::by_kind);
  }
  for (const route_settings& route : settings.routes) {
    TG_CHECK(!route.targets.empty());
    for (std::size_t i = 1; i < route.targets.size(); ++i) TG_CHECK(!route.targets[i].model.empty());
  }
}

}  // namespace

// The text up to a NUL is the file; what follows is the value of a few variables.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string input(data, data + size);
  const std::size_t end = input.find('\0');
  configuration_source source;
  source.text = input.substr(0, end);
  if (end != std::string::npos) {
    const std::string value = input.substr(end + 1);
    for (const char* name :
         {"TIDEGATE_RETRY_BACKOFF", "TIDEGATE_SERVER_LISTEN", "TIDEGATE_SERVER_ALLOWED_ORIGINS",
          "TIDEGATE_SESSION_TEMPERATURE", "TIDEGATE_SESSION_COST_WARNING_USD",
          "TIDEGATE_POLICY_DEFAULT_MAX_OUTPUT_TOKENS", "TIDEGATE_JOURNAL_RETENTION", "TIDEGATE_AI_BASE_URL",
          "TIDEGATE_AI_PROXY_ENABLED"}) {
      source.env[name] = value;
    }
  }
  const auto loaded = load(source);
  if (loaded) {
    check_loaded(loaded->settings);
  } else {
    TG_CHECK(!loaded.error().empty() && loaded.error().size() <= config_errors_max);
    for (const config_error& error : loaded.error()) TG_CHECK(!to_text(error).empty());
  }
  return 0;
}
