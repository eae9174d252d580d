#include "gateway/restart_records.h"

#include <utility>

#include "foundation/error.h"
#include "protocol/json/json.h"

namespace tidegate::gateway {

namespace json = protocol::json;

namespace {

template <class Members>
void add(std::vector<restart_record>& to, std::string_view event, Members&& members) {
  restart_record made{std::string{event}, {}};
  json::writer w{made.payload};
  w.begin_object().member("event", event);
  members(w);
  w.member("reason", "gateway_restarted").end_object();
  to.push_back(std::move(made));
}

}  // namespace

std::vector<restart_record> restart_records(const state_fold& sums) {
  std::vector<restart_record> all;
  for (const auto& [run_id, run] : sums.open_runs()) {
    for (const state_fold::open_reservation& r : run.reservations) {
      add(all, r.dispatched ? "ai_budget_settled" : "ai_budget_released", [&](json::writer& w) {
        w.member("traceId", run.trace_id).member("runId", run_id);
        w.member("leg", static_cast<std::int64_t>(r.leg)).key("accounts").begin_array();
        for (const std::string& name : r.accounts) w.string(name);
        w.end_array().member("tokens", r.tokens).member("microUsd", r.micro_usd);
      });
    }
    if (!run.started) continue;
    add(all, "ai_run_failed", [&](json::writer& w) {
      w.member("runId", run_id).member("executionId", run_id).member("traceId", run.trace_id);
      w.member("code", foundation::name_of(foundation::error_code::internal));
    });
  }
  for (const auto& [account, below] : sums.overdrawn()) {
    add(all, "budget_reset",
        [&](json::writer& w) { w.member("account", account).member("previousTotal", below); });
  }
  return all;
}

}  // namespace tidegate::gateway
