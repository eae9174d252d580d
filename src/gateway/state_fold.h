// What the journal's records add up to: balances, reservations still open, provider health, limiter stamps,
// runs without a terminal. Kept by the journal's thread while the gateway runs, rebuilt by it at a start
// (architecture section 3), and then given to the live guards. Also the one place that knows how such records
// are written and read.
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
#include "journal/journal.h"
#include "policy/health.h"
#include "policy/quota.h"
#include "policy/rate_limit.h"
#include "protocol/json/json.h"

namespace tidegate::gateway {

// --- accounts as records name them: "session:<id>", "project:<id>", "key:<id>", with "usd:" before those in
// micro-dollars.
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

  void restore(policy::ledger& ledger) const;
  void restore(policy::rate_limiter& limits, foundation::instant now, foundation::wall_time wall) const;
  std::vector<policy::provider_snapshot> health() const;

 private:
  using value = protocol::json::value;
  void on_reserved(value record);
  void on_ended(value record, bool settled);
  void on_leg_started(value record, foundation::wall_time time);
  void on_run_started(value record);
  void on_run_ended(value record);
  void on_health(value record);
  void on_reset(value record);
  void charge(const std::string& account, std::int64_t tokens, std::int64_t micro_usd);
  void stamp(std::string name, foundation::wall_time time);

  // Settled totals by account name; in tokens or micro-dollars as the name says.
  std::unordered_map<std::string, std::int64_t> settled_;
  std::map<std::string, open_run, std::less<>> open_;
  std::map<std::string, policy::provider_snapshot, std::less<>> health_;
  // Newest last, none older than the window at the time of the last record of that name.
  std::unordered_map<std::string, std::deque<foundation::wall_time>> stamps_;
};

}  // namespace tidegate::gateway
