// The envelope around every reply of the session surface (RPC-1).
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "foundation/error.h"
#include "protocol/rpc/schema.h"

namespace tidegate::protocol::rpc {

// {"ok":true,"data":<data>,"meta":{"requestId","ts"}}. `data` is one valid JSON value.
std::string ok_envelope(std::string_view data, std::string_view request_id,
                        std::chrono::milliseconds ts_since_epoch);

// What the surface may tell of a failure. A code that may not be told (is_declared) becomes INTERNAL_ERROR
// without details; details that are no JSON go; the HTTP status is section 3's, so a provider's own 4xx
// becomes 502.
foundation::failure presentable(foundation::failure f);

// {"ok":false,"error":{...},"meta":{...}} of presentable(f); an empty trace_id is left out.
std::string error_envelope(const foundation::failure& f, std::string_view trace_id,
                           std::string_view request_id, std::chrono::milliseconds ts_since_epoch);

// {"code","message","traceId"?,"details"?,"retryable","retryAfterMs"?}: the error inside envelopes, done
// pushes and failed candidates.
std::string error_json(const foundation::failure& f, std::string_view trace_id);

// VALIDATION_ERROR with the issues as details.
foundation::failure validation_failure(std::span<const issue> issues);

}  // namespace tidegate::protocol::rpc
