#include "journal/recovery.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "journal/segment_reader.h"
#include "journal/survey.h"

namespace tidegate::journal {

namespace {

constexpr std::uint64_t verified_bytes_max = std::uint64_t{512} << 20;

using observe::level;
using outcome = std::expected<void, std::string>;

std::unexpected<std::string> refused(const io_failure& failure) { return std::unexpected{failure.what}; }

outcome plain(const io<void>& done) {
  if (!done) return refused(done.error());
  return {};
}

class recoverer {
 public:
  recoverer(const settings& config, file_system& files, fold& sums, observe::logger& log)
      : config_{config}, files_{files}, sums_{sums}, log_{log} {}

  std::expected<recovery, std::string> run();

 private:
  std::string path(std::string_view name) const { return config_.dir + '/' + std::string{name}; }
  std::expected<signing_key::seed, std::string> load_seed(bool fresh);
  outcome list();
  outcome examine(std::uint64_t bytes_max);
  outcome cut_torn_tail();
  outcome mend_lines();
  outcome rewrite(file& target, std::uint64_t from, std::uint64_t to);
  outcome make_durable();
  outcome fold_all();
  bool load_state(const state_note& note);
  outcome fold_behind(std::uint64_t sequence);
  outcome fold_segment(std::uint64_t first, std::uint64_t behind);
  outcome remove_leftovers();

  const settings& config_;
  file_system& files_;
  fold& sums_;
  observe::logger& log_;
  std::vector<std::string> names_;
  survey found_;
  std::uint64_t state_ = 0;
  recovery_report report_;
};

std::expected<recovery, std::string> recoverer::run() {
  if (auto done = plain(files_.make_directory(config_.dir)); !done) return std::unexpected{done.error()};
  if (auto done = list(); !done) return std::unexpected{done.error()};
  const bool fresh = std::ranges::none_of(
      names_, [](const auto& name) { return name.ends_with(".seg") || name == checkpoints_name; });
  const auto seed = load_seed(fresh);
  if (!seed) return std::unexpected{seed.error()};
  if (auto done = examine(verified_bytes_max); !done) return std::unexpected{done.error()};
  // A line claims that its record is durable, so the records go first: also while writing, and also where
  // this start fails half way and the next one finds what it left.
  for (const auto step : {&recoverer::cut_torn_tail, &recoverer::make_durable, &recoverer::mend_lines,
                          &recoverer::fold_all, &recoverer::remove_leftovers}) {
    if (auto done = (this->*step)(); !done) return std::unexpected{done.error()};
  }
  journal_end end;
  end.segments = found_.segments;
  end.segment_bytes = found_.sound_bytes;
  end.sequence = found_.last;
  end.head = found_.head;
  end.link = found_.link;
  end.records_since_checkpoint = found_.records_since_checkpoint;
  end.events_since_state = report_.records_folded;
  end.state = state_;
  end.checkpoints_bytes = found_.lines_bytes;
  report_.records = found_.last;
  report_.records_checked = found_.records;
  report_.segments = found_.segments.size();
  report_.torn_bytes = found_.torn_bytes;
  return recovery{signing_key{*seed}, std::move(end), report_};
}

outcome recoverer::list() {
  auto names = files_.list(config_.dir);
  if (!names) return refused(names.error());
  names_ = std::move(*names);
  return {};
}

std::expected<signing_key::seed, std::string> recoverer::load_seed(bool fresh) {
  const auto text = read_whole(files_, path(signing_key_name), 4096);
  if (text) {
    if (const auto seed = parse_seed(*text)) return *seed;
    return std::unexpected{path(signing_key_name) + ": not a signing key"};
  }
  if (text.error().code != ENOENT) return refused(text.error());
  if (!fresh) return std::unexpected{path(signing_key_name) + ": missing, though the journal has records"};
  const signing_key::seed made = signing_key::make_seed();
  const auto kept = replace_whole(files_, config_.dir, std::string{signing_key_name}, format_seed(made));
  if (!kept) return refused(kept.error());
  return made;
}

outcome recoverer::examine(std::uint64_t bytes_max) {
  survey_request request;
  request.dir = config_.dir;
  request.bytes_max = bytes_max;
  request.every_signature = false;
  request.state = false;
  found_ = take_survey(files_, request);
  if (found_.fault) return std::unexpected{"the journal is damaged: " + to_text(*found_.fault)};
  return {};
}

outcome recoverer::cut_torn_tail() {
  if (found_.torn_bytes == 0 && found_.torn_segment.empty()) return {};
  const std::string name =
      found_.torn_segment.empty() ? segment_name(found_.segments.back().first) : found_.torn_segment;
  log_.at(level::warn, "journal_tail_cut")
      .field("segment", name)
      .field("bytes", found_.torn_bytes)
      .field("sequence", found_.last + 1);
  if (found_.torn_segment.empty()) {
    const auto opened = files_.open(path(name), open_mode::update);
    if (!opened) return refused(opened.error());
    return plain((*opened)->truncate(found_.sound_bytes));
  }
  if (auto done = plain(files_.remove(path(name))); !done) return done;
  return plain(files_.sync_directory(config_.dir));
}

// The file then ends with the line of the last checkpoint record, whatever a crash left of it.
outcome recoverer::mend_lines() {
  const bool there = std::ranges::find(names_, checkpoints_name) != names_.end();
  if (!there && found_.missing_line.empty()) return {};
  auto opened = files_.open(path(checkpoints_name), there ? open_mode::update : open_mode::create);
  if (!opened) return refused(opened.error());
  file& lines = **opened;
  if (auto done = plain(lines.truncate(found_.lines_bytes)); !done) return done;
  if (auto done = rewrite(lines, found_.last_line_at, found_.lines_bytes); !done) return done;
  if (!found_.missing_line.empty()) {
    const std::string line = found_.missing_line + '\n';
    const std::array pieces{std::string_view{line}};
    if (auto done = plain(lines.write(found_.lines_bytes, pieces)); !done) return done;
    found_.lines_bytes += line.size();
    log_.at(level::warn, "journal_checkpoint_line_restored")
        .field("sequence", checkpoint_of_line(found_.missing_line)->count + 1);
  }
  if (auto done = plain(lines.sync()); !done) return done;
  // The file may have been made just now, or by a process whose directory sync failed.
  return plain(files_.sync_directory(config_.dir));
}

// After a sync that failed, the system may hold bytes in memory that it takes for written. Written again,
// they are due again, and the sync that follows means what it says.
outcome recoverer::rewrite(file& target, std::uint64_t from, std::uint64_t to) {
  std::string bytes(std::size_t{1} << 20, '\0');
  while (from < to) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), to - from));
    const auto got = target.read(from, std::span{bytes}.first(wanted));
    if (!got) return refused(got.error());
    if (*got == 0) return std::unexpected{std::string{"a file became shorter while it was read"}};
    const std::array pieces{std::string_view{bytes}.substr(0, *got)};
    if (auto done = plain(target.write(from, pieces)); !done) return done;
    from += *got;
  }
  return {};
}

outcome recoverer::make_durable() {
  if (!found_.segments.empty()) {
    const auto opened = files_.open(path(segment_name(found_.segments.back().first)), open_mode::update);
    if (!opened) return refused(opened.error());
    if (auto done = rewrite(**opened, found_.unproven_from, found_.sound_bytes); !done) return done;
    if (auto done = plain((*opened)->sync()); !done) return done;
  }
  return plain(files_.sync_directory(config_.dir));
}

// --- the fold

outcome recoverer::fold_all() {
  sums_.clear();
  if (found_.segments.empty()) return {};
  const auto try_states = [this] {
    return std::ranges::any_of(found_.states.rbegin(), found_.states.rend(),
                               [this](const state_note& note) { return load_state(note); });
  };
  bool loaded = try_states();
  if (!loaded && !found_.whole) {
    if (auto done = examine(~std::uint64_t{0}); !done) return done;
    loaded = try_states();
  }
  if (!loaded) {
    sums_.clear();
    if (found_.segments.front().first != 1) {
      return std::unexpected{"no saved state of the journal can be used, and the records before " +
                             std::to_string(found_.segments.front().first) + " were given up"};
    }
  }
  return fold_behind(state_);
}

bool recoverer::load_state(const state_note& note) {
  const std::string name = state_name(note.sequence);
  if (std::ranges::find(names_, name) == names_.end()) return false;
  const auto bytes = read_whole(files_, path(name), note.size);
  hasher hash;
  if (bytes && bytes->size() == note.size && hash(*bytes) == note.sha256 && sums_.load(*bytes)) {
    state_ = note.sequence;
    return true;
  }
  log_.at(level::error, "journal_state_unusable").field("file", name);
  return false;
}

outcome recoverer::fold_behind(std::uint64_t sequence) {
  const auto& segments = found_.segments;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const bool all_folded = i + 1 < segments.size() && segments[i + 1].first <= sequence + 1;
    if (all_folded) continue;
    if (auto done = fold_segment(segments[i].first, sequence); !done) return done;
  }
  return {};
}

outcome recoverer::fold_segment(std::uint64_t first, std::uint64_t behind) {
  auto reader = segment_reader::open(files_, path(segment_name(first)), segment_header_size);
  if (!reader) return refused(reader.error());
  while (true) {
    const auto step = reader->next();
    if (!step) return refused(step.error());
    if (*step == segment_reader::step::end) return {};
    if (*step == segment_reader::step::broken) {
      return std::unexpected{segment_name(first) + ": it changed while it was read"};
    }
    const record_view& record = reader->found().view;
    if (record.sequence <= behind || record.type != record_type::event) continue;
    sums_.apply(record);
    ++report_.records_folded;
  }
}

// What a crash left half done, and states that nobody will ask for.
outcome recoverer::remove_leftovers() {
  if (auto done = list(); !done) return done;
  for (const std::string& name : names_) {
    const auto state = number_in_name(name, ".state");
    const bool recorded =
        state && std::ranges::find(found_.states, *state, &state_note::sequence) != found_.states.end();
    const bool needless = state && (!recorded || *state < state_);
    if (!name.ends_with(".tmp") && !needless) continue;
    if (auto done = plain(files_.remove(path(name))); !done) return done;
  }
  return {};
}

}  // namespace

std::expected<recovery, std::string> recover(const settings& config, file_system& files,
                                             const foundation::clock& time, fold& sums,
                                             observe::logger& log) {
  const foundation::instant before = time.now();
  auto done = recoverer{config, files, sums, log}.run();
  if (done) done->report.took = time.now() - before;
  return done;
}

}  // namespace tidegate::journal
