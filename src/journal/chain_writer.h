// What the journal writes and in which order, without a thread and without a clock that ticks: batches in,
// files out. After the first failure it must not be used any more.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "journal/checkpoint.h"
#include "journal/files.h"
#include "journal/housekeeping.h"
#include "journal/journal.h"
#include "journal/record.h"

namespace tidegate::journal {

// Where a journal ends and what is known of it: what recovery found, and where writing goes on.
struct journal_end {
  // All that are kept, oldest first. `created` and `previous` are only needed for retention.
  std::vector<segment_header> segments;
  // Of the last segment; all of it is sound and durable.
  std::uint64_t segment_bytes = 0;
  // Last record and its hash.
  std::uint64_t sequence = 0;
  digest head{};
  // What the next record in the last segment points back at: `head`, or the hash of a header without records.
  digest link{};
  std::uint64_t records_since_checkpoint = 0;
  std::uint64_t events_since_state = 0;
  // Of the newest state that is on disk; 0: none.
  std::uint64_t state = 0;
  std::uint64_t checkpoints_bytes = 0;
};

class chain_writer {
 public:
  // All references must outlive it. `watcher` may be null.
  static io<std::unique_ptr<chain_writer>> open(const settings& config, file_system& files,
                                                const signing_key& key, fold& sums,
                                                const foundation::clock& time, observer* watcher,
                                                journal_end end);

  // Seals the records in place, writes them with as few calls as there are segments, folds them. Rotates and
  // sets checkpoints where they are due by size and number.
  io<void> append(std::span<batch* const> batches);
  // Nothing to do where all is durable.
  io<void> sync();
  // Only if there are records that no checkpoint covers: checkpoint record, sync, line.
  io<void> checkpoint_now();
  // Saves the fold if it changed, then a checkpoint: the end of a segment and of the journal's use.
  io<void> finish();
  // Gives up segments that are older than the retention.
  io<void> trim();

  std::uint64_t sequence() const { return end_.sequence; }
  std::uint64_t synced() const { return synced_; }
  std::uint64_t records_since_checkpoint() const { return end_.records_since_checkpoint; }
  // What the newest checkpoint of this writer counts; 0: it made none.
  std::uint64_t checkpointed() const { return checkpointed_; }

 private:
  chain_writer(const settings& config, file_system& files, const signing_key& key, fold& sums,
               const foundation::clock& time, observer* watcher, journal_end end);

  std::string path(std::string_view name) const { return config_.dir + '/' + std::string{name}; }
  std::uint64_t live_bytes() const { return end_.segment_bytes + staged_bytes_; }
  bool fits(std::size_t record_size) const;
  io<void> append(batch& records);
  io<void> make_room(std::size_t record_size);
  io<void> start_segment();
  void stage(std::string_view bytes);
  void seal(char* record, std::size_t size, std::uint64_t synced);
  io<void> flush();
  void fold_records(std::string_view piece);
  io<void> write_own(record_type type, std::string_view payload, foundation::wall_time now);
  io<bool> save_state();
  io<void> append_line(std::string line);
  io<void> drop_lines_before(std::uint64_t first);

  const settings& config_;
  file_system& files_;
  const signing_key& key_;
  fold& sums_;
  const foundation::clock& time_;
  observer* watcher_;

  journal_end end_;
  std::uint64_t synced_;
  std::uint64_t checkpointed_ = 0;
  std::unique_ptr<file> live_;
  std::unique_ptr<file> lines_;
  hasher hash_;
  std::string header_;
  std::string own_;
  // Sealed, and written at the next flush.
  std::vector<std::string_view> staged_;
  std::uint64_t staged_bytes_ = 0;
};

}  // namespace tidegate::journal
