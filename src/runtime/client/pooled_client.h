// Provider connections of one loop: kept alive, taken newest first, watched while idle. A pooled connection
// that the provider closed in the same moment is replaced once, before any byte of a reply, without counting
// as a failure.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "runtime/client/upstream.h"
#include "runtime/net/resolver.h"
#include "runtime/net/tls.h"

namespace tidegate::runtime {

struct client_settings {
  duration idle_max = std::chrono::seconds{55};
  std::size_t idle_per_origin_max = 256;
  http1::limits head{64U << 10, 200, 8U << 10};
};

class pooled_client final : public upstream_client {
 public:
  pooled_client(loop& owner, resolver& names, ssl_ctx_st& tls, client_settings settings = {});
  ~pooled_client() override;

  task<std::expected<std::unique_ptr<upstream_reply>, call_end>> call(const origin& to, std::string_view head,
                                                                      std::string_view body,
                                                                      call_deadlines by,
                                                                      cancel_source* cancel) override;
  std::size_t idle_connections() const noexcept;

 private:
  class connection;
  class reply;
  struct send_end;
  // Origins come from the configuration: few, and looked up by comparing.
  struct pool {
    origin to;
    std::vector<std::unique_ptr<connection>> idle;
  };

  std::size_t pool_of(const origin& to);
  std::unique_ptr<connection> take_idle(std::size_t from);
  void give_back(std::unique_ptr<connection> c);
  task<std::expected<std::unique_ptr<connection>, call_fault>> connect(const origin& to, std::size_t home,
                                                                       instant by, cancel_source* cancel);
  task<std::expected<std::unique_ptr<stream>, call_fault>> connect_tcp(const origin& to, instant by,
                                                                       cancel_source* cancel);
  task<std::expected<std::unique_ptr<upstream_reply>, call_end>> exchange(std::unique_ptr<connection> c,
                                                                          std::string_view head,
                                                                          std::string_view body, instant by,
                                                                          cancel_source* cancel);
  void sweep();

  loop& loop_;
  resolver& names_;
  ssl_ctx_st& tls_;
  client_settings settings_;
  std::vector<pool> pools_;
  struct sweep_timer : timer {
    sweep_timer(loop& l, pooled_client& c)
        : timer{l, [](timer& t) { static_cast<sweep_timer&>(t).client.sweep(); }}, client{c} {}
    pooled_client& client;
  } sweeper_;
};

}  // namespace tidegate::runtime
