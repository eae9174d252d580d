// Listens on one address in one loop, reads requests, hands each to the handler, keeps connections alive,
// drains.
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/loop.h"
#include "runtime/net/tls.h"
#include "runtime/server/downstream.h"

namespace tidegate::runtime {

class request_handler {
 public:
  virtual ~request_handler() = default;
  // Answers the request. Leaving without an answer closes the connection.
  virtual task<void> handle(downstream& exchange) = 0;
  // The body for a refusal by the HTTP side itself; `target` may be empty. Adds header lines (content-type
  // and others).
  virtual std::string refusal_body(const http_refusal& why, std::string_view target,
                                   std::string& headers) = 0;
};

struct server_settings {
  http1::limits head;
  duration header_timeout = std::chrono::seconds{10};
  duration keep_alive = std::chrono::seconds{75};
  duration body_grace = std::chrono::seconds{10};
  std::uint64_t min_body_rate = 1024;  // bytes per second once the grace is over; 0 = none
};

// Shared by the servers of all loops that listen on one address.
struct connection_budget {
  explicit connection_budget(std::uint64_t m) : max{m} {}
  std::uint64_t max;
  std::atomic<std::uint64_t> open{0};
};

class server {
 public:
  server(loop& owner, request_handler& handler, server_settings settings, connection_budget& budget);
  server(const server&) = delete;
  server& operator=(const server&) = delete;
  ~server();

  // Takes a listening descriptor (open_listener) and starts accepting. `tls` must outlive the server.
  void listen(int fd, ssl_ctx_st* tls);
  // Closes the listener and idle connections; exchanges under way go on and close their connection
  // afterwards.
  void drain();
  bool draining() const noexcept { return draining_; }
  // What is still under way is told to stop (cancel_reason::shutdown).
  void stop_exchanges();
  std::size_t connections() const noexcept { return count_; }
  // Nothing left to wait for: the listener and all connections are closed.
  bool quiet() const noexcept { return count_ == 0 && !accepting_; }
  std::size_t exchanges() const noexcept { return active_; }
  loop& owner() const noexcept { return loop_; }

 private:
  friend class downstream;
  detached accept_all(int fd);
  void admit(int fd, bool from_loopback) noexcept;
  detached serve(std::unique_ptr<downstream> connection);
  void enter(downstream& connection);
  std::string spare_buffer();
  void recycle(std::string&& buffer);

  loop& loop_;
  request_handler& handler_;
  server_settings settings_;
  connection_budget& budget_;
  ssl_ctx_st* tls_ = nullptr;
  std::unique_ptr<io_source> listener_;
  bool draining_ = false;
  bool accepting_ = false;
  cancel_source idle_;  // fired at drain: idle connections leave
  cancel_source stop_;  // fired by stop_exchanges: unfinished requests leave
  cancel_source accepting_stop_;
  downstream* first_ = nullptr;
  std::size_t count_ = 0;
  std::size_t active_ = 0;
  std::vector<std::string> spare_;
};

}  // namespace tidegate::runtime
