// The operator's listener: /metrics, /readyz, /healthz, /admin/v1/*. Loopback only unless a token is set
// (SEC-4).
#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/core.h"
#include "runtime/server/server.h"
#include "surface/admin_keys.h"

namespace tidegate::surface {

// Asked to re-read the configuration: nothing, or why it was refused. Called in the loop's thread.
using reload_request = std::function<std::expected<void, std::string>()>;

class admin final : public runtime::request_handler {
 public:
  // `token` empty: none is asked for. `desk` null: keys and secrets are not to be had here.
  admin(gateway::core& shared, std::string token, reload_request reload, key_desk* desk = nullptr)
      : core_{shared}, token_{std::move(token)}, reload_{std::move(reload)} {
    if (desk != nullptr) keys_.emplace(*desk);
  }

  runtime::task<void> handle(runtime::downstream& exchange) override;
  std::string refusal_body(const runtime::http_refusal& why, std::string_view target,
                           std::string& headers) override;

 private:
  bool authorized(const runtime::http1::request_head& head) const;
  void refresh_breaker_gauges(foundation::instant now);

  gateway::core& core_;
  std::string token_;
  reload_request reload_;
  std::optional<admin_keys> keys_;
};

}  // namespace tidegate::surface
