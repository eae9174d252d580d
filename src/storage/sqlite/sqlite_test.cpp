// What only the file can go wrong with: faults in every statement, full queues, foreign and newer files, and
// what its bytes tell.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <mutex>

#include "kit/temporary_folder.h"
#include "storage/sqlite/connection.h"
#include "storage/sqlite/sqlite_stores.h"

namespace tidegate::storage::sqlite {
namespace {

using kit::temporary_folder;
using testing::HasSubstr;

constexpr wall_time noon{std::chrono::seconds{1'700'000'000}};

std::shared_ptr<const sealer> make_sealer() {
  return std::make_shared<const sealer>(*sealer::of(*master_key::parse(std::string(64, '7'))));
}

std::unique_ptr<stores> open_at(const temporary_folder& folder, fault_hook fault = {}) {
  auto made = open({.path = folder.file("tidegate.db")}, make_sealer(), std::move(fault));
  EXPECT_TRUE(made) << made.error();
  return made ? std::move(*made) : nullptr;
}

client_key make_key(std::uint8_t n) {
  client_key key;
  key.id = "key_" + std::to_string(n);
  key.name = "name" + std::to_string(n);
  key.mac.fill(n);
  key.created_at = noon;
  return key;
}

trace_record make_trace(const std::string& run, const std::string& text = "text") {
  trace_record t;
  t.run_id = run;
  t.trace_id = "trace";
  t.input_text = text;
  t.output_text = text;
  t.candidate_group = "g";
  t.completed_at = noon;
  return t;
}

result<void> put(stores& all, const client_key& key) {
  return wait_for<void>([&](auto answer) { all.keys().put(key, std::move(answer)); });
}

std::size_t key_count(stores& all) {
  return wait_for<std::vector<client_key>>([&](auto answer) { all.keys().list(std::move(answer)); })->size();
}

// Every kind of write once; how many failed.
int write_all_kinds(stores& all) {
  std::atomic<int> failed{0};
  const auto count = [&](const auto& given) { failed += given ? 0 : 1; };
  const auto wait = [&]<typename T>(std::type_identity<T>, auto start) { count(wait_for<T>(start)); };
  wait(std::type_identity<void>{}, [&](auto a) { all.keys().put(make_key(1), std::move(a)); });
  wait(std::type_identity<client_key>{},
       [&](auto a) { all.keys().rotate("key_1", make_key(2).mac, noon, std::move(a)); });
  wait(std::type_identity<client_key>{}, [&](auto a) { all.keys().revoke("key_1", noon, std::move(a)); });
  wait(std::type_identity<void>{}, [&](auto a) { all.secrets().set("s", "sealed", noon, std::move(a)); });
  wait(std::type_identity<void>{},
       [&](auto a) { all.settings().apply({{"a", "1"}, {"b", "2"}}, {{"t", "x"}}, noon, std::move(a)); });
  wait(std::type_identity<void>{},
       [&](auto a) { all.traces().put({make_trace("r1"), make_trace("r2")}, std::move(a)); });
  wait(std::type_identity<feedback_outcome>{},
       [&](auto a) { all.traces().put_feedback({"r1", feedback_action::reject, "e", noon}, std::move(a)); });
  wait(std::type_identity<feedback_outcome>{},
       [&](auto a) { all.traces().put_feedback({"r2", feedback_action::reject, "e", noon}, std::move(a)); });
  wait(std::type_identity<void>{}, [&](auto a) { all.replies().put({"k", "i"}, {}, std::move(a)); });
  wait(std::type_identity<std::size_t>{},
       [&](auto a) { all.traces().purge(noon + std::chrono::seconds{1}, 10, std::move(a)); });
  wait(std::type_identity<std::size_t>{}, [&](auto a) { all.replies().purge(noon, 10, std::move(a)); });
  wait(std::type_identity<void>{}, [&](auto a) { all.secrets().remove("s", std::move(a)); });
  return failed;
}

TEST(sqlite_store, survives_a_fault_in_any_statement) {
  int statements = 0;
  {
    int seen = 0;
    const temporary_folder counted;
    const auto counting = open_at(counted, [&seen](std::string_view) {
      ++seen;
      return false;
    });
    EXPECT_EQ(write_all_kinds(*counting), 0);
    statements = seen;
  }
  ASSERT_GT(statements, 60);
  int failures = 0;
  for (int n = 1; n <= statements; ++n) {
    const temporary_folder folder;
    bool armed = false;
    int left = n;
    std::string hit;
    {
      auto made = open({.path = folder.file("tidegate.db")}, make_sealer(), [&](std::string_view sql) {
        if (--left != 0) return false;
        hit = sql;
        return true;
      });
      armed = made.has_value();  // a fault while it opens is refused, with nothing left open
      if (armed) {
        const int failed = write_all_kinds(**made);
        EXPECT_GE(failed, 1) << hit;
        failures += failed;
      }
    }
    // Whatever broke: the file is whole and takes writes again.
    const auto again = open_at(folder);
    ASSERT_TRUE(again) << hit;
    EXPECT_TRUE(put(*again, make_key(9))) << hit;
  }
  std::printf("faults: %d statements, %d calls failed\n", statements, failures);
}

TEST(sqlite_store, what_is_done_is_there_after_reopening) {
  const temporary_folder folder;
  {
    const auto all = open_at(folder);
    ASSERT_TRUE(put(*all, make_key(1)));
    all->traces().put({make_trace("r1")}, [](result<void> done) { EXPECT_TRUE(done); });
  }
  const auto all = open_at(folder);
  EXPECT_EQ(key_count(*all), 1U);
  const auto run =
      wait_for<std::optional<trace_record>>([&](auto answer) { all->traces().get("r1", std::move(answer)); });
  EXPECT_EQ(run->value(), make_trace("r1"));
}

TEST(sqlite_store, another_master_key_makes_texts_absent) {
  const temporary_folder folder;
  {
    const auto all = open_at(folder);
    ASSERT_TRUE(wait_for<void>([&](auto a) { all->traces().put({make_trace("r1")}, std::move(a)); }));
  }
  auto other = std::make_shared<const sealer>(*sealer::of(*master_key::parse(std::string(64, '8'))));
  const auto all = open({.path = folder.file("tidegate.db")}, std::move(other));
  ASSERT_TRUE(all);
  const auto run =
      wait_for<std::optional<trace_record>>([&](auto a) { (*all)->traces().get("r1", std::move(a)); });
  EXPECT_EQ(run->value().input_text, std::nullopt);
  EXPECT_EQ(run->value().trace_id, "trace");
}

TEST(sqlite_store, texts_turned_off_are_left_out_and_replies_still_kept) {
  const temporary_folder folder;
  {
    const auto all = open_at(folder);
    ASSERT_TRUE(wait_for<void>([&](auto a) { all->traces().put({make_trace("r1")}, std::move(a)); }));
  }
  const auto all = open({.path = folder.file("tidegate.db"), .trace_texts = false}, make_sealer());
  ASSERT_TRUE(all);
  ASSERT_TRUE(wait_for<void>([&](auto a) { (*all)->traces().put({make_trace("r2")}, std::move(a)); }));
  ASSERT_TRUE(wait_for<void>([&](auto a) { (*all)->replies().put({"k", "i"}, {}, std::move(a)); }));
  const auto input_of = [&](const char* run) {
    return wait_for<std::optional<trace_record>>([&](auto a) { (*all)->traces().get(run, std::move(a)); })
        ->value()
        .input_text;
  };
  EXPECT_EQ(input_of("r1"), "text");
  EXPECT_EQ(input_of("r2"), std::nullopt);
}

TEST(sqlite_store, a_full_queue_refuses_at_once) {
  const temporary_folder folder;
  std::promise<void> release;
  const auto released = release.get_future().share();
  std::atomic<bool> holding{false};
  auto made = open({.path = folder.file("tidegate.db"), .queue_calls = 3, .queue_bytes = 1'000},
                   make_sealer(), [&](std::string_view sql) {
                     if (holding && sql == "BEGIN IMMEDIATE") released.wait();
                     return false;
                   });
  ASSERT_TRUE(made);
  stores& all = **made;
  holding = true;
  std::atomic<int> done{0};
  std::atomic<int> refused{0};
  const auto count = [&](result<void> given) {
    if (given) {
      ++done;
    } else if (given.error().problem == store_problem::overloaded) {
      ++refused;
    }
  };
  all.keys().put(make_key(0), count);
  // As many as the queue holds may be taken from it before the thread waits, and as many wait then: of 21
  // calls no more than twice three find room.
  for (std::uint8_t i = 1; i <= 20; ++i) all.keys().put(make_key(i), count);
  EXPECT_GE(refused, 15);
  const int before = refused;
  all.secrets().set("s", std::string(2'000, 'x'), noon, count);
  EXPECT_EQ(refused, before + 1) << "bytes are bounded too";
  release.set_value();
  made->reset();
  EXPECT_EQ(done + refused, 22);
  EXPECT_GE(done, 3);
}

TEST(sqlite_store, calls_that_wait_together_share_a_commit) {
  const temporary_folder folder;
  std::promise<void> release;
  const auto released = release.get_future().share();
  std::atomic<bool> holding{false};
  std::atomic<int> commits{0};
  const auto all = open_at(folder, [&](std::string_view sql) {
    if (holding && sql == "BEGIN IMMEDIATE") released.wait();
    if (sql == "COMMIT") ++commits;
    return false;
  });
  holding = true;
  std::atomic<int> done{0};
  for (int i = 0; i < 200; ++i) {
    all->traces().put({make_trace("r" + std::to_string(i))},
                      [&](result<void> given) { done += given ? 1 : 0; });
  }
  release.set_value();
  ASSERT_TRUE(put(*all, make_key(1)));
  EXPECT_EQ(done, 200);
  EXPECT_LE(commits, 3);
}

TEST(sqlite_store, one_calls_failure_leaves_the_others_of_its_commit) {
  const temporary_folder folder;
  std::promise<void> release;
  const auto released = release.get_future().share();
  std::atomic<bool> holding{false};
  const auto all = open_at(folder, [&](std::string_view sql) {
    if (holding && sql == "BEGIN IMMEDIATE") released.wait();
    return false;
  });
  holding = true;
  std::vector<std::optional<store_problem>> given(4);
  const auto keep = [&](std::size_t at) {
    return [&given, at](result<void> r) { given[at] = r ? std::nullopt : std::optional{r.error().problem}; };
  };
  all->keys().put(make_key(0), keep(0));
  all->keys().put(make_key(1), keep(1));
  all->keys().put(make_key(1), keep(2));
  all->keys().put(make_key(2), keep(3));
  release.set_value();
  EXPECT_EQ(key_count(*all), 3U);
  EXPECT_EQ(given, (std::vector<std::optional<store_problem>>{std::nullopt, std::nullopt,
                                                              store_problem::conflict, std::nullopt}));
}

TEST(sqlite_store, an_answer_is_let_go_once_it_was_called) {
  const temporary_folder folder;
  const auto all = open_at(folder);
  std::promise<void> gone;
  struct holder {
    std::promise<void>* gone;
    ~holder() { gone->set_value(); }
  };
  auto held = std::make_unique<holder>(&gone);
  all->keys().put(make_key(1), [held = std::move(held)](result<void> given) { EXPECT_TRUE(given); });
  EXPECT_EQ(gone.get_future().wait_for(std::chrono::seconds{10}), std::future_status::ready)
      << "it waits for the next call";
}

// SEC-3: a thousand texts, secrets and replies; no byte of the folder's files shows one.
TEST(sqlite_store, no_file_shows_a_canary) {
  const temporary_folder folder;
  constexpr int canaries = 1'000;
  const auto canary = [](int n) { return "canary-" + std::to_string(n * 7919) + "-sk-live"; };
  const auto seal = make_sealer();
  const auto shows = [&] {
    std::string bytes;
    for (const auto& file : std::filesystem::directory_iterator{folder.path()}) {
      std::ifstream in{file.path(), std::ios::binary};
      bytes.append(std::istreambuf_iterator<char>{in}, {});
    }
    EXPECT_GT(bytes.size(), 100'000U);
    int found = bytes.find("canary-") == std::string::npos ? 0 : 1;
    for (int i = 0; i < canaries; ++i) found += bytes.find(canary(i)) == std::string::npos ? 0 : 1;
    return found;
  };
  {
    const auto all = open_at(folder);
    for (int i = 0; i < canaries; ++i) {
      const std::string text = canary(i);
      switch (i % 3) {
        case 0:
          all->traces().put({make_trace("r" + std::to_string(i), text)},
                            [](result<void> r) { EXPECT_TRUE(r); });
          break;
        case 1:
          all->replies().put({"k", std::to_string(i)}, {{}, 200, "h: " + text, text, noon},
                             [](result<void> r) { EXPECT_TRUE(r); });
          break;
        default:
          all->secrets().set("s" + std::to_string(i),
                             seal->seal(secret_record("s" + std::to_string(i)), text), noon,
                             [](result<void> r) { EXPECT_TRUE(r); });
      }
    }
    ASSERT_TRUE(put(*all, make_key(1)));
    EXPECT_EQ(shows(), 0) << "with its log beside it";
  }
  EXPECT_EQ(shows(), 0);
  std::printf("canaries: %d\n", canaries);
}

TEST(sqlite_store, a_full_disk_is_called_one) {
  EXPECT_EQ(explain(SQLITE_FULL, 0),
            "no room is left on the disk that holds tidegate.db (sqlite: database or disk is full, code 13)");
  EXPECT_EQ(explain(SQLITE_IOERR_WRITE, ENOSPC),
            "no room is left on the disk that holds tidegate.db (sqlite: disk I/O error, code 778)");
  EXPECT_EQ(explain(SQLITE_IOERR_FSYNC, EIO), "sqlite: disk I/O error: Input/output error (1034)");
  EXPECT_EQ(explain(SQLITE_BUSY, 0), "sqlite: database is locked (5)");
}

TEST(sqlite_store, its_file_is_its_owners_only) {
  const temporary_folder folder;
  const auto all = open_at(folder);
  ASSERT_TRUE(put(*all, make_key(1)));
  for (const auto& file : std::filesystem::directory_iterator{folder.path()}) {
    struct stat facts{};
    ASSERT_EQ(::stat(file.path().c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777, 0600U) << file.path();
  }
}

void execute(const std::string& path, const char* sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(::sqlite3_open(path.c_str(), &db), SQLITE_OK);
  EXPECT_EQ(::sqlite3_exec(db, sql, nullptr, nullptr, nullptr), SQLITE_OK) << ::sqlite3_errmsg(db);
  ::sqlite3_close(db);
}

TEST(sqlite_store, refuses_what_is_not_its_own) {
  const temporary_folder folder;
  const std::string path = folder.file("tidegate.db");
  const auto refusal = [&] {
    const auto made = open({.path = path}, nullptr);
    return made ? std::string{"it opened"} : made.error();
  };
  execute(path, "CREATE TABLE other (x)");
  EXPECT_THAT(refusal(), HasSubstr("another program"));
  std::filesystem::remove(path);
  std::ofstream{path}
      << "this is no database, but long enough to look at its header, which is a hundred bytes long";
  EXPECT_THAT(refusal(), HasSubstr("cannot be used"));
  std::filesystem::remove(path);
  EXPECT_TRUE(open({.path = path}, nullptr));
  execute(path, "PRAGMA user_version=1000");
  EXPECT_THAT(refusal(), HasSubstr("newer version"));
  EXPECT_FALSE(open({.path = folder.file("not/there/tidegate.db")}, nullptr));
}

TEST(sqlite_store, refuses_damage_in_what_decides_access) {
  const temporary_folder folder;
  const std::string path = folder.file("tidegate.db");
  {
    const auto all = open_at(folder);
    for (std::uint8_t i = 0; i < 200; ++i) ASSERT_TRUE(put(*all, make_key(i)));
  }
  std::fstream file{path, std::ios::in | std::ios::out | std::ios::binary};
  std::string bytes{std::istreambuf_iterator<char>{file}, {}};
  // Page 2 is the first table's.
  std::fill(bytes.begin() + 4096 + 8, bytes.begin() + 4096 + 2000, '\xa5');
  file.seekp(0);
  file << bytes;
  file.close();
  const auto made = open({.path = path}, nullptr);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error(), testing::AnyOf(HasSubstr("damaged"), HasSubstr("cannot be used")));
}

}  // namespace
}  // namespace tidegate::storage::sqlite
