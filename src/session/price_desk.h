// The owner's price table as an admin sets it at run time (cost:pricing:update, COST-1). Kept in the setting
// store under "pricing/table"; it stands in place of the configuration's own table, whole.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "foundation/error.h"
#include "foundation/time.h"
#include "gateway/exchange.h"
#include "gateway/snapshot.h"
#include "observe/log.h"
#include "policy/pricing.h"
#include "protocol/json/json.h"
#include "runtime/async/task.h"
#include "storage/setting_store.h"

namespace tidegate::session {

inline constexpr std::size_t price_model_id_max = 256;
inline constexpr std::size_t price_name_max = 256;

// {"currency":"USD","lastUpdated":date,"prices":{...}} that has passed the channel's schema.
// INVALID_ARGUMENT{fieldName}: a date that is none, a negative price or one over 1,000 USD a token, a blank
// or overlong name, another currency.
std::expected<policy::owner_table, foundation::failure> price_table_of(protocol::json::value table);

// The same shape: the owner's prices, and those of the built-in catalogue for the vendors that the snapshot's
// providers belong to (openai and anthropic where nobody is known) that the owner has not set.
std::string price_table_json(const gateway::snapshot& served, foundation::wall_time now);

// "YYYY-MM-DD", a day that exists.
std::optional<foundation::wall_time> date_of(std::string_view text);

// One instance serves all loops.
class price_desk {
 public:
  price_desk(storage::setting_store& store, observe::logger& log) : store_{store}, log_{log} {}
  // Makes the gateway serve by a new snapshot, whose prices come through `over`, and then calls what it was
  // given, on whatever thread. Called after an update, on the thread of the loop that asked for it, which
  // must not wait. Set before the first update.
  using republisher = std::function<void(std::move_only_function<void()> done)>;
  void on_change(republisher republish) { republish_ = std::move(republish); }

  // At start; waits for the store. What cannot be read is logged and left aside. Error: the store's fault.
  std::expected<void, std::string> load();
  // What a snapshot is to hold: the stored table, where there is one, in place of the configured one.
  std::shared_ptr<const policy::price_book> over(std::shared_ptr<const policy::price_book> configured) const;
  // Stored first, then served. DB_ERROR: nothing has changed; INVALID_ARGUMENT: too long to be stored.
  runtime::task<std::expected<void, foundation::failure>> update(gateway::loop_services& services,
                                                                 policy::owner_table table);

 private:
  storage::setting_store& store_;
  observe::logger& log_;
  republisher republish_;
  // Shared with the store's answers, which may come when this is gone.
  struct book {
    std::mutex mutex;
    std::optional<policy::owner_table> stored;  // guarded by mutex
  };
  const std::shared_ptr<book> book_ = std::make_shared<book>();
};

}  // namespace tidegate::session
