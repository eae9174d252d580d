// ai:skill:run and ai:skill:cancel.
#pragma once

#include <vector>

#include "session/channels.h"
#include "session/execution.h"

namespace tidegate::session {

class run_channels {
 public:
  explicit run_channels(run_world& world) : world_{world} {}
  std::vector<binding> bindings();

 private:
  runtime::task<channel_reply> run(json::value request, request_context& context);
  runtime::task<channel_reply> cancel(json::value request, request_context& context);
  // On the request's own connection, done last (STR-2).
  runtime::task<channel_reply> stream(std::shared_ptr<execution> made, request_context& context);
  // Until it has ended; the caller's leaving cancels it.
  runtime::task<channel_reply> wait(std::shared_ptr<execution> made, request_context& context);

  run_world& world_;
};

}  // namespace tidegate::session
