// What the journal writes and in which order, without a thread and without a clock that ticks: batches in,
// files out. Who waits for the disk is the sync_runner's part: records are written while a sync is under way.
// After the first failure it must not be used any more.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "journal/checkpoint.h"
#include "journal/files.h"
#include "journal/housekeeping.h"
#include "journal/journal.h"
#include "journal/record.h"
#include "journal/sync_runner.h"

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
                                                const foundation::clock& time, sync_runner& syncs,
                                                observer* watcher, journal_end end);
  // Waits for a sync under way.
  ~chain_writer();
  chain_writer(const chain_writer&) = delete;
  chain_writer& operator=(const chain_writer&) = delete;

  // Seals the records in place, writes them with as few calls as there are segments, folds them. Rotates and
  // sets checkpoints where they are due by size and number.
  io<void> append(std::span<batch* const> batches);
  // Begins to make durable what is written, and a checkpoint's line behind its record; nothing where there is
  // nothing to do or one is under way. What becomes of it is known after a `collect`.
  io<void> begin_sync();
  // Takes note of a sync that has ended.
  io<void> collect();
  bool syncing() const { return under_way_.has_value(); }
  // Only if there are records that no checkpoint covers: the checkpoint's record; its line comes with the
  // next sync. Waits for the line of the one before.
  io<void> set_checkpoint();
  // Whether a checkpoint's line is still to come.
  bool checkpoint_open() const { return open_.has_value(); }
  // Until all is durable; nothing to do where it is.
  io<void> sync();
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
               const foundation::clock& time, sync_runner& syncs, observer* watcher, journal_end end);

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
  io<void> make_lines();
  io<void> take_note(const io<foundation::duration>& ended);
  io<void> drop_lines_before(std::uint64_t first);

  const settings& config_;
  file_system& files_;
  const signing_key& key_;
  fold& sums_;
  const foundation::clock& time_;
  sync_runner& syncs_;
  observer* watcher_;

  journal_end end_;
  std::uint64_t synced_;
  std::uint64_t checkpointed_ = 0;
  std::unique_ptr<file> live_;
  std::unique_ptr<file> lines_;
  // A checkpoint whose record is written, and its line.
  std::optional<std::string> open_;
  struct sync_note {
    std::uint64_t sequence = 0;
    std::size_t line_bytes = 0;
  };
  std::optional<sync_note> under_way_;
  hasher hash_;
  std::string header_;
  std::string own_;
  // Sealed, and written at the next flush.
  std::vector<std::string_view> staged_;
  std::uint64_t staged_bytes_ = 0;
};

}  // namespace tidegate::journal
