#include "gateway/budget_reset.h"

#include <algorithm>
#include <utility>

#include "gateway/state_fold.h"
#include "protocol/json/json.h"

namespace tidegate::gateway {

namespace json = protocol::json;
using foundation::error_code;
using foundation::failure;
using policy::account_scope;
using policy::account_unit;

namespace {

constexpr std::size_t scan_max = 100'000;
constexpr std::size_t record_bytes = std::size_t{64} << 10;

bool counts(account_scope scope, account_unit unit) {
  switch (scope) {
    case account_scope::session:
    case account_scope::project:
      return unit == account_unit::tokens;
    case account_scope::guard:
      return unit == account_unit::micro_usd;
    case account_scope::key:
      break;
  }
  return true;
}

}  // namespace

std::string key_account(core& shared, std::string_view key_id, foundation::wall_time now) {
  const auto keys = shared.callers().keys();
  std::string name = caller{}.policy;
  for (const policy::key_entry& e : keys->entries()) {
    if (e.who.id == key_id) name = e.who.policy;
  }
  const auto served = shared.current();
  return std::string{key_id} + policy::period_suffix(served->policy_named(name).period, now);
}

runtime::task<std::expected<reset_totals, failure>> reset_budget(core& shared, loop_services& services,
                                                                 budget_reset what) {
  if (what.id.empty() || what.id.size() > account_id_max) {
    failure f;
    f.code = error_code::invalid_argument;
    f.message = "an account's id has 1 to " + std::to_string(account_id_max) + " bytes";
    f.param = "id";
    co_return std::unexpected{std::move(f)};
  }
  if (services.records.stopped()) co_return std::unexpected{journal_failure()};
  const std::string id = what.scope == account_scope::key ? key_account(shared, what.id, services.loop.wall())
                                                          : std::move(what.id);
  const auto on_each = [&](auto&& act) {
    for (const account_unit unit : {account_unit::tokens, account_unit::micro_usd}) {
      if (counts(what.scope, unit)) act(unit);
    }
  };
  reset_totals before;
  const auto total = [&](account_unit unit) -> std::int64_t& {
    return unit == account_unit::tokens ? before.tokens : before.micro_usd;
  };
  shared.ledger().with([&](policy::ledger& ledger) {
    on_each([&](account_unit unit) { total(unit) = ledger.reset(what.scope, unit, id); });
  });
  on_each([&](account_unit unit) {
    services.records.event(
        shared.log(), observe::level::info, "budget_reset", stage::end, [&](json::writer& w) {
          w.member("traceId", what.trace_id).member("account", to_text({what.scope, unit, id}));
          w.member("previousTotal", total(unit)).member("by", what.by);
        });
  });
  if (co_await services.records.durable(stage::end)) co_return before;
  // Not on the record, so a restart would bring it back: better now than then.
  shared.ledger().with([&](policy::ledger& ledger) {
    on_each([&](account_unit unit) { ledger.charge(what.scope, unit, id, total(unit)); });
  });
  co_return std::unexpected{journal_failure()};
}

std::size_t drop_stale_accounts(core& shared, foundation::wall_time now, const policy::stale_rule& rule,
                                const std::function<void(std::string_view record)>& note) {
  if (!shared.recording()) return 0;
  const std::vector<policy::dropped_account> dropped =
      shared.ledger().with([&](policy::ledger& ledger) { return ledger.drop_stale(now, rule, scan_max); });
  std::string text;
  for (std::size_t at = 0; at < dropped.size();) {
    text.clear();
    json::writer w{text};
    w.begin_object().member("event", "budget_accounts_dropped").key("accounts").begin_object();
    for (; at < dropped.size() && text.size() < record_bytes; ++at) {
      const policy::dropped_account& d = dropped[at];
      w.member(to_text({d.scope, d.unit, d.id}), d.settled);
    }
    w.end_object().end_object();
    note(text);
  }
  return dropped.size();
}

}  // namespace tidegate::gateway
