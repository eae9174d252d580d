#include "observe/metrics.h"

namespace tidegate::observe {

namespace {

using namespace std::chrono_literals;
using durations = std::vector<foundation::duration>;

constexpr std::string_view other = "other";

// The gateway's own share is tens of microseconds when all is well.
durations overhead_bounds() {
  return {10us, 20us, 30us, 50us, 75us, 100us, 200us, 500us, 1ms,
          2ms,  5ms,  10ms, 25ms, 50ms, 100ms, 250ms, 1s};
}
durations ttft_bounds() {
  return {10ms, 25ms, 50ms, 100ms, 200ms, 300ms, 500ms, 750ms, 1s, 1500ms, 2s, 3s, 5s, 10s, 20s, 30s, 60s};
}
durations sync_bounds() {
  return {50us, 100us, 250us, 500us, 1ms, 2ms, 5ms, 10ms, 20ms, 50ms, 100ms, 250ms, 1s, 5s};
}

// NUL cannot be part of a configured name.
std::string joined(std::string_view a, std::string_view b) {
  std::string key{a};
  key += '\0';
  key += b;
  return key;
}

}  // namespace

provider_metrics::provider_metrics(gateway_metrics& all, std::string_view provider)
    : attempts_{all.attempts_family_, {provider}},
      ttft_{all.ttft_family_.with({provider})},
      breaker_state_{all.breaker_state_family_.with({provider})},
      transitions_{all.transitions_family_, {provider}} {}

gateway_metrics::gateway_metrics()
    : exchanges_family_{registry_.counters("tidegate_exchanges_total", "Exchanges ended, by canonical code.",
                                           {"surface", "route", "code"})},
      attempts_family_{registry_.counters("tidegate_attempts_total", "Provider calls ended, by outcome.",
                                          {"provider", "outcome"})},
      overhead_{registry_
                    .latencies("tidegate_overhead_seconds", "Time an exchange spent inside the gateway.",
                               overhead_bounds())
                    .with({})},
      ttft_family_{registry_.latencies("tidegate_ttft_seconds",
                                       "From sending a request to its first content.", ttft_bounds(),
                                       {"provider"})},
      breaker_state_family_{
          registry_.gauges("tidegate_breaker_state", "0 closed, 1 half-open, 2 open.", {"provider"})},
      transitions_family_{registry_.counters("tidegate_breaker_transitions_total",
                                             "Breaker changes, by new state.", {"provider", "to"})},
      tokens_family_{registry_.counters("tidegate_llm_tokens_total", "Tokens as settled, by kind.",
                                        {"provider", "model", "kind"})},
      cost_{registry_.counters("tidegate_cost_microdollars_total", "Cost as settled.").with({})},
      refusals_{
          registry_.counters("tidegate_refusals_total", "Requests refused by the gateway itself.", {"code"}),
          {}},
      queue_depth_{registry_.gauges("tidegate_queue_depth", "Requests waiting for admission.").with({})},
      journal_records_{registry_.counters("tidegate_journal_records_total", "Records appended.").with({})},
      journal_sync_{
          registry_.latencies("tidegate_journal_sync_seconds", "Time of a journal sync.", sync_bounds())
              .with({})},
      open_streams_{registry_.gauges("tidegate_open_streams", "Streams being relayed.").with({})},
      build_info_family_{
          registry_.gauges("tidegate_build_info", "Always 1; the build is in the labels.", {"version"})} {}

template <typename Handle, typename Make>
Handle& gateway_metrics::handle(table<Handle>& handles, std::string key, Make make) {
  {
    const std::shared_lock lock{mutex_};
    if (const auto found = handles.find(key); found != handles.end()) return *found->second;
  }
  const std::scoped_lock lock{mutex_};
  bool overflow = false;
  if (handles.size() >= label_sets_max && !handles.contains(key)) {
    key = joined(other, other);
    overflow = true;
  }
  std::unique_ptr<Handle>& slot = handles[std::move(key)];
  if (slot == nullptr) slot = make(overflow);
  return *slot;
}

provider_metrics& gateway_metrics::provider(std::string_view name) {
  return handle(providers_, std::string{name}, [&](bool overflow) {
    return std::unique_ptr<provider_metrics>{new provider_metrics{*this, overflow ? other : name}};
  });
}

counter_by& gateway_metrics::exchanges(std::string_view surface, std::string_view route) {
  return handle(exchanges_, joined(surface, route), [&](bool overflow) {
    return overflow ? std::make_unique<counter_by>(exchanges_family_, std::initializer_list{other, other})
                    : std::make_unique<counter_by>(exchanges_family_, std::initializer_list{surface, route});
  });
}

counter_by& gateway_metrics::tokens(std::string_view provider, std::string_view model) {
  return handle(tokens_, joined(provider, model), [&](bool overflow) {
    return overflow ? std::make_unique<counter_by>(tokens_family_, std::initializer_list{other, other})
                    : std::make_unique<counter_by>(tokens_family_, std::initializer_list{provider, model});
  });
}

void gateway_metrics::exchange_done(std::string_view surface, std::string_view route, std::string_view code) {
  exchanges(surface, route).add(code);
}

void gateway_metrics::attempt_done(std::string_view provider_name, std::string_view outcome) {
  provider(provider_name).attempt_done(outcome);
}

void gateway_metrics::ttft(std::string_view provider_name, foundation::duration d) {
  provider(provider_name).ttft(d);
}

void gateway_metrics::breaker_state(std::string_view provider_name, breaker_gauge state) {
  provider(provider_name).breaker_state(state);
}

void gateway_metrics::breaker_transition(std::string_view provider_name, std::string_view to) {
  provider(provider_name).breaker_transition(to);
}

void gateway_metrics::tokens(std::string_view provider_name, std::string_view model, std::string_view kind,
                             std::uint64_t n) {
  tokens(provider_name, model).add(kind, n);
}

void gateway_metrics::build_info(std::string_view version) { build_info_family_.with({version}).set(1); }

}  // namespace tidegate::observe
