// Group commit and checkpoints on a clock that stands still until told to move.
#include "journal/committer.h"

#include <gtest/gtest.h>

#include "journal/journal_kit.h"
#include "journal/simulated_disk.h"
#include "journal/survey.h"

namespace tidegate::journal {
namespace {

using foundation::milliseconds;
using cookies = std::vector<std::uint64_t>;

class group_commit : public testing::Test {
 protected:
  void start() {
    now = std::make_unique<kit::life>(config, disk, time);
    ASSERT_TRUE(now->open()) << now->refusal;
  }
  std::uint64_t synced() const { return now->chain->synced(); }

  settings config = [] {
    settings made = kit::small_settings();
    made.segment_size = 1 << 20;
    made.checkpoint_records = 1000;
    return made;
  }();
  simulated_disk disk;
  foundation::manual_clock time;
  std::unique_ptr<kit::life> now;
};

TEST_F(group_commit, a_process_record_is_acknowledged_once_written) {
  start();
  now->append(1, 3, durability::process);
  EXPECT_EQ(now->heard.committed_cookies, cookies{1});
  EXPECT_EQ(synced(), 0U);
}

TEST_F(group_commit, process_records_are_synced_in_the_background) {
  start();
  now->append(1, 3, durability::process);
  now->pass(milliseconds{49});
  EXPECT_EQ(synced(), 0U);
  now->pass(milliseconds{1});
  EXPECT_EQ(synced(), 3U);
  EXPECT_GT(now->commits->due(), time.now() + milliseconds{1000}) << "nothing more to sync";
}

TEST_F(group_commit, the_first_power_record_after_idleness_does_not_wait) {
  start();
  now->append(1, 1, durability::power);
  EXPECT_EQ(now->heard.committed_cookies, cookies{1});
  EXPECT_EQ(synced(), 1U);
}

TEST_F(group_commit, power_records_share_one_sync_in_a_window) {
  start();
  now->append(1, 1, durability::power);
  const std::uint64_t before = disk.operations();
  now->append(2, 1, durability::power);
  now->append(3, 1, durability::power);
  now->append(4, 1, durability::power);
  EXPECT_EQ(now->heard.committed_cookies, cookies{1}) << "within the window of the first";
  now->pass(milliseconds{1});
  EXPECT_EQ(now->heard.committed_cookies, cookies{1});
  now->pass(milliseconds{1});
  EXPECT_EQ(now->heard.committed_cookies, (cookies{1, 2, 3, 4}));
  EXPECT_EQ(disk.operations() - before, 4U) << "three writes, one sync";
}

TEST_F(group_commit, many_waiting_records_do_not_wait_for_the_window) {
  config.group_commit_records = 4;
  start();
  now->append(1, 1, durability::power);
  now->append(2, 3, durability::power);
  EXPECT_EQ(now->heard.committed_cookies, cookies{1});
  now->append(5, 1, durability::power);
  EXPECT_EQ(now->heard.committed_cookies, (cookies{1, 2, 5}));
}

TEST_F(group_commit, without_a_window_every_round_syncs) {
  config.group_commit = milliseconds{0};
  start();
  for (std::uint64_t id = 1; id <= 5; ++id) now->append(id, 1, durability::power);
  EXPECT_EQ(now->heard.committed_cookies, (cookies{1, 2, 3, 4, 5}));
}

TEST_F(group_commit, an_acknowledged_power_record_survives_a_power_cut) {
  start();
  now->append(1, 2, durability::power);
  now->append(3, 2, durability::process);
  foundation::random_source random{3};
  now.reset();
  disk.cut_power(random);
  start();
  ASSERT_GE(now->sums.ids.size(), 2U);
  EXPECT_EQ(now->sums.ids[1], 2U);
}

TEST_F(group_commit, an_oversized_or_refused_batch_fails_alone) {
  start();
  std::array<entry, 3> entries;
  for (entry& e : entries) e.listener = &now->heard;
  entries[0].cookie = 1;
  entries[0].records.add(time.wall(), std::string(payload_max + 1, ' '));
  entries[1].cookie = 2;
  entries[1].records.add(time.wall(), kit::payload_of(2));
  entries[2].cookie = 3;
  entries[2].refused = true;
  now->commits->run(entries);
  EXPECT_EQ(now->heard.failed_cookies, (cookies{1, 3}));
  EXPECT_EQ(now->heard.committed_cookies, cookies{2});
  EXPECT_FALSE(now->commits->stopped());
}

TEST_F(group_commit, a_checkpoint_is_due_after_its_interval_if_there_are_records) {
  start();
  EXPECT_EQ(now->commits->due(), foundation::never) << "nothing was written";
  now->append(1, 1, durability::power);
  now->pass(milliseconds{59'999});
  EXPECT_EQ(now->chain->records_since_checkpoint(), 1U);
  now->pass(milliseconds{1});
  EXPECT_EQ(now->chain->records_since_checkpoint(), 0U);
  EXPECT_EQ(now->chain->sequence(), 2U);
  now->pass(milliseconds{600'000});
  EXPECT_EQ(now->chain->sequence(), 2U) << "no checkpoint of nothing";
  EXPECT_EQ(now->commits->due(), foundation::never);
}

TEST_F(group_commit, a_checkpoint_is_due_after_so_many_records) {
  config.checkpoint_records = 10;
  start();
  now->append(1, 25, durability::process);
  const survey seen = take_survey(disk, {.dir = config.dir});
  ASSERT_FALSE(seen.fault) << to_text(*seen.fault);
  EXPECT_EQ(seen.checkpoints, 2U);
  EXPECT_EQ(seen.last, 27U);
  EXPECT_EQ(now->chain->records_since_checkpoint(), 5U);
}

TEST_F(group_commit, the_end_seals_the_journal) {
  start();
  now->append(1, 3, durability::process);
  now->commits->finish();
  const survey seen = take_survey(disk, {.dir = config.dir});
  ASSERT_FALSE(seen.fault) << to_text(*seen.fault);
  EXPECT_EQ(seen.last, 5U) << "three events, the state, a checkpoint";
  ASSERT_EQ(seen.states.size(), 1U);
  EXPECT_EQ(seen.states[0].sequence, 4U);
  EXPECT_EQ(seen.records_since_checkpoint, 0U);
  now->commits->finish();
  EXPECT_EQ(now->chain->sequence(), 5U) << "a second end adds nothing";
}

}  // namespace
}  // namespace tidegate::journal
