// judge:model:getstate, judge:model:ensure, judge:quality:evaluate (JDG-2 to JDG-5).
#pragma once

#include <vector>

#include "session/channels.h"
#include "session/judge.h"

namespace tidegate::session {

class judge_channels {
 public:
  // Must outlive it.
  judge_channels(gateway::core& shared, judge& of) : core_{shared}, judge_{of} {}
  std::vector<binding> bindings();

 private:
  runtime::task<channel_reply> getstate(json::value request, request_context& context);
  runtime::task<channel_reply> ensure(json::value request, request_context& context);
  runtime::task<channel_reply> evaluate(json::value request, request_context& context);

  gateway::core& core_;
  judge& judge_;
};

}  // namespace tidegate::session
