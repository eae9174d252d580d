// The operator's listener: /metrics, /readyz, /healthz, /admin/v1/*. Loopback only unless a token is set
// (SEC-4).
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "gateway/core.h"
#include "runtime/server/server.h"
#include "surface/admin_keys.h"

namespace tidegate::surface {

// Asked to re-read the configuration: answers nothing, or why it was refused, on whatever thread. Called in
// the loop's thread, which must not wait for files.
using reload_answer = std::move_only_function<void(std::expected<void, std::string>)>;
using reload_request = std::function<void(reload_answer)>;

// The token that a listener asks for; "": none. Any thread.
class admin_token {
 public:
  void publish(std::string token) {
    auto next = std::make_shared<const std::string>(std::move(token));
    const std::lock_guard lock{mutex_};
    token_.swap(next);
  }
  std::shared_ptr<const std::string> current() const {
    const std::lock_guard lock{mutex_};
    return token_;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const std::string> token_ = std::make_shared<const std::string>();
};

// What keeps strangers from an admin listener.
struct admin_guard {
  // Null: a socket's mode does, and who can open it may do all. Without a token keys and secrets are not to
  // be had.
  const admin_token* token = nullptr;
  // Of the address as it is configured: beside the loopback's own the one name that is taken for ours while
  // no token is asked for. Empty (a Unix socket, which no page can reach): any is.
  std::string host = {};
};

class admin final : public runtime::request_handler {
 public:
  // `desk` null: keys and secrets are not to be had here. `reload` may be empty. All must outlive it.
  admin(gateway::core& shared, admin_guard guard, reload_request reload, key_desk* desk = nullptr)
      : core_{shared}, guard_{std::move(guard)}, reload_{std::move(reload)} {
    if (desk != nullptr) keys_.emplace(*desk);
  }

  runtime::task<void> handle(runtime::downstream& exchange) override;
  std::string refusal_body(const runtime::http_refusal& why, std::string_view target,
                           std::string& headers) override;

 private:
  bool is_for_us(const runtime::http1::request_head& head, std::string_view token) const;
  runtime::task<void> reload(runtime::downstream& exchange);
  void refresh_breaker_gauges(foundation::instant now);

  gateway::core& core_;
  const admin_guard guard_;
  reload_request reload_;
  std::optional<admin_keys> keys_;
};

}  // namespace tidegate::surface
