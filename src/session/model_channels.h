// ai:models:list (RTE-2).
#pragma once

#include <vector>

#include "gateway/core.h"
#include "session/channels.h"

namespace tidegate::session {

class model_channels {
 public:
  explicit model_channels(gateway::core& shared) : core_{shared} {}
  std::vector<binding> bindings();

 private:
  runtime::task<channel_reply> list(json::value request, request_context& context);

  gateway::core& core_;
};

}  // namespace tidegate::session
