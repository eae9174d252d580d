// The request that one leg sends: the caller's body with as few bytes changed as the target needs, or its
// translation, and the head with the provider's own credential.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
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

// What everything sent would count as (BUD-3, BUD-9), over the caller's body as it came; 0 for nothing.
std::int64_t estimate_prompt(const call& request, const read_request& read);

// BUD-3, BUD-4.
struct output_cap {
  std::int64_t max = 0;  // tokens; 0: none
  bool clamp = false;    // what is above it is lowered, else refused
  // What a caller gets who names no bound (the session surface's default_max_tokens); nothing: the cap.
  std::optional<std::int64_t> fallback;
};

// The bound that one choice of the reply gets, at least 1; 0: none was named and there is no cap. Fails with
// INVALID_ARGUMENT (400) that names the field. For endpoint::generate only: the others have no output.
std::expected<std::int64_t, foundation::failure> effective_max_tokens(const dialect::request_summary& asked,
                                                                      const output_cap& cap);
// The output that a reservation must hold: every choice may use up the bound. Saturates far above any budget.
std::int64_t projected_output(const dialect::request_summary& asked, std::int64_t effective_max);

// `model`: what is sent to the target. `effective_max`: the bound that is sent, whoever named it, in the
// caller's own field where there is one; 0: the caller's words stay. Fails with the caller's fault (400):
// something that the target's dialect cannot say.
std::expected<leg_request, foundation::failure> make_leg_request(const call& request, read_request& read,
                                                                 const provider& to, std::string_view model,
                                                                 std::int64_t effective_max = 0);

}  // namespace tidegate::gateway
