// What the end of a leg means: for the provider's health (FO-2), for the caller (RET-5) and for whose fault
// it was (TMO-3).
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "foundation/error.h"
#include "foundation/time.h"

namespace tidegate::policy {

enum class leg_outcome : std::uint8_t { success, availability_failure, pushback, auth, neutral };

// "success", "availability_failure", ...: the `outcome` field of ai_leg_finished.
std::string_view name_of(leg_outcome outcome);

// `reset` is a reset or an end of file before the reply is whole.
enum class transport_fault : std::uint8_t { dns, tls, connect, reset };
// Limits of one leg (TMO-2).
enum class leg_timeout : std::uint8_t { connect, first_byte, idle, leg };
// An in-stream error of the provider. overloaded and server: availability; rate_limit: pushback; other:
// neutral.
enum class stream_fault : std::uint8_t { overloaded, server, rate_limit, other };
enum class reply_fault : std::uint8_t {
  not_as_asked,  // a 200 that is neither JSON nor SSE although that was asked for
  wrong_shape,   // JSON, but not this dialect's: our reading of it fails, the provider is up
  cut,           // the stream ended without its end marker
  too_large,     // over server.max_upstream_body: our limit, not its fault
};
// Ends of our own making; the plan's local_limited and abandon tell refusals.
enum class local_end : std::uint8_t { canceled, client_gone };

struct leg_result {
  leg_outcome outcome = leg_outcome::success;
  // The leg's own code, as listed in `attempts` (FO-9). Meaningless for success.
  foundation::error_code code = foundation::error_code::llm_api_error;
  // Whether the same call may succeed later.
  bool retryable = false;
  // "http_503", "connect_timeout", ...: static text for events and logs; empty for success.
  std::string_view reason;
};

leg_result result_of(transport_fault fault);
leg_result result_of(leg_timeout limit);
leg_result result_of(stream_fault fault);
leg_result result_of(reply_fault fault);
leg_result result_of(local_end end);
// Any HTTP status; 2xx is success as far as the status goes, redirects are never followed.
leg_result result_of_status(int status);

// The run's own deadline ended the leg: the provider's fault only when it ran for `blame_after` (inclusive)
// without content. The code is SKILL_TIMEOUT either way.
inline constexpr foundation::duration blame_after_default = std::chrono::seconds{10};
leg_result result_of_deadline(foundation::duration ran, bool content_seen,
                              foundation::duration blame_after = blame_after_default);

// RET-5: the code of a non-2xx status.
foundation::error_code code_of_status(int status);

}  // namespace tidegate::policy
