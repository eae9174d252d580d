// GET /v1/models: what the routes serve. Exact route names stand for themselves; for a glob the first usable
// target's provider is asked, and what it lists is kept where this route would take it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/exchange.h"
#include "protocol/dialect/models.h"

namespace tidegate::gateway {

// Sorted by id, each once. A provider that does not answer in time is left out.
runtime::task<std::vector<dialect::model_entry>> list_models(core& shared, loop_services& services,
                                                             runtime::cancel_source& cancel);
// The entry of one model that a route serves, without asking anyone.
std::optional<dialect::model_entry> find_model(const snapshot& served, std::string_view id);

}  // namespace tidegate::gateway
