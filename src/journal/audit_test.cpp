#include "journal/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "journal/journal_kit.h"
#include "journal/simulated_disk.h"

namespace tidegate::journal {
namespace {

using foundation::milliseconds;
using testing::HasSubstr;

class journal_audit : public testing::Test {
 protected:
  journal_audit() {
    config.segment_size = 2000;
    config.checkpoint_records = 7;
    now = std::make_unique<kit::life>(config, disk, time);
  }
  void append(std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t id = first; id < first + count; ++id) {
      now->append(id, 1, durability::power);
      now->pass(milliseconds{10});
    }
  }
  std::vector<std::uint64_t> read_on(walker& walk) {
    std::vector<std::uint64_t> ids;
    const auto done = walk.go_on([&](const record_view& record) {
      if (record.type == record_type::event) ids.push_back(kit::id_of(record.payload));
      return true;
    });
    EXPECT_TRUE(done) << done.error();
    return ids;
  }
  std::string lines() { return disk.contents()[config.dir + "/checkpoints.jsonl"]; }

  settings config = kit::small_settings();
  simulated_disk disk;
  foundation::manual_clock time;
  std::unique_ptr<kit::life> now;
};

TEST_F(journal_audit, a_walk_goes_on_where_it_stopped) {
  walker walk{disk, config.dir};
  EXPECT_TRUE(read_on(walk).empty());
  append(1, 3);
  EXPECT_EQ(read_on(walk), (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_TRUE(read_on(walk).empty());
  append(4, 40);  // over several segments
  const auto ids = read_on(walk);
  ASSERT_EQ(ids.size(), 40U);
  EXPECT_EQ(ids.front(), 4U);
  EXPECT_EQ(ids.back(), 43U);
}

TEST_F(journal_audit, a_visitor_may_stop_a_walk) {
  append(1, 5);
  walker walk{disk, config.dir};
  std::uint64_t seen = 0;
  ASSERT_TRUE(walk.go_on([&](const record_view&) { return ++seen < 2; }));
  EXPECT_EQ(seen, 2U);
  EXPECT_EQ(read_on(walk).size(), 3U);
}

TEST_F(journal_audit, a_walk_begins_near_the_record_asked_for) {
  append(1, 60);
  walker walk{disk, config.dir};
  EXPECT_EQ(walk.last(), now->chain->sequence());
  ASSERT_TRUE(walk.seek(now->chain->sequence()));
  const auto ids = read_on(walk);
  EXPECT_LT(ids.size(), 30U);
  EXPECT_EQ(ids.back(), 60U);
}

TEST_F(journal_audit, shipped_checkpoints_must_be_in_the_journal) {
  append(1, 30);
  const std::string shipped = lines();
  append(31, 10);
  now->commits->finish();
  const auto checkpoints = read_shipped(shipped);
  ASSERT_TRUE(checkpoints);
  survey_request request;
  request.dir = config.dir;
  request.shipped = *checkpoints;
  EXPECT_FALSE(verify(disk, request).fault);
  EXPECT_EQ(verify(disk, request).shipped_checked, checkpoints->size());
}

TEST_F(journal_audit, a_journal_that_was_rolled_back_is_found_by_a_shipped_checkpoint) {
  append(1, 10);
  now->commits->finish();
  const auto rolled_back = disk.contents();
  append(11, 10);
  now->commits->finish();
  survey_request request;
  request.dir = config.dir;
  request.shipped = *read_shipped(lines());
  simulated_disk older{rolled_back};
  EXPECT_FALSE(verify(older, {.dir = config.dir}).fault) << "on its own it is whole";
  const auto fault = verify(older, request).fault;
  ASSERT_TRUE(fault);
  EXPECT_THAT(fault->what, HasSubstr("which a shipped checkpoint signed"));
}

TEST_F(journal_audit, a_shipped_file_is_read_strictly) {
  append(1, 10);
  const std::string text = lines();
  EXPECT_TRUE(read_shipped(text.substr(0, text.find('\n')))) << "one line without its end";
  const auto odd = read_shipped(text + "nonsense\n");
  ASSERT_FALSE(odd);
  EXPECT_EQ(odd.error().what, "not a checkpoint");
  EXPECT_FALSE(read_shipped(""));
}

TEST_F(journal_audit, records_in_flight_are_no_fault_beside_a_running_writer) {
  append(1, 10);
  auto files = disk.contents();
  for (auto& [name, bytes] : files) {
    if (name.ends_with(".seg")) bytes += "half a rec";
  }
  simulated_disk busy{files};
  const survey seen = verify(busy, {.dir = config.dir, .live = true});
  EXPECT_FALSE(seen.fault) << to_text(*seen.fault);
  EXPECT_TRUE(seen.notes.empty());
  walker walk{busy, config.dir};
  EXPECT_EQ(read_on(walk).size(), 10U);
}

TEST_F(journal_audit, damage_is_found_beside_a_running_writer_too) {
  append(1, 10);
  auto files = disk.contents();
  files[config.dir + '/' + segment_name(1)][150] ^= 1;
  simulated_disk busy{files};
  EXPECT_TRUE(verify(busy, {.dir = config.dir, .live = true}).fault);
}

TEST_F(journal_audit, an_empty_journal_is_sound) {
  const survey seen = verify(disk, {.dir = config.dir});
  EXPECT_FALSE(seen.fault);
  EXPECT_EQ(seen.records, 0U);
}

// Whatever the bytes are, they are judged; nothing crashes, hangs or grows.
TEST_F(journal_audit, any_bytes_get_a_verdict) {
  append(1, 40);
  const auto sound = disk.contents();
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    foundation::random_source random{seed};
    auto files = sound;
    for (std::uint64_t n = 1 + random.below(4); n > 0; --n) {
      auto& bytes = std::next(files.begin(), static_cast<std::ptrdiff_t>(random.below(files.size())))->second;
      const auto at = static_cast<std::size_t>(random.below(bytes.size() + 1));
      const auto size = static_cast<std::size_t>(random.below(80));
      std::string noise;
      for (std::size_t i = 0; i < size; ++i) noise += static_cast<char>(random.below(256));
      if (random.below(4) == 0) noise = std::string(size, random.below(2) == 0 ? '\xFF' : '\0');
      bytes.replace(at, static_cast<std::size_t>(random.below(2)) * size, noise);
    }
    simulated_disk odd{files};
    for (const bool live : {false, true}) {
      static_cast<void>(verify(odd, {.dir = config.dir, .live = live}));
    }
    walker walk{odd, config.dir};
    static_cast<void>(walk.go_on([](const record_view&) { return true; }));
    const kit::life started{config, odd, time};
    EXPECT_NE(started.open(), !started.refusal.empty()) << seed;
  }
}

// Markers without end must not cost the square of the file's size.
TEST_F(journal_audit, a_tail_made_of_markers_is_judged_in_time) {
  append(1, 2);
  auto files = disk.contents();
  std::string& bytes = files[config.dir + '/' + segment_name(1)];
  std::string trap(record_header_size, '\0');
  const std::uint32_t length = 1 << 20;
  trap.replace(4, 4, std::string{reinterpret_cast<const char*>(&length), 4});
  trap.replace(8, 2, "\xF7T");
  while (bytes.size() < std::size_t{8} << 20) bytes += trap;
  simulated_disk trapped{files};
  const survey seen = verify(trapped, {.dir = config.dir});
  ASSERT_TRUE(seen.fault);
  EXPECT_THAT(seen.fault->what, HasSubstr("looks like no torn tail"));
}

}  // namespace
}  // namespace tidegate::journal
