// The live guards that all exchanges of one process share: budgets and rate limits, each a pure type behind
// one short lock, and what the owner's configuration says of them.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

#include "policy/quota.h"
#include "policy/rate_limit.h"

namespace tidegate::gateway {

// A pure type behind its lock. `with` runs a decision; nothing in it may wait.
template <class Pure>
class guarded {
 public:
  guarded() = default;
  explicit guarded(Pure initial) : pure_{std::move(initial)} {}
  template <class Decision>
  auto with(Decision&& decide) {
    const std::lock_guard lock{mutex_};
    return std::forward<Decision>(decide)(pure_);
  }

 private:
  std::mutex mutex_;
  Pure pure_;  // guarded by mutex_
};

// Limits of the client keys that belong to it; 0 = none wherever a number limits.
struct caller_policy {
  std::string name = "default";
  std::uint32_t requests_per_minute = 60;
  bool reserve_failover_unit = true;
  std::int64_t max_output_tokens = 4096;
  bool clamp = false;  // over the cap: else a refusal (BUD-4)
  std::int64_t default_max_tokens = 1024;
  std::int64_t session_token_budget = 200'000;
  std::int64_t key_token_budget = 0;
  std::int64_t key_micro_usd_budget = 0;
  policy::budget_period period = policy::budget_period::none;
};

// Who calls, as the surface found out.
struct caller {
  std::string key = "local";  // what limits, budgets and records name
  std::string policy = "default";
  std::string session;  // x-tidegate-session; empty: none
  std::string project;  // x-tidegate-project; empty: none
  // Of a session run: the key it queues under (SCH-1), and the id of the session's budget account. Empty:
  // made of `key` and `session`.
  std::string session_key;
  std::string session_account;
};

}  // namespace tidegate::gateway
