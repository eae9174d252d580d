// The session surface of one process: everything that its channels share, and their handlers. One instance
// serves all loops; surface/rpc finds the handlers in `bindings()`.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "gateway/core.h"
#include "gateway/run_queue.h"
#include "observe/log.h"
#include "policy/scheduler.h"
#include "policy/tool_book.h"
#include "session/channels.h"
#include "session/cost_guard.h"
#include "session/price_desk.h"
#include "session/provider_settings.h"
#include "session/push_hub.h"
#include "session/usage.h"
#include "storage/stores.h"

namespace tidegate::session {

struct service_settings {
  policy::scheduler_settings queue;
  push_settings pushes;
  policy::tool_book_limits tools;
  policy::cost_limits guard;
  std::int64_t chat_capacity = 2'000;
  std::vector<std::string> skill_dirs;
};

class service final : private gateway::queue_listener {
 public:
  // All must outlive it; `home` is the loop that keeps the queue's timer. Reads skills, guards and toggles:
  // waits for the store, so not in a loop's thread. Fails with a text for an operator.
  static std::expected<std::unique_ptr<service>, std::string> open(
      gateway::core& core, storage::stores& stores, provider_desk& providers, price_desk& prices,
      observe::logger& log, const foundation::clock& time, runtime::loop& home, service_settings settings);
  ~service();
  service(const service&) = delete;
  service& operator=(const service&) = delete;

  std::vector<binding> bindings();
  // At a start, before anything is served: rows of usage that a crash may have kept from their store.
  void restore(std::vector<gateway::usage_entry> unconfirmed);

  push_hub& hub() noexcept;
  gateway::run_queue& queue() noexcept;

  // A reload: holds from the next run on. Reads skill files; any thread but a loop's.
  void configure(service_settings settings);
  // NFR-3: no new runs, waiting ones are cancelled.
  void drain();
  // Running ones are cancelled, each gets its terminal.
  void stop_runs();
  // Runs whose coroutines still live; a loop must not end before they have.
  std::size_t under_way() const;
  // Subscribers get what waits for them, then the end.
  void close_pushes();

 private:
  struct parts;
  service();
  void on_news(const gateway::queue_news& news) override;
  void on_alert(const cost_alert& alert);

  std::unique_ptr<parts> parts_;
};

}  // namespace tidegate::session
