// A running gateway: loops with their threads, listeners, providers' connections, one core. Built from
// settings, so that tests start as many as they like in one process.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "app/recorder.h"
#include "app/snapshot_of.h"
#include "gateway/core.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "runtime/client/pooled_client.h"
#include "runtime/loop.h"
#include "runtime/net/resolver.h"
#include "runtime/net/tls.h"
#include "runtime/server/server.h"
#include "session/service.h"
#include "storage/stores.h"
#include "surface/admin.h"
#include "surface/data.h"

namespace tidegate::app {

// What a node is lent; all of it must outlive it. Null and empty: not there.
struct node_parts {
  surface::key_desk* desk = nullptr;
  std::string control_path;  // a Unix socket for commands on this machine, whose mode is its guard
  gateway::trace_feed* traces = nullptr;
  // Of the session surface; always there.
  storage::stores* stores = nullptr;
  session::provider_desk* providers = nullptr;
  session::price_desk* prices = nullptr;
};

class node {
 public:
  // Opens journal and listeners; run() begins to serve. `reload` is what POST /admin/v1/reload calls; it may
  // be empty. `ca_file`: certificate authorities instead of the system's.
  static std::expected<std::unique_ptr<node>, std::string> start(
      const configuration& settings, const served& what, observe::logger& log, const foundation::clock& time,
      surface::reload_request reload, node_parts parts = {}, const std::string& ca_file = {});
  void run();
  ~node();
  node(const node&) = delete;
  node& operator=(const node&) = delete;

  // With the ports that were bound.
  const std::string& data_address() const noexcept { return data_address_; }
  const std::string& admin_address() const noexcept { return admin_address_; }
  gateway::core& core() noexcept { return core_; }

  void publish(const served& what);
  // What the admin listener asks for from the next request on; "": nothing.
  void set_admin_token(std::string token) { admin_token_.publish(std::move(token)); }
  // What a reload means for the session surface. Reads skill files: not in a loop's thread.
  void configure(const configuration& settings);
  session::push_hub& pushes() noexcept { return sessions_->hub(); }
  recorder& records() noexcept { return *records_; }
  // No new exchanges; idle connections close. Any thread.
  void drain();
  // No session run is under way and no connection open; ends the push streams once the runs have ended. Of a
  // node that drains; any thread.
  bool quiet();
  // Session runs that are still under way are cancelled; any thread.
  void stop_runs() { sessions_->stop_runs(); }
  bool runs_over() const { return sessions_->under_way() == 0; }
  // Connections still open on the data listener.
  std::uint64_t open_connections() const noexcept {
    return data_budget_.open.load(std::memory_order_relaxed);
  }
  // What is still under way is cancelled. Any thread.
  void stop_exchanges();

 private:
  struct worker;
  node(observe::logger& log, const configuration& settings);
  std::expected<void, std::string> open(const configuration& settings, const foundation::clock& time,
                                        surface::reload_request reload, const node_parts& parts,
                                        const std::string& ca_file);
  std::expected<void, std::string> open_sessions(const configuration& settings, const foundation::clock& time,
                                                 const node_parts& parts);
  std::expected<void, std::string> open_control(const configuration& settings, const node_parts& parts,
                                                surface::reload_request reload);
  std::expected<std::vector<int>, std::string> listen_each(const std::string& where, std::size_t count,
                                                           std::string& bound);

  observe::gateway_metrics metrics_;
  gateway::core core_;
  runtime::connection_budget data_budget_;
  runtime::connection_budget admin_budget_;
  runtime::resolver names_;
  runtime::ssl_context client_tls_;
  runtime::ssl_context server_tls_;
  std::string data_address_;
  std::string admin_address_;
  std::vector<std::string> unix_paths_;
  observe::logger& log_;
  std::unique_ptr<recorder> records_;
  std::unique_ptr<session::service> sessions_;
  std::unique_ptr<surface::channel_table> channels_;
  surface::admin_token admin_token_;
  std::vector<std::unique_ptr<worker>> workers_;
};

}  // namespace tidegate::app
