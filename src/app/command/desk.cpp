#include "app/command/desk.h"

#include <unistd.h>

#include <filesystem>

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

  void note(std::string_view event_json) {
    journal::batch added;
    added.add(time.wall(), event_json);
    records->append(added, journal::durability::power, nullptr, 0);
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

std::expected<void, std::string> opened_desk::open_local(const configuration& settings, desk_use use,
                                                         const environment& env) {
  const std::string& dir = settings.storage.dir;
  keyring_hooks hooks;
  if (use != desk_use::make && !has_database(dir)) {
    stores_ = storage::memory::make(nullptr);
  } else {
    auto taken = data_directory::take(dir);
    if (!taken && taken.error().problem == directory_problem::held) {
      desk_ = std::make_unique<control_client>(dir);
      return {};
    }
    if (!taken) return std::unexpected{taken.error().message};
    directory_.emplace(std::move(*taken));
    auto opened = storage::sqlite::open({.path = directory_->database()}, nullptr);
    if (!opened) return std::unexpected{std::move(opened.error())};
    stores_ = std::move(*opened);
    if (use != desk_use::look) {
      records_ = std::make_unique<record_keeper>(time_);
      if (auto ready = records_->open(settings, directory_->journal()); !ready) return ready;
      hooks.event = [this](std::string_view event_json) { records_->note(event_json); };
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
