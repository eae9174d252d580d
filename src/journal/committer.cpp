#include "journal/committer.h"

#include <algorithm>
#include <utility>

namespace tidegate::journal {

using foundation::instant;
using foundation::never;

committer::committer(chain_writer& chain, const settings& config, const foundation::clock& time,
                     observe::logger& log, observer* watcher)
    : chain_{chain},
      config_{config},
      time_{time},
      log_{log},
      watcher_{watcher},
      records_reported_{chain.sequence()},
      sequence_at_sync_{chain.synced()},
      last_sync_{time.now() - config.group_commit} {
  note_time(time.now());
}

void committer::run(std::span<entry> arrived) {
  if (stopped() || !write(arrived)) return refuse(arrived);
  settle(arrived);
  work(time_.now());
}

bool committer::write(std::span<entry> arrived) {
  batches_.clear();
  for (entry& e : arrived) {
    if (!e.refused && !e.records.spoilt()) batches_.push_back(&e.records);
  }
  if (batches_.empty()) return true;
  if (auto done = chain_.append(batches_); !done) {
    stop(done.error());
    return false;
  }
  return true;
}

// The sequence of each entry's last record follows from the order; checkpoints in between only make the
// true ones lower than the chain's, so all that asked for durability wait for what the chain has now.
void committer::settle(std::span<entry> arrived) {
  // Before anyone is told: who hears that its record is written finds it counted.
  if (watcher_ != nullptr && chain_.sequence() > records_reported_) {
    watcher_->records_written(chain_.sequence() - records_reported_);
  }
  records_reported_ = chain_.sequence();
  for (const entry& e : arrived) {
    if (e.listener == nullptr) continue;
    if (e.refused || e.records.spoilt()) {
      e.listener->failed(e.cookie);
    } else if (e.wanted == durability::power) {
      waiting_.push_back({e.listener, e.cookie, chain_.sequence()});
    } else {
      e.listener->committed(e.cookie);
    }
  }
}

void committer::note_time(instant now) {
  // A rotation or a checkpoint may have synced on its own.
  if (chain_.synced() != sequence_at_sync_) {
    sequence_at_sync_ = chain_.synced();
    last_sync_ = now;
    unsynced_since_ = never;
  }
  if (chain_.synced() == chain_.sequence()) {
    unsynced_since_ = never;
  } else if (unsynced_since_ == never) {
    unsynced_since_ = now;
  }
  const bool covered_anew = std::exchange(checkpoint_seen_, chain_.checkpointed()) != chain_.checkpointed();
  if (chain_.records_since_checkpoint() == 0) {
    uncovered_since_ = never;
  } else if (uncovered_since_ == never || covered_anew) {
    uncovered_since_ = now;
  }
}

instant committer::due() const {
  if (stopped()) return never;
  instant at = never;
  // What comes behind a sync under way is decided when that one has ended.
  if (!chain_.syncing()) {
    if (!waiting_.empty()) at = last_sync_ + config_.group_commit;
    if (unsynced_since_ != never) at = std::min(at, unsynced_since_ + config_.background_sync);
  }
  if (uncovered_since_ != never && !chain_.checkpoint_open())
    at = std::min(at, uncovered_since_ + config_.checkpoint_interval);
  return at;
}

bool committer::sync_due(instant now) const {
  if (chain_.checkpoint_open()) return true;
  if (unsynced_since_ != never && now >= unsynced_since_ + config_.background_sync) return true;
  return !waiting_.empty() && (now >= last_sync_ + config_.group_commit ||
                               chain_.sequence() - chain_.synced() >= config_.group_commit_records);
}

bool committer::checkpoint_due(instant now) const {
  return uncovered_since_ != never && !chain_.checkpoint_open() &&
         now >= uncovered_since_ + config_.checkpoint_interval;
}

void committer::work(instant now) {
  if (auto done = take_note(now); !done) return stop(done.error());
  if (checkpoint_due(now)) {
    io<void> done = chain_.set_checkpoint();
    if (done) done = chain_.trim();
    if (!done) return stop(done.error());
    // Segments are given up behind a sync of everything, which may have lasted.
    now = time_.now();
    tell_synced();
    note_time(now);
  }
  if (chain_.syncing() || !sync_due(now)) return note_time(now);
  if (auto done = chain_.begin_sync(); !done) return stop(done.error());
  if (auto done = take_note(now); !done) return stop(done.error());
}

// Of a sync that has ended, if one has.
io<void> committer::take_note(instant now) {
  if (auto done = chain_.collect(); !done) return done;
  tell_synced();
  note_time(now);
  return {};
}

void committer::tell_synced() {
  while (!waiting_.empty() && waiting_.front().sequence <= chain_.synced()) {
    waiting_.front().listener->committed(waiting_.front().cookie);
    waiting_.pop_front();
  }
}

void committer::finish() {
  if (stopped()) return;
  if (auto done = chain_.finish(); !done) return stop(done.error());
  tell_synced();
  settle({});
  note_time(time_.now());
}

void committer::stop(const io_failure& failure) {
  reason_ = failure.what.empty() ? "the disk failed" : failure.what;
  log_.at(observe::level::error, "journal_stopped").field("reason", reason_);
  if (watcher_ != nullptr) watcher_->stopped(reason_);
  for (const waiter& w : waiting_) w.listener->failed(w.cookie);
  waiting_.clear();
}

void committer::refuse(std::span<entry> arrived) {
  for (const entry& e : arrived) {
    if (e.listener != nullptr) e.listener->failed(e.cookie);
  }
}

}  // namespace tidegate::journal
