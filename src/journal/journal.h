// The append-only truth of a node: hash-chained records in segments, group commit, signed checkpoints,
// recovery (TRC-2, TRC-3). The format on disk is docs/JOURNAL.md.
//
// One thread writes; any thread appends and never waits for the disk. The directory belongs to one process:
// whoever opens it holds the data directory's lock. The first write or sync that fails stops the journal for
// good (a failed sync is never retried); what was not acknowledged by then is refused.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "foundation/time.h"
#include "journal/batch.h"
#include "journal/files.h"
#include "journal/record.h"
#include "observe/log.h"

namespace tidegate::journal {

// What an acknowledgement means. `process`: the records are with the kernel and survive the end of this
// process. `power`: they survive a power cut. `none` is acknowledged like `process`; who asks for it does not
// wait, and may lose what was appended in the last milliseconds before a kill.
enum class durability : std::uint8_t { none, process, power };

struct settings {
  std::string dir;
  std::uint64_t segment_size = std::uint64_t{64} << 20;
  // Syncs that requests wait for are at most one in this time, unless so many records wait.
  foundation::milliseconds group_commit{2};
  std::uint64_t group_commit_records = 256;
  foundation::milliseconds checkpoint_interval{60'000};
  std::uint64_t checkpoint_records = 1'000;
  // Segments whose records are all older are removed; nothing: kept for ever.
  std::optional<foundation::milliseconds> retention;
  // Records that nobody waits for are synced after so long.
  foundation::milliseconds background_sync{50};
};

// Bytes that may wait for the writer; beyond that batches are refused until there is room again.
inline constexpr std::size_t queue_bytes_max = std::size_t{64} << 20;

// What the records add up to. Called by one thread at a time (the opening one during recovery, then the
// writer), in order of sequence, for records of type `event` only.
class fold {
 public:
  virtual ~fold() = default;
  virtual void apply(const record_view& record) noexcept = 0;
  // What `load` takes to be as it is now. Any bytes; more than state_size_max are not kept.
  virtual std::string save() const = 0;
  // False, and unchanged or cleared, for bytes that it did not make.
  virtual bool load(std::string_view saved) = 0;
  virtual void clear() = 0;
};

inline constexpr std::size_t state_size_max = std::size_t{256} << 20;

// Called on the writer thread; must not block. Each cookie is heard of once.
class commit_listener {
 public:
  virtual ~commit_listener() = default;
  virtual void committed(std::uint64_t cookie) noexcept = 0;
  // The records may or may not be found after a restart; nobody may act as if they were there.
  virtual void failed(std::uint64_t cookie) noexcept = 0;
};

// Called on the writer thread; must not block.
class observer {
 public:
  virtual ~observer() = default;
  virtual void records_written(std::uint64_t count) noexcept = 0;
  virtual void synced(foundation::duration took) noexcept = 0;
  virtual void stopped(std::string_view reason) noexcept = 0;
  // The fold's state is over state_size_max and was not saved: starts fold from an older one, and retention
  // waits, until it fits again.
  virtual void state_too_large(std::uint64_t /*bytes*/) noexcept {}
};

struct recovery_report {
  // Sequence of the last record, which is also how many were ever written.
  std::uint64_t records = 0;
  // Read and checked at the start; at most the newest 512 MiB.
  std::uint64_t records_checked = 0;
  std::uint64_t records_folded = 0;
  std::uint64_t segments = 0;
  // A torn tail's bytes that were cut.
  std::uint64_t torn_bytes = 0;
  foundation::duration took{};
};

class journal {
 public:
  // Verifies, cuts a torn tail (logged as journal_tail_cut), folds, and starts the writer thread. Refuses,
  // saying the place, where the journal is damaged or of another format. All but `config` must outlive it.
  static std::expected<std::unique_ptr<journal>, std::string> open(settings config, file_system& files,
                                                                   const foundation::clock& time, fold& sums,
                                                                   observe::logger& log, observer* watcher);
  ~journal();
  journal(const journal&) = delete;
  journal& operator=(const journal&) = delete;

  // Any thread; never waits for the disk. Empties `records` (its buffer is swapped for a recycled one). The
  // listener, which may be null, hears of `cookie` once all of it has reached `wanted`. Batches are written
  // in the order of the calls. After close() the refusal comes from within the call.
  void append(batch& records, durability wanted, commit_listener* listener, std::uint64_t cookie);
  // A write or a sync failed: all that is pending or comes later gets failed(). Any thread.
  bool stopped() const noexcept;
  // Empty while it runs. Any thread.
  std::string stop_reason() const;
  const recovery_report& recovered() const;
  // Sequence of the last record written. Any thread.
  std::uint64_t sequence() const noexcept;
  // A secret of this journal's own for a purpose, the same at every start: for fingerprints of credentials.
  std::array<std::byte, 32> derive_key(std::string_view label) const;
  // Writes what waits, then state, checkpoint and sync. The destructor calls it; a second call does nothing.
  void close();

 private:
  struct parts;
  explicit journal(std::unique_ptr<parts> made);
  std::unique_ptr<parts> parts_;
};

}  // namespace tidegate::journal
