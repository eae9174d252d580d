// Long reads beside the thread that writes: they hold nothing up, end in time, and see what was sent before
// them.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <thread>

#include "kit/temporary_folder.h"
#include "storage/sqlite/sqlite_stores.h"

namespace tidegate::storage::sqlite {
namespace {

using kit::temporary_folder;
using sessions = std::vector<chat_session>;

constexpr wall_time noon{std::chrono::seconds{1'700'000'000}};

bool is_search(std::string_view sql) { return sql.find("has_text") != std::string_view::npos; }

chat_send message(const std::string& id, const std::string& text) {
  return {"p", std::nullopt, true, "session-of-" + id, id, text, "", noon, 2'000};
}

result<chat_result<chat_sent>> send(stores& all, const chat_send& given) {
  return wait_for<chat_result<chat_sent>>([&](auto a) { all.chats().send(given, std::move(a)); });
}

std::future<result<sessions>> search(stores& all, const std::string& wanted) {
  auto given = std::make_shared<std::promise<result<sessions>>>();
  auto taken = given->get_future();
  all.chats().sessions("p", wanted, [given](result<sessions> found) { given->set_value(std::move(found)); });
  return taken;
}

// Holds every search until it is let go.
struct held_searches {
  std::promise<void> let_go;
  std::shared_future<void> gone{let_go.get_future().share()};
  fault_hook hook() {
    return [gone = gone](std::string_view sql) {
      if (is_search(sql)) gone.wait();
      return false;
    };
  }
};

TEST(sqlite_reader, a_long_search_holds_up_no_write_and_no_list) {
  const temporary_folder folder;
  held_searches held;
  const auto all = open({.path = folder.file("tidegate.db")}, nullptr, held.hook()).value();
  ASSERT_TRUE(send(*all, message("m1", "needle")));
  auto found = search(*all, "needle");
  ASSERT_TRUE(send(*all, message("m2", "hay")));
  trace_record run;
  run.run_id = "r1";
  EXPECT_TRUE(wait_for<void>([&](auto a) { all->traces().put({run}, std::move(a)); }));
  const auto listed = wait_for<sessions>([&](auto a) { all->chats().sessions("p", "", std::move(a)); });
  ASSERT_TRUE(listed);
  EXPECT_EQ(listed->size(), 2U);
  held.let_go.set_value();
  const auto answer = found.get();
  ASSERT_TRUE(answer);
  ASSERT_EQ(answer->size(), 1U);
  EXPECT_EQ(answer->front().id, "session-of-m1");
}

TEST(sqlite_reader, a_read_sees_what_was_sent_before_it_answered_or_not) {
  const temporary_folder folder;
  const auto all = open({.path = folder.file("tidegate.db")}, nullptr).value();
  for (int i = 0; i < 50; ++i) {
    const std::string id = std::to_string(i);
    all->chats().send(message("m" + id, "word" + id + "."), [](auto) {});
    usage_call call;
    call.id = call.request_id = call.key_id = id;
    call.created_at = noon;
    all->usage().record({call}, [](auto) {});
    const auto totals =
        wait_for<usage_totals>([&](auto a) { all->usage().totals({.key_id = id}, std::move(a)); });
    ASSERT_TRUE(totals);
    EXPECT_EQ(totals->sums.size(), 1U);
    const auto found = search(*all, "word" + id + ".").get();
    ASSERT_TRUE(found);
    EXPECT_EQ(found->size(), 1U);
    const auto listed = wait_for<chat_result<std::vector<chat_message>>>(
        [&](auto a) { all->chats().list("p", "session-of-m" + id, std::move(a)); });
    ASSERT_TRUE(listed && *listed);
    EXPECT_EQ((*listed)->size(), 1U);
  }
}

TEST(sqlite_reader, a_search_that_takes_too_long_is_ended_and_the_next_one_is_served) {
  const temporary_folder folder;
  const foundation::system_clock time;
  std::atomic<bool> slow{false};
  constexpr foundation::milliseconds patience{300};
  const auto all = open({.path = folder.file("tidegate.db"), .read_patience = patience}, nullptr,
                        [&](std::string_view sql) {
                          // As if what has been searched so far had taken that long.
                          const auto until = time.now() + 2 * patience;
                          while (slow && is_search(sql) && time.now() < until) continue;
                          return false;
                        })
                       .value();
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(send(*all, message(std::to_string(i), "hay")));
  slow = true;
  const auto ended = search(*all, "needle").get();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().problem, store_problem::timed_out);
  EXPECT_EQ(ended.error().message, "the read took too long");
  slow = false;
  const auto listed = wait_for<sessions>([&](auto a) { all->chats().sessions("p", "", std::move(a)); });
  EXPECT_TRUE(listed);
  // What waits longer than it may is not begun.
  slow = true;
  auto first = search(*all, "needle");
  EXPECT_EQ(search(*all, "needle").get().error().message, "the read waited too long");
  EXPECT_FALSE(first.get());
}

TEST(sqlite_reader, searches_under_way_are_bounded) {
  const temporary_folder folder;
  held_searches held;
  const auto all = open({.path = folder.file("tidegate.db"), .read_calls = 3}, nullptr, held.hook()).value();
  ASSERT_TRUE(send(*all, message("m1", "needle")));
  std::vector<std::future<result<sessions>>> under_way;
  for (int i = 0; i < 3; ++i) under_way.push_back(search(*all, "needle"));
  EXPECT_EQ(search(*all, "needle").get().error().problem, store_problem::overloaded);
  held.let_go.set_value();
  for (auto& one : under_way) EXPECT_TRUE(one.get());
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(search(*all, "needle").get()) << "there is room again";
}

TEST(sqlite_reader, searches_of_one_project_leave_room_for_others) {
  const temporary_folder folder;
  held_searches held;
  const auto all = open({.path = folder.file("tidegate.db")}, nullptr, held.hook()).value();
  std::vector<std::future<result<sessions>>> under_way;
  for (int i = 0; i < 4; ++i) under_way.push_back(search(*all, "needle"));
  EXPECT_EQ(search(*all, "needle").get().error().problem, store_problem::overloaded);
  auto other = std::make_shared<std::promise<result<sessions>>>();
  auto others = other->get_future();
  all->chats().sessions("q", "needle",
                        [other](result<sessions> found) { other->set_value(std::move(found)); });
  held.let_go.set_value();
  EXPECT_TRUE(others.get());
  for (auto& one : under_way) EXPECT_TRUE(one.get());
}

// Asks again from its own answer for as long as it may: a reader that never rests.
struct restless {
  stores& all;
  std::atomic<bool>& go_on;
  std::atomic<int> under_way{0};
  void ask(int kind) {
    ++under_way;
    auto again = [this, kind](result<sessions> found) {
      EXPECT_TRUE(found);
      if (go_on) ask(kind);
      --under_way;
    };
    all.chats().sessions("p", kind == 0 ? "needle" : "", std::move(again));
  }
};

TEST(sqlite_reader, readers_that_never_rest_do_not_let_the_log_grow) {
  const temporary_folder folder;
  const std::string path = folder.file("tidegate.db");
  constexpr int log_pages = 256;
  constexpr std::uintmax_t page = 8'192;
  std::atomic<bool> go_on{true};
  std::atomic<int> written{0};
  // Every read lasts for a few writes, so that there is hardly a moment without one.
  const auto lasting = [&](std::string_view sql) {
    if (sql != "ROLLBACK") return false;
    for (const int until = written + 5; go_on && written < until;) std::this_thread::yield();
    return false;
  };
  const auto all = open({.path = path, .log_pages = log_pages}, nullptr, lasting).value();
  ASSERT_TRUE(send(*all, message("m1", std::string(100'000, 'h'))));
  restless readers{*all, go_on};
  for (const int kind : {0, 0, 0, 1, 1, 1}) readers.ask(kind);
  for (int i = 0; i < 600; ++i) {
    trace_record run;
    run.run_id = "r" + std::to_string(i);
    run.model = std::string(64'000, 'm');
    ASSERT_TRUE(wait_for<void>([&](auto a) { all->traces().put({run}, std::move(a)); }));
    ++written;
  }
  go_on = false;
  while (readers.under_way != 0) std::this_thread::yield();
  // 600 runs of eight pages each went through it.
  EXPECT_LT(std::filesystem::file_size(path + "-wal"), 4 * log_pages * page);
}

// CHAT-6, byte by byte: also at the ends, over NUL, and where there is more to look for than to look in.
TEST(sqlite_reader, a_search_finds_what_is_there) {
  const temporary_folder folder;
  const auto all = open({.path = folder.file("tidegate.db")}, nullptr).value();
  ASSERT_TRUE(send(*all, message("m1", std::string("one\0two \xe4\xb8\xad", 11))));
  for (const std::string& there : {std::string("one"), std::string("e\0t", 3), std::string("\xe4\xb8\xad")})
    EXPECT_EQ(search(*all, there).get()->size(), 1U) << there;
  for (const std::string& not_there : {std::string("three"), std::string(100, 'o'), std::string("One")})
    EXPECT_EQ(search(*all, not_there).get()->size(), 0U) << not_there;
}

// The connection that writes leaves last: the log is cleared away, and what was deleted with it.
TEST(sqlite_reader, nothing_is_left_beside_the_file) {
  const temporary_folder folder;
  {
    const auto all = open({.path = folder.file("tidegate.db")}, nullptr).value();
    ASSERT_TRUE(send(*all, message("m1", "needle")));
    EXPECT_TRUE(search(*all, "needle").get());
  }
  for (const char* const beside : {"tidegate.db-wal", "tidegate.db-shm"})
    EXPECT_FALSE(std::filesystem::exists(folder.file(beside))) << beside;
}

}  // namespace
}  // namespace tidegate::storage::sqlite
