// B6 (TRC-2, TRC-3): the power fails at any operation, what was not synced is lost or torn in any order, over
// and over. Nothing that was acknowledged at `power` may be missing, and no wreck may pass for tampering.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "journal/journal_kit.h"
#include "journal/simulated_disk.h"
#include "journal/survey.h"

namespace tidegate::journal {
namespace {

constexpr std::uint64_t seeds = 10'000;
constexpr int lives = 3;

settings random_settings(foundation::random_source& random) {
  settings config = kit::small_settings();
  config.segment_size = 1500 + random.below(6000);
  config.checkpoint_records = 3 + random.below(20);
  config.group_commit = foundation::milliseconds{static_cast<std::int64_t>(random.below(3))};
  config.group_commit_records = 1 + random.below(16);
  config.checkpoint_interval = foundation::milliseconds{1000};
  if (random.below(4) == 0) config.retention = foundation::milliseconds{40};
  return config;
}

// What the world knows of one disk over its lives.
struct promise {
  // All that the fold held when the last life began, then what was appended since.
  std::vector<std::uint64_t> written;
  // The highest id whose durability was acknowledged.
  std::uint64_t durable = 0;
  std::uint64_t next_id = 1;
};

// Cookies of acknowledged `power` batches are their first ids; the batch reaches up to the next cookie.
void note_durable(const kit::life& now, const std::vector<std::pair<std::uint64_t, std::uint64_t>>& batches,
                  promise& made) {
  for (const auto& [first, last] : batches) {
    if (std::ranges::find(now.heard.committed_cookies, first) != now.heard.committed_cookies.end()) {
      made.durable = std::max(made.durable, last);
    }
  }
}

// `held`: syncs last as long as chance will have it, and records are written meanwhile.
void write_until_dark(kit::life& now, kit::held_sync* held, foundation::random_source& random,
                      promise& made) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> batches;
  while (!now.commits->stopped()) {
    const std::size_t count = 1 + random.below(4);
    const auto wanted = random.below(2) == 0 ? durability::power : durability::process;
    const std::uint64_t last = made.next_id + count - 1;
    if (wanted == durability::power) batches.emplace_back(made.next_id, last);
    for (std::uint64_t id = made.next_id; id <= last; ++id) made.written.push_back(id);
    now.append(made.next_id, count, wanted, random.below(200));
    made.next_id = last + 1;
    if (held != nullptr && random.below(3) == 0) {
      held->let_go();
      now.commits->run({});
    }
    if (random.below(3) == 0) now.pass(foundation::milliseconds{static_cast<std::int64_t>(random.below(70))});
  }
  note_durable(now, batches, made);
}

// The ids found are a prefix of those written, up to at least the last one acknowledged.
testing::AssertionResult kept(const promise& made, const std::vector<std::uint64_t>& found) {
  if (found.size() > made.written.size() || !std::equal(found.begin(), found.end(), made.written.begin())) {
    return testing::AssertionFailure() << "the records found are not those written";
  }
  const std::uint64_t last = found.empty() ? 0 : found.back();
  if (last < made.durable) {
    return testing::AssertionFailure() << "acknowledged up to " << made.durable << ", found up to " << last;
  }
  return testing::AssertionSuccess();
}

struct tally {
  std::uint64_t cuts = 0;
  std::uint64_t torn = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t trims = 0;
};

void power_cuts(std::uint64_t seed, tally& sum) {
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  foundation::random_source random{seed};
  foundation::manual_clock time;
  const settings config = random_settings(random);
  simulated_disk disk;
  promise made;
  for (int n = 0; n < lives; ++n) {
    disk.die_at_operation(1 + random.below(90));
    {
      kit::held_sync slow{time};
      kit::held_sync* const held = random.below(2) == 0 ? &slow : nullptr;
      kit::life now{config, disk, time, held};
      if (now.open()) {
        ASSERT_TRUE(kept(made, now.sums.ids));
        made.written = now.sums.ids;
        write_until_dark(now, held, random, made);
        sum.acknowledged += now.heard.committed_cookies.size();
      } else {
        ASSERT_TRUE(disk.failed()) << now.refusal;
      }
    }
    disk.cut_power(random);
    ++sum.cuts;
  }
  const survey seen = take_survey(disk, {.dir = config.dir});
  ASSERT_FALSE(seen.fault) << to_text(*seen.fault);
  kit::life last{config, disk, time};
  ASSERT_TRUE(last.open()) << last.refusal;
  ASSERT_TRUE(kept(made, last.sums.ids));
  sum.torn += last.recovered->report.torn_bytes > 0 ? 1 : 0;
  sum.trims += seen.trimmed ? 1 : 0;
  last.append(made.next_id, 1, durability::power);
  last.commits->finish();
  const survey sound = take_survey(disk, {.dir = config.dir});
  ASSERT_FALSE(sound.fault) << to_text(*sound.fault);
}

TEST(journal_power, no_cut_loses_what_was_acknowledged_or_looks_like_tampering) {
  tally sum;
  for (std::uint64_t seed = 1; seed <= seeds && !testing::Test::HasFatalFailure(); ++seed) {
    power_cuts(seed, sum);
  }
  std::printf("journal_power: %llu seeds, %llu cuts, %llu torn tails, %llu trimmed, %llu acknowledged\n",
              static_cast<unsigned long long>(seeds), static_cast<unsigned long long>(sum.cuts),
              static_cast<unsigned long long>(sum.torn), static_cast<unsigned long long>(sum.trims),
              static_cast<unsigned long long>(sum.acknowledged));
  EXPECT_GT(sum.torn, seeds / 20);
}

}  // namespace
}  // namespace tidegate::journal
