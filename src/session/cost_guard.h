// The cost guards of all client keys (COST-2): their limits, kept in the setting store under "guard/<key
// id>", and the totals of the ledger's guard accounts, which survive crashes like all accounts. One instance
// serves all loops.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "foundation/error.h"
#include "foundation/time.h"
#include "gateway/core.h"
#include "gateway/exchange.h"
#include "observe/log.h"
#include "policy/cost_guard.h"
#include "runtime/async/task.h"
#include "storage/setting_store.h"

namespace tidegate::session {

// `cost:alert`.
struct cost_alert {
  std::string key_id;
  policy::cost_verdict kind = policy::cost_verdict::warning;
  std::int64_t total = 0;      // micro-dollars
  std::int64_t threshold = 0;  // micro-dollars
  foundation::wall_time at;
};
// The payload as JSON.
std::string to_json(const cost_alert& alert);

class cost_guards {
 public:
  // Why a leg may not be made.
  struct stop {
    std::int64_t total = 0;      // micro-dollars
    std::int64_t hard_stop = 0;  // micro-dollars
    // COST_BUDGET_EXCEEDED.
    foundation::failure failure() const;
    // Members `currentCost` and `hardStopLimit` of the record `budget-exceeded`.
    template <class Writer>
    void members(Writer& w) const {
      w.member("currentCost", policy::usd_of(total)).member("hardStopLimit", policy::usd_of(hard_stop));
    }
  };

  // `alerts` is called on the thread that settles, without a lock held; whoever listens takes care of itself.
  cost_guards(gateway::core& core, storage::setting_store& store, observe::logger& log,
              policy::cost_limits defaults, std::function<void(const cost_alert&)> alerts);

  // At start, before anything is served; what cannot be read is logged and falls back to the defaults.
  // Waits for the store. Error: its fault, for an operator.
  std::expected<void, std::string> load();
  // Of keys without limits of their own (session.cost_guard and the two limits).
  void set_defaults(policy::cost_limits defaults);

  policy::cost_limits limits_of(std::string_view key_id) const;
  std::int64_t total_of(std::string_view key_id);
  // Before each leg and tool round.
  std::optional<stop> check(std::string_view key_id);
  // After each settlement that charged the key's guard account `charged`: alerts if need be, logs
  // `cost-recorded`.
  void note(std::string_view key_id, std::int64_t charged, foundation::wall_time at);
  // After a reset of the account.
  void note_reset(std::string_view key_id);
  // Stored first, then in force at once: the total is judged anew. DB_ERROR: nothing has changed.
  runtime::task<std::expected<policy::cost_limits, foundation::failure>> update(
      gateway::loop_services& services, std::string key_id, policy::cost_limits limits);

 private:
  struct judgement {
    std::int64_t total = 0;
    std::optional<cost_alert> alert;
  };
  judgement judge(std::string_view key_id, std::int64_t charged, foundation::wall_time at);

  gateway::core& core_;
  storage::setting_store& store_;
  observe::logger& log_;
  std::function<void(const cost_alert&)> alerts_;
  // Shared with the store's answers, which may come when this is gone.
  struct book {
    std::mutex mutex;
    // Guarded by mutex. One entry a client key: bounded by their number.
    policy::cost_limits defaults;
    std::map<std::string, policy::cost_limits, std::less<>> own;
    std::map<std::string, policy::cost_edge, std::less<>> edges;

    const policy::cost_limits& limits_of(std::string_view key_id) const;  // under the lock
  };
  const std::shared_ptr<book> book_ = std::make_shared<book>();
};

}  // namespace tidegate::session
