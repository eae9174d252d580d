// /admin/v1/status: what an operator asks first – providers, calls in flight, budgets, rates, the record – as
// one JSON object.
#pragma once

#include <string>

#include "foundation/time.h"
#include "gateway/core.h"

namespace tidegate::surface {

// Sessions are many: only the accounts that stand highest are listed, the rest is counted.
inline constexpr std::size_t status_accounts_max = 50;

std::string status_json(gateway::core& shared, foundation::instant now, foundation::wall_time wall);
// The part of it that tells of providers: {"providers":[…],"inFlight":…,"draining":…}.
std::string providers_json(gateway::core& shared, foundation::instant now, foundation::wall_time wall);

}  // namespace tidegate::surface
