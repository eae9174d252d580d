// All that serves from one data directory: its lock, the embedded store, keys and secrets, the node. Opened
// in this order, closed in the other.
#pragma once

#include <atomic>
#include <condition_variable>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "app/configuration.h"
#include "app/data_directory.h"
#include "app/errands.h"
#include "app/keyring.h"
#include "app/node.h"
#include "app/provider_overrides.h"
#include "foundation/time.h"
#include "observe/log.h"
#include "session/price_desk.h"
#include "storage/stores.h"

namespace tidegate::app {

struct start_failure {
  int exit_code = 1;  // 2: wrong configuration
  std::vector<std::string> messages;
};

// Reads the configuration again and publishes it, or says why nothing has changed. Waits for files.
using reload_action = std::function<std::expected<void, std::string>()>;

class service {
 public:
  // `reload` is what POST /admin/v1/reload does, on a thread that may wait. `log`, `time` and what `reload`
  // refers to must outlive it. `ca_file` as in node::start.
  static std::expected<std::unique_ptr<service>, start_failure> open(
      const configuration& settings, const environment& env, observe::logger& log,
      const foundation::clock& time, reload_action reload, const std::string& ca_file = {});
  ~service();
  service(const service&) = delete;
  service& operator=(const service&) = delete;

  // Another configuration: all of it from the next exchange on, or why nothing has changed. Listeners,
  // storage and journal stay as they were opened.
  // Waits for files: not in a loop's thread.
  std::expected<void, std::string> publish(const configuration& settings, const environment& env);
  app::node& node() noexcept { return *node_; }
  keyring& keys() noexcept { return *keys_; }
  provider_overrides& providers() noexcept { return *overrides_; }
  storage::trace_store& traces() noexcept { return stores_->traces(); }
  // No caller needs a key.
  bool open_access() const { return keys_->access_keys().empty(); }

 private:
  service(data_directory directory, observe::logger& log, const foundation::clock& time)
      : directory_{std::move(directory)}, log_{log}, time_{time} {}
  std::expected<void, std::string> start_node(const served& what, reload_action reload,
                                              const std::string& ca_file);
  std::expected<void, std::string> open_store(const configuration& settings, const environment& env);
  std::shared_ptr<const storage::sealer> text_sealer(storage::stores& bare, const configuration& settings,
                                                     const environment& env);
  served resolve(const configuration& settings, const environment& env) const;
  keyring_hooks make_hooks();
  std::shared_ptr<const configuration> present_settings() const;
  void publish_served(const configuration& settings, const served& what);
  void publish_access();
  void keys_changed();
  void housekeep();
  void purge_old();

  data_directory directory_;
  observe::logger& log_;
  const foundation::clock& time_;
  errands errands_;
  std::unique_ptr<storage::stores> stores_;
  std::unique_ptr<gateway::trace_feed> feed_;
  std::unique_ptr<keyring> keys_;
  std::unique_ptr<provider_overrides> overrides_;
  std::unique_ptr<session::price_desk> prices_;
  std::unique_ptr<app::node> node_;

  // Null before the node runs, and once it is to end.
  std::atomic<app::node*> running_{nullptr};

  // Held while something is published or recorded, and by that while files are read: never in a loop's
  // thread. In front of mutex_.
  std::mutex publishing_;
  // Guarded by publishing_.
  environment env_;
  std::vector<storage::client_key> watched_;  // as published last

  // Held for a moment only.
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  std::shared_ptr<const configuration> settings_;
  bool ending_ = false;
  std::thread housekeeper_;
};

}  // namespace tidegate::app
