// The stores in memory, for tests and for a gateway that keeps nothing: the same promises but for surviving
// the process. Calls are answered before they return.
#pragma once

#include <functional>
#include <memory>

#include "storage/seal.h"
#include "storage/stores.h"

namespace tidegate::storage::memory {

// Asked before every call that reads or writes: true makes it fail as unavailable.
using fault_hook = std::function<bool()>;

std::unique_ptr<stores> make(std::shared_ptr<const sealer> seal, reply_bounds bounds = {},
                             fault_hook fault_for_test = {});

}  // namespace tidegate::storage::memory
