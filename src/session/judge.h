// The judge (JDG-1 to JDG-5): rules first, then one metered question to a model; the state of that model. One
// instance a process, for all loops.
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/core.h"
#include "policy/judge_rules.h"
#include "session/channels.h"
#include "session/push_hub.h"

namespace tidegate::session {

struct model_question {
  std::string model;
  std::string system;  // "" for none
  std::string user;
  double temperature = 0.1;
  std::int64_t max_tokens = 256;
  foundation::duration timeout{};
  std::string skill;    // what the call is accounted under: "judge"
  std::string project;  // "" for none
};

// One run through the gateway, with its breaker, budgets, limits and journal like any other, for the caller
// of `context`.
class model_call {
 public:
  virtual ~model_call() = default;
  // The text, or the run's failure; SKILL_TIMEOUT once the question's time is over. `cancel` ends it early;
  // so does nothing else.
  virtual runtime::task<std::expected<std::string, foundation::failure>> ask(
      model_question question, request_context& context, runtime::cancel_source& cancel) = 0;
};

enum class judge_status : std::uint8_t { not_ready, downloading, ready, error };
std::string_view name_of(judge_status status);

struct judge_state {
  judge_status status = judge_status::not_ready;
  std::optional<foundation::failure> why;  // of status error
};

struct evaluation_request {
  std::string project;
  std::string trace_id;
  std::string text;
  std::string context_summary;
};

class judge {
 public:
  // False, or an exception: the push was refused.
  using publisher = std::function<bool(push)>;

  // All must outlive it.
  judge(gateway::core& shared, model_call& models, publisher publish)
      : core_{shared}, models_{models}, publish_{std::move(publish)} {}

  judge_state state() const;
  // Asks the model whether it answers; while one such question is open, all who ensure share its answer, each
  // for its own time: the question goes on without whoever has waited long enough. Fails with TIMEOUT, or as
  // the run did.
  runtime::task<std::expected<judge_state, foundation::failure>> ensure(
      std::optional<foundation::duration> limit, request_context& context);
  // The payload of judge:quality:result, pushed once before it is returned. INTERNAL_ERROR: it could not be.
  runtime::task<channel_reply> evaluate(evaluation_request wanted, request_context& context);

 private:
  using waiter = std::move_only_function<void(std::expected<judge_state, foundation::failure>)>;

  runtime::task<std::expected<judge_state, foundation::failure>> attempt(foundation::duration limit,
                                                                         request_context& context);
  void settle(const judge_state& reached);
  runtime::task<std::optional<std::vector<policy::judge_finding>>> advanced(const evaluation_request& wanted,
                                                                            request_context& context);
  bool push_result(const evaluation_request& wanted, const std::string& payload, request_context& context);

  gateway::core& core_;
  model_call& models_;
  const publisher publish_;
  std::atomic<std::uint64_t> pushed_{0};
  mutable std::mutex mutex_;
  judge_state state_;            // guarded by mutex_
  std::vector<waiter> waiting_;  // guarded by mutex_; for the open attempt
};

}  // namespace tidegate::session
