// The journal with its thread, on real files.
#include "journal/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include "journal/audit.h"
#include "journal/journal_kit.h"
#include "journal/posix_files.h"

namespace tidegate::journal {
namespace {

// Waits for answers instead of for time.
class waiting_listener final : public commit_listener {
 public:
  void committed(std::uint64_t cookie) noexcept override { note(cookie, true); }
  void failed(std::uint64_t cookie) noexcept override { note(cookie, false); }
  void wait_for(std::size_t count) {
    std::unique_lock lock{mutex_};
    heard_.wait(lock, [&] { return good.size() + bad.size() >= count; });
  }
  std::vector<std::uint64_t> good;
  std::vector<std::uint64_t> bad;

 private:
  void note(std::uint64_t cookie, bool done) {
    const std::scoped_lock lock{mutex_};
    (done ? good : bad).push_back(cookie);
    heard_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable heard_;
};

class counting_observer final : public observer {
 public:
  void records_written(std::uint64_t count) noexcept override { records += count; }
  void synced(foundation::duration) noexcept override { ++syncs; }
  void stopped(std::string_view why) noexcept override { reason = why; }
  void state_too_large(std::uint64_t) noexcept override { ++states_left_out; }
  std::atomic<std::uint64_t> states_left_out{0};
  std::atomic<std::uint64_t> records{0};
  std::atomic<std::uint64_t> syncs{0};
  std::string reason;
};

// Fails every write once told to.
class failing_files final : public file_system {
 public:
  io<std::unique_ptr<file>> open(const std::string& path, open_mode mode) override {
    auto opened = files_.open(path, mode);
    if (!opened) return opened;
    return std::make_unique<failing_file>(*this, std::move(*opened));
  }
  io<std::vector<std::string>> list(const std::string& d) override { return files_.list(d); }
  io<void> rename(const std::string& a, const std::string& b) override { return files_.rename(a, b); }
  io<void> remove(const std::string& p) override { return files_.remove(p); }
  io<void> make_directory(const std::string& p) override { return files_.make_directory(p); }
  io<void> sync_directory(const std::string& p) override { return files_.sync_directory(p); }
  std::atomic<bool> broken{false};

 private:
  struct failing_file final : file {
    failing_file(failing_files& o, std::unique_ptr<file> i) : owner{o}, inner{std::move(i)} {}
    io<void> write(std::uint64_t offset, std::span<const std::string_view> pieces) override {
      if (owner.broken) return std::unexpected{io_failure{EIO, "write: Input/output error"}};
      return inner->write(offset, pieces);
    }
    io<std::size_t> read(std::uint64_t offset, std::span<char> into) override {
      return inner->read(offset, into);
    }
    io<std::uint64_t> size() override { return inner->size(); }
    io<void> truncate(std::uint64_t size) override { return inner->truncate(size); }
    io<void> sync() override { return inner->sync(); }
    failing_files& owner;
    std::unique_ptr<file> inner;
  };
  posix_files files_;
};

class threaded_journal : public testing::Test {
 protected:
  threaded_journal() : root{testing::TempDir() + "tidegate-journal-XXXXXX"} {
    if (::mkdtemp(root.data()) == nullptr) ADD_FAILURE() << "no temporary folder";
    config.dir = root + "/data/journal";
    config.checkpoint_records = 100;
    config.segment_size = 64 << 10;
  }
  ~threaded_journal() override { std::filesystem::remove_all(root); }
  std::unique_ptr<journal> open() {
    auto opened = journal::open(config, files, time, sums, log, &watcher);
    EXPECT_TRUE(opened) << opened.error();
    return opened ? std::move(*opened) : nullptr;
  }
  static void append(journal& j, std::uint64_t id, durability wanted, commit_listener* listener) {
    batch records;
    records.add(foundation::wall_time{}, kit::payload_of(id));
    j.append(records, wanted, listener, id);
  }

  std::string root;
  settings config;
  failing_files files;
  foundation::system_clock time;
  kit::listing_fold sums;
  observe::captured_log lines;
  observe::logger log{lines, time};
  counting_observer watcher;
  waiting_listener heard;
};

TEST_F(threaded_journal, many_threads_append_and_everything_is_found_again) {
  constexpr std::uint64_t threads = 4;
  constexpr std::uint64_t each = 500;
  {
    const auto j = open();
    std::vector<std::thread> callers;
    for (std::uint64_t t = 0; t < threads; ++t) {
      callers.emplace_back([&, t] {
        for (std::uint64_t i = 0; i < each; ++i) {
          append(*j, t * each + i + 1, i % 5 == 0 ? durability::power : durability::process, &heard);
        }
      });
    }
    for (std::thread& caller : callers) caller.join();
    heard.wait_for(threads * each);
    EXPECT_TRUE(heard.bad.empty());
    EXPECT_FALSE(j->stopped());
    j->close();
  }
  EXPECT_GE(watcher.records, threads * each);
  EXPECT_GT(watcher.syncs, 0U);
  const survey seen = verify(files, {.dir = config.dir});
  EXPECT_FALSE(seen.fault) << to_text(*seen.fault);
  EXPECT_TRUE(seen.notes.empty());
  const std::vector<std::uint64_t> before = sums.ids;
  const auto again = open();
  EXPECT_EQ(sums.ids, before);
  EXPECT_EQ(std::set<std::uint64_t>(before.begin(), before.end()).size(), threads * each);
  // Each caller's records stand in the order of its calls.
  std::map<std::uint64_t, std::uint64_t> last;
  for (const std::uint64_t id : before) {
    std::uint64_t& of_thread = last[(id - 1) / each];
    EXPECT_LT(of_thread, id);
    of_thread = id;
  }
}

TEST_F(threaded_journal, a_batch_comes_back_empty_and_is_written_without_its_owner) {
  const auto j = open();
  batch records;
  for (std::uint64_t id = 1; id <= 100; ++id) {
    records.add(foundation::wall_time{}, kit::payload_of(id));
    j->append(records, durability::process, &heard, id);
    ASSERT_TRUE(records.empty());
  }
  heard.wait_for(100);
  j->append(records, durability::power, &heard, 101);
  heard.wait_for(101);
  EXPECT_EQ(heard.good.back(), 101U) << "an empty batch is a question whether all before it is durable";
}

TEST_F(threaded_journal, after_closing_nothing_is_taken) {
  const auto j = open();
  append(*j, 1, durability::power, &heard);
  j->close();
  EXPECT_EQ(heard.good, std::vector<std::uint64_t>{1}) << "closing waits for what was asked for";
  append(*j, 2, durability::process, &heard);
  EXPECT_EQ(heard.bad, std::vector<std::uint64_t>{2});
  j->close();
}

TEST_F(threaded_journal, a_failed_write_stops_it_for_good) {
  {
    const auto j = open();
    append(*j, 1, durability::power, &heard);
    heard.wait_for(1);
    files.broken = true;
    append(*j, 2, durability::process, &heard);
    heard.wait_for(2);
    EXPECT_TRUE(j->stopped()) << "whoever hears of the failure finds it stopped";
    EXPECT_EQ(j->stop_reason(), "write: Input/output error");
    files.broken = false;
    append(*j, 3, durability::process, &heard);
    heard.wait_for(3);
    EXPECT_EQ(heard.bad, (std::vector<std::uint64_t>{2, 3}));
  }
  EXPECT_EQ(watcher.reason, "write: Input/output error");
  EXPECT_EQ(lines.of("journal_stopped").size(), 1U);
  const auto again = open();
  EXPECT_EQ(sums.ids, std::vector<std::uint64_t>{1});
  EXPECT_FALSE(again->stopped());
}

TEST_F(threaded_journal, a_queue_that_is_full_refuses_without_stopping) {
  const auto j = open();
  batch records;
  while (records.size() + payload_max + record_header_size <= queue_bytes_max) {
    records.add(foundation::wall_time{},
                "{\"event\":\"x\",\"id\":1,\"pad\":\"" + std::string(payload_max - 100, 'x') + "\"}");
  }
  while (records.size() <= queue_bytes_max) records.add(foundation::wall_time{}, kit::payload_of(1, 10'000));
  j->append(records, durability::process, &heard, 1);
  heard.wait_for(1);
  EXPECT_EQ(heard.bad, std::vector<std::uint64_t>{1});
  EXPECT_TRUE(records.empty());
  EXPECT_FALSE(j->stopped());
  append(*j, 2, durability::power, &heard);
  heard.wait_for(2);
  EXPECT_EQ(heard.good, std::vector<std::uint64_t>{2});
}

TEST_F(threaded_journal, damage_is_refused_with_its_place) {
  {
    const auto j = open();
    append(*j, 1, durability::power, &heard);
    j->close();
  }
  {
    std::fstream segment{config.dir + '/' + segment_name(1), std::ios::in | std::ios::out | std::ios::binary};
    segment.seekp(150);
    segment.put('#');
  }
  const auto refused = journal::open(config, files, time, sums, log, nullptr);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error(), testing::HasSubstr("00000000000000000001.seg: offset 64, record 1"));
}

// A fold whose state is larger than any may be, until it is told otherwise.
class large_fold final : public fold {
 public:
  void apply(const record_view& record) noexcept override { ids.push_back(kit::id_of(record.payload)); }
  std::string save() const override {
    if (large) return std::string(state_size_max + 1, 'x');
    return std::to_string(ids.size());
  }
  bool load(std::string_view saved) override {
    ids.assign(foundation::parse_u64(saved).value_or(0), 0);
    return true;
  }
  void clear() override { ids.clear(); }
  std::vector<std::uint64_t> ids;
  std::atomic<bool> large{false};
};

TEST_F(threaded_journal, a_state_that_is_too_large_is_left_out_and_nothing_is_lost) {
  config.segment_size = 4096;
  config.checkpoint_records = 1'000;
  config.retention = foundation::milliseconds{-3'600'000};  // all that a state holds may go at once
  large_fold fold;
  const auto begin = [&] {
    auto opened = journal::open(config, files, time, fold, log, &watcher);
    EXPECT_TRUE(opened) << opened.error();
    return std::move(*opened);
  };
  const auto segments = [&] { return take_survey(files, {.dir = config.dir}).segments.size(); };
  std::uint64_t id = 0;
  const auto write = [&](journal& to, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) append(to, ++id, durability::process, &heard);
    heard.wait_for(id);
  };
  {
    const auto j = begin();
    write(*j, 20);
  }
  fold.large = true;
  {
    const auto j = begin();
    EXPECT_EQ(fold.ids.size(), 20U);
    write(*j, 60);
    EXPECT_FALSE(j->stopped()) << j->stop_reason();
  }
  EXPECT_TRUE(heard.bad.empty());
  EXPECT_GT(watcher.states_left_out, 1U);
  const std::size_t before = segments();
  EXPECT_GT(before, 2U) << "nothing is given up that no state holds";
  fold.large = false;
  {
    const auto j = begin();
    EXPECT_EQ(fold.ids.size(), 80U);
    write(*j, 60);
  }
  EXPECT_LT(segments(), before) << "then all is as it was";
  const survey seen = verify(files, {.dir = config.dir});
  EXPECT_FALSE(seen.fault) << to_text(*seen.fault);
  const auto j = begin();
  EXPECT_EQ(fold.ids.size(), 140U);
}

}  // namespace
}  // namespace tidegate::journal
