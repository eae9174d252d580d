// GET /rpc/events: the push stream (STR-11, section 4). Filters project, session and executionId;
// Last-Event-ID, or lastEventId in the query for a browser's first connect, resumes. One instance a loop.
#pragma once

#include <chrono>
#include <expected>
#include <string>
#include <string_view>

#include "gateway/exchange.h"
#include "runtime/server/server.h"
#include "session/push_hub.h"
#include "surface/rpc_request.h"

namespace tidegate::surface {

class rpc_events final : public runtime::request_handler {
 public:
  static constexpr std::string_view path = "/rpc/events";

  rpc_events(gateway::core& shared, gateway::loop_services services, session::push_hub& hub)
      : core_{shared}, services_{services}, hub_{hub} {}

  runtime::task<void> handle(runtime::downstream& exchange) override;
  std::string refusal_body(const runtime::http_refusal& why, std::string_view target,
                           std::string& headers) override;

 private:
  std::expected<session::push_hub::subscription, rpc_refusal> subscribe(
      const protocol::http1::request_head& head, rpc_request& asked);
  runtime::task<void> stream(runtime::downstream& exchange, rpc_request asked,
                             session::push_hub::subscription from);

  gateway::core& core_;
  gateway::loop_services services_;
  session::push_hub& hub_;
};

// The filter that a query names; VALIDATION_ERROR with its path for an unknown or repeated name, a value that
// is too long, or no UTF-8.
std::expected<session::push_filter, foundation::failure> read_filter(std::string_view query);

}  // namespace tidegate::surface
