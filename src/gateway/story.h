// What a session run adds to the story of an exchange (SCH, STR, CHAT, COST-2): asked at the points named
// here, in order, in the loop's thread. A /v1 call has none.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "foundation/error.h"
#include "policy/failover.h"
#include "protocol/dialect/dialect.h"
#include "runtime/async/task.h"
#include "storage/trace_store.h"

namespace tidegate::gateway {

// What one leg came to, once it has been settled or released.
struct leg_account {
  std::string_view provider;
  std::string_view model;
  protocol::dialect::usage usage;  // reported, else estimated; zeros for a leg that cost nothing
  bool charged = false;            // false: released
  std::int64_t micro_usd = 0;
  bool priced = false;
  bool stale_price = false;  // the owner's, from a table that is too old (COST-1)
  foundation::duration took{};
};

class story {
 public:
  using failure = foundation::failure;
  virtual ~story() = default;

  // The run's turn: until it may start, or why it may not. Behind resolve and preflight, before the deadline
  // is armed (RES-5).
  virtual runtime::task<std::optional<failure>> take_turn() = 0;
  // The request in the call's dialect, made when the run starts: only then is its history complete.
  virtual runtime::task<std::expected<std::string, failure>> compose() = 0;
  // Before each leg's budgets (COST-2).
  virtual std::optional<failure> may_spend() = 0;
  // The first leg has passed its guards and is on the record; its first byte goes out next.
  virtual void started(std::string_view provider, std::string_view model) = 0;
  virtual void switched(std::string_view from, std::string_view to, policy::switch_reason reason) = 0;

  // A stream begins to be read; attempt 2 is the replay of one that broke (STR-8) and starts the output anew.
  // The encoder is given every canonical event; what it writes is not looked at.
  virtual std::unique_ptr<protocol::dialect::stream_encoder> begin_output(int attempt) = 0;
  virtual void whole_reply(const protocol::dialect::reply& reply) = 0;
  // Why no more output is taken (STR-7); asked after each piece.
  virtual std::optional<failure> objection() = 0;
  virtual void leg_ended(const leg_account& account) = 0;

  // The output is whole: waited out, checked, stored (STR-4, PRM-5, CHAT-4). Fails: the run ends with that.
  virtual runtime::task<std::optional<failure>> accept() = 0;
  // The end could not be recorded: what accept() stored goes again (DEG-2, CHAT-4).
  virtual runtime::task<void> take_back() = 0;
  // The run's trace, to be completed and kept.
  virtual void keep(storage::trace_record trace) = 0;
  // The terminal, once; on the record where that is possible. Null: success.
  virtual runtime::task<void> ended(const failure* why) = 0;
};

}  // namespace tidegate::gateway
