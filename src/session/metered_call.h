// One question to a model on behalf of the session surface itself (JDG-3): a run through the gateway like any
// other, without a queue, a skill or a chat.
#pragma once

#include "session/execution.h"
#include "session/judge.h"

namespace tidegate::session {

// Who asks. What it refers to outlives the question.
struct asker {
  const policy::principal& who;
  const std::string& trace_id;
  gateway::loop_services& services;
};

// The text, or the run's failure.
runtime::task<std::expected<std::string, foundation::failure>> ask_model(run_world& world,
                                                                         model_question question, asker by,
                                                                         runtime::cancel_source& cancel);

class metered_calls final : public model_call {
 public:
  explicit metered_calls(run_world& world) : world_{world} {}
  runtime::task<std::expected<std::string, foundation::failure>> ask(model_question question,
                                                                     request_context& context,
                                                                     runtime::cancel_source& cancel) override;

 private:
  run_world& world_;
};

}  // namespace tidegate::session
