// B7 (TRC-3): the Nth operation on the disk fails, for every N. A journal that met a failure acknowledges
// nothing any more, touches the disk no more, and comes back whole.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "journal/journal_kit.h"
#include "journal/simulated_disk.h"
#include "journal/survey.h"

namespace tidegate::journal {
namespace {

constexpr std::uint64_t operations = 500;

// Small segments, many checkpoints, old segments given up: all kinds of operations come by.
settings busy_settings() {
  settings config = kit::small_settings();
  config.segment_size = 2500;
  config.checkpoint_records = 7;
  config.retention = foundation::milliseconds{60};
  return config;
}

struct batch_sent {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

struct failure_case {
  std::uint64_t operation = 0;
  int code = 0;
};

std::uint64_t append_until_stopped(kit::life& now, std::vector<batch_sent>& sent) {
  std::uint64_t id = sent.empty() ? 1 : sent.back().last + 1;
  for (int n = 0; n < 600 && !now.commits->stopped(); ++n) {
    const std::uint64_t count = 1 + id % 3;
    sent.push_back({id, id + count - 1});
    now.append(id, count, id % 2 == 0 ? durability::power : durability::process, id % 50);
    id += count;
    if (n % 4 == 0) now.pass(foundation::milliseconds{7});
  }
  return id;
}

// Nothing is acknowledged once it has stopped, and every cookie is heard of exactly once.
void refuses_everything(kit::life& now, const simulated_disk& disk, std::uint64_t id) {
  const auto acknowledged = now.heard.committed_cookies.size();
  now.append(id, 1, durability::none);
  now.append(id + 1, 1, durability::process);
  now.append(id + 2, 1, durability::power);
  now.pass(foundation::milliseconds{120'000});
  now.commits->finish();
  EXPECT_EQ(now.heard.committed_cookies.size(), acknowledged);
  EXPECT_EQ(std::ranges::count_if(now.heard.failed_cookies, [id](auto c) { return c >= id; }), 3);
  EXPECT_EQ(disk.operations_after_failure(), 0U) << "a disk that failed was used again";
  EXPECT_FALSE(now.commits->reason().empty());
  EXPECT_EQ(now.lines.of("journal_stopped").size(), 1U);
}

void fails_once(const failure_case& at, bool power_cut) {
  SCOPED_TRACE(testing::Message() << "operation " << at.operation << ", errno " << at.code
                                  << (power_cut ? ", then the power" : ""));
  foundation::manual_clock time;
  foundation::random_source random{at.operation};
  simulated_disk disk;
  disk.fail_operation(at.operation, at.code);
  std::vector<batch_sent> sent;
  std::uint64_t durable = 0;
  {
    kit::life now{busy_settings(), disk, time};
    if (now.open()) {
      const std::uint64_t id = append_until_stopped(now, sent);
      ASSERT_TRUE(now.commits->stopped());
      refuses_everything(now, disk, id);
      for (const batch_sent& b : sent) {
        const bool told =
            std::ranges::find(now.heard.committed_cookies, b.first) != now.heard.committed_cookies.end();
        const bool refused =
            std::ranges::find(now.heard.failed_cookies, b.first) != now.heard.failed_cookies.end();
        ASSERT_NE(told, refused) << "batch of id " << b.first;
        if (told && (b.first % 2 == 0 || !power_cut)) durable = b.last;
      }
    }
  }
  ASSERT_TRUE(disk.failed());
  if (power_cut) {
    disk.cut_power(random);
  } else {
    disk.end_process();
  }
  kit::life again{busy_settings(), disk, time};
  ASSERT_TRUE(again.open()) << again.refusal;
  EXPECT_GE(again.sums.ids.empty() ? 0 : again.sums.ids.back(), durable);
  for (std::size_t i = 0; i < again.sums.ids.size(); ++i) ASSERT_EQ(again.sums.ids[i], i + 1);
  again.append(1'000'000, 1, durability::power);
  again.commits->finish();
  EXPECT_EQ(again.heard.committed_cookies.size(), 1U);
  const survey seen = take_survey(disk, {.dir = again.config.dir});
  EXPECT_FALSE(seen.fault) << to_text(*seen.fault);
}

TEST(journal_disk_failure, the_first_failure_is_the_last_operation) {
  std::uint64_t cases = 0;
  for (std::uint64_t n = 1; n <= operations && !testing::Test::HasFailure(); ++n) {
    for (const int code : {EIO, ENOSPC}) {
      fails_once({n, code}, false);
      fails_once({n, code}, true);
      cases += 2;
    }
  }
  std::printf("journal_disk_failure: %llu/%llu\n", static_cast<unsigned long long>(cases),
              static_cast<unsigned long long>(operations * 4));
}

// After a failed sync the system takes pages for clean that the disk never saw. What a restarted process
// reads from memory must not be taken for durable.
TEST(journal_disk_failure, what_a_failed_sync_forgot_is_written_again) {
  foundation::manual_clock time;
  foundation::random_source random{1};
  simulated_disk disk;
  settings config = kit::small_settings();
  config.segment_size = 1 << 20;
  config.checkpoint_records = 1000;
  {
    kit::life now{config, disk, time};
    ASSERT_TRUE(now.open());
    now.append(1, 5, durability::power);
    disk.fail_operation(disk.operations() + 2, EIO);  // the write passes, its sync does not
    now.pass(foundation::milliseconds{10});
    now.append(6, 5, durability::power);
    ASSERT_TRUE(now.commits->stopped());
    EXPECT_EQ(now.heard.failed_cookies.size(), 1U);
  }
  disk.end_process();
  {
    kit::life again{config, disk, time};
    ASSERT_TRUE(again.open()) << again.refusal;
    ASSERT_EQ(again.sums.ids.size(), 10U);
    again.append(11, 1, durability::power);
    EXPECT_EQ(again.heard.committed_cookies.size(), 1U);
  }
  disk.cut_power(random);
  kit::life last{config, disk, time};
  ASSERT_TRUE(last.open()) << last.refusal;
  EXPECT_EQ(last.sums.ids.size(), 11U);
}

}  // namespace
}  // namespace tidegate::journal
