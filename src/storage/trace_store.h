// Port: terminal runs with their texts, and feedback on them (TRC-4, TRC-6). Texts are sealed by the store
// before they leave memory, under the run's id; a store without a sealer leaves them out. Rows that are
// reported done survive the end of the process, and a power loss up to the last checkpoint.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "foundation/time.h"
#include "storage/result.h"

namespace tidegate::storage {

using foundation::wall_time;

// Beyond it a text is cut at a character and ends in "…[cut]".
inline constexpr std::size_t trace_text_max = 1UL << 20;
inline constexpr std::size_t evidence_ref_max = 4'096;
// Of one run: the oldest leaves for a new one.
inline constexpr std::size_t feedback_kept_max = 32;

struct prompt_diagnostics {
  std::string stable_prefix_hash;
  std::string prompt_hash;
  bool operator==(const prompt_diagnostics&) const = default;
};

struct trace_record {
  std::string run_id;
  std::string trace_id;
  std::string execution_id;
  std::string skill_id;
  std::string mode;
  std::string model;
  // Who called; nothing for a run of before this was kept.
  std::optional<std::string> key_id;
  // Nothing: not kept (no master key, or texts are off), or not to be opened any more.
  std::optional<std::string> input_text;
  std::optional<std::string> output_text;
  std::optional<std::string> project_id;
  std::optional<std::string> document_id;
  std::optional<prompt_diagnostics> diagnostics;
  // Runs that answered one request as candidates share it (CAND-1); nothing where there was one.
  std::optional<std::string> candidate_group;
  wall_time started_at;
  wall_time completed_at;
  wall_time created_at;
  // Of a run that failed.
  std::optional<std::string> code;
  bool operator==(const trace_record&) const = default;
};

enum class feedback_action : std::uint8_t { accept, reject, partial };
// "accept"
std::string_view name_of(feedback_action action);
std::optional<feedback_action> feedback_action_named(std::string_view name);

struct feedback_record {
  std::string run_id;
  feedback_action action = feedback_action::accept;
  std::string evidence_ref;
  wall_time created_at;
};

struct stored_feedback {
  std::string run_id;
  std::string trace_id;
  feedback_action action = feedback_action::accept;
  std::string evidence_ref;
  wall_time created_at;
  bool operator==(const stored_feedback&) const = default;
};

struct feedback_outcome {
  std::string trace_id;
  // The run belongs to a group whose every run's latest feedback is now `reject` (TRC-6).
  bool strong_negative = false;
};

class trace_store {
 public:
  virtual ~trace_store() = default;
  // All of the batch or none. A run id that is there already is replaced; its feedback stays.
  virtual void put(std::vector<trace_record> batch, done<void> answer) = 0;
  // Nothing: unknown or purged.
  virtual void get(std::string run_id, done<std::optional<trace_record>> answer) = 0;
  // The latest `feedback_kept_max` of a run are kept. not_found: no trace of that run. too_large:
  // evidence_ref is over `evidence_ref_max`.
  virtual void put_feedback(feedback_record feedback, done<feedback_outcome> answer) = 0;
  // Oldest first.
  virtual void feedback_of(std::string run_id, done<std::vector<stored_feedback>> answer) = 0;
  // Whether every candidate of the group was rejected; false for an unknown group.
  virtual void is_strong_negative(std::string group, done<bool> answer) = 0;
  // Removes runs that completed before, with their feedback, at most `rows_max` a call; answers with how many
  // went, so that a caller goes on while it is `rows_max` and nobody waits long behind it.
  virtual void purge(wall_time completed_before, std::size_t rows_max, done<std::size_t> answer) = 0;
};

}  // namespace tidegate::storage
