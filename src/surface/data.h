// The data listener: /rpc/events, /rpc/<channel>, and all else to /v1. One instance a loop.
#pragma once

#include <string>
#include <string_view>

#include "surface/cors.h"
#include "surface/rpc.h"
#include "surface/rpc_events.h"
#include "surface/v1.h"

namespace tidegate::surface {

class data final : public runtime::request_handler {
 public:
  data(gateway::core& shared, gateway::loop_services services, const channel_table& channels,
       session::push_hub& hub)
      : core_{shared},
        v1_{shared, services},
        rpc_{shared, services, channels},
        events_{shared, services, hub} {}

  // No coroutine of its own.
  runtime::task<void> handle(runtime::downstream& exchange) override {
    const auto& head = exchange.request();
    if (const std::string_view origin = head.get("origin");
        !origin.empty() && allows_origin(*core_.current(), origin)) {
      admit_page(exchange, origin);
      if (is_preflight(head)) return answer_preflight(exchange);
    }
    return owner_of(head.path_query).handle(exchange);
  }
  std::string refusal_body(const runtime::http_refusal& why, std::string_view target,
                           std::string& headers) override {
    return owner_of(target).refusal_body(why, target, headers);
  }

 private:
  runtime::request_handler& owner_of(std::string_view target) {
    const std::string_view path = target.substr(0, target.find('?'));
    if (path == rpc_events::path) return events_;
    if (path.starts_with(rpc::prefix) || path == "/rpc") return rpc_;
    return v1_;
  }

  gateway::core& core_;
  v1 v1_;
  rpc rpc_;
  rpc_events events_;
};

}  // namespace tidegate::surface
