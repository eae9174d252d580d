// GET /v1/models: what the routes serve. Exact route names stand for themselves; for a glob the first usable
// target's provider is asked, and what it lists is kept where this route would take it. Its last good answer
// serves for a minute, so that listings are not rounds of calls.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/exchange.h"
#include "protocol/dialect/models.h"

namespace tidegate::gateway {

// Sorted by id, each once. A provider that does not answer in time is left out, and asked again next time.
runtime::task<std::vector<dialect::model_entry>> list_models(core& shared, loop_services& services,
                                                             runtime::cancel_source& cancel);
// A listing costs one unit of the caller's window (RL-2): why it is refused, or nothing.
std::optional<foundation::failure> admit_listing(core& shared, loop_services& services, const caller& who);
// The entry of one model that a route serves, without asking anyone.
std::optional<dialect::model_entry> find_model(const snapshot& served, std::string_view id);

}  // namespace tidegate::gateway
