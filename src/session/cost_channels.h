// cost:*: usage, guards, resets and prices (COST-1 to COST-3, BUD-8).
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/core.h"
#include "session/channels.h"
#include "session/cost_guard.h"
#include "session/price_desk.h"
#include "session/usage.h"

namespace tidegate::session {

class cost_channels {
 public:
  // All must outlive it.
  cost_channels(gateway::core& shared, usage_book& usage, cost_guards& guards, price_desk& prices)
      : core_{shared}, usage_{usage}, guards_{guards}, prices_{prices} {}
  std::vector<binding> bindings();

 private:
  runtime::task<channel_reply> list(json::value request, request_context& context);
  runtime::task<channel_reply> summary(json::value request, request_context& context);
  runtime::task<channel_reply> get_guard(json::value request, request_context& context);
  runtime::task<channel_reply> update_guard(json::value request, request_context& context);
  runtime::task<channel_reply> reset(json::value request, request_context& context);
  runtime::task<channel_reply> get_prices(json::value request, request_context& context);
  runtime::task<channel_reply> update_prices(json::value request, request_context& context);

  // The id of the client key that is meant: by id or name; the caller's own where none is named.
  std::expected<std::string, foundation::failure> key_meant(json::value request,
                                                            const policy::principal& who);
  std::expected<std::string, foundation::failure> key_named(std::string_view name,
                                                            const policy::principal& who);
  // The ledger's name of a session that is named as callers know it, "session:<id>" or "<id>", or by the
  // ledger's own name. A session of the caller goes before those of other keys.
  std::expected<std::string, foundation::failure> session_account(std::string_view id,
                                                                  const policy::principal& who);

  gateway::core& core_;
  usage_book& usage_;
  cost_guards& guards_;
  price_desk& prices_;
};

}  // namespace tidegate::session
