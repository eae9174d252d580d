// Group commit: decides when what was written is synced, who is told, and when checkpoints are due. No thread
// of its own; whoever drives it calls `run` when batches arrive, when `due` has come and when a sync has
// ended.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "foundation/time.h"
#include "journal/chain_writer.h"
#include "journal/journal.h"

namespace tidegate::journal {

// One call of journal::append.
struct entry {
  batch records;
  durability wanted = durability::process;
  commit_listener* listener = nullptr;
  std::uint64_t cookie = 0;
  // Not to be written at all.
  bool refused = false;
};

class committer {
 public:
  // All must outlive it; `watcher` may be null.
  committer(chain_writer& chain, const settings& config, const foundation::clock& time, observe::logger& log,
            observer* watcher);

  // Writes them all, tells who waits for no more than that, begins a sync if it is time, and tells who waited
  // for one that has ended. Afterwards the entries are done with.
  void run(std::span<entry> arrived);
  // When `run` is to be called though nothing arrives; `never` when nothing is under way.
  foundation::instant due() const;
  // The end of the journal's use: everything written, state and checkpoint made, all told.
  void finish();

  bool stopped() const { return !reason_.empty(); }
  const std::string& reason() const { return reason_; }

 private:
  struct waiter {
    commit_listener* listener = nullptr;
    std::uint64_t cookie = 0;
    std::uint64_t sequence = 0;
  };

  bool write(std::span<entry> arrived);
  void settle(std::span<entry> arrived);
  void note_time(foundation::instant now);
  bool sync_due(foundation::instant now) const;
  bool checkpoint_due(foundation::instant now) const;
  void work(foundation::instant now);
  io<void> take_note(foundation::instant now);
  void tell_synced();
  void stop(const io_failure& failure);
  void refuse(std::span<entry> arrived);

  chain_writer& chain_;
  const settings& config_;
  const foundation::clock& time_;
  observe::logger& log_;
  observer* watcher_;

  std::vector<batch*> batches_;
  // In order of sequence; they wait for a sync.
  std::deque<waiter> waiting_;
  std::uint64_t records_reported_;
  std::uint64_t sequence_at_sync_;
  std::uint64_t checkpoint_seen_ = 0;
  foundation::instant last_sync_;
  // Since when something is not durable, or not covered by a checkpoint.
  foundation::instant unsynced_since_ = foundation::never;
  foundation::instant uncovered_since_ = foundation::never;
  std::string reason_;
};

}  // namespace tidegate::journal
