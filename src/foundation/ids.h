// Run ids (UUIDv7, RFC 9562) and trace ids (32 hex digits, W3C Trace Context).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "foundation/random.h"
#include "foundation/time.h"

namespace tidegate::foundation {

// 36 characters, time ordered.
std::string make_run_id(wall_time now, random_source& random);
// 32 lowercase hex digits, never all zero.
std::string make_trace_id(random_source& random);
// The trace-id of a valid W3C `traceparent` header, else nothing.
std::optional<std::string> trace_id_of(std::string_view traceparent);

}  // namespace tidegate::foundation
