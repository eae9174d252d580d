// `audit verify` beside gateways that come and go: whether somebody writes decides what a torn end means, so
// a verdict counts only if that did not change while the journal was read.
#pragma once

#include <functional>

#include "journal/audit.h"
#include "journal/files.h"
#include "journal/survey.h"

namespace tidegate::app::command {

struct journal_verdict {
  journal::survey seen;
  // Somebody held the data directory.
  bool live = false;
};

// `held` asks whether somebody holds the data directory; request.live is not looked at. Reads anew when
// somebody came or went, or, with nobody there, when the files changed; a fault of a journal in use counts
// when it is found twice.
journal_verdict verify_journal(journal::file_system& files, journal::survey_request request,
                               const std::function<bool()>& held);

}  // namespace tidegate::app::command
