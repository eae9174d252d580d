// What POST /rpc/<channel> and GET /rpc/events share: who asks, and how either is refused.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "foundation/error.h"
#include "gateway/exchange.h"
#include "runtime/server/downstream.h"

namespace tidegate::surface {

// One request on its way: what each answer to it bears.
struct rpc_request {
  std::string id;        // UUIDv7: meta.requestId
  std::string trace_id;  // from traceparent, else made
  std::string channel;   // as it was named; "events" for the push stream
  gateway::access::found caller{};
};

// A refusal whose HTTP side is not the code's own: 405 with the methods that are taken, 408, 400.
struct rpc_refusal {
  foundation::failure why;
  int status = 0;
  std::string_view allow = {};
};

rpc_request begin_request(const runtime::downstream& exchange, gateway::loop_services& services,
                          std::string channel);
// Origin and key (SEC-1, SEC-2), in this order: why not, or nothing, and then the caller is known.
std::optional<foundation::failure> identify(gateway::core& shared, const protocol::http1::request_head& head,
                                            rpc_request& asked);
// Logs ipc_protocol_violation: one side does not speak as the session surface is spoken, whatever it says. Of
// many a second only the first: see core::may_log_a_stranger.
void note_violation(gateway::core& shared, const gateway::loop_services& services, std::string_view channel,
                    std::string_view reason, std::string_view trace_id);
// Counts the refusal, puts it on the record where section 4 names an event for it and the caller is known
// (a stranger must not be able to fill the journal), and answers with its envelope.
runtime::task<void> answer_refusal(gateway::core& shared, gateway::loop_services& services,
                                   runtime::downstream& exchange, rpc_request asked, rpc_refusal refused);
// The envelope alone, for failures that a handler gives.
runtime::task<void> answer_failure(gateway::loop_services& services, runtime::downstream& exchange,
                                   const rpc_request& asked, const rpc_refusal& refused);
// Lines that every answer bears.
std::string rpc_headers(std::string_view trace_id, std::string_view content_type);
// The body of what the HTTP side itself refuses.
std::string rpc_refusal_body(gateway::core& shared, gateway::loop_services& services,
                             const runtime::http_refusal& why, std::string_view target, std::string& headers);
// The failure of a body that the HTTP side would not take.
rpc_refusal body_refusal(const runtime::http_refusal& why);

// "%3A" -> ":"; nothing for a broken escape or a NUL.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_blank = false);

}  // namespace tidegate::surface
