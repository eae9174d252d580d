// The circuit breaker of one provider (FO-1 to FO-8): when it may be called, and what a call's end means for
// it.
//
// Not thread safe; its owner guards it. Never allocates. `now` must not go backwards between calls.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>

#include "foundation/time.h"

namespace tidegate::policy {

struct breaker_settings {
  std::uint32_t failure_threshold = 3;  // >= 1; the failure that trips, inclusive
  foundation::duration half_open_after =
      std::chrono::minutes{15};  // the window; a probe is due at its end, inclusive
  foundation::duration probe_permit =
      std::chrono::seconds{30};  // a probe without result counts as failed at its end
};

// healthy: closed. degraded: open, inside its window. half_open: open, the window is over or a probe is under
// way.
enum class breaker_status : std::uint8_t { healthy, degraded, half_open };

// normal: through a closed breaker. probe: the one permit of a half-open breaker. last_resort: through an
// open breaker because there was nothing healthy to call (FO-8).
enum class leg_kind : std::uint8_t { normal, probe, last_resort };

// What a leg started under. Its outcome counts only while `generation` still stands (FO-7).
struct ticket {
  std::uint64_t generation = 0;
  leg_kind kind = leg_kind::normal;
};

// Why a call is not admitted: inside the window, or someone else's probe is under way.
enum class breaker_refusal : std::uint8_t { degraded, probing };

// What an outcome changed. probe_failed: a full new window began. recovered: fromHalfOpen is true only for a
// probe.
enum class breaker_change : std::uint8_t { none, tripped, probe_failed, recovered, recovered_from_half_open };

// What survives a restart. A probe under way does not: its run died with the process.
struct breaker_snapshot {
  std::uint32_t consecutive_failures = 0;
  std::uint64_t generation = 0;
  std::optional<foundation::wall_time> degraded_at;  // set while open
};

class breaker {
 public:
  explicit breaker(breaker_settings settings = {}) : settings_{settings} {}

  // A normal ticket when closed; the probe permit when the window is over and nobody holds it (raises the
  // generation).
  std::expected<ticket, breaker_refusal> try_acquire(foundation::instant now);
  // What try_acquire would say, without taking the permit. Nothing means it would admit.
  std::optional<breaker_refusal> would_refuse(foundation::instant now) const;
  // A ticket whatever the state: as try_acquire, else last_resort. The caller decides whether that is due
  // (FO-8).
  ticket acquire_anyway(foundation::instant now);

  // One of these ends a leg. A ticket of an older generation changes nothing.
  breaker_change on_success(ticket held, foundation::instant now);
  breaker_change on_failure(ticket held, foundation::instant now);
  // Neutral, pushback, auth, abandoned: a probe's permit returns, nothing is decided.
  void on_undecided(ticket held, foundation::instant now);

  // Another base URL or credential: as new, and every ticket out is void.
  void reset();
  // New thresholds from a reload. State is kept.
  void configure(breaker_settings settings) { settings_ = settings; }

  breaker_status status(foundation::instant now) const;
  bool closed() const { return state_ == state::closed; }
  std::uint32_t consecutive_failures() const { return failures_; }
  std::uint64_t generation() const { return generation_; }
  // When the current window began; nothing while closed. An expired permit began one at its expiry.
  std::optional<foundation::instant> degraded_at(foundation::instant now) const;

  breaker_snapshot snapshot(foundation::instant now, foundation::wall_time wall) const;
  // The rest of the window is clipped to [0, half_open_after], whatever the wall clock did meanwhile (NFR-2).
  void restore(const breaker_snapshot& saved, foundation::instant now, foundation::wall_time wall);

 private:
  enum class state : std::uint8_t { closed, open, probing };

  bool permit_expired(foundation::instant now) const;
  bool probe_due(foundation::instant now) const;
  // Turns an expired permit into the failed probe that it counts as.
  void reclaim(foundation::instant now);
  void open_window(foundation::instant since);
  void close();
  void count_failure();

  breaker_settings settings_;
  state state_ = state::closed;
  std::uint32_t failures_ = 0;
  std::uint64_t generation_ = 0;
  foundation::instant degraded_at_{};  // while open or probing
  foundation::instant permit_at_{};    // while probing
};

}  // namespace tidegate::policy
