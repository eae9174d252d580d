// What the gateway counts: every metric of its public interface (section 9), by name of the happening. Label
// values come from the configuration (surface, route, provider, model) or from fixed lists (code, outcome,
// kind).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <shared_mutex>
#include <string>
#include <string_view>

#include "foundation/time.h"
#include "observe/registry.h"

namespace tidegate::observe {

// As exposed in tidegate_breaker_state.
enum class breaker_gauge : std::uint8_t { closed = 0, half_open = 1, open = 2 };

class gateway_metrics;

// One provider's metrics, resolved once. Valid as long as its gateway_metrics.
class provider_metrics {
 public:
  void attempt_done(std::string_view outcome) { attempts_.add(outcome); }
  void ttft(foundation::duration d) { ttft_.observe(d); }
  void breaker_state(breaker_gauge state) { breaker_state_.set(static_cast<std::int64_t>(state)); }
  void breaker_transition(std::string_view to) { transitions_.add(to); }

 private:
  friend class gateway_metrics;
  provider_metrics(gateway_metrics& all, std::string_view provider);
  counter_by attempts_;
  latency_histogram& ttft_;
  gauge& breaker_state_;
  counter_by transitions_;
};

// Thread safe. Handles and metrics live as long as this object.
class gateway_metrics {
 public:
  gateway_metrics();
  gateway_metrics(const gateway_metrics&) = delete;
  gateway_metrics& operator=(const gateway_metrics&) = delete;

  // Handles for hot paths, to be kept. `exchanges(s, r).add(code)` is exchange_done(s, r, code).
  provider_metrics& provider(std::string_view name);
  counter_by& exchanges(std::string_view surface, std::string_view route);
  // Kinds: "input", "output", "cache_read", "cache_write", …
  counter_by& tokens(std::string_view provider, std::string_view model);

  // `code`: the canonical code, "OK" for success.
  void exchange_done(std::string_view surface, std::string_view route, std::string_view code);
  void attempt_done(std::string_view provider_name, std::string_view outcome);
  void ttft(std::string_view provider_name, foundation::duration d);
  void breaker_state(std::string_view provider_name, breaker_gauge state);
  void breaker_transition(std::string_view provider_name, std::string_view to);
  void tokens(std::string_view provider_name, std::string_view model, std::string_view kind, std::uint64_t n);

  // Time spent inside the gateway.
  void overhead(foundation::duration d) { overhead_.observe(d); }
  void cost_microdollars(std::uint64_t n) { cost_.add(n); }
  void refusal(std::string_view code) { refusals_.add(code); }
  void queue_depth(std::int64_t now_waiting) { queue_depth_.set(now_waiting); }
  void queue_depth_changed(std::int64_t by) { queue_depth_.add(by); }
  void journal_records(std::uint64_t n = 1) { journal_records_.add(n); }
  void journal_sync(foundation::duration d) { journal_sync_.observe(d); }
  // +1 at the start of a stream, -1 at its end.
  void open_streams(std::int64_t by) { open_streams_.add(by); }
  void build_info(std::string_view version);

  // Prometheus text, to be served as registry::content_type.
  std::string expose() const { return registry_.expose(); }

 private:
  friend class provider_metrics;
  template <typename Handle>
  using table = std::map<std::string, std::unique_ptr<Handle>, std::less<>>;
  template <typename Handle, typename Make>
  Handle& handle(table<Handle>& handles, std::string key, Make make);

  registry registry_;
  family<counter>& exchanges_family_;
  family<counter>& attempts_family_;
  latency_histogram& overhead_;
  family<latency_histogram>& ttft_family_;
  family<gauge>& breaker_state_family_;
  family<counter>& transitions_family_;
  family<counter>& tokens_family_;
  counter& cost_;
  counter_by refusals_;
  gauge& queue_depth_;
  counter& journal_records_;
  latency_histogram& journal_sync_;
  gauge& open_streams_;
  family<gauge>& build_info_family_;

  std::shared_mutex mutex_;
  // Guarded by mutex_; at most label_sets_max entries each, then the entry of "other".
  table<provider_metrics> providers_;
  table<counter_by> exchanges_;
  table<counter_by> tokens_;
};

}  // namespace tidegate::observe
