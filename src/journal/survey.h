// Reads a journal from disk, checks every link, and says where it ends or what is wrong with it. Changes
// nothing. Recovery and `audit verify` both stand on it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "journal/checkpoint.h"
#include "journal/files.h"
#include "journal/housekeeping.h"
#include "journal/record.h"

namespace tidegate::journal {

// The first thing that is wrong. `file` is a name within the journal's directory.
struct finding {
  std::string file;
  std::uint64_t offset = 0;
  // Of the record that should stand there; 0 where no record is meant.
  std::uint64_t sequence = 0;
  std::string what;
};
// "00000000000000000001.seg: offset 1234, record 7: …"
std::string to_text(const finding& f);

struct survey_request {
  std::string dir;
  // Segments from the end back are read until so many bytes are.
  std::uint64_t bytes_max = ~std::uint64_t{0};
  // All signatures, or the newest 64: the chain binds what is older to them.
  bool every_signature = true;
  // Somebody is writing: what stands at the very end is in flight and no fault.
  bool live = false;
  // Whether the newest saved state must be the recorded one.
  bool state = true;
  // Checkpoints kept elsewhere, in any order: the journal must hold so many records with that head.
  std::vector<checkpoint> shipped{};
};

struct survey {
  // All that are there, oldest first; those that were not read have only `first`.
  std::vector<segment_header> segments;
  std::size_t segments_read = 0;
  // First record read, last record there (0: none) and its hash; what the next would point back at.
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  digest head{};
  digest link{};
  std::uint64_t records = 0;
  std::uint64_t checkpoints = 0;
  std::uint64_t shipped_checked = 0;
  std::uint64_t records_since_checkpoint = 0;
  std::uint64_t events_since_state = 0;
  // Sound bytes of the last segment, and where its records begin that nothing proves durable.
  std::uint64_t sound_bytes = 0;
  std::uint64_t unproven_from = 0;
  // Bytes behind them that a power cut left.
  std::uint64_t torn_bytes = 0;
  // A segment that was being made: no sound header, no records.
  std::string torn_segment;
  // checkpoints.jsonl: its sound bytes, where its last line begins, and the line that a crash kept from it.
  std::uint64_t lines_bytes = 0;
  std::uint64_t last_line_at = 0;
  std::string missing_line;
  // Newest last.
  std::vector<state_note> states;
  std::optional<trim_note> trimmed;
  // All there is was read.
  bool whole = false;
  // What an operator should know though it is no fault.
  std::vector<std::string> notes;
  std::optional<public_key> signer;
  std::optional<finding> fault;
  // The fault is only that a file went away while the journal was read.
  bool vanished = false;
};

survey take_survey(file_system& files, const survey_request& request);

}  // namespace tidegate::journal
