// The line between a loop and the journal, with the real journal on a real disk.
#include "gateway/journal_link.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "gateway/state_fold.h"
#include "journal/posix_files.h"
#include "kit/temporary_folder.h"
#include "observe/captured_log.h"

namespace tidegate::gateway {
namespace {

struct fixture {
  explicit fixture(stage_durability wanted = {}) {
    journal::settings settings;
    settings.dir = folder.path() + "/journal";
    auto opened = journal::journal::open(settings, files, clock, sums, log, nullptr);
    EXPECT_TRUE(opened.has_value()) << opened.error();
    book = std::move(*opened);
    link = std::make_unique<journal_link>(loop, *book, wanted);
  }
  ~fixture() { book->close(); }

  struct outcome {
    bool done = false;
    bool durable = false;
  };
  void start(stage s, outcome& out) { wait(*link, s, out); }
  void finish(const outcome& out) {
    while (!out.done) loop.turn(std::chrono::seconds{1});
  }
  static runtime::detached wait(journal_link& link, stage s, outcome& out) {
    out.durable = co_await link.durable(s);
    out.done = true;
  }

  kit::temporary_folder folder;
  foundation::system_clock clock;
  observe::captured_log lines;
  observe::logger log{lines, clock};
  journal::posix_files files;
  state_fold sums;
  runtime::loop loop{clock};
  std::unique_ptr<journal::journal> book;
  std::unique_ptr<journal_link> link;
};

std::string event(std::size_t bytes) {
  return R"({"event":"test","text":")" + std::string(bytes, 'x') + R"("})";
}

TEST(journal_link, every_waiter_of_a_round_hears_of_its_own_stage) {
  fixture f;
  std::vector<fixture::outcome> all(40);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const stage s = i % 3 == 0 ? stage::end : i % 3 == 1 ? stage::start : stage::note;
    f.link->append(s, event(10));
    f.start(s, all[i]);
  }
  for (const auto& o : all) f.finish(o);
  for (const auto& o : all) EXPECT_TRUE(o.durable);
  EXPECT_EQ(f.book->sequence(), all.size());
}

// A queue that is full for a moment refuses what comes then, and nothing before or after it.
TEST(journal_link, what_the_journal_would_not_take_is_lost_for_its_own_waiters_only) {
  fixture f;
  bool refused = false;
  for (int round = 0; round < 200 && !refused; ++round) {
    std::vector<fixture::outcome> all(8);
    for (auto& o : all) {
      for (int i = 0; i < 12; ++i) f.link->append(stage::start, event(900'000));
      f.start(stage::start, o);
      f.loop.turn(foundation::duration::zero());
    }
    for (const auto& o : all) {
      f.finish(o);
      refused |= !o.durable;
    }
  }
  fixture::outcome after;
  f.link->append(stage::start, event(10));
  f.start(stage::start, after);
  f.finish(after);
  EXPECT_TRUE(after.durable) << "the loop goes on";
  EXPECT_FALSE(f.book->stopped());
}

}  // namespace
}  // namespace tidegate::gateway
