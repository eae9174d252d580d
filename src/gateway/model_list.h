// GET /v1/models: what the routes serve. Exact route names stand for themselves; for a glob the first usable
// target's provider is asked, and what it lists is kept where this route would take it. Its last good answer
// serves for a minute, so that listings are not rounds of calls.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/exchange.h"
#include "protocol/dialect/models.h"

namespace tidegate::gateway {

// GET /v1/models of one provider as it stands: the body of its 200, or what a run would be told of such an
// end (RET-5, FO-2), with TIMEOUT where `by` passed first. No retries, no word to the provider's health.
runtime::task<std::expected<std::string, foundation::failure>> ask_models(loop_services& services,
                                                                          const provider& of, instant by,
                                                                          runtime::cancel_source& cancel);

// RTE-2: ids trimmed, blank ones left out, each once, in their order; name, else display_name, else id.
struct listed_model {
  std::string id;
  std::string name;
};
std::vector<listed_model> read_models(std::string_view body);

// Sorted by id, each once. A provider that does not answer in time is left out, and asked again next time.
runtime::task<std::vector<dialect::model_entry>> list_models(core& shared, loop_services& services,
                                                             runtime::cancel_source& cancel);
// A listing costs one unit of the caller's window (RL-2): why it is refused, or nothing.
std::optional<foundation::failure> admit_listing(core& shared, loop_services& services, const caller& who);
// The entry of one model that a route serves, without asking anyone.
std::optional<dialect::model_entry> find_model(const snapshot& served, std::string_view id);

}  // namespace tidegate::gateway
