// What admins changed of providers at run time (CFG-6): kept in the setting store, their credentials in the
// keyring, and laid over the configuration whenever what the gateway serves is built. Thread safe.
#pragma once

#include <condition_variable>
#include <deque>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "app/configuration.h"
#include "app/keyring.h"
#include "observe/log.h"
#include "session/provider_settings.h"
#include "storage/stores.h"

namespace tidegate::app {

class provider_overrides final : public session::provider_desk {
 public:
  // The configuration's provider of that name; nothing where there is none. Any thread, with no lock of ours
  // held.
  using base_reader = std::function<std::optional<session::provider_base>(std::string_view name)>;

  // Reads what is stored; waits for the store, so not from a loop. All arguments must outlive it.
  static std::expected<std::unique_ptr<provider_overrides>, std::string> open(storage::stores& store,
                                                                              keyring& keys, base_reader base,
                                                                              observe::logger& log);
  // Waits until the store has answered.
  ~provider_overrides() override;
  provider_overrides(const provider_overrides&) = delete;
  provider_overrides& operator=(const provider_overrides&) = delete;

  // The keyring's hook `changed` publishes before the answer comes.
  void update(session::provider_patch patch, answer then) override;

  // The configuration with what is stored laid over it.
  configuration over(configuration settings) const;

 private:
  struct job {
    session::provider_patch patch;
    answer then;
  };
  provider_overrides(keyring& keys, base_reader base) : keys_{keys}, base_{std::move(base)} {}
  std::expected<session::provider_plan, foundation::failure> plan(const session::provider_patch& patch) const;
  void enqueue(job next);
  void begin(job next);
  void ended();

  keyring& keys_;
  const base_reader base_;
  mutable std::mutex mutex_;
  std::condition_variable idle_;
  // Guarded by mutex_.
  std::map<std::string, session::provider_override, std::less<>> stored_;
  std::deque<job> waiting_;
  bool busy_ = false;
  std::size_t asking_ = 0;  // for a master key
};

// As a provider_overrides::base_reader answers.
std::optional<session::provider_base> provider_base_of(const configuration& settings, std::string_view name);

}  // namespace tidegate::app
