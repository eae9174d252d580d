#include "journal/chain_writer.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "foundation/check.h"

namespace tidegate::journal {

chain_writer::chain_writer(const settings& config, file_system& files, const signing_key& key, fold& sums,
                           const foundation::clock& time, sync_runner& syncs, observer* watcher,
                           journal_end end)
    : config_{config},
      files_{files},
      key_{key},
      sums_{sums},
      time_{time},
      syncs_{syncs},
      watcher_{watcher},
      end_{std::move(end)},
      synced_{end_.sequence} {}

io<std::unique_ptr<chain_writer>> chain_writer::open(const settings& config, file_system& files,
                                                     const signing_key& key, fold& sums,
                                                     const foundation::clock& time, sync_runner& syncs,
                                                     observer* watcher, journal_end end) {
  std::unique_ptr<chain_writer> made{
      new chain_writer{config, files, key, sums, time, syncs, watcher, std::move(end)}};
  if (!made->end_.segments.empty()) {
    auto live = files.open(made->path(segment_name(made->end_.segments.back().first)), open_mode::update);
    if (!live) return std::unexpected{live.error()};
    made->live_ = std::move(*live);
  }
  if (made->end_.checkpoints_bytes > 0) {
    auto lines = files.open(made->path(checkpoints_name), open_mode::update);
    if (!lines) return std::unexpected{lines.error()};
    made->lines_ = std::move(*lines);
  }
  return made;
}

chain_writer::~chain_writer() {
  if (under_way_) static_cast<void>(syncs_.wait());
}

// --- records

io<void> chain_writer::append(std::span<batch* const> batches) {
  for (batch* records : batches) {
    if (auto done = append(*records); !done) return done;
  }
  return flush();
}

io<void> chain_writer::append(batch& records) {
  std::string& bytes = records.bytes();
  // Not staged yet: what was sealed since the last flush within this batch.
  std::size_t begin = 0;
  std::size_t at = 0;
  const auto flush_up_to = [&](std::size_t end) {
    stage(std::string_view{bytes}.substr(begin, end - begin));
    begin = end;
  };
  while (at < bytes.size()) {
    const std::size_t size = record_length_at(bytes.data() + at);
    if (!live_ || live_bytes() + (at - begin) + size > config_.segment_size) {
      flush_up_to(at);
      if (auto done = make_room(size); !done) return done;
    }
    seal(bytes.data() + at, size, synced_);
    ++end_.events_since_state;
    at += size;
    if (end_.records_since_checkpoint >= config_.checkpoint_records) {
      flush_up_to(at);
      if (auto done = set_checkpoint(); !done) return done;
    }
  }
  flush_up_to(at);
  return {};
}

// A segment takes at least one record, however large.
bool chain_writer::fits(std::size_t record_size) const {
  return live_ && (live_bytes() + record_size <= config_.segment_size || live_bytes() <= segment_header_size);
}

io<void> chain_writer::make_room(std::size_t record_size) {
  if (fits(record_size)) return {};
  if (auto done = flush(); !done) return done;
  if (live_) {
    if (auto done = finish(); !done) return done;
    if (auto done = trim(); !done) return done;
  }
  return start_segment();
}

io<void> chain_writer::start_segment() {
  TG_CHECK(staged_.empty());
  segment_header header{end_.sequence + 1, time_.wall(), end_.head};
  auto made = files_.open(path(segment_name(header.first)), open_mode::create);
  if (!made) return std::unexpected{made.error()};
  if (auto done = files_.sync_directory(config_.dir); !done) return done;
  live_ = std::move(*made);
  header_ = to_bytes(header);
  end_.segments.push_back(header);
  end_.segment_bytes = 0;
  end_.link = hash_(header_);
  stage(header_);
  return {};
}

void chain_writer::stage(std::string_view bytes) {
  if (bytes.empty()) return;
  staged_.push_back(bytes);
  staged_bytes_ += bytes.size();
}

void chain_writer::seal(char* record, std::size_t size, std::uint64_t synced) {
  seal_record(record, ++end_.sequence, synced, end_.link);
  end_.head = hash_({record, size});
  end_.link = end_.head;
  ++end_.records_since_checkpoint;
}

io<void> chain_writer::flush() {
  if (staged_.empty()) return {};
  if (auto done = live_->write(end_.segment_bytes, staged_); !done) return done;
  for (const std::string_view piece : staged_) {
    if (piece.data() != header_.data()) fold_records(piece);
  }
  end_.segment_bytes += staged_bytes_;
  staged_bytes_ = 0;
  staged_.clear();
  return {};
}

void chain_writer::fold_records(std::string_view piece) {
  while (!piece.empty()) {
    const record_view record = view_sealed(piece);
    if (record.type == record_type::event) sums_.apply(record);
    piece.remove_prefix(record_header_size + record.payload.size());
  }
}

// --- syncs

io<void> chain_writer::begin_sync() {
  if (under_way_ || (synced_ == end_.sequence && !open_)) return {};
  sync_job job;
  job.records = live_.get();
  job.sequence = end_.sequence;
  if (open_) {
    if (auto done = make_lines(); !done) return done;
    job.lines = lines_.get();
    job.line_at = end_.checkpoints_bytes;
    job.line = *open_;
  }
  under_way_ = sync_note{job.sequence, job.line.size()};
  syncs_.start(std::move(job));
  return {};
}

io<void> chain_writer::collect() {
  if (!under_way_) return {};
  if (const auto ended = syncs_.poll()) return take_note(*ended);
  return {};
}

io<void> chain_writer::take_note(const io<foundation::duration>& ended) {
  const sync_note note = *std::exchange(under_way_, std::nullopt);
  if (!ended) return std::unexpected{ended.error()};
  synced_ = note.sequence;
  if (note.line_bytes != 0) {
    end_.checkpoints_bytes += note.line_bytes;
    open_.reset();
  }
  if (watcher_ != nullptr) watcher_->synced(*ended);
  return {};
}

io<void> chain_writer::sync() {
  while (true) {
    if (auto done = begin_sync(); !done || !under_way_) return done;
    if (auto done = take_note(syncs_.wait()); !done) return done;
  }
}

// --- what the journal writes about itself

io<void> chain_writer::write_own(record_type type, std::string_view payload, foundation::wall_time now) {
  if (auto done = flush(); !done) return done;
  own_.clear();
  append_unsealed(own_, type, now, payload);
  // What a checkpoint shows to be durable is in its line.
  seal(own_.data(), own_.size(), type == record_type::checkpoint ? 0 : synced_);
  stage(own_);
  return flush();
}

io<void> chain_writer::set_checkpoint() {
  if (auto done = flush(); !done) return done;
  if (end_.records_since_checkpoint == 0) return {};
  // Lines stand in the order of their records, and at most one is missing when the power fails.
  if (open_) {
    if (auto done = sync(); !done) return done;
  }
  checkpoint made;
  made.count = end_.sequence;
  made.head = end_.head;
  made.time = time_.wall();
  key_.sign(made);
  std::string line = to_line(made);
  if (auto done = write_own(record_type::checkpoint, line, made.time); !done) return done;
  end_.records_since_checkpoint = 0;
  checkpointed_ = made.count;
  open_ = std::move(line) + '\n';
  return {};
}

io<void> chain_writer::make_lines() {
  if (lines_) return {};
  auto made = files_.open(path(checkpoints_name), open_mode::create);
  if (!made) return std::unexpected{made.error()};
  if (auto done = files_.sync_directory(config_.dir); !done) return done;
  lines_ = std::move(*made);
  return {};
}

// False: it is larger than a state may be. A start then folds from the last one that was saved, which takes
// longer and comes to the same.
io<bool> chain_writer::save_state() {
  const std::string bytes = sums_.save();
  if (bytes.size() > state_size_max) {
    if (watcher_ != nullptr) watcher_->state_too_large(bytes.size());
    return false;
  }
  const state_note note{end_.sequence + 1, bytes.size(), hash_(bytes)};
  if (auto done = replace_whole(files_, config_.dir, state_name(note.sequence), bytes); !done)
    return std::unexpected{done.error()};
  if (auto done = write_own(record_type::state, to_payload(note), time_.wall()); !done)
    return std::unexpected{done.error()};
  end_.events_since_state = 0;
  return true;
}

io<void> chain_writer::finish() {
  if (auto done = flush(); !done) return done;
  const std::uint64_t older = end_.state;
  const std::uint64_t made = end_.sequence + 1;
  bool saved = false;
  if (end_.events_since_state > 0) {
    const auto done = save_state();
    if (!done) return std::unexpected{done.error()};
    saved = *done;
  }
  if (auto done = set_checkpoint(); !done) return done;
  if (auto done = sync(); !done) return done;
  if (!saved) return {};
  // The new one's record is durable; nobody will ask for the one before.
  end_.state = made;
  if (older == 0) return {};
  return files_.remove(path(state_name(older)));
}

// --- retention

io<void> chain_writer::trim() {
  if (!config_.retention) return {};
  const foundation::wall_time horizon = time_.wall() - *config_.retention;
  // A segment is old when the next one was begun before the horizon.
  std::size_t keep = 0;
  while (keep + 1 < end_.segments.size() && end_.segments[keep + 1].created < horizon) ++keep;
  if (keep == 0) return {};
  if (auto done = finish(); !done) return done;
  const segment_header& first = end_.segments[keep];
  // What no state holds yet must stay.
  if (end_.state < first.first) return {};
  const trim_note note{first.first, first.previous};
  if (auto done = write_own(record_type::trim, to_payload(note), time_.wall()); !done) return done;
  if (auto done = set_checkpoint(); !done) return done;
  if (auto done = sync(); !done) return done;
  // Oldest first: whatever a power cut leaves is without a gap.
  for (std::size_t i = 0; i < keep; ++i) {
    if (auto done = files_.remove(path(segment_name(end_.segments[i].first))); !done) return done;
    if (auto done = files_.sync_directory(config_.dir); !done) return done;
  }
  end_.segments.erase(end_.segments.begin(), end_.segments.begin() + static_cast<std::ptrdiff_t>(keep));
  return drop_lines_before(note.first);
}

io<void> chain_writer::drop_lines_before(std::uint64_t first) {
  const auto text = read_whole(files_, path(checkpoints_name), end_.checkpoints_bytes);
  if (!text) return std::unexpected{text.error()};
  std::size_t from = 0;
  while (from < text->size()) {
    const std::size_t line_end = text->find('\n', from);
    if (line_end == std::string::npos) break;
    const auto line = checkpoint_of_line(std::string_view{*text}.substr(from, line_end - from));
    if (!line || line->count + 1 >= first) break;
    from = line_end + 1;
  }
  if (from == 0) return {};
  lines_.reset();
  const std::string_view kept = std::string_view{*text}.substr(from);
  if (auto done = replace_whole(files_, config_.dir, std::string{checkpoints_name}, kept); !done) return done;
  auto opened = files_.open(path(checkpoints_name), open_mode::update);
  if (!opened) return std::unexpected{opened.error()};
  lines_ = std::move(*opened);
  end_.checkpoints_bytes = kept.size();
  return {};
}

}  // namespace tidegate::journal
