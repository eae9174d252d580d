// What the journal's records add up to: balances, reservations still open, provider health, limiter stamps,
// runs without a terminal, rows of usage that the store may not have. Kept by the journal's thread while the
// gateway runs, rebuilt by it at a start (architecture section 3), and then given to the live guards. Also
// the one place that knows how such records are written and read.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "foundation/time.h"
#include "gateway/usage_record.h"
#include "journal/journal.h"
#include "policy/health.h"
#include "policy/quota.h"
#include "policy/rate_limit.h"
#include "protocol/json/json.h"

namespace tidegate::gateway {

// --- accounts as records name them: "session:<id>", "project:<id>", "key:<id>", "guard:<id>", with "usd:"
// before those in micro-dollars.
struct account_name {
  policy::account_scope scope = policy::account_scope::session;
  policy::account_unit unit = policy::account_unit::tokens;
  std::string_view id;
};
std::string to_text(const account_name& account);
std::optional<account_name> parse_account(std::string_view text);

// The members of a `provider_health` record.
void write_health(protocol::json::writer& w, const policy::provider_snapshot& state);

class state_fold final : public journal::fold {
 public:
  void apply(const journal::record_view& record) noexcept override;
  std::string save() const override;
  bool load(std::string_view saved) override;
  void clear() override;

  // A reservation whose leg had not ended when the process did (BUD-6).
  struct open_reservation {
    std::uint32_t leg = 0;
    std::vector<std::string> accounts;
    std::int64_t tokens = 0;
    std::int64_t micro_usd = 0;
    bool dispatched = false;
  };
  struct open_run {
    std::string trace_id;
    bool started = false;
    std::vector<open_reservation> reservations;
  };
  const std::map<std::string, open_run, std::less<>>& open_runs() const noexcept { return open_; }

  // As it stands once what a crash left open is ended (restart_records.h): what was dispatched is settled in
  // full, and nothing is below zero.
  void restore(policy::ledger& ledger) const;
  // Accounts that would then be below zero, and by how much: a reset is on the record, and what it took back
  // is not.
  std::vector<std::pair<std::string, std::int64_t>> overdrawn() const;
  void restore(policy::rate_limiter& limits, foundation::instant now, foundation::wall_time wall) const;
  std::vector<policy::provider_snapshot> health() const;
  // Rows of usage that the store may not have (COST-3).
  std::vector<usage_entry> usage() const { return usage_.entries(); }

 private:
  using value = protocol::json::value;
  // Of the events of every call; the others are rare.
  class fields;
  void on_reserved(const fields& record);
  void on_ended(const fields& record, bool settled);
  void on_leg_started(const fields& record, foundation::wall_time time);
  void on_run_started(const fields& record);
  void on_run_ended(const fields& record);
  void on_health(value record);
  void on_reset(value record);
  void on_dropped(value record);
  void charge(const std::string& account, std::int64_t tokens, std::int64_t micro_usd);
  void add(const std::string& account, std::int64_t amount);
  void take_back(const std::string& account, std::int64_t amount);
  void load_totals(value amounts, value hours);
  void stamp(std::string name, foundation::wall_time time);

  // In tokens or micro-dollars as the account's name says. Below zero while what a reset took back is still
  // on its way into the journal.
  struct account_total {
    std::int64_t amount = 0;
    std::uint32_t hour = 0;  // since 1970, of the last charge; 0: in a state that did not say
  };
  using totals = std::unordered_map<std::string, account_total>;
  totals after_restart() const;

  totals settled_;
  std::uint32_t hour_ = 0;  // of the newest record
  std::map<std::string, open_run, std::less<>> open_;
  std::map<std::string, policy::provider_snapshot, std::less<>> health_;
  unconfirmed_usage usage_;
  // Newest last, none older than the window at the time of the last record of that name.
  std::unordered_map<std::string, std::deque<foundation::wall_time>> stamps_;
};

}  // namespace tidegate::gateway
