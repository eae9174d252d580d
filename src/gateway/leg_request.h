// The request that one leg sends: the caller's body with as few bytes changed as the target needs, or its
// translation, and the head with the provider's own credential.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <string_view>

#include "foundation/error.h"
#include "gateway/exchange.h"
#include "gateway/snapshot.h"
#include "protocol/dialect/dialect.h"
#include "protocol/json/json.h"

namespace tidegate::gateway {

// The caller's request as read once; the canonical form is made when the first translation needs it.
struct read_request {
  protocol::json::value body;
  dialect::request_summary summary;
  std::unique_ptr<dialect::request> canonical;
};

struct leg_request {
  std::string head;
  std::string own_body;           // where the body had to change, else empty
  std::string_view callers_body;  // where it had not
  std::string_view body() const { return own_body.empty() ? callers_body : std::string_view{own_body}; }
  const dialect::dialect* speaks = nullptr;
  bool same_dialect = true;
  bool drop_usage_only = false;
};

// `model`: what is sent to the target. Fails with the caller's fault (400): something that the target's
// dialect cannot say.
std::expected<leg_request, foundation::failure> make_leg_request(const call& request, read_request& read,
                                                                 const provider& to, std::string_view model);

}  // namespace tidegate::gateway
