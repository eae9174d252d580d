#include "app/recorder.h"

#include <cstring>
#include <span>
#include <utility>

#include "app/journal_note.h"
#include "gateway/restart_records.h"

namespace tidegate::app {

using observe::level;

gateway::stage_durability durability_of(journal_durability wanted) {
  using journal::durability;
  switch (wanted) {
    case journal_durability::power:
      return {durability::power, durability::power};
    case journal_durability::process:
      return {durability::process, durability::process};
    case journal_durability::none:
      return {durability::none, durability::none};
    case journal_durability::split:
      break;
  }
  return {durability::process, durability::power};
}

std::expected<std::unique_ptr<recorder>, std::string> recorder::open(const configuration& settings,
                                                                     const foundation::clock& time,
                                                                     observe::logger& log,
                                                                     gateway::core& core) {
  std::unique_ptr<recorder> made{new recorder{time, log, core}};
  journal::settings config;
  config.dir = settings.storage.dir + "/journal";
  config.segment_size = settings.journal.segment_size;
  config.group_commit = settings.journal.group_commit;
  config.group_commit_records = settings.journal.group_commit_records;
  config.checkpoint_interval = settings.journal.checkpoint_interval;
  config.checkpoint_records = settings.journal.checkpoint_records;
  config.retention = settings.journal.retention;
  auto opened = journal::journal::open(std::move(config), made->files_, time, made->sums_, log, made.get());
  if (!opened) return std::unexpected{opened.error()};
  made->journal_ = std::move(*opened);
  made->fingerprints_ = std::make_unique<storage::key_mac>(made->keyed("credential fingerprints"));
  const journal::recovery_report& found = made->journal_->recovered();
  log.at(level::info, "journal_opened")
      .field("records", found.records)
      .field("recordsChecked", found.records_checked)
      .field("recordsFolded", found.records_folded)
      .field("segments", found.segments)
      .field("tornBytes", found.torn_bytes)
      .ms("durationMs", found.took);
  return made;
}

storage::key_mac recorder::keyed(std::string_view purpose) const {
  const auto key = journal_->derive_key(purpose);
  return storage::key_mac{std::span{reinterpret_cast<const std::uint8_t*>(key.data()), key.size()}};
}

std::uint64_t recorder::fingerprint(std::string_view credential) const {
  if (credential.empty()) return 0;
  const storage::mac_bytes mac = fingerprints_->of_text(credential);
  std::uint64_t number = 0;
  std::memcpy(&number, mac.data(), sizeof number);
  return number | 1U;
}

void recorder::restore() {
  const auto now = time_.now();
  const auto wall = time_.wall();
  core_.health().with([&](policy::health_bank& bank) {
    const auto saved = sums_.health();
    bank.restore(saved, now, wall);
  });
  core_.limits().with([&](policy::rate_limiter& limits) { sums_.restore(limits, now, wall); });
  core_.ledger().with([&](policy::ledger& ledger) {
    ledger.tell_time(wall);
    sums_.restore(ledger);
  });
  usage_ = sums_.usage();
  end_cut_off_runs();
}

void recorder::end_cut_off_runs() {
  journal::batch records;
  for (const gateway::restart_record& r : gateway::restart_records(sums_)) {
    records.add(time_.wall(), r.payload);
    const std::string_view text = r.payload;
    const std::size_t members = text.find(',') + 1;
    log_.at(level::warn, r.event).members(text.substr(members, text.size() - members - 1));
  }
  if (records.count() != 0) journal_->append(records, journal::durability::process, nullptr, 0);
}

void recorder::note(std::string_view event_json) {
  journal::batch records;
  records.add(time_.wall(), event_json);
  journal_->append(records, journal::durability::process, nullptr, 0);
}

bool recorder::record(std::string_view event_json) {
  return note_and_wait(*journal_, time_.wall(), event_json, journal::durability::process);
}

void recorder::close() { journal_->close(); }

void recorder::records_written(std::uint64_t count) noexcept { core_.metrics().journal_records(count); }

void recorder::synced(foundation::duration took) noexcept { core_.metrics().journal_sync(took); }

void recorder::state_too_large(std::uint64_t bytes) noexcept {
  log_.at(level::warn, "journal_state_not_saved").field("bytes", bytes);
}

// The journal itself has logged why.
void recorder::stopped(std::string_view) noexcept { core_.recording_stopped(); }

}  // namespace tidegate::app
