#include "journal/survey.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <utility>

#include "journal/checkpoint_lines.h"
#include "journal/segment_reader.h"

namespace tidegate::journal {

namespace {

constexpr std::size_t newest_signatures = 64;

std::string number(std::uint64_t n) { return std::to_string(n); }

struct listed_segment {
  std::uint64_t number = 0;
  std::uint64_t size = 0;
};

// One survey in the making. Every step returns false once `out.fault` is set.
class surveyor {
 public:
  surveyor(file_system& files, const survey_request& request) : files_{files}, request_{request} {}

  survey run() {
    // Lines before segments: beside a running writer, what a line claims is then in the segments read.
    const bool sound = read_key() && sort_shipped() && open_lines() && list() && read_segments() &&
                       check_trim() && check_lines_left() && check_signatures() && check_shipped_left() &&
                       check_state();
    static_cast<void>(sound);
    return std::move(out_);
  }

 private:
  bool fail(std::string file, std::uint64_t offset, std::uint64_t sequence, std::string what) {
    out_.fault = finding{std::move(file), offset, sequence, std::move(what)};
    return false;
  }
  bool fail(const std::string& file, const io_failure& failure) {
    out_.vanished = request_.live && failure.code == ENOENT;
    return fail(file, 0, 0, failure.what);
  }
  std::string path(std::string_view name) const { return request_.dir + '/' + std::string{name}; }

  bool list();
  bool read_older_header(std::size_t index);
  bool read_key();
  bool open_lines();
  bool read_segments();
  bool read_segment(std::size_t index);
  bool read_segment_header(std::size_t index, segment_reader& reader);
  bool bad_header(std::size_t index, segment_reader& reader, record_fault fault);
  bool read_records(std::size_t index, segment_reader& reader);
  bool take(const parsed_record& record, std::uint64_t offset);
  bool take_own(const parsed_record& record, std::uint64_t offset);
  bool take_checkpoint(const parsed_record& record, std::uint64_t offset);
  bool take_state(const parsed_record& record, std::uint64_t offset);
  bool take_trim(const parsed_record& record, std::uint64_t offset);
  bool pass_lines_before(std::uint64_t sequence);
  bool sound_line(const checkpoint_lines::line& line);
  bool broken_record(std::size_t index, segment_reader& reader);
  bool claims_in_rest(segment_reader& reader, const std::string& name);
  bool claims_in_lines(const std::string& name, std::uint64_t offset);
  bool check_trim();
  bool check_lines_left();
  bool check_torn_line(const checkpoint_lines::line& line);
  bool remember_signature(const checkpoint& c, std::uint64_t offset, std::uint64_t sequence,
                          std::string file);
  bool check_signature(const checkpoint& c, const finding& place);
  bool check_signatures();
  bool check_state();
  bool sort_shipped();
  bool check_shipped();
  bool check_shipped_left();

  file_system& files_;
  const survey_request& request_;
  survey out_;
  hasher hash_;
  std::vector<listed_segment> listed_;
  std::size_t read_from_ = 0;
  std::optional<verifier> key_;
  std::optional<checkpoint_lines> lines_;
  std::string segment_;
  std::uint64_t next_ = 1;
  std::uint64_t synced_ = 0;
  std::uint64_t last_line_count_ = 0;
  // A checkpoint record whose line was not found: allowed for the last one only.
  std::optional<finding> lacks_line_;
  // Records of the last segment that nothing has proved durable yet: (sequence, offset).
  std::deque<std::pair<std::uint64_t, std::uint64_t>> unproven_;
  std::deque<std::pair<checkpoint, finding>> signatures_;
  // Last first.
  std::vector<checkpoint> shipped_;
};

bool surveyor::list() {
  const auto names = files_.list(request_.dir);
  if (!names) return fail(".", names.error());
  for (const std::string& name : *names) {
    if (const auto first = number_in_name(name, ".seg")) listed_.push_back({*first, 0});
  }
  std::uint64_t bytes = 0;
  read_from_ = listed_.size();
  while (read_from_ > 0 && (bytes < request_.bytes_max || read_from_ == listed_.size())) {
    listed_segment& segment = listed_[read_from_ - 1];
    const auto opened = segment_reader::open(files_, path(segment_name(segment.number)));
    if (!opened) return fail(segment_name(segment.number), opened.error());
    segment.size = opened->size();
    bytes += segment.size;
    if (bytes > request_.bytes_max && read_from_ != listed_.size()) break;
    --read_from_;
  }
  out_.whole = read_from_ == 0;
  for (const listed_segment& segment : listed_) out_.segments.push_back({segment.number, {}, {}});
  // Segments that are not read tell their age and their link by their headers: retention goes by them.
  for (std::size_t i = 0; i < read_from_; ++i) {
    if (!read_older_header(i)) return false;
  }
  return true;
}

bool surveyor::read_older_header(std::size_t index) {
  const std::string name = segment_name(listed_[index].number);
  auto opened = files_.open(path(name), open_mode::read);
  if (!opened) return fail(name, opened.error());
  std::array<char, segment_header_size> bytes{};
  const auto got = (*opened)->read(0, bytes);
  if (!got) return fail(name, got.error());
  const auto header = parse_segment_header({bytes.data(), *got});
  if (!header || header->first != listed_[index].number)
    return fail(name, 0, listed_[index].number, "the segment's header cannot be read");
  out_.segments[index] = *header;
  return true;
}

bool surveyor::read_key() {
  const auto text = read_whole(files_, path(signing_key_name), 4096);
  if (!text) {
    if (text.error().code == ENOENT || text.error().code == EACCES) return true;
    return fail(std::string{signing_key_name}, text.error());
  }
  const auto seed = parse_seed(*text);
  if (!seed) return fail(std::string{signing_key_name}, 0, 0, "not a signing key");
  key_.emplace(signing_key{*seed}.verifying());
  return true;
}

bool surveyor::open_lines() {
  auto opened = checkpoint_lines::open(files_, path(checkpoints_name));
  if (!opened) return fail(std::string{checkpoints_name}, opened.error());
  lines_.emplace(std::move(*opened));
  return true;
}

// --- segments

bool surveyor::read_segments() {
  if (listed_.empty()) return true;
  next_ = listed_[read_from_].number;
  out_.first = next_;
  for (std::size_t i = read_from_; i < listed_.size(); ++i) {
    segment_ = segment_name(listed_[i].number);
    unproven_.clear();
    if (!read_segment(i)) return false;
    if (out_.torn_segment.empty()) ++out_.segments_read;
  }
  if (out_.records > 0 && lacks_line_ && request_.live) lacks_line_.reset();
  out_.unproven_from = unproven_.empty() ? out_.sound_bytes : unproven_.front().second;
  return true;
}

bool surveyor::read_segment(std::size_t index) {
  auto reader = segment_reader::open(files_, path(segment_));
  if (!reader) return fail(segment_, reader.error());
  if (!read_segment_header(index, *reader)) return false;
  return !out_.torn_segment.empty() || read_records(index, *reader);
}

bool surveyor::read_segment_header(std::size_t index, segment_reader& reader) {
  const auto bytes = reader.peek(segment_header_size);
  if (!bytes) return fail(segment_, bytes.error());
  const auto header = parse_segment_header(*bytes);
  if (!header) return bad_header(index, reader, header.error());
  if (header->first == 0) return fail(segment_, 0, 0, "no segment begins with record 0");
  if (header->first != listed_[index].number) {
    return fail(segment_, 0, next_, "its header says that it begins with record " + number(header->first));
  }
  if (header->first != next_) {
    return fail(segment_, 0, next_,
                "record " + number(next_) + " is missing: the segment begins with " + number(header->first));
  }
  if (index > read_from_ && header->previous != out_.head) {
    return fail(segment_, 0, next_, "the segment does not go on from the record before it");
  }
  if (header->first == 1 && header->previous != digest{}) {
    return fail(segment_, 0, next_, "the first segment points back at something");
  }
  if (lacks_line_ && !request_.live) {
    out_.fault = lacks_line_;
    return false;
  }
  if (index == read_from_) out_.head = header->previous;
  out_.link = hash_(*bytes);
  out_.segments[index] = *header;
  // A segment is begun only when all before it is durable.
  synced_ = std::max(synced_, header->first - 1);
  out_.last = header->first - 1;
  out_.sound_bytes = segment_header_size;
  reader.skip(segment_header_size);
  return index != read_from_ || check_shipped();
}

bool surveyor::bad_header(std::size_t index, segment_reader& reader, record_fault fault) {
  if (fault == record_fault::version) {
    return fail(segment_, 0, next_, "the segment is of a format that this version does not know");
  }
  const bool last = index + 1 == listed_.size();
  if (!last || listed_[index].number != next_) {
    return fail(segment_, 0, next_, "the segment's header is damaged");
  }
  if (lacks_line_ && !request_.live) {
    out_.fault = lacks_line_;
    return false;
  }
  if (!claims_in_rest(reader, segment_) || !claims_in_lines(segment_, 0)) return false;
  out_.torn_segment = segment_;
  out_.torn_bytes = reader.size();
  out_.segments.pop_back();
  if (!request_.live) {
    out_.notes.push_back(segment_ + " was being made when the writer ended; it holds no record");
  }
  return true;
}

bool surveyor::read_records(std::size_t index, segment_reader& reader) {
  while (true) {
    const std::uint64_t offset = reader.offset();
    const auto step = reader.next();
    if (!step) return fail(segment_, step.error());
    if (*step == segment_reader::step::end) return true;
    if (*step == segment_reader::step::broken) return broken_record(index, reader);
    if (!take(reader.found(), offset)) return false;
    out_.sound_bytes = reader.offset();
  }
}

bool surveyor::take(const parsed_record& record, std::uint64_t offset) {
  const std::uint64_t sequence = record.view.sequence;
  if (sequence != next_) return fail(segment_, offset, next_, "record " + number(sequence) + " stands here");
  if (record.previous != out_.link) {
    return fail(segment_, offset, next_, "its link to the record before it does not hold");
  }
  // A checkpoint's says nothing: its line is the better witness, and nothing in the last record is left
  // loose.
  const bool signs = record.view.type == record_type::checkpoint;
  if (signs ? record.synced != 0 : record.synced >= sequence || record.synced < synced_) {
    return fail(segment_, offset, next_, "its mark of what is durable is out of order");
  }
  // A line is durable before any record says that its checkpoint is, and before the next checkpoint.
  if (lacks_line_ && !request_.live && (signs || record.synced >= lacks_line_->sequence)) {
    out_.fault = lacks_line_;
    return false;
  }
  if (!pass_lines_before(sequence)) return false;
  synced_ = std::max(synced_, record.synced);
  unproven_.emplace_back(sequence, offset);
  while (!unproven_.empty() && unproven_.front().first <= synced_) unproven_.pop_front();
  if (record.view.type == record_type::event) {
    ++out_.records_since_checkpoint;
    ++out_.events_since_state;
  } else if (!take_own(record, offset)) {
    return false;
  }
  out_.head = hash_(record.bytes);
  out_.link = out_.head;
  out_.last = sequence;
  ++out_.records;
  ++next_;
  return check_shipped();
}

bool surveyor::take_own(const parsed_record& record, std::uint64_t offset) {
  if (record.view.type == record_type::checkpoint) return take_checkpoint(record, offset);
  ++out_.records_since_checkpoint;
  return record.view.type == record_type::state ? take_state(record, offset) : take_trim(record, offset);
}

bool surveyor::take_checkpoint(const parsed_record& record, std::uint64_t offset) {
  const std::uint64_t sequence = record.view.sequence;
  const auto c = checkpoint_of_line(record.view.payload);
  if (!c) return fail(segment_, offset, sequence, "the checkpoint cannot be read");
  if (c->count != sequence - 1 || c->time != record.view.time) {
    return fail(segment_, offset, sequence, "the checkpoint is of another place");
  }
  // The first record of a segment points at the header, the checkpoint at the record before it.
  if (c->head != out_.head) {
    return fail(segment_, offset, sequence, "the checkpoint's head is not the hash of the record before it");
  }
  if (!remember_signature(*c, offset, sequence, segment_)) return false;
  ++out_.checkpoints;
  out_.records_since_checkpoint = 0;
  const auto& line = lines_->front();
  if (!line || !line->meaning) {
    out_.missing_line = record.view.payload;
    lacks_line_ = finding{std::string{checkpoints_name}, lines_->popped_to(), sequence,
                          "the line of checkpoint record " + number(sequence) + " is missing"};
    return true;
  }
  if (line->text != record.view.payload) {
    return fail(std::string{checkpoints_name}, line->offset, sequence,
                "the line differs from checkpoint record " + number(sequence));
  }
  last_line_count_ = c->count;
  if (auto popped = lines_->pop(); !popped) return fail(std::string{checkpoints_name}, popped.error());
  return true;
}

bool surveyor::take_state(const parsed_record& record, std::uint64_t offset) {
  const auto note = state_of_payload(record.view.payload);
  if (!note || note->sequence != record.view.sequence) {
    return fail(segment_, offset, record.view.sequence, "the state record cannot be read");
  }
  out_.states.push_back(*note);
  out_.events_since_state = 0;
  return true;
}

bool surveyor::take_trim(const parsed_record& record, std::uint64_t offset) {
  const auto note = trim_of_payload(record.view.payload);
  if (!note || note->first > record.view.sequence || (out_.trimmed && note->first < out_.trimmed->first)) {
    return fail(segment_, offset, record.view.sequence, "the trim record cannot be read");
  }
  out_.trimmed = *note;
  return true;
}

// --- checkpoints.jsonl beside the records

bool surveyor::sound_line(const checkpoint_lines::line& line) {
  const std::string file{checkpoints_name};
  if (last_line_count_ != 0 && line.meaning->count <= last_line_count_) {
    return fail(file, line.offset, line.meaning->count + 1, "the line is out of order");
  }
  return true;
}

// Lines of records before `sequence`: those of records that are kept are gone by now, so only lines of what
// retention took (or of what this survey does not read) may be left.
bool surveyor::pass_lines_before(std::uint64_t sequence) {
  while (lines_->front()) {
    const checkpoint_lines::line& line = *lines_->front();
    if (!line.meaning) {
      // The last one may be torn; check_lines_left sees to it.
      if (line.end() == lines_->size()) return true;
      return fail(std::string{checkpoints_name}, line.offset, 0, "the line is no checkpoint");
    }
    if (!sound_line(line)) return false;
    const std::uint64_t claimed = line.meaning->count + 1;
    if (claimed >= sequence) return true;
    if (claimed >= out_.first) {
      return fail(std::string{checkpoints_name}, line.offset, claimed,
                  "the line's record " + number(claimed) + " is no checkpoint");
    }
    if (!remember_signature(*line.meaning, line.offset, claimed, std::string{checkpoints_name})) return false;
    last_line_count_ = line.meaning->count;
    if (auto popped = lines_->pop(); !popped) return fail(std::string{checkpoints_name}, popped.error());
  }
  return true;
}

bool surveyor::check_lines_left() {
  const std::string file{checkpoints_name};
  // All lines may be of records that retention took, or that are not read.
  if (!pass_lines_before(out_.last + 1)) return false;
  out_.lines_bytes = lines_->popped_to();
  out_.last_line_at = lines_->last_popped_at();
  if (lines_->front()) {
    const checkpoint_lines::line& line = *lines_->front();
    if (!line.meaning) return check_torn_line(line);
    const std::string ends = out_.segments.empty() ? "there is no segment" : "the journal ends";
    return fail(out_.segments.empty() ? "." : segment_, out_.sound_bytes, out_.last + 1,
                ends + " before record " + number(line.meaning->count + 1) + ", which " + file +
                    " shows to have been durable");
  }
  if (lacks_line_) {
    out_.notes.push_back("the last checkpoint's line is not in " + file +
                         ": the writer ended before it, or it was removed");
  }
  return true;
}

// The last line may be torn, but what is there of it must be what was written: its bytes, or zeros where a
// page was lost.
bool surveyor::check_torn_line(const checkpoint_lines::line& line) {
  if (request_.live) return true;
  const std::string expected = out_.missing_line + '\n';
  const std::string there = line.text + (line.complete ? "\n" : "");
  bool fits = lacks_line_ && line.end() == lines_->size() && there.size() <= expected.size();
  for (std::size_t i = 0; fits && i < there.size(); ++i) fits = there[i] == expected[i] || there[i] == '\0';
  if (!fits) return fail(std::string{checkpoints_name}, line.offset, 0, "the last line is damaged");
  out_.notes.push_back("the last line of " + std::string{checkpoints_name} + " is torn");
  return true;
}

// --- the end of the journal

bool surveyor::broken_record(std::size_t index, segment_reader& reader) {
  const std::uint64_t offset = reader.offset();
  if (reader.fault() == record_fault::version) {
    return fail(segment_, offset, next_, "the record is of a format that this version does not know");
  }
  if (index + 1 != listed_.size()) return fail(segment_, offset, next_, "the record is damaged");
  if (!claims_in_lines(segment_, offset) || !claims_in_rest(reader, segment_)) return false;
  if (request_.live) return true;
  out_.torn_bytes = reader.size() - offset;
  out_.notes.push_back(segment_ + ": " + number(out_.torn_bytes) + " bytes from offset " + number(offset) +
                       " are a torn tail, not acknowledged as durable");
  return true;
}

// A line is written when its checkpoint record is durable.
bool surveyor::claims_in_lines(const std::string& name, std::uint64_t offset) {
  while (lines_->front() && lines_->front()->meaning) {
    if (lines_->front()->meaning->count + 1 >= next_) {
      return fail(name, offset, next_,
                  "the record is damaged or gone, though " + std::string{checkpoints_name} +
                      " shows it to have been durable");
    }
    if (!pass_lines_before(next_)) return false;
  }
  return true;
}

// A later record that is readable may say that the broken one had been durable.
bool surveyor::claims_in_rest(segment_reader& reader, const std::string& name) {
  const std::uint64_t broken_at = reader.offset();
  // Checking sums may cost a few times the file's size, not its square.
  std::uint64_t work_left = 8 * (reader.size() - broken_at) + record_size_max;
  while (true) {
    const auto bytes = reader.peek_all(record_header_size);
    if (!bytes) return fail(name, bytes.error());
    if (bytes->size() < record_header_size) return reader.skip(bytes->size()), true;
    const std::size_t found = find_record(*bytes, 0);
    if (found > bytes->size() - record_header_size) {
      // The marker may lie across the window's end.
      reader.skip(std::min(found, bytes->size() - record_header_size + 1));
      continue;
    }
    reader.skip(found);
    const std::uint64_t cost = record_length_at(bytes->data() + found);
    const bool within = cost <= record_size_max && cost <= reader.size() - reader.offset();
    if (within && cost > work_left) {
      return fail(name, broken_at, next_, "the record is damaged and what follows looks like no torn tail");
    }
    if (within) work_left -= cost;
    const auto step = reader.next();
    if (!step) return fail(name, step.error());
    if (*step != segment_reader::step::record) {
      reader.skip(1);
      continue;
    }
    const parsed_record& later = reader.found();
    if (later.synced >= next_ && later.synced < later.view.sequence) {
      return fail(name, broken_at, next_,
                  "the record is damaged, though record " + number(later.view.sequence) +
                      " behind it shows it to have been durable");
    }
  }
}

bool surveyor::check_trim() {
  if (listed_.empty() || !out_.whole) return true;
  const segment_header& first =
      out_.segments.empty() ? segment_header{listed_.front().number, {}, {}} : out_.segments.front();
  if (first.first == 1) return true;
  if (!out_.trimmed || out_.trimmed->first < first.first) {
    return fail(segment_name(first.first), 0, first.first,
                "the records before it are missing, and no record says that they were given up");
  }
  if (out_.trimmed->first == first.first && out_.trimmed->previous != first.previous) {
    return fail(segment_name(first.first), 0, first.first,
                "the segment does not go on from what was given up");
  }
  return true;
}

// --- signatures and state

bool surveyor::remember_signature(const checkpoint& c, std::uint64_t offset, std::uint64_t sequence,
                                  std::string file) {
  if (!key_) key_.emplace(c.signer);
  out_.signer = key_->key();
  finding place{std::move(file), offset, sequence, {}};
  if (c.signer != key_->key()) {
    place.what = "the checkpoint is of another key";
    out_.fault = place;
    return false;
  }
  if (request_.every_signature) return check_signature(c, place);
  signatures_.emplace_back(c, std::move(place));
  if (signatures_.size() > newest_signatures) signatures_.pop_front();
  return true;
}

bool surveyor::check_signature(const checkpoint& c, const finding& place) {
  if (key_->holds(c)) return true;
  return fail(place.file, place.offset, place.sequence, "the checkpoint's signature does not hold");
}

bool surveyor::check_signatures() {
  return std::ranges::all_of(signatures_,
                             [this](const auto& kept) { return check_signature(kept.first, kept.second); });
}

bool surveyor::sort_shipped() {
  shipped_ = request_.shipped;
  std::ranges::sort(shipped_, std::ranges::greater{}, &checkpoint::count);
  return true;
}

// Against those that count the records read so far.
bool surveyor::check_shipped() {
  while (!shipped_.empty() && shipped_.back().count <= out_.last) {
    const checkpoint& c = shipped_.back();
    if (c.count < out_.last) {
      out_.notes.push_back("the shipped checkpoint of record " + number(c.count) +
                           " is older than what the journal keeps");
    } else if (c.head != out_.head) {
      return fail(segment_, 0, c.count, "the record is not the one that the shipped checkpoint signed");
    } else {
      ++out_.shipped_checked;
    }
    if (!key_) key_.emplace(c.signer);
    if (!check_signature(c, {"shipped checkpoint", 0, c.count, {}})) return false;
    shipped_.pop_back();
  }
  return true;
}

bool surveyor::check_shipped_left() {
  if (shipped_.empty()) return true;
  return fail(segment_.empty() ? "." : segment_, out_.sound_bytes, out_.last + 1,
              "the journal ends before record " + number(shipped_.back().count) +
                  ", which a shipped checkpoint signed");
}

bool surveyor::check_state() {
  if (out_.states.empty() || request_.live || !request_.state) return true;
  const state_note& newest = out_.states.back();
  const std::string name = state_name(newest.sequence);
  const auto bytes = read_whole(files_, path(name), newest.size);
  if (!bytes && bytes.error().code != EFBIG) {
    const bool gone = bytes.error().code == ENOENT;
    return fail(
        name, 0, newest.sequence,
        gone ? "the saved state is missing" : "the saved state cannot be read: " + bytes.error().what);
  }
  if (!bytes || bytes->size() != newest.size || hash_(*bytes) != newest.sha256) {
    return fail(name, 0, newest.sequence, "the saved state is not the one that was recorded");
  }
  return true;
}

}  // namespace

std::string to_text(const finding& f) {
  std::string text = f.file;
  if (f.offset != 0 || f.sequence != 0) text += ": offset " + number(f.offset);
  if (f.sequence != 0) text += ", record " + number(f.sequence);
  return text + ": " + f.what;
}

survey take_survey(file_system& files, const survey_request& request) {
  return surveyor{files, request}.run();
}

}  // namespace tidegate::journal
