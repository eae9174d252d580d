// What a browser needs to let a page of an allowed origin call the data listener (SEC-2; the Fetch standard's
// CORS protocol). Other origins are refused by the surfaces, and are told nothing of this.
#pragma once

#include <string_view>

#include "gateway/snapshot.h"
#include "runtime/server/server.h"

namespace tidegate::surface {

// Of server.allowed_origins, byte by byte.
bool allows_origin(const gateway::snapshot& served, std::string_view origin);

// Whether the name by which a caller found the data listener is beyond a stranger's reach: one of the
// loopback, an address, the host of an allowed origin, or none. A page whose own name was made to lead here
// sends no Origin with its GETs, so where no key is asked for, nothing else tells it from the operator (DNS
// rebinding).
bool trusts_host(const gateway::snapshot& served, std::string_view authority);

// For every answer to a page of `origin`, which is allowed, but for those to heads that could not be read.
void admit_page(runtime::downstream& exchange, std::string_view origin);

// OPTIONS in which a browser asks what the page may send. It bears no key, so none is asked for.
bool is_preflight(const protocol::http1::request_head& head);
runtime::task<void> answer_preflight(runtime::downstream& exchange);

}  // namespace tidegate::surface
