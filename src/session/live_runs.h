// The runs that are under way, by executionId: whoever wants one cancelled finds it here, from any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "policy/keyed_hash.h"
#include "runtime/async/cancel.h"
#include "runtime/loop.h"

namespace tidegate::session {

class live_run {
 public:
  virtual ~live_run() = default;
  // In its loop's thread.
  virtual void cancel(runtime::cancel_reason reason) = 0;
};

class live_runs {
 public:
  // `owner`: the loop that the run lives in. The run takes itself out.
  void add(std::string execution_id, std::string key_id, runtime::loop& owner, std::shared_ptr<live_run> run);
  void remove(std::string_view execution_id);

  // A run of that key, or of any key for ""; nothing where it is not under way. Any thread.
  struct found {
    runtime::loop* owner = nullptr;
    std::shared_ptr<live_run> run;
  };
  found find(std::string_view execution_id, std::string_view key_id = {}) const;
  // Cancels it in its own loop, soon. Any thread; an unknown one is no fault (STR-5).
  void cancel(std::string_view execution_id, std::string_view key_id, runtime::cancel_reason reason) const;
  void cancel_all(runtime::cancel_reason reason) const;

  // Stands as long as its run's coroutines may.
  class presence {
   public:
    explicit presence(live_runs& in) noexcept : in_{in} { in_.present_.fetch_add(1); }
    presence(const presence&) = delete;
    presence& operator=(const presence&) = delete;
    ~presence() { in_.present_.fetch_sub(1); }

   private:
    live_runs& in_;
  };
  std::size_t present() const noexcept { return present_.load(); }

 private:
  struct entry {
    std::string key_id;
    runtime::loop* owner = nullptr;
    std::shared_ptr<live_run> run;
  };
  std::atomic<std::size_t> present_{0};
  mutable std::mutex mutex_;
  std::unordered_map<std::string, entry, policy::keyed_hash, std::equal_to<>> runs_;  // guarded by mutex_
};

}  // namespace tidegate::session
