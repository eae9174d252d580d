// B8 (TRC-3): whoever changes a closed journal without its signing key is found out, by the gateway's own
// verifier and by tools/audit_verify.py, which shares no code with it.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "journal/audit.h"
#include "journal/crc32c.h"
#include "journal/journal_kit.h"
#include "journal/simulated_disk.h"

namespace tidegate::journal {
namespace {

constexpr std::uint64_t tamperings = 10'000;
const std::string dir = "data/journal";

using files = simulated_disk::snapshot;
using foundation::random_source;

// A closed journal of a few segments; `trimmed` ones have given up their oldest.
files make_journal(std::uint64_t seed, bool trimmed) {
  random_source random{seed};
  foundation::manual_clock time;
  simulated_disk disk;
  settings config = kit::small_settings();
  config.segment_size = 2000 + random.below(2000);
  config.checkpoint_records = 4 + random.below(8);
  if (trimmed) config.retention = foundation::milliseconds{200};
  {
    kit::life now{config, disk, time};
    for (std::uint64_t id = 1; id <= 60; ++id) {
      now.append(id, 1, durability::process, random.below(60));
      now.pass(foundation::milliseconds{10});
    }
    now.commits->finish();
    EXPECT_FALSE(now.commits->stopped());
  }
  return disk.contents();
}

std::vector<std::string> names_of(const files& all, std::string_view ending) {
  std::vector<std::string> found;
  for (const auto& [path, bytes] : all) {
    if (path.ends_with(ending)) found.push_back(path);
  }
  return found;
}

struct span_of_record {
  std::size_t at = 0;
  std::size_t size = 0;
};

std::vector<span_of_record> records_of(const std::string& segment) {
  std::vector<span_of_record> found;
  for (std::size_t at = segment_header_size; at < segment.size();) {
    const std::size_t size = record_length_at(segment.data() + at);
    found.push_back({at, size});
    at += size;
  }
  return found;
}

// Sequence, link and sum of every record from `from` on made to fit again, as one without the key can.
void rechain(files& all, const std::string& from_segment, std::size_t from) {
  hasher hash;
  const auto segments = names_of(all, ".seg");
  auto at_segment = std::ranges::find(segments, from_segment);
  digest link{};
  digest head{};
  std::uint64_t sequence = 0;
  for (bool first = true; at_segment != segments.end(); ++at_segment, first = false) {
    std::string& bytes = all[*at_segment];
    auto header = *parse_segment_header(std::string_view{bytes}.substr(0, segment_header_size));
    if (first) {
      sequence = header.first - 1;
      head = header.previous;
    } else {
      header.previous = head;
      bytes.replace(0, segment_header_size, to_bytes(header));
    }
    link = hash(std::string_view{bytes}.substr(0, segment_header_size));
    for (const auto& [at, size] : records_of(bytes)) {
      ++sequence;
      if (!first || at >= from) seal_record(bytes.data() + at, sequence, sequence - 1, link);
      head = link = hash(std::string_view{bytes}.substr(at, size));
    }
  }
}

std::string pick(const std::vector<std::string>& from, random_source& random) {
  return from[static_cast<std::size_t>(random.below(from.size()))];
}

void flip_bit(std::string& bytes, random_source& random) {
  const auto at = static_cast<std::size_t>(random.below(bytes.size()));
  bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
}

// --- the ways of tampering; each returns what it did

std::string flip_anywhere(files& all, random_source& random) {
  std::vector<std::string> names;
  for (const auto& [path, bytes] : all) names.push_back(path);
  const std::string name = pick(names, random);
  flip_bit(all[name], random);
  return "flipped a bit in " + name;
}

std::string remove_record(files& all, random_source& random) {
  const std::string name = pick(names_of(all, ".seg"), random);
  const auto records = records_of(all[name]);
  const auto& record = records[static_cast<std::size_t>(random.below(records.size()))];
  all[name].erase(record.at, record.size);
  const bool again = random.below(2) == 0;
  if (again) rechain(all, name, record.at);
  return "removed a record of " + name + (again ? " and rechained" : "");
}

std::string swap_records(files& all, random_source& random) {
  const std::string name = pick(names_of(all, ".seg"), random);
  std::string& bytes = all[name];
  const auto records = records_of(bytes);
  if (records.size() < 2) return {};
  const auto i = static_cast<std::size_t>(random.below(records.size() - 1));
  const std::string first = bytes.substr(records[i].at, records[i].size);
  const std::string second = bytes.substr(records[i + 1].at, records[i + 1].size);
  bytes.replace(records[i].at, first.size() + second.size(), second + first);
  const bool again = random.below(2) == 0;
  if (again) rechain(all, name, records[i].at);
  return "swapped records of " + name + (again ? " and rechained" : "");
}

std::string insert_record(files& all, random_source& random) {
  const std::string name = pick(names_of(all, ".seg"), random);
  const auto records = records_of(all[name]);
  const auto at = records[static_cast<std::size_t>(random.below(records.size()))].at;
  std::string made;
  append_unsealed(made, record_type::event, foundation::wall_time{}, kit::payload_of(999));
  all[name].insert(at, made);
  rechain(all, name, at);
  return "inserted a record into " + name + " and rechained";
}

std::string edit_record(files& all, random_source& random) {
  const std::string name = pick(names_of(all, ".seg"), random);
  std::string& bytes = all[name];
  const auto records = records_of(bytes);
  const auto& record = records[static_cast<std::size_t>(random.below(records.size()))];
  // Any byte but the length: time, type, links, payload.
  const auto within = 8 + static_cast<std::size_t>(random.below(record.size - 8));
  bytes[record.at + within] = static_cast<char>(bytes[record.at + within] ^ (1 << random.below(8)));
  if (random.below(2) == 0) {
    rechain(all, name, record.at);
  } else {
    const std::uint32_t sum = crc32c(std::string_view{bytes}.substr(record.at + 4, record.size - 4));
    bytes.replace(record.at, sizeof sum, std::string{reinterpret_cast<const char*>(&sum), sizeof sum});
  }
  return "edited a record of " + name;
}

std::string truncate_segment(files& all, random_source& random) {
  const std::string name = pick(names_of(all, ".seg"), random);
  const auto left = random.below(all[name].size());
  all[name].resize(static_cast<std::size_t>(left));
  return "cut " + name + " to " + std::to_string(left);
}

std::string remove_file(files& all, random_source& random) {
  auto names = names_of(all, ".seg");
  for (const auto& more : {names_of(all, ".state"), names_of(all, ".jsonl")}) {
    names.insert(names.end(), more.begin(), more.end());
  }
  const std::string name = pick(names, random);
  all.erase(name);
  return "removed " + name;
}

std::string replace_segment(files& all, random_source& random) {
  static const files other = make_journal(777, false);
  const std::string name = pick(names_of(all, ".seg"), random);
  const std::string from = pick(names_of(other, ".seg"), random);
  all[name] = other.at(from);
  return "replaced " + name + " by another journal's " + from;
}

std::string swap_segments(files& all, random_source& random) {
  const auto names = names_of(all, ".seg");
  const std::string one = pick(names, random);
  const std::string two = pick(names, random);
  if (one == two) return {};
  std::swap(all[one], all[two]);
  return "swapped " + one + " and " + two;
}

std::vector<std::string> lines_in(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at) + 1;
    lines.push_back(text.substr(at, end - at));
    at = end;
  }
  return lines;
}

std::string edit_checkpoints(files& all, random_source& random) {
  std::string& text = all[dir + "/checkpoints.jsonl"];
  auto lines = lines_in(text);
  const auto i = static_cast<std::size_t>(random.below(lines.size()));
  std::string what;
  switch (random.below(4)) {
    case 0:
      // The last line may as well never have been written: see docs/JOURNAL.md.
      if (i + 1 == lines.size()) return {};
      lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(i));
      what = "removed a checkpoint's line";
      break;
    case 1:
      lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(i), lines[i]);
      what = "doubled a checkpoint's line";
      break;
    case 2: {
      // Signed anew, by another key.
      auto c = *checkpoint_of_line(std::string_view{lines[i]}.substr(0, lines[i].size() - 1));
      signing_key{signing_key::make_seed()}.sign(c);
      lines[i] = to_line(c) + '\n';
      what = "signed a checkpoint's line with another key";
      break;
    }
    default: {
      auto c = *checkpoint_of_line(std::string_view{lines[i]}.substr(0, lines[i].size() - 1));
      c.time += foundation::milliseconds{1};
      lines[i] = to_line(c) + '\n';
      what = "changed a checkpoint's time";
    }
  }
  text.clear();
  for (const std::string& line : lines) text += line;
  return what;
}

// Everything up to a checkpoint put back as if what came after had not been, save one file.
std::string roll_back(files& all, random_source& random) {
  const auto names = names_of(all, ".seg");
  std::string& bytes = all[names.back()];
  const auto records = records_of(bytes);
  const auto keep = static_cast<std::size_t>(random.below(records.size()));
  bytes.resize(records[keep].at);
  return "rolled " + names.back() + " back by " + std::to_string(records.size() - keep) + " records";
}

using way = std::string (*)(files&, random_source&);
constexpr way ways[] = {flip_anywhere,    remove_record, swap_records,    insert_record, edit_record,
                        truncate_segment, remove_file,   replace_segment, swap_segments, edit_checkpoints,
                        roll_back,        flip_anywhere, flip_anywhere};

// For the verifier in another language: one folder a journal, as files.
class exported {
 public:
  exported() : path_{testing::TempDir() + "tidegate-tampered-XXXXXX"} {
    if (::mkdtemp(path_.data()) == nullptr) ADD_FAILURE() << "no temporary folder";
  }
  ~exported() { std::filesystem::remove_all(path_); }
  exported(const exported&) = delete;
  exported& operator=(const exported&) = delete;
  const std::string& path() const { return path_; }

  // All files of a journal in one: "name size\n" and the bytes, over and over. Beside it what we found.
  void add(const std::string& name, const files& all, const std::string& finding) {
    std::ofstream{path_ + '/' + name + ".finding"} << finding;
    std::ofstream out{path_ + '/' + name, std::ios::binary};
    for (const auto& [path, bytes] : all) {
      out << path.substr(path.rfind('/') + 1) << ' ' << bytes.size() << '\n' << bytes;
    }
  }

 private:
  std::string path_;
};

std::vector<files> sound_journals() {
  std::vector<files> made;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) made.push_back(make_journal(seed, seed % 3 == 0));
  return made;
}

TEST(journal_tampering, every_change_is_found_by_both_verifiers) {
  exported folder;
  const std::vector<files> journals = sound_journals();
  for (std::size_t i = 0; i < journals.size(); ++i) {
    simulated_disk disk{journals[i]};
    const survey seen = verify(disk, {.dir = dir});
    ASSERT_FALSE(seen.fault) << to_text(*seen.fault);
    ASSERT_TRUE(seen.notes.empty()) << seen.notes.front();
    folder.add("sound-" + std::to_string(i), journals[i], "");
  }
  std::uint64_t found = 0;
  for (std::uint64_t seed = 1; seed <= tamperings; ++seed) {
    random_source random{seed};
    files all;
    std::string what;
    while (what.empty()) {
      all = journals[static_cast<std::size_t>(random.below(journals.size()))];
      const files before = all;
      what = ways[random.below(std::size(ways))](all, random);
      if (all == before) what.clear();
    }
    simulated_disk disk{all};
    const survey seen = verify(disk, {.dir = dir});
    EXPECT_TRUE(seen.fault) << "seed " << seed << ": " << what;
    found += seen.fault ? 1 : 0;
    folder.add("tampered-" + std::to_string(seed), all, seen.fault ? to_text(*seen.fault) : "");
  }
  std::printf("journal_tampering: found %llu/%llu\n", static_cast<unsigned long long>(found),
              static_cast<unsigned long long>(tamperings));
  const std::string command =
      "python3 " TIDEGATE_SOURCE_DIR "/tests/fault/journal_tampering.py " + folder.path();
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
}

}  // namespace
}  // namespace tidegate::journal
