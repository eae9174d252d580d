// The health of every configured provider (FO-1) and the cooldowns of their targets (FO-4).
//
// One bank per service instance (T16). Not thread safe: the gateway holds one short lock around it. The
// questions asked on the way of a healthy call neither allocate nor search.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/time.h"
#include "policy/breaker.h"

namespace tidegate::policy {

// Position of a provider in the bank; valid for the bank's lifetime.
using provider_index = std::uint32_t;

// Which endpoint a provider's name stands for: another one with every change of its URL or credential. What
// began under an older one says nothing about the present one (FO-1).
using endpoint_epoch = std::uint32_t;

struct health_settings {
  breaker_settings breaker;
  foundation::duration cooldown_default = std::chrono::seconds{5};  // pushback without Retry-After
  foundation::duration cooldown_max = std::chrono::minutes{5};      // no Retry-After rests longer
};

struct provider_identity {
  std::string name;
  std::string base_url;  // normalised
  std::uint64_t credential_fingerprint =
      0;  // one-way and keyed, as it is stored with snapshots; 0 = no credential
};

struct cooldown_snapshot {
  std::string model;
  foundation::wall_time until;
};

struct provider_snapshot {
  provider_identity identity;
  breaker_snapshot breaker;
  std::vector<cooldown_snapshot> cooldowns;
  // Rises with every change of this provider's health: of two snapshots the higher one is the newer.
  std::uint64_t revision = 0;
};

class health_bank {
 public:
  // Per provider; the entry that ends first makes room for another one.
  static constexpr std::size_t cooldowns_max = 64;

  explicit health_bank(health_settings settings = {}) : settings_{settings} {}

  // A name keeps its index for ever. Same URL and credential as before: state is kept; else it starts as new
  // (T110) and legs under way no longer count. Names that left the configuration keep their few bytes.
  provider_index enroll(const provider_identity& identity);
  std::optional<provider_index> find(std::string_view name) const;
  std::size_t size() const { return entries_.size(); }
  const provider_identity& identity(provider_index provider) const { return at(provider).identity; }

  breaker& breaker_of(provider_index provider) { return at(provider).circuit; }
  const breaker& breaker_of(provider_index provider) const { return at(provider).circuit; }

  // As enroll left it: whoever calls the provider by that configuration keeps it with the index.
  endpoint_epoch epoch_of(provider_index provider) const { return at(provider).epoch; }
  // The breaker of the endpoint that the name stood for in `epoch`. Of a replaced one nothing is kept: it is
  // closed, and no ticket of it changes anything.
  breaker& breaker_of(provider_index provider, endpoint_epoch epoch);
  const breaker& breaker_of(provider_index provider, endpoint_epoch epoch) const;

  // Rests the target (provider + model) for `retry_after`, or the default, at most the cap; never shortens a
  // rest. Returns the rest given.
  foundation::duration cool_down(provider_index provider, std::string_view model,
                                 std::optional<foundation::duration> retry_after, foundation::instant now);
  // What is left of the target's rest; zero when there is none. Over at its end, inclusive.
  foundation::duration cooldown_rest(provider_index provider, std::string_view model,
                                     foundation::instant now) const;
  // The last end of any rest of this provider, for display; nothing when no target rests.
  std::optional<foundation::instant> cooldown_until(provider_index provider, foundation::instant now) const;
  // What a caller is told to wait after a pushback: Retry-After or the default, at most the cap.
  foundation::duration rest_of(std::optional<foundation::duration> retry_after) const;

  // New thresholds after a reload. State is kept.
  void configure(health_settings settings);
  const health_settings& settings() const { return settings_; }

  std::vector<provider_snapshot> snapshot(foundation::instant now, foundation::wall_time wall) const;
  // What is to be recorded of this provider: nothing while its health is as it was when last asked. Costs a
  // few comparisons then.
  std::optional<provider_snapshot> take_change(provider_index provider, foundation::instant now,
                                               foundation::wall_time wall);
  // Gives providers their saved state back, enrolling those unknown here; with another URL or credential they
  // begin anew. Rests are clipped to [0, full window] (NFR-2).
  void restore(std::span<const provider_snapshot> saved, foundation::instant now, foundation::wall_time wall);

 private:
  struct cooldown {
    std::string model;
    foundation::instant until;
  };
  // What take_change compares; a new entry is as recorded as an untouched provider can be.
  struct recorded_state {
    std::uint32_t failures = 0;
    std::uint64_t generation = 0;
    std::uint64_t rests = 0;
    bool operator==(const recorded_state&) const = default;
  };
  struct entry {
    provider_identity identity;
    endpoint_epoch epoch = 0;
    breaker circuit;
    std::vector<cooldown> cooldowns;
    std::uint64_t rests = 0;  // how often a cooldown began or grew
    std::uint64_t revision = 0;
    recorded_state recorded;
  };
  static recorded_state state_of(const entry& e);
  static provider_snapshot snapshot_of(const entry& e, foundation::instant now, foundation::wall_time wall);

  provider_index enrolled(const provider_identity& identity);
  entry& at(provider_index provider);
  const entry& at(provider_index provider) const;
  static void rest_until(entry& e, std::string_view model, foundation::instant until,
                         foundation::instant now);

  health_settings settings_;
  std::vector<entry> entries_;
  breaker replaced_;  // stands for every endpoint that is no longer there; never opens
};

}  // namespace tidegate::policy
