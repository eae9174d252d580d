// Budgets as a ledger of accounts and reservations (BUD-1, BUD-2, BUD-5, BUD-8). Integers only: LLM tokens
// and micro-dollars.
//
// Not thread safe; the owner locks, so that a reserve over all accounts concerned is one atomic step. Limits
// are no part of the ledger: they come with each demand, so a reload holds from the next leg on.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "foundation/time.h"
#include "policy/keyed_hash.h"

namespace tidegate::policy {

// guard: what a client key's session runs have cost (COST-2). The ledger only counts it; the cost guard
// judges.
enum class account_scope : std::uint8_t { session, project, key, guard };
enum class account_unit : std::uint8_t { tokens, micro_usd };
// "session", "project", "key", "guard".
std::string_view name_of(account_scope scope);

// limit 0: none, counted and never refused for its amount. A negative amount or limit counts as 0.
struct demand {
  account_scope scope = account_scope::session;
  account_unit unit = account_unit::tokens;
  std::string_view id;
  std::int64_t limit = 0;
  std::int64_t amount = 0;
};

// Why a demand was refused. full: the table holds its most accounts and this would be a new one; `limit` is
// then that number of accounts.
struct quota_refusal {
  account_scope scope = account_scope::session;
  account_unit unit = account_unit::tokens;
  std::int64_t limit = 0;
  std::int64_t current_total = 0;  // settled + reserved
  std::int64_t projected = 0;
  bool full = false;
};

// Amounts held for one leg. Move-only; it must be settled or released before it dies, exactly once.
class reservation {
 public:
  static constexpr std::size_t holds_max = 8;

  reservation() = default;
  reservation(reservation&& other) noexcept;
  reservation& operator=(reservation&& other) noexcept;
  reservation(const reservation&) = delete;
  reservation& operator=(const reservation&) = delete;
  ~reservation();

  bool empty() const { return count_ == 0; }

 private:
  friend class ledger;
  struct hold {
    std::int64_t amount;
    std::uint32_t account;
  };

  std::array<hold, holds_max> holds_;
  std::size_t count_ = 0;
};

struct balance {
  std::int64_t settled = 0;
  std::int64_t reserved = 0;
};

// One account that a reservation holds an amount of.
struct held_amount {
  account_scope scope;
  account_unit unit;
  std::string_view id;
  std::int64_t amount;
};

// Ages of accounts that leave the ledger; nothing: they stay.
struct stale_rule {
  std::optional<foundation::milliseconds> session_idle;
  std::optional<foundation::milliseconds> project_idle;
};

struct dropped_account {
  account_scope scope{};
  account_unit unit{};
  std::string id;
  std::int64_t settled = 0;
};

struct ledger_settings {
  // Of sessions and projects, whose names come from callers; accounts of keys and their guards always open.
  std::size_t accounts_max = 500'000;
  std::uint64_t hash_seed = 0;  // foundation::system_seed() in a service
};

class ledger {
 public:
  static constexpr std::size_t demands_max = reservation::holds_max;

  // overrun: some account was charged more than was reserved on it, a defect of the estimator (BUD-5).
  struct settled {
    bool overrun = false;
  };

  explicit ledger(ledger_settings settings = {});
  ledger(ledger&&) = default;
  ledger& operator=(ledger&&) = default;
  ledger(const ledger&) = delete;
  ledger& operator=(const ledger&) = delete;
  ~ledger() = default;

  // All or nothing: refused when on any account settled + reserved + amount > limit; equality passes. The
  // same account may be named twice. At most demands_max demands. Sums saturate, they never wrap.
  std::expected<reservation, quota_refusal> reserve(std::span<const demand> demands);
  // Charges every token account `tokens` and every dollar account `micro_usd` (negatives count as 0), which
  // may be more than was reserved, and gives the rest back. Leaves `held` empty.
  settled settle(reservation& held, std::int64_t tokens, std::int64_t micro_usd);
  // Gives all back, charges nothing. Leaves `held` empty.
  void release(reservation& held);
  // What `held` holds, for its journal record. The views last until the next change of the ledger.
  std::vector<held_amount> holds_of(const reservation& held) const;
  // The most that `held` holds on any account of this unit; 0 when on none.
  std::int64_t held_on(const reservation& held, account_unit unit) const;

  // An account that was never charged stands at zero.
  balance of(account_scope scope, account_unit unit, std::string_view id) const;
  // Settled becomes 0, reservations stay (BUD-8). Returns the previous settled total.
  std::int64_t reset(account_scope scope, account_unit unit, std::string_view id);

  // Adds to settled without a reservation: replay of a record. False when the table is full.
  bool charge(account_scope scope, account_unit unit, std::string_view id, std::int64_t amount);
  // Sets settled from a snapshot. `used`: when the account was last charged; the epoch: as if just now. False
  // when the table is full.
  bool restore(account_scope scope, account_unit unit, std::string_view id, std::int64_t settled_total,
               foundation::wall_time used = {});
  // Every account, in no particular order. The ledger must not change meanwhile.
  void each(
      const std::function<void(account_scope, account_unit, std::string_view id, balance)>& visit) const;
  // Accounts that exist: those with something settled or reserved.
  std::size_t accounts() const { return accounts_.size() - free_.size(); }
  // Reservations that are neither settled nor released.
  std::size_t reservations() const { return open_reservations_; }

  // What the hour is, for the age of accounts; told now and then, never less than it was.
  void tell_time(foundation::wall_time now);
  // Forgets accounts that nobody will ask for again, and says which, so that they leave the record as well:
  // those of key periods (see period_suffix) that ended before `now`, and those of sessions, or of projects,
  // that were last used longer ago than the rule says, to the hour. What is reserved on stays. An id that
  // merely ends like a period is taken for one. Looks at `scan_max` accounts a call, and goes on where the
  // last call ended.
  std::vector<dropped_account> drop_stale(foundation::wall_time now, const stale_rule& rule,
                                          std::size_t scan_max);

 private:
  using index = std::uint32_t;
  using names = std::unordered_map<std::string, index, keyed_hash, std::equal_to<>>;
  struct account {
    const std::string* id = nullptr;  // the key of its entry in books_
    balance standing;
    std::uint32_t holders = 0;  // reservations that name it
    account_scope scope{};
    account_unit unit{};
    std::uint32_t hour = 0;  // since 1970, when it was last reserved on or charged
  };

  bool is_stale(const account& which, const stale_rule& rule, std::string_view today) const;
  names& book(account_scope scope, account_unit unit);
  const names& book(account_scope scope, account_unit unit) const;
  const account* look_up(account_scope scope, account_unit unit, std::string_view id) const;
  // The account, made if need be; nothing when the table is full.
  account* open(account_scope scope, account_unit unit, std::string_view id);
  // An account that stands at zero and that nobody holds is not kept: it would be made anew just so.
  void close_if_blank(account& which);
  void close(account& which);
  void drop_holds(reservation& held);
  index index_of(const account& which) const;

  ledger_settings settings_;
  std::array<names, 8> books_;  // scope x unit
  std::vector<account> accounts_;
  std::vector<index> free_;
  std::size_t open_reservations_ = 0;
  std::uint32_t hour_ = 0;     // of the last tell_time
  std::size_t scan_from_ = 0;  // where drop_stale goes on
};

// The period after which a key's budget begins anew; UTC.
enum class budget_period : std::uint8_t { none, day, month };

// What is appended to a key's account id, so that another period is another account: "", "@2026-11-23" or
// "@2026-11".
std::string period_suffix(budget_period period, foundation::wall_time now);

}  // namespace tidegate::policy
