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

TEST_F(group_commit, a_long_window_does_not_keep_the_background_waiting_nor_the_writer_busy) {
  config.group_commit = milliseconds{1000};
  start();
  now->append(1, 1, durability::power);
  now->append(2, 1, durability::process);
  now->append(3, 1, durability::power);
  EXPECT_GT(now->commits->due(), time.now());
  now->pass(milliseconds{50});
  EXPECT_EQ(synced(), 3U);
  EXPECT_EQ(now->heard.committed_cookies, (cookies{1, 2, 3}));
  EXPECT_GT(now->commits->due(), time.now());
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

// --- while a sync is under way

class slow_disk : public group_commit {
 protected:
  void start() {
    now = std::make_unique<kit::life>(config, disk, time, &held);
    ASSERT_TRUE(now->open()) << now->refusal;
  }
  // The sync under way ends, and the journal hears of it.
  void end_sync() {
    ASSERT_TRUE(held.under_way());
    held.let_go();
    now->commits->run({});
  }
  // As if the process were killed here: what is under way never happens.
  survey after_a_kill() const {
    const simulated_disk left{disk.contents()};
    simulated_disk found{left.contents()};
    return take_survey(found, {.dir = config.dir});
  }
  ~slow_disk() override { now.reset(); }

  kit::held_sync held{time};
};

TEST_F(slow_disk, records_are_written_and_acknowledged_while_a_sync_is_under_way) {
  start();
  now->append(1, 1, durability::power);
  ASSERT_TRUE(held.under_way());
  now->append(2, 1, durability::process);
  EXPECT_EQ(now->heard.committed_cookies, cookies{2});
  EXPECT_EQ(now->sums.ids.size(), 2U);
  end_sync();
  EXPECT_EQ(now->heard.committed_cookies, (cookies{2, 1}));
  EXPECT_EQ(synced(), 1U) << "what came behind its start is not its matter";
}

TEST_F(slow_disk, a_power_record_behind_a_syncs_start_waits_for_the_next_one) {
  start();
  now->append(1, 1, durability::power);
  now->append(2, 1, durability::power);
  end_sync();
  EXPECT_EQ(now->heard.committed_cookies, cookies{1});
  now->pass(milliseconds{2});
  EXPECT_EQ(now->heard.committed_cookies, cookies{1});
  end_sync();
  EXPECT_EQ(now->heard.committed_cookies, (cookies{1, 2}));
}

TEST_F(slow_disk, nothing_is_due_that_the_sync_under_way_decides) {
  start();
  now->append(1, 1, durability::power);
  now->append(2, 1, durability::power);
  EXPECT_GT(now->commits->due(), time.now() + milliseconds{1000});
}

TEST_F(slow_disk, a_checkpoint_does_not_hold_up_what_comes_behind_it) {
  config.checkpoint_records = 10;
  start();
  now->append(1, 10, durability::process);
  EXPECT_TRUE(now->chain->checkpoint_open());
  now->append(11, 5, durability::process);
  EXPECT_EQ(now->heard.committed_cookies, (cookies{1, 11}));
  const survey killed = after_a_kill();
  ASSERT_FALSE(killed.fault) << to_text(*killed.fault);
  EXPECT_FALSE(killed.missing_line.empty());
  EXPECT_EQ(killed.last, 16U);
  end_sync();
  EXPECT_FALSE(now->chain->checkpoint_open());
  EXPECT_TRUE(after_a_kill().missing_line.empty());
}

TEST_F(slow_disk, a_second_checkpoint_waits_for_the_line_of_the_first) {
  config.checkpoint_records = 10;
  start();
  now->append(1, 25, durability::process);
  const survey killed = after_a_kill();
  ASSERT_FALSE(killed.fault) << to_text(*killed.fault);
  EXPECT_EQ(killed.checkpoints, 2U);
}

TEST_F(slow_disk, a_start_restores_the_line_of_a_checkpoint_that_has_records_behind_it) {
  config.checkpoint_records = 10;
  start();
  now->append(1, 15, durability::process);
  simulated_disk found{disk.contents()};
  kit::life next{config, found, time};
  ASSERT_TRUE(next.open()) << next.refusal;
  EXPECT_EQ(next.lines.of("journal_checkpoint_line_restored").size(), 1U);
  next.append(16, 20, durability::power);
  const survey seen = take_survey(found, {.dir = config.dir});
  EXPECT_FALSE(seen.fault) << to_text(*seen.fault);
}

TEST_F(slow_disk, a_removed_line_shows_once_a_record_says_that_its_checkpoint_was_durable) {
  config.checkpoint_records = 10;
  start();
  now->append(1, 10, durability::process);
  end_sync();
  now->append(11, 1, durability::process);
  auto files = disk.contents();
  files[config.dir + "/checkpoints.jsonl"].clear();
  simulated_disk changed{files};
  const survey seen = take_survey(changed, {.dir = config.dir});
  ASSERT_TRUE(seen.fault);
  EXPECT_EQ(seen.fault->sequence, 11U);
}

TEST_F(slow_disk, a_segment_is_sealed_only_when_all_of_it_is_durable) {
  config.segment_size = 1024;
  start();
  now->append(1, 1, durability::power);
  for (std::uint64_t id = 2; id < 40; ++id) now->append(id, 1, durability::process, 40);
  const survey killed = after_a_kill();
  ASSERT_FALSE(killed.fault) << to_text(*killed.fault);
  EXPECT_GT(killed.segments.size(), 2U);
  EXPECT_GE(synced(), killed.segments.back().first - 1);
}

TEST_F(slow_disk, a_sync_that_fails_stops_the_journal_when_it_ends) {
  start();
  now->append(1, 1, durability::power);
  disk.fail_operation(disk.operations() + 2, EIO);
  now->append(2, 1, durability::process);
  end_sync();
  EXPECT_EQ(now->heard.failed_cookies, cookies{1});
  EXPECT_TRUE(now->commits->stopped());
  now->append(3, 1, durability::process);
  EXPECT_EQ(now->heard.failed_cookies, (cookies{1, 3}));
}

}  // namespace
}  // namespace tidegate::journal
