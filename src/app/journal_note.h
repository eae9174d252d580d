// One record that somebody waits for: the answer to a change of keys or secrets says whether it is on the
// record.
#pragma once

#include <string_view>

#include "foundation/time.h"
#include "journal/journal.h"

namespace tidegate::app {

// Waits for the disk, so not on a loop. False: the journal would not take it, or has stopped.
bool note_and_wait(journal::journal& to, foundation::wall_time now, std::string_view event_json,
                   journal::durability wanted);

}  // namespace tidegate::app
