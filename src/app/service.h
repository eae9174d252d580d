// All that serves from one data directory: its lock, the embedded store, keys and secrets, the node. Opened
// in this order, closed in the other.
#pragma once

#include <condition_variable>
#include <expected>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "app/configuration.h"
#include "app/data_directory.h"
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

class service {
 public:
  // `log`, `time` and what `reload` refers to must outlive it. `ca_file` as in node::start.
  static std::expected<std::unique_ptr<service>, start_failure> open(
      const configuration& settings, const environment& env, observe::logger& log,
      const foundation::clock& time, surface::reload_request reload, const std::string& ca_file = {});
  ~service();
  service(const service&) = delete;
  service& operator=(const service&) = delete;

  // Another configuration: all of it from the next exchange on, or why nothing has changed. Listeners,
  // storage and journal stay as they were opened.
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
  std::expected<void, std::string> open_store(const configuration& settings, const environment& env);
  std::shared_ptr<const storage::sealer> text_sealer(storage::stores& bare, const configuration& settings,
                                                     const environment& env);
  served resolve(const configuration& settings, const environment& env) const;
  void publish_access();
  void keys_changed();
  void housekeep();
  void purge_old();

  data_directory directory_;
  observe::logger& log_;
  const foundation::clock& time_;
  std::unique_ptr<storage::stores> stores_;
  std::unique_ptr<gateway::trace_feed> feed_;
  std::unique_ptr<keyring> keys_;
  std::unique_ptr<provider_overrides> overrides_;
  std::unique_ptr<session::price_desk> prices_;
  std::unique_ptr<app::node> node_;

  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  configuration settings_;
  environment env_;
  bool serving_ = false;
  std::vector<storage::client_key> watched_;  // as published last
  bool ending_ = false;
  std::thread housekeeper_;
};

}  // namespace tidegate::app
