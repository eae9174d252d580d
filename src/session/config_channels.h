// ai:config:get, ai:config:update, ai:config:test (CFG-5 to CFG-7).
#pragma once

#include <vector>

#include "gateway/core.h"
#include "session/channels.h"
#include "session/provider_settings.h"

namespace tidegate::session {

class config_channels {
 public:
  // Both must outlive it.
  config_channels(gateway::core& shared, provider_desk& desk) : core_{shared}, desk_{desk} {}
  std::vector<binding> bindings();

 private:
  runtime::task<channel_reply> get(json::value request, request_context& context);
  runtime::task<channel_reply> update(json::value request, request_context& context);
  runtime::task<channel_reply> test(json::value request, request_context& context);
  std::string views(request_context& context);

  gateway::core& core_;
  provider_desk& desk_;
};

}  // namespace tidegate::session
