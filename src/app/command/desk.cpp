#include "app/command/desk.h"

#include <unistd.h>

#include <filesystem>

#include "app/journal_note.h"
#include "gateway/state_fold.h"
#include "journal/journal.h"
#include "journal/posix_files.h"
#include "storage/memory/memory_stores.h"
#include "storage/sqlite/sqlite_stores.h"

namespace tidegate::app::command {
namespace {

bool has_database(const std::string& dir) {
  std::error_code ignored;
  return std::filesystem::exists(dir + "/tidegate.db", ignored);
}

}  // namespace

// The journal of a directory that nobody serves from, for the one record that a command adds. It folds what a
// gateway folds, for it leaves the sums behind that the next one starts from.
struct opened_desk::record_keeper {
  explicit record_keeper(const foundation::clock& time)
      : time{time}, sink{STDERR_FILENO, time}, log{sink, time, observe::level::warn} {}

  std::expected<void, std::string> open(const configuration& settings, const std::string& dir) {
    journal::settings config;
    config.dir = dir;
    config.segment_size = settings.journal.segment_size;
    auto opened = journal::journal::open(std::move(config), files, time, sums, log, nullptr);
    if (!opened) return std::unexpected{std::move(opened.error())};
    records = std::move(*opened);
    return {};
  }

  bool note(std::string_view event_json) {
    return note_and_wait(*records, time.wall(), event_json, journal::durability::power);
  }

  const foundation::clock& time;
  observe::fd_sink sink;
  observe::logger log;
  journal::posix_files files;
  gateway::state_fold sums;
  std::unique_ptr<journal::journal> records;
};

opened_desk::opened_desk() = default;
opened_desk::~opened_desk() = default;

std::expected<std::unique_ptr<opened_desk>, int> opened_desk::open(const desk_place& place, desk_use use,
                                                                   console& terminal) {
  std::vector<configuration_override> overrides;
  if (place.data) overrides.push_back({"--data", "storage", "dir", *place.data});
  const auto loaded = load_found(place.config, std::move(overrides), terminal.env, terminal.read);
  if (!loaded) {
    for (const config_error& e : loaded.error()) terminal.err << to_text(e) << '\n';
    return std::unexpected{2};
  }
  std::unique_ptr<opened_desk> made{new opened_desk};
  if (auto opened = made->open_local(loaded->settings, use, terminal.env); !opened) {
    terminal.err << "tidegate: " << opened.error() << '\n';
    return std::unexpected{1};
  }
  return made;
}

// Takes the directory, or finds the gateway that has it: true. A command holds it for a moment only, and a
// gateway that starts or stops has it while nobody answers on its socket: both are worth some patience.
std::expected<bool, std::string> opened_desk::take_or_find_gateway(const std::string& dir) {
  for (int tries = 0; tries < 4; ++tries) {
    auto taken = data_directory::take(dir);
    if (taken) {
      directory_.emplace(std::move(*taken));
      return false;
    }
    if (taken.error().problem != directory_problem::held) return std::unexpected{taken.error().message};
    if (control_client{dir}.answers()) return true;
  }
  return std::unexpected{"another tidegate process holds " + dir +
                         " and does not answer on its control socket: a command that is still at work, or a "
                         "gateway that is starting or stopping; try again in a moment"};
}

std::expected<void, std::string> opened_desk::open_local(const configuration& settings, desk_use use,
                                                         const environment& env) {
  const std::string& dir = settings.storage.dir;
  keyring_hooks hooks;
  if (use != desk_use::make && !has_database(dir)) {
    stores_ = storage::memory::make(nullptr);
  } else {
    auto gateway = take_or_find_gateway(dir);
    if (!gateway) return std::unexpected{std::move(gateway.error())};
    if (*gateway) {
      desk_ = std::make_unique<control_client>(dir);
      return {};
    }
    auto opened = storage::sqlite::open({.path = directory_->database()}, nullptr);
    if (!opened) return std::unexpected{std::move(opened.error())};
    stores_ = std::move(*opened);
    if (use != desk_use::look) {
      records_ = std::make_unique<record_keeper>(time_);
      if (auto ready = records_->open(settings, directory_->journal()); !ready) return ready;
      hooks.event = [this](std::string_view event_json) { return records_->note(event_json); };
      hooks.recording = [this] { return !records_->records->stopped(); };
    }
  }
  auto ring = keyring::open(*stores_, master_key_source_of(settings, env), rules_of(settings), time_, nullptr,
                            std::move(hooks));
  if (!ring) return std::unexpected{std::move(ring.error())};
  desk_ = std::move(*ring);
  return {};
}

int report(const foundation::failure& why, console& terminal) {
  terminal.err << "tidegate: " << foundation::name_of(why.code) << ": " << why.message << '\n';
  return why.code == foundation::error_code::invalid_argument ? 2 : 1;
}

}  // namespace tidegate::app::command
