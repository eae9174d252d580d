// Accounts that end other than by settlement: a reset that somebody asked for (BUD-8), and accounts that
// nobody will ask for again. Both go on the record as the amount that was taken back, so that they and
// settlements beside them add up to the same in whatever order the journal holds them.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/error.h"
#include "gateway/exchange.h"
#include "policy/quota.h"

namespace tidegate::gateway {

struct budget_reset {
  policy::account_scope scope = policy::account_scope::session;
  // As the ledger names the account: "<client key id>/<session>", a project's id, a client key's id (its
  // present period is found here), a client key's id for its guard.
  std::string id;
  std::string trace_id;
  std::string by;  // who asked for it: a client key's id
};

inline constexpr std::size_t account_id_max = 1024;  // bytes

// What stood there as settled. Sessions and projects have tokens only, guards micro-dollars only.
struct reset_totals {
  std::int64_t tokens = 0;
  std::int64_t micro_usd = 0;
};

// Settled totals become 0 at once; what is reserved stays, and is charged to the new total when it settles.
// Comes back when that is as durable as a run's end; as DB_ERROR, with the totals as they were, where it
// cannot be recorded. INVALID_ARGUMENT: an id that is empty or too long. `what` is used up.
runtime::task<std::expected<reset_totals, foundation::failure>> reset_budget(core& shared,
                                                                             loop_services& services,
                                                                             budget_reset what);

// The account of a client key in its budget's present period.
std::string key_account(core& shared, std::string_view key_id, foundation::wall_time now);

// Drops what is stale from the ledger, a part of it a call, and hands out the records that say so, each well
// below what one may hold. For the housekeeping, every minute or so; nothing is dropped once the journal has
// stopped. Returns how many accounts went.
std::size_t drop_stale_accounts(core& shared, foundation::wall_time now, const policy::stale_rule& rule,
                                const std::function<void(std::string_view record)>& note);

}  // namespace tidegate::gateway
