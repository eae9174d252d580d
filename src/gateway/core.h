// What all exchanges of one process share: the live snapshot, provider health, counters. One instance a
// process; passed by reference, nothing global. T16: two cores know nothing of each other.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "foundation/random.h"
#include "gateway/access.h"
#include "gateway/guards.h"
#include "gateway/idempotency.h"
#include "gateway/model_cache.h"
#include "gateway/snapshot.h"
#include "gateway/trace_feed.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "policy/health.h"

namespace tidegate::gateway {

using shared_health = guarded<policy::health_bank>;

class run_queue;

class core {
 public:
  core(observe::logger& log, observe::gateway_metrics& metrics) : log_{log}, metrics_{metrics} {}

  std::shared_ptr<const snapshot> current() const {
    const std::lock_guard lock{snapshot_mutex_};
    return snapshot_;
  }
  // Enrolls the snapshot's providers with the health bank and makes it the one that new exchanges begin with.
  void publish(std::shared_ptr<snapshot> next, const policy::health_settings& health);

  shared_health& health() noexcept { return health_; }
  idempotency& keyed() noexcept { return keyed_; }
  access& callers() noexcept { return callers_; }
  model_cache& models() noexcept { return models_; }
  guarded<policy::ledger>& ledger() noexcept { return ledger_; }
  guarded<policy::rate_limiter>& limits() noexcept { return limits_; }
  observe::logger& log() noexcept { return log_; }
  observe::gateway_metrics& metrics() noexcept { return metrics_; }

  // No new exchanges from now on (NFR-3).
  void drain() noexcept { draining_.store(true, std::memory_order_relaxed); }
  bool draining() const noexcept { return draining_.load(std::memory_order_relaxed); }

  // Where terminal runs are kept (TRC-4); null: nowhere. Before the first exchange.
  void use(trace_feed* traces, bool texts) noexcept {
    traces_ = traces;
    trace_texts_ = texts;
  }
  trace_feed* traces() const noexcept { return traces_; }
  bool keeps_texts() const noexcept { return traces_ != nullptr && trace_texts_; }

  // The queue of runs that name a session (SCH-2); null: nobody waits. Before the first exchange, and again
  // behind the last one.
  void use(run_queue* queue) noexcept { queue_ = queue; }
  run_queue* queue() const noexcept { return queue_; }

  // The journal takes no records any more (DEG-2); for /readyz.
  void recording_stopped() noexcept { unrecorded_.store(true, std::memory_order_relaxed); }
  bool recording() const noexcept { return !unrecorded_.load(std::memory_order_relaxed); }

  // Whether a line may be logged of somebody who need not have shown a key: ten a second, for a stranger must
  // not be able to fill the log.
  bool may_log_a_stranger(foundation::instant now) noexcept;

  // A place among `max_in_flight` exchanges (GW-4), given back by its destructor.
  class place {
   public:
    place() = default;
    explicit place(core* owner) : owner_{owner} {}
    place(place&& other) noexcept : owner_{std::exchange(other.owner_, nullptr)} {}
    place& operator=(place&&) = delete;
    ~place() {
      if (owner_ != nullptr) owner_->in_flight_.fetch_sub(1, std::memory_order_relaxed);
    }
    explicit operator bool() const noexcept { return owner_ != nullptr; }

   private:
    core* owner_ = nullptr;
  };
  place enter(std::uint64_t max);
  std::uint64_t in_flight() const noexcept { return in_flight_.load(std::memory_order_relaxed); }

 private:
  observe::logger& log_;
  observe::gateway_metrics& metrics_;
  run_queue* queue_ = nullptr;
  // Not std::atomic<std::shared_ptr>: libstdc++ 12 reads the pointer and then unlocks with relaxed order,
  // which ThreadSanitizer rightly calls a race with the next store. Its lock is no cheaper than this one.
  mutable std::mutex snapshot_mutex_;
  std::shared_ptr<const snapshot> snapshot_;  // guarded by snapshot_mutex_
  shared_health health_;
  guarded<policy::ledger> ledger_{policy::ledger{{.hash_seed = foundation::system_seed()}}};
  guarded<policy::rate_limiter> limits_;
  access callers_;
  idempotency keyed_;
  model_cache models_;
  std::atomic<bool> unrecorded_{false};
  trace_feed* traces_ = nullptr;
  bool trace_texts_ = false;
  std::atomic<std::uint64_t> in_flight_{0};
  std::atomic<bool> draining_{false};
  std::atomic<std::uint64_t> stranger_lines_{0};  // the second, and how many in it in the lowest 8 bits
};

}  // namespace tidegate::gateway
