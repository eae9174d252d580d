// The journal of one node: opened and checked before anything is served, its sums given to the live guards,
// what a crash left open closed on the record (BUD-6, TRC-2).
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/configuration.h"
#include "foundation/time.h"
#include "gateway/core.h"
#include "gateway/journal_link.h"
#include "gateway/state_fold.h"
#include "journal/journal.h"
#include "journal/posix_files.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "storage/client_key.h"

namespace tidegate::app {

class recorder final : private journal::observer {
 public:
  // Fails with a text for a person where the journal cannot be opened or is damaged.
  static std::expected<std::unique_ptr<recorder>, std::string> open(const configuration& settings,
                                                                    const foundation::clock& time,
                                                                    observe::logger& log,
                                                                    gateway::core& core);

  // Gives the guards back what they had, once the providers are enrolled, and ends runs that a crash cut off:
  // dispatched reservations settle in full, others are released, each run gets its terminal.
  void restore();
  // Rows of usage whose storing is not on the record, as of restore(); once.
  std::vector<gateway::usage_entry> take_unconfirmed_usage() { return std::move(usage_); }
  // One record that no run makes: a change of configuration, a start. Any thread.
  void note(std::string_view event_json);
  // As note, and waits until it is with the kernel; not on a loop. False: it is not on the record.
  bool record(std::string_view event_json);
  // Keyed and one-way; 0 for none. The same at every start.
  std::uint64_t fingerprint(std::string_view credential) const;
  // A keyed hash for a purpose, the same at every start.
  storage::key_mac keyed(std::string_view purpose) const;
  journal::journal& log_of_record() noexcept { return *journal_; }
  // Writes what waits and seals. After all loops have ended.
  void close();

 private:
  recorder(const foundation::clock& time, observe::logger& log, gateway::core& core)
      : time_{time}, log_{log}, core_{core} {}
  void end_cut_off_runs();
  void records_written(std::uint64_t count) noexcept override;
  void synced(foundation::duration took) noexcept override;
  void stopped(std::string_view reason) noexcept override;
  void state_too_large(std::uint64_t bytes) noexcept override;

  const foundation::clock& time_;
  observe::logger& log_;
  gateway::core& core_;
  journal::posix_files files_;
  gateway::state_fold sums_;  // the journal's thread's, once something is appended
  std::vector<gateway::usage_entry> usage_;
  std::unique_ptr<journal::journal> journal_;
  std::unique_ptr<storage::key_mac> fingerprints_;
};

gateway::stage_durability durability_of(journal_durability wanted);

}  // namespace tidegate::app
