// TRC-3, B6, B7: the disk fails while a journal is being recovered, over and over, with and without a power
// cut behind it. A start may then be refused for the disk's sake; the journal is never called damaged, and
// nothing that was acknowledged at `power` is missing once the disk works again.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "journal/journal_kit.h"
#include "journal/simulated_disk.h"
#include "journal/survey.h"

namespace tidegate::journal {
namespace {

constexpr std::uint64_t seeds = 2'000;
constexpr int lives = 6;

settings random_settings(foundation::random_source& random) {
  settings config = kit::small_settings();
  config.segment_size = 1500 + random.below(6000);
  // Often right behind a checkpoint: its line is what a crash keeps from the file.
  config.checkpoint_records = 1 + random.below(8);
  config.group_commit = foundation::milliseconds{static_cast<std::int64_t>(random.below(3))};
  config.group_commit_records = 1 + random.below(4);
  if (random.below(4) == 0) config.retention = foundation::milliseconds{40};
  return config;
}

struct tally {
  std::uint64_t refused = 0;        // recoveries that a failure ended
  std::uint64_t refused_twice = 0;  // one behind the other
  std::uint64_t restored = 0;       // missing lines
};

class story {
 public:
  explicit story(std::uint64_t seed) : random_{seed}, config_{random_settings(random_)} {}

  void live(tally& sum) {
    const std::uint64_t manner = random_.below(3);
    if (manner == 0) disk_.die_at_operation(1 + random_.below(60));
    // Within the recovery, mostly.
    if (manner == 1) disk_.fail_operation(1 + random_.below(14), random_.below(2) == 0 ? EIO : ENOSPC);
    if (manner == 2) disk_.fail_operation(10 + random_.below(60), EIO);
    {
      kit::life now{config_, disk_, time_};
      sum.restored += now.lines.of("journal_checkpoint_line_restored").size();
      if (now.open()) {
        refused_before_ = false;
        ASSERT_TRUE(kept(now.sums.ids));
        written_ = now.sums.ids;
        write(now);
      } else {
        ASSERT_TRUE(disk_.failed()) << now.refusal;
        ++sum.refused;
        sum.refused_twice += refused_before_ ? 1 : 0;
        refused_before_ = true;
      }
    }
    if (manner == 0 || random_.below(2) == 0) {
      disk_.cut_power(random_);
    } else {
      disk_.end_process();
    }
  }

  void end() {
    const survey seen = take_survey(disk_, {.dir = config_.dir});
    ASSERT_FALSE(seen.fault) << to_text(*seen.fault);
    kit::life last{config_, disk_, time_};
    ASSERT_TRUE(last.open()) << last.refusal;
    ASSERT_TRUE(kept(last.sums.ids));
    last.append(next_id_, 1, durability::power);
    last.commits->finish();
    const survey sound = take_survey(disk_, {.dir = config_.dir});
    ASSERT_FALSE(sound.fault) << to_text(*sound.fault);
  }

 private:
  // Until something fails, or a while.
  void write(kit::life& now) {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> sent;
    for (int n = 0; n < 25 && !now.commits->stopped(); ++n) {
      const std::size_t count = 1 + random_.below(3);
      const bool power = random_.below(2) == 0;
      const std::uint64_t last = next_id_ + count - 1;
      if (power) sent.emplace_back(next_id_, last);
      for (std::uint64_t id = next_id_; id <= last; ++id) written_.push_back(id);
      now.append(next_id_, count, power ? durability::power : durability::process, random_.below(120));
      next_id_ = last + 1;
      if (random_.below(3) == 0)
        now.pass(foundation::milliseconds{static_cast<std::int64_t>(random_.below(70))});
    }
    const auto& told = now.heard.committed_cookies;
    for (const auto& [first, last] : sent) {
      if (std::ranges::find(told, first) != told.end()) durable_ = std::max(durable_, last);
    }
  }

  testing::AssertionResult kept(const std::vector<std::uint64_t>& found) const {
    if (found.size() > written_.size() || !std::equal(found.begin(), found.end(), written_.begin())) {
      return testing::AssertionFailure() << "the records found are not those written";
    }
    const std::uint64_t last = found.empty() ? 0 : found.back();
    if (last >= durable_) return testing::AssertionSuccess();
    return testing::AssertionFailure() << "acknowledged up to " << durable_ << ", found up to " << last;
  }

  foundation::random_source random_;
  const settings config_;
  foundation::manual_clock time_;
  simulated_disk disk_;
  std::vector<std::uint64_t> written_;
  std::uint64_t durable_ = 0;
  std::uint64_t next_id_ = 1;
  bool refused_before_ = false;
};

TEST(journal_recovery_failure, a_disk_that_fails_again_during_recovery_leaves_a_sound_journal) {
  tally sum;
  for (std::uint64_t seed = 1; seed <= seeds && !testing::Test::HasFatalFailure(); ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    story s{seed};
    for (int n = 0; n < lives && !testing::Test::HasFatalFailure(); ++n) s.live(sum);
    if (!testing::Test::HasFatalFailure()) s.end();
  }
  std::printf(
      "journal_recovery_failure: %llu seeds, %llu starts refused by the disk (%llu behind another), %llu "
      "lines restored\n",
      static_cast<unsigned long long>(seeds), static_cast<unsigned long long>(sum.refused),
      static_cast<unsigned long long>(sum.refused_twice), static_cast<unsigned long long>(sum.restored));
  EXPECT_GT(sum.refused_twice, seeds / 20);
  EXPECT_GT(sum.restored, seeds / 20);
}

}  // namespace
}  // namespace tidegate::journal
