// What a start puts on the record about the process before it: how the runs that a crash cut off ended
// (BUD-6, TRC-2), and accounts brought back to zero whose reset was recorded while what it took back was
// lost.
#pragma once

#include <string>
#include <vector>

#include "gateway/state_fold.h"

namespace tidegate::gateway {

struct restart_record {
  std::string event;
  std::string payload;
};

// In the order in which they belong into the journal. state_fold::restore gives the ledger what the fold adds
// up to once they are applied to it.
std::vector<restart_record> restart_records(const state_fold& sums);

}  // namespace tidegate::gateway
