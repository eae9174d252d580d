// Brings a journal's directory into a state in which writing can go on, and its fold up to date.
#pragma once

#include <expected>
#include <string>

#include "journal/chain_writer.h"
#include "journal/checkpoint.h"
#include "journal/files.h"
#include "journal/journal.h"

namespace tidegate::journal {

struct recovery {
  signing_key key;
  journal_end end;
  recovery_report report;
};

// Makes directory and signing key at first need; verifies what is there (the newest 512 MiB); cuts a torn
// tail; makes all that is left durable; loads the newest state whose hash holds and folds what is behind it.
// The text of a refusal names the record's place.
std::expected<recovery, std::string> recover(const settings& config, file_system& files,
                                             const foundation::clock& time, fold& sums, observe::logger& log);

}  // namespace tidegate::journal
