// What an admin changes of a provider at run time (CFG-5 to CFG-7). A stored override lies over the
// configuration: what it names holds whatever the file says. Pure but for the port to who keeps it.
#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "foundation/error.h"
#include "gateway/core.h"
#include "policy/routing.h"

namespace tidegate::session {

// In the setting store under "provider/<name>", as {"enabled":…,"baseUrl":…,"ownKey":true}.
inline constexpr std::string_view override_prefix = "provider/";

struct provider_override {
  std::optional<bool> enabled;
  std::optional<std::string> base_url;  // normalised; "": none, whatever the file says
  // The credential is what is sealed under the provider's name, and nothing else.
  bool own_key = false;
  bool operator==(const provider_override&) const = default;
};

std::string to_json(const provider_override& stored);
// Nothing where it is none of ours (ai_proxy_settings_parse_failed).
std::optional<provider_override> parse_override(std::string_view json);

// A provider as the configuration has it.
struct provider_base {
  policy::provider_kind kind = policy::provider_kind::openai;
  bool enabled = true;
  std::string base_url;  // "" for none
};

// What is not named stays.
struct provider_patch {
  std::string provider;
  std::optional<bool> enabled;
  std::optional<std::string> base_url;
  std::optional<std::string> api_key;
};

struct provider_plan {
  provider_override next;
  // What to seal under the provider's name, "" to forget what is sealed there; nothing: it stays.
  std::optional<std::string> api_key;
  // It does not look like a key of the vendors, at a place that is no known vendor's (CFG-5).
  bool unusual_key = false;
};

// INVALID_ARGUMENT{fieldName}: a patch of nothing, a URL or a key that cannot be, enabled without a URL.
std::expected<provider_plan, foundation::failure> plan_update(const provider_base& base,
                                                              const provider_override& stored,
                                                              const provider_patch& patch);

inline constexpr std::size_t provider_key_max = 64UL * 1024;

// Where overrides are kept: app's business, for it also builds what the gateway serves. Any thread.
class provider_desk {
 public:
  struct outcome {
    bool unusual_key = false;  // see provider_plan
  };
  using answer = std::move_only_function<void(std::expected<outcome, foundation::failure>)>;

  virtual ~provider_desk() = default;
  // Plans the patch on what is stored, and makes override and credential durable together, one update after
  // the other. Before the answer comes the gateway serves by it. INVALID_ARGUMENT{fieldName}: see
  // plan_update, or an unknown provider. UNSUPPORTED: no master key. DB_ERROR: nothing has changed.
  virtual void update(provider_patch patch, answer then) = 0;
};

// {"providers":[...]} of ai:config:get.
std::string provider_views(gateway::core& shared, foundation::instant now, foundation::wall_time wall);

}  // namespace tidegate::session
