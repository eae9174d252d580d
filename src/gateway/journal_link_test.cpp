// The line between a loop and the journal, with the real journal on a real disk.
#include "gateway/journal_link.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gateway/state_fold.h"
#include "journal/posix_files.h"
#include "kit/temporary_folder.h"
#include "observe/captured_log.h"

namespace tidegate::gateway {
namespace {

// A disk whose writes wait until they are let go: what comes meanwhile gathers in the journal's queue.
class held_files final : public journal::file_system {
 public:
  ~held_files() override { let_go(); }
  void hold() {
    const std::lock_guard lock{mutex_};
    held_ = true;
  }
  void let_go() {
    const std::lock_guard lock{mutex_};
    held_ = false;
    changed_.notify_all();
  }
  // Until the journal's writer stands at a write.
  void wait_until_one_waits() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return waiting_ > 0; });
  }

  journal::io<std::unique_ptr<journal::file>> open(const std::string& path,
                                                   journal::open_mode mode) override {
    auto opened = files_.open(path, mode);
    if (!opened) return opened;
    return std::make_unique<held_file>(*this, std::move(*opened));
  }
  journal::io<std::vector<std::string>> list(const std::string& d) override { return files_.list(d); }
  journal::io<void> rename(const std::string& a, const std::string& b) override {
    return files_.rename(a, b);
  }
  journal::io<void> remove(const std::string& p) override { return files_.remove(p); }
  journal::io<void> make_directory(const std::string& p) override { return files_.make_directory(p); }
  journal::io<void> sync_directory(const std::string& p) override { return files_.sync_directory(p); }

 private:
  struct held_file final : journal::file {
    held_file(held_files& o, std::unique_ptr<journal::file> i) : owner{o}, inner{std::move(i)} {}
    journal::io<void> write(std::uint64_t offset, std::span<const std::string_view> pieces) override {
      owner.pass();
      return inner->write(offset, pieces);
    }
    journal::io<std::size_t> read(std::uint64_t offset, std::span<char> into) override {
      return inner->read(offset, into);
    }
    journal::io<std::uint64_t> size() override { return inner->size(); }
    journal::io<void> truncate(std::uint64_t size) override { return inner->truncate(size); }
    journal::io<void> sync() override { return inner->sync(); }
    held_files& owner;
    std::unique_ptr<journal::file> inner;
  };

  void pass() {
    std::unique_lock lock{mutex_};
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_; });
    --waiting_;
  }

  journal::posix_files files_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  int waiting_ = 0;
};

struct fixture {
  explicit fixture(stage_durability wanted = {}) {
    journal::settings settings;
    settings.dir = folder.path() + "/journal";
    auto opened = journal::journal::open(settings, files, clock, sums, log, nullptr);
    EXPECT_TRUE(opened.has_value()) << opened.error();
    book = std::move(*opened);
    link = std::make_unique<journal_link>(loop, *book, wanted);
  }
  ~fixture() {
    files.let_go();
    book->close();
  }

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
  held_files files;
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
  f.files.hold();
  fixture::outcome written;
  f.link->append(stage::start, event(10));
  f.start(stage::start, written);
  f.loop.turn(foundation::duration::zero());
  f.files.wait_until_one_waits();

  // The writer stands; what comes now waits in the queue, up to its bound.
  constexpr std::size_t record = 1'000'000;
  constexpr std::size_t room = journal::queue_bytes_max / (record + 200);
  std::vector<fixture::outcome> queued(room);
  const auto send = [&](fixture::outcome& out) {
    f.link->append(stage::start, event(record));
    f.start(stage::start, out);
    f.loop.turn(foundation::duration::zero());
  };
  for (auto& o : queued) send(o);
  std::vector<fixture::outcome> refused(3);
  for (auto& o : refused) send(o);
  EXPECT_FALSE(written.done);

  f.files.let_go();
  f.finish(written);
  EXPECT_TRUE(written.durable);
  for (const auto& o : queued) {
    f.finish(o);
    EXPECT_TRUE(o.durable) << "it had its place";
  }
  for (const auto& o : refused) {
    f.finish(o);
    EXPECT_FALSE(o.durable) << "there was no room";
  }
  fixture::outcome after;
  f.link->append(stage::start, event(10));
  f.start(stage::start, after);
  f.finish(after);
  EXPECT_TRUE(after.durable) << "the loop goes on";
  EXPECT_FALSE(f.book->stopped());
  EXPECT_EQ(f.book->sequence(), 2 + room);
}

}  // namespace
}  // namespace tidegate::gateway
