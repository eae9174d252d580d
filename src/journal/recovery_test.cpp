// What is found at a start and what becomes of it (TRC-3, T124).
#include "journal/recovery.h"
#include "kit/scenario_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <numeric>

#include "journal/crc32c.h"
#include "journal/journal_kit.h"
#include "journal/simulated_disk.h"
#include "journal/survey.h"

namespace tidegate::journal {
namespace {

using foundation::milliseconds;
using testing::HasSubstr;

class journal_start : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return config.dir + '/' + name; }
  std::unique_ptr<kit::life> open() { return std::make_unique<kit::life>(config, disk, time); }
  // Ids from 1, one a batch, all durable; closed cleanly or as a process that is killed leaves it.
  void write(std::uint64_t count, bool close) {
    auto now = open();
    ASSERT_TRUE(now->open()) << now->refusal;
    const std::uint64_t first = now->sums.ids.empty() ? 1 : now->sums.ids.back() + 1;
    for (std::uint64_t id = first; id < first + count; ++id) {
      now->append(id, 1, durability::power);
      now->pass(milliseconds{10});
    }
    if (close) now->commits->finish();
    ASSERT_FALSE(now->commits->stopped());
    disk.end_process();
  }
  std::vector<std::uint64_t> ids_up_to(std::uint64_t last) {
    std::vector<std::uint64_t> ids(last);
    std::iota(ids.begin(), ids.end(), 1U);
    return ids;
  }
  void change(const std::string& name, const std::function<void(std::string&)>& edit) {
    auto files = disk.contents();
    edit(files[path(name)]);
    disk = simulated_disk{files};
  }
  std::string only_segment() { return segment_name(1); }
  std::optional<finding> fault() { return take_survey(disk, {.dir = config.dir}).fault; }
  bool there(const std::string& name) { return disk.contents().contains(path(name)); }

  settings config = [] {
    settings made = kit::small_settings();
    made.segment_size = 1 << 20;
    made.checkpoint_records = 1000;
    return made;
  }();
  simulated_disk disk;
  foundation::manual_clock time;
};

TEST_F(journal_start, a_fresh_directory_gets_a_key_and_no_segment) {
  const auto now = open();
  ASSERT_TRUE(now->open()) << now->refusal;
  EXPECT_TRUE(there("signing.key"));
  EXPECT_FALSE(there(only_segment()));
  EXPECT_EQ(now->recovered->report.records, 0U);
  now->commits->finish();
  EXPECT_FALSE(there("checkpoints.jsonl")) << "nothing to sign";
}

TEST_F(journal_start, a_second_life_goes_on_where_the_first_ended) {
  write(5, true);
  write(5, true);
  const auto now = open();
  ASSERT_TRUE(now->open()) << now->refusal;
  EXPECT_EQ(now->sums.ids, ids_up_to(10));
  EXPECT_EQ(now->recovered->report.records, 14U) << "ten events, two states, two checkpoints";
  EXPECT_EQ(now->recovered->report.records_folded, 0U) << "the state holds them all";
}

TEST_F(journal_start, records_behind_the_state_are_folded) {
  write(5, true);
  write(3, false);
  const auto now = open();
  ASSERT_TRUE(now->open()) << now->refusal;
  EXPECT_EQ(now->sums.ids, ids_up_to(8));
  EXPECT_EQ(now->recovered->report.records_folded, 3U);
}

TEST_F(journal_start, the_key_is_the_same_at_every_start) {
  const auto derived = open()->recovered->key.derive("x");
  EXPECT_EQ(open()->recovered->key.derive("x"), derived);
}

// --- T124: a tail that was cut is cut off and logged

TEST_F(journal_start, T124_a_torn_tail_is_cut_and_logged) {
  write(5, false);
  config.background_sync = milliseconds{60'000};
  {
    auto now = open();
    now->append(6, 1, durability::process);
    disk.end_process();
  }
  change(only_segment(), [](std::string& bytes) { bytes.resize(bytes.size() - 10); });
  const auto now = open();
  ASSERT_TRUE(now->open()) << now->refusal;
  EXPECT_EQ(now->sums.ids, ids_up_to(5));
  EXPECT_GT(now->recovered->report.torn_bytes, 0U);
  const auto lines = now->lines.of("journal_tail_cut");
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_THAT(lines[0], HasSubstr(R"("segment":"00000000000000000001.seg")"));
  EXPECT_THAT(lines[0], HasSubstr(R"("sequence":6)"));
  now->append(6, 1, durability::power);
  EXPECT_FALSE(fault());
}

TEST_F(journal_start, a_segment_in_the_making_is_taken_away) {
  write(5, true);
  auto files = disk.contents();
  files[path(segment_name(8))] = std::string(20, '\0');
  disk = simulated_disk{files};
  const auto now = open();
  ASSERT_TRUE(now->open()) << now->refusal;
  EXPECT_FALSE(there(segment_name(8)));
  EXPECT_EQ(now->lines.of("journal_tail_cut").size(), 1U);
  now->append(6, 1, durability::power);
  EXPECT_FALSE(fault());
}

TEST_F(journal_start, a_line_that_a_crash_kept_from_the_checkpoints_is_restored) {
  write(5, true);
  std::string whole;
  for (const std::size_t left : {std::size_t{0}, std::size_t{100}}) {
    change("checkpoints.jsonl", [&](std::string& bytes) {
      whole = bytes;
      bytes.resize(left);
    });
    const survey seen = take_survey(disk, {.dir = config.dir});
    EXPECT_FALSE(seen.fault) << to_text(*seen.fault);
    EXPECT_EQ(seen.notes.size(), 1U);
    const auto now = open();
    ASSERT_TRUE(now->open()) << now->refusal;
    EXPECT_EQ(disk.contents()[path("checkpoints.jsonl")], whole);
  }
}

// --- T124: damage is refused with its place

TEST_F(journal_start, T124_a_flipped_bit_is_refused_with_its_place) {
  write(5, true);
  change(only_segment(), [](std::string& bytes) { bytes[segment_header_size + 80] ^= 1; });
  const auto now = open();
  EXPECT_FALSE(now->open());
  EXPECT_THAT(now->refusal, HasSubstr("00000000000000000001.seg: offset 64, record 1: "));
  ASSERT_TRUE(fault());
  EXPECT_EQ(fault()->sequence, 1U);
}

TEST_F(journal_start, a_damaged_record_that_others_show_to_have_been_durable_is_no_torn_tail) {
  write(5, false);  // no checkpoint: the marks of the records behind it are the only witnesses
  change(only_segment(), [](std::string& bytes) { bytes[segment_header_size + 80] ^= 1; });
  const auto now = open();
  EXPECT_FALSE(now->open());
  EXPECT_THAT(now->refusal, HasSubstr("behind it shows it to have been durable"));
}

TEST_F(journal_start, T124_a_removed_record_is_refused) {
  write(5, true);
  change(only_segment(), [](std::string& bytes) {
    const std::size_t size = record_length_at(bytes.data() + segment_header_size);
    bytes.erase(segment_header_size, size);
  });
  EXPECT_THAT(open()->refusal, HasSubstr("record 2 stands here"));
  EXPECT_TRUE(fault());
}

TEST_F(journal_start, T124_swapped_records_are_refused) {
  write(5, true);
  change(only_segment(), [](std::string& bytes) {
    const std::size_t size = record_length_at(bytes.data() + segment_header_size);
    const std::string first = bytes.substr(segment_header_size, size);
    bytes.erase(segment_header_size, size).insert(segment_header_size + size, first);
  });
  EXPECT_THAT(open()->refusal, HasSubstr("record 2 stands here"));
  EXPECT_TRUE(fault());
}

TEST_F(journal_start, a_journal_cut_behind_a_checkpoint_is_refused) {
  write(5, true);
  change(only_segment(), [](std::string& bytes) { bytes.resize(segment_header_size); });
  EXPECT_THAT(open()->refusal, HasSubstr("the journal ends before record 7"));
  change(only_segment(), [](std::string& bytes) { bytes.clear(); });
  EXPECT_FALSE(open()->open());
}

TEST_F(journal_start, removed_segments_are_refused) {
  write(5, true);
  auto files = disk.contents();
  files.erase(path(only_segment()));
  disk = simulated_disk{files};
  EXPECT_THAT(open()->refusal, HasSubstr("there is no segment before record 7"));
}

TEST_F(journal_start, a_missing_or_strange_signing_key_is_refused) {
  write(5, true);
  auto files = disk.contents();
  files.erase(path("signing.key"));
  disk = simulated_disk{files};
  EXPECT_THAT(open()->refusal, HasSubstr("missing, though the journal has records"));
  files[path("signing.key")] = format_seed(signing_key::make_seed());
  disk = simulated_disk{files};
  EXPECT_THAT(open()->refusal, HasSubstr("the checkpoint is of another key"));
  files[path("signing.key")] = "x";
  disk = simulated_disk{files};
  EXPECT_THAT(open()->refusal, HasSubstr("not a signing key"));
}

TEST_F(journal_start, another_format_is_refused_by_name) {
  write(1, true);
  const auto before = disk.contents();
  change(only_segment(), [](std::string& bytes) {
    segment_header header = *parse_segment_header(bytes);
    std::string other = to_bytes(header);
    other[7] = 2;
    const std::uint32_t sum = crc32c(std::string_view{other}.substr(0, 60));
    other.replace(60, 4, std::string{reinterpret_cast<const char*>(&sum), 4});
    bytes.replace(0, segment_header_size, other);
  });
  EXPECT_THAT(open()->refusal, HasSubstr("of a format that this version does not know"));
}

// --- rotation, state, retention

TEST_F(journal_start, full_segments_are_sealed_with_state_and_checkpoint) {
  config.segment_size = 2000;
  write(60, true);
  const survey seen = take_survey(disk, {.dir = config.dir});
  ASSERT_FALSE(seen.fault) << to_text(*seen.fault);
  EXPECT_GE(seen.segments.size(), 4U);
  EXPECT_EQ(seen.states.size(), seen.segments.size()) << "one at each segment's end";
  EXPECT_EQ(seen.checkpoints, seen.segments.size());
  std::size_t state_files = 0;
  for (const auto& [name, bytes] : disk.contents()) {
    state_files += name.ends_with(".state") ? 1 : 0;
    if (name.ends_with(".seg")) EXPECT_LE(bytes.size(), 2000U + 1000U) << name;
  }
  EXPECT_EQ(state_files, 1U) << "older ones are removed once a newer is durable";
  EXPECT_EQ(open()->sums.ids, ids_up_to(60));
}

TEST_F(journal_start, a_state_that_does_not_hold_is_made_up_from_the_records) {
  config.segment_size = 2000;
  write(60, true);
  for (auto& [name, bytes] : disk.contents()) {
    if (name.ends_with(".state")) {
      change(name.substr(config.dir.size() + 1), [](std::string& state) { state[0] = 'x'; });
    }
  }
  ASSERT_TRUE(fault());
  EXPECT_THAT(fault()->what, HasSubstr("not the one that was recorded"));
  {
    const auto now = open();
    ASSERT_TRUE(now->open()) << now->refusal;
    EXPECT_EQ(now->sums.ids, ids_up_to(60));
    EXPECT_EQ(now->lines.of("journal_state_unusable").size(), 1U);
    now->commits->finish();
  }
  EXPECT_FALSE(fault()) << to_text(*fault());
  EXPECT_EQ(open()->sums.ids, ids_up_to(60));
}

TEST_F(journal_start, old_segments_are_given_up_and_the_rest_stays_provable) {
  config.segment_size = 2000;
  config.retention = milliseconds{200};
  write(100, true);
  const survey seen = take_survey(disk, {.dir = config.dir});
  ASSERT_FALSE(seen.fault) << to_text(*seen.fault);
  EXPECT_GT(seen.segments.front().first, 1U);
  ASSERT_TRUE(seen.trimmed);
  EXPECT_EQ(seen.trimmed->first, seen.segments.front().first);
  EXPECT_GE(seen.segments.size(), 2U) << "what is young is kept";
  EXPECT_EQ(open()->sums.ids, ids_up_to(100)) << "the sums outlive the records";
}

TEST_F(journal_start, trimmed_history_without_its_state_is_refused) {
  config.segment_size = 2000;
  config.retention = milliseconds{200};
  write(100, true);
  auto files = disk.contents();
  std::erase_if(files, [](const auto& file) { return file.first.ends_with(".state"); });
  disk = simulated_disk{files};
  EXPECT_THAT(open()->refusal, HasSubstr("no saved state of the journal can be used"));
  EXPECT_TRUE(fault());
}

TEST_F(journal_start, segments_removed_by_another_hand_are_missed) {
  config.segment_size = 2000;
  write(60, true);
  auto files = disk.contents();
  files.erase(path(segment_name(1)));
  disk = simulated_disk{files};
  EXPECT_THAT(open()->refusal, HasSubstr("no record says that they were given up"));
}

TEST_F(journal_start, retention_applies_at_the_start_too) {
  config.segment_size = 2000;
  write(60, true);
  time.advance(std::chrono::hours{48});
  config.retention = milliseconds{24 * 3'600'000};
  const auto now = open();
  ASSERT_TRUE(now->open()) << now->refusal;
  ASSERT_TRUE(now->chain->trim());
  const survey seen = take_survey(disk, {.dir = config.dir});
  ASSERT_FALSE(seen.fault) << to_text(*seen.fault);
  EXPECT_EQ(seen.segments.size(), 1U) << "never the one that is written";
}

TEST_F(journal_start, a_record_larger_than_a_segment_gets_one_of_its_own) {
  config.segment_size = 2000;
  {
    auto now = open();
    now->append(1, 1, durability::power, 5000);
    now->append(2, 1, durability::power, 5000);
    now->commits->finish();
    EXPECT_EQ(now->heard.committed_cookies.size(), 2U);
  }
  EXPECT_FALSE(fault());
  EXPECT_EQ(open()->sums.ids, ids_up_to(2));
}

}  // namespace
}  // namespace tidegate::journal
