// The scripted provider as an HTTP handler: reads a call, records it, decides what it does, plays the reply.
// Endpoints: interface section 8; `/_mock/behavior`, `/_mock/requests` and `/_mock/state` steer and show it.
#pragma once

#include <string>
#include <string_view>

#include "mock/player.h"
#include "mock/state.h"
#include "runtime/server/server.h"

namespace tidegate::mock {

class mock_handler final : public runtime::request_handler {
 public:
  explicit mock_handler(mock_state& state) : state_{state} {}

  task<void> handle(runtime::downstream& exchange) override;
  std::string refusal_body(const runtime::http_refusal& why, std::string_view target,
                           std::string& headers) override;

 private:
  struct call;
  task<void> control(runtime::downstream& exchange);
  task<void> serve(runtime::downstream& exchange);
  task<outcome> perform(runtime::downstream& exchange, call& c);
  task<outcome> answer_call(player& plays, call& c);
  task<outcome> generate(player& plays, call& c);
  task<outcome> refuse(player& plays, call& c, vendor_error error);
  std::string apply_script(std::string_view body, int& status, bool& refusing);
  void choose(call& c);

  mock_state& state_;
};

}  // namespace tidegate::mock
