// NFR-2, TRC-2: kill -9 at any moment loses nothing that was acknowledged, on real files and with the real
// thread.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "foundation/random.h"
#include "journal/audit.h"
#include "journal/journal_kit.h"
#include "journal/posix_files.h"

namespace tidegate::journal {
namespace {

constexpr int kills = 20;

settings kill_settings(const std::string& root) {
  settings config;
  config.dir = root + "/journal";
  config.segment_size = 64 << 10;
  config.checkpoint_records = 50;
  config.background_sync = foundation::milliseconds{5};
  return config;
}

// Tells the parent of every acknowledged id.
class piping final : public commit_listener {
 public:
  explicit piping(int descriptor) : descriptor_{descriptor} {}
  void committed(std::uint64_t cookie) noexcept override {
    if (::write(descriptor_, &cookie, sizeof cookie) != sizeof cookie) ::_exit(2);
  }
  void failed(std::uint64_t) noexcept override { ::_exit(3); }

 private:
  int descriptor_;
};

[[noreturn]] void write_for_ever(const settings& config, std::uint64_t id, int descriptor) {
  posix_files files;
  foundation::system_clock time;
  kit::listing_fold sums;
  observe::captured_log lines;
  observe::logger log{lines, time};
  piping listener{descriptor};
  const auto opened = journal::open(config, files, time, sums, log, nullptr);
  if (!opened) ::_exit(1);
  while (true) {
    batch records;
    records.add(time.wall(), kit::payload_of(id, id % 300));
    (*opened)->append(records, id % 7 == 0 ? durability::power : durability::process, &listener, id);
    ++id;
    // Not more than the writer can take.
    while (id > (*opened)->sequence() + 200) ::sched_yield();
  }
}

// The last acknowledged id of a child that is killed after a while of its own work.
std::uint64_t run_and_kill(const settings& config, std::uint64_t first, std::uint64_t acknowledgements) {
  int ends[2];
  if (::pipe(ends) != 0) return 0;
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    write_for_ever(config, first, ends[1]);
  }
  ::close(ends[1]);
  std::uint64_t last = 0;
  std::uint64_t heard = 0;
  std::uint64_t id = 0;
  while (::read(ends[0], &id, sizeof id) == sizeof id) {
    last = std::max(last, id);
    if (++heard == acknowledgements) ::kill(child, SIGKILL);
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "it ended on its own: " << WEXITSTATUS(status);
  return last;
}

TEST(journal_kill, nothing_acknowledged_is_lost) {
  std::string root = testing::TempDir() + "tidegate-kill-XXXXXX";
  ASSERT_NE(::mkdtemp(root.data()), nullptr);
  const settings config = kill_settings(root);
  foundation::manual_clock time;
  posix_files files;
  foundation::random_source random{11};
  std::uint64_t next = 1;
  std::uint64_t acknowledged = 0;
  for (int n = 0; n < kills && !testing::Test::HasFailure(); ++n) {
    acknowledged = std::max(acknowledged, run_and_kill(config, next, 1 + random.below(400)));
    const survey seen = verify(files, {.dir = config.dir});
    ASSERT_FALSE(seen.fault) << to_text(*seen.fault);
    const kit::life after{config, files, time};
    ASSERT_TRUE(after.open()) << after.refusal;
    ASSERT_FALSE(after.sums.ids.empty());
    for (std::size_t i = 0; i < after.sums.ids.size(); ++i) ASSERT_EQ(after.sums.ids[i], i + 1);
    EXPECT_GE(after.sums.ids.back(), acknowledged);
    next = after.sums.ids.back() + 1;
  }
  std::printf("journal_kill: %d kills, %llu records\n", kills, static_cast<unsigned long long>(next - 1));
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace tidegate::journal
