// Chats and usage in the file: faults in every statement, kill -9 in the middle of turns, what reopening
// finds, and what deletion leaves in the bytes.
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "kit/temporary_folder.h"
#include "storage/sqlite/sqlite_stores.h"

namespace tidegate::storage::sqlite {
namespace {

using kit::temporary_folder;

constexpr wall_time noon{std::chrono::seconds{1'700'000'000}};

std::unique_ptr<stores> open_at(const temporary_folder& folder, fault_hook fault = {}) {
  auto made = open({.path = folder.file("tidegate.db")}, nullptr, std::move(fault));
  EXPECT_TRUE(made) << made.error();
  return made ? std::move(*made) : nullptr;
}

chat_send message(const std::string& id, const std::string& text) {
  return {"p", std::nullopt, false, "session-of-" + id, id, text, "", noon, 2'000};
}

chat_turn turn(const std::string& session, int n, const std::string& text) {
  const std::string id = std::to_string(n);
  return {"p", session, "u" + id, text + id, "a" + id, text + id, "builtin:chat", "trace", noon, 2};
}

std::vector<chat_message> messages_of(stores& all, const std::string& session) {
  auto given = wait_for<chat_result<std::vector<chat_message>>>(
      [&](auto a) { all.chats().list("p", session, std::move(a)); });
  return given && *given ? **given : std::vector<chat_message>{};
}

// Every kind of write once, on a project and ids of its own; how many failed.
int write_all_kinds(stores& all, int round) {
  int failed = 0;
  const auto ask = [&]<typename T>(std::type_identity<T>, auto start) {
    failed += wait_for<T>(start) ? 0 : 1;
  };
  const std::string id = "/" + std::to_string(round);
  const std::string project = "p" + id;
  const std::string session = "s" + id;
  chat_store& chats = all.chats();
  chat_send first{project, std::nullopt, false, session, "m" + id, "text", "", noon, 2'000};
  ask(std::type_identity<chat_result<chat_sent>>{}, [&](auto a) { chats.send(first, std::move(a)); });
  chat_claim claim{project, std::nullopt, std::nullopt, "t" + id, 2, 2'000};
  ask(std::type_identity<chat_result<chat_claimed>>{},
      [&](auto a) { chats.take_places(claim, std::move(a)); });
  chat_turn added{project, session, "u" + id, "text", "a" + id, "text", "builtin:chat", "trace", noon, 2};
  ask(std::type_identity<chat_result<chat_turn_added>>{},
      [&](auto a) { chats.add_turn(added, std::move(a)); });
  ask(std::type_identity<void>{},
      [&](auto a) { chats.remove_turn({project, session, {"u" + id, "a" + id}, true}, std::move(a)); });
  ask(std::type_identity<void>{}, [&](auto a) { chats.return_places(project, session, 1, std::move(a)); });
  ask(std::type_identity<chat_result<std::size_t>>{},
      [&](auto a) { chats.clear(project, session, noon, std::move(a)); });
  ask(std::type_identity<chat_result<void>>{},
      [&](auto a) { chats.archive(project, session, std::move(a)); });
  ask(std::type_identity<chat_result<void>>{}, [&](auto a) { chats.erase(project, session, std::move(a)); });
  usage_call call;
  call.id = call.request_id = "c" + id;
  call.created_at = noon;
  ask(std::type_identity<void>{}, [&](auto a) { all.usage().record({call}, std::move(a)); });
  ask(std::type_identity<std::size_t>{},
      [&](auto a) { all.usage().purge(noon + std::chrono::hours{48}, 10, std::move(a)); });
  return failed;
}

TEST(sqlite_chats, survive_a_fault_in_any_statement) {
  const temporary_folder folder;
  int statements = 0;
  int left = 0;
  std::string hit;
  const auto all = open_at(folder, [&](std::string_view sql) {
    ++statements;
    const bool fails = left > 0 && --left == 0;
    if (fails) hit = sql;
    return fails;
  });
  EXPECT_EQ(write_all_kinds(*all, 0), 0);
  statements = 0;
  EXPECT_EQ(write_all_kinds(*all, -1), 0);
  const int to_fail = statements;
  ASSERT_GT(to_fail, 60);
  int failures = 0;
  for (int n = 1; n <= to_fail; ++n) {
    left = n;
    const int failed = write_all_kinds(*all, n);
    left = 0;
    EXPECT_GE(failed, 1) << hit;
    failures += failed;
    EXPECT_EQ(write_all_kinds(*all, to_fail + n), 0) << "after " << hit;
  }
  std::printf("faults: %d statements, %d calls failed\n", to_fail, failures);
}

// The count of a session is what its messages are, whatever failed on the way.
TEST(sqlite_chats, a_fault_in_a_turn_leaves_both_messages_or_neither) {
  const temporary_folder folder;
  int left = 0;
  const auto all = open_at(folder, [&](std::string_view) { return left > 0 && --left == 0; });
  const auto sent = wait_for<chat_result<chat_sent>>(
      [&](auto a) { all->chats().send(message("m1", "text"), std::move(a)); });
  const std::string session = sent->value().session_id;
  std::size_t kept = 1;
  int refused = 0;
  for (int n = 1; n < 40; ++n) {
    left = n;
    const auto added = wait_for<chat_result<chat_turn_added>>(
        [&](auto a) { all->chats().add_turn(turn(session, n, "turn"), std::move(a)); });
    left = 0;
    kept += added ? 2 : 0;
    refused += added ? 0 : 1;
    EXPECT_EQ(messages_of(*all, session).size(), kept) << n;
    const auto facts =
        wait_for<std::vector<chat_session>>([&](auto a) { all->chats().sessions("p", {}, std::move(a)); });
    EXPECT_EQ(facts->front().messages, static_cast<std::int64_t>(kept)) << n;
  }
  EXPECT_GT(refused, 5);
}

// One turn after the other until killed; each that is done is told by a byte.
[[noreturn]] void write_turns(const temporary_folder& folder, int first, int told) {
  auto all = open({.path = folder.file("tidegate.db")}, nullptr);
  if (!all) ::_exit(1);
  for (int n = first;; ++n) {
    const auto added = wait_for<chat_result<chat_turn_added>>(
        [&](auto a) { (*all)->chats().add_turn(turn("s", n, std::string(2'000, 'x')), std::move(a)); });
    if (!added || !*added || ::write(told, ".", 1) != 1) ::_exit(1);
  }
}

// C4, NFR-2
TEST(sqlite_chats, a_kill_in_the_middle_of_a_turn_leaves_both_messages_or_neither) {
  const temporary_folder folder;
  {
    const auto all = open_at(folder);
    auto first = message("first", "text");
    first.fresh_session_id = "s";
    ASSERT_TRUE(wait_for<chat_result<chat_sent>>([&](auto a) { all->chats().send(first, std::move(a)); }));
  }
  std::mt19937 random{4};
  int turns = 0;
  constexpr int kills = 25;
  for (int kill = 0; kill < kills; ++kill) {
    int line[2];
    ASSERT_EQ(::pipe(line), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) write_turns(folder, turns, line[1]);
    ::close(line[1]);
    const int wanted = 1 + static_cast<int>(random() % 8);
    int told = 0;
    char byte = 0;
    while (told < wanted && ::read(line[0], &byte, 1) == 1) ++told;
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status));
    while (::read(line[0], &byte, 1) == 1) ++told;
    ::close(line[0]);
    const auto all = open_at(folder);
    ASSERT_TRUE(all);
    const auto kept = messages_of(*all, "s");
    ASSERT_EQ(kept.size() % 2, 1U) << "half a turn";
    const int whole = static_cast<int>(kept.size() / 2);
    EXPECT_GE(whole, turns + told) << "a turn that was told is gone";
    EXPECT_LE(whole, turns + told + 1);
    for (int n = 0; n < whole; ++n) {
      const auto at = static_cast<std::size_t>(1 + 2 * n);
      ASSERT_EQ(kept[at].id, "u" + std::to_string(n));
      ASSERT_EQ(kept[at + 1].id, "a" + std::to_string(n));
    }
    turns = whole;
  }
  std::printf("kills: %d, turns kept: %d\n", kills, turns);
}

TEST(sqlite_chats, places_do_not_outlive_the_process_and_messages_do) {
  const temporary_folder folder;
  std::string session;
  {
    const auto all = open_at(folder);
    session = wait_for<chat_result<chat_sent>>(
                  [&](auto a) { all->chats().send(message("m1", "text"), std::move(a)); })
                  ->value()
                  .session_id;
    const auto places = wait_for<chat_result<chat_claimed>>([&](auto a) {
      all->chats().take_places({"p", session, std::nullopt, "x", 1'999, 2'000}, std::move(a));
    });
    ASSERT_TRUE(places.value());
  }
  const auto all = open_at(folder);
  EXPECT_EQ(messages_of(*all, session).size(), 1U);
  const auto places = wait_for<chat_result<chat_claimed>>([&](auto a) {
    all->chats().take_places({"p", std::nullopt, std::nullopt, "x", 1'999, 2'000}, std::move(a));
  });
  ASSERT_TRUE(places.value());
  EXPECT_EQ((*places)->session_id, session) << "it is still the current one";
}

TEST(sqlite_chats, what_is_deleted_is_gone_from_the_file) {
  const temporary_folder folder;
  {
    const auto all = open_at(folder);
    const auto session =
        wait_for<chat_result<chat_sent>>([&](auto a) {
          all->chats().send(message("m1", "canary-" + std::string(30'000, 'z')), std::move(a));
        })
            ->value()
            .session_id;
    const auto gone =
        wait_for<chat_result<void>>([&](auto a) { all->chats().erase("p", session, std::move(a)); });
    ASSERT_TRUE(gone && *gone);
  }
  for (const auto& file : std::filesystem::directory_iterator{folder.path()}) {
    std::ifstream in{file.path(), std::ios::binary};
    const std::string bytes{std::istreambuf_iterator<char>{in}, {}};
    EXPECT_EQ(bytes.find("canary-"), std::string::npos) << file.path();
    EXPECT_EQ(bytes.find("zzzzzzzz"), std::string::npos) << file.path();
  }
}

// A file of the version before chats, with what it held.
TEST(sqlite_chats, an_older_file_gets_its_tables) {
  const temporary_folder folder;
  const std::string path = folder.file("tidegate.db");
  {
    const auto all = open_at(folder);
    ASSERT_TRUE(wait_for<void>([&](auto a) { all->settings().apply({{"a", "1"}}, {}, noon, std::move(a)); }));
  }
  sqlite3* db = nullptr;
  ASSERT_EQ(::sqlite3_open(path.c_str(), &db), SQLITE_OK);
  EXPECT_EQ(::sqlite3_exec(db,
                           "DROP TABLE chat_message; DROP TABLE chat_current; DROP TABLE chat_session;"
                           "DROP TABLE chat_deleted; DROP TABLE usage_request; DROP TABLE usage_call;"
                           "DROP TABLE usage_total; DROP TABLE usage_start;"
                           "ALTER TABLE trace DROP COLUMN key_id; PRAGMA user_version=1",
                           nullptr, nullptr, nullptr),
            SQLITE_OK);
  ::sqlite3_close(db);
  const auto all = open_at(folder);
  ASSERT_TRUE(all);
  const auto sent = wait_for<chat_result<chat_sent>>(
      [&](auto a) { all->chats().send(message("m1", "text"), std::move(a)); });
  EXPECT_TRUE(sent && *sent);
  const auto kept =
      wait_for<std::optional<std::string>>([&](auto a) { all->settings().get("a", std::move(a)); });
  EXPECT_EQ(kept.value(), "1");
}

TEST(sqlite_chats, usage_survives_reopening) {
  const temporary_folder folder;
  usage_call call;
  call.id = "c1";
  call.key_id = "k";
  call.request_id = "r";
  call.model = "m";
  call.micro_usd = 42;
  call.created_at = noon;
  {
    const auto all = open_at(folder);
    ASSERT_TRUE(wait_for<void>([&](auto a) { all->usage().record({call}, std::move(a)); }));
  }
  const auto all = open_at(folder);
  const auto totals = wait_for<usage_totals>([&](auto a) { all->usage().totals({}, std::move(a)); });
  EXPECT_EQ(totals->sums, (std::vector<usage_sum>{{"m", "", 42, 1, 0, 0, 0}}));
  EXPECT_EQ(totals->started_at, noon);
}

}  // namespace
}  // namespace tidegate::storage::sqlite
