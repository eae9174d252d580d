// What every adapter promises of chats (chat_store.h), run against each.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <random>
#include <set>
#include <thread>

#include "kit/temporary_folder.h"
#include "storage/memory/memory_stores.h"
#include "storage/sqlite/sqlite_stores.h"
#include "storage/stores.h"

namespace tidegate::storage {
namespace {

struct adapter {
  const char* name;
  std::function<std::unique_ptr<stores>(const std::string& folder, std::shared_ptr<bool> broken)> make;
};

void PrintTo(const adapter& a, std::ostream* to) { *to << a.name; }

const adapter memory_adapter{"memory", [](const std::string&, auto broken) {
                               return memory::make(nullptr, {}, [broken] { return *broken; });
                             }};
const adapter sqlite_adapter{"sqlite", [](const std::string& folder, auto broken) {
                               sqlite::options where;
                               where.path = folder + "/tidegate.db";
                               auto made = sqlite::open(std::move(where), nullptr,
                                                        [broken](std::string_view) { return *broken; });
                               EXPECT_TRUE(made) << made.error();
                               return std::move(*made);
                             }};

constexpr std::int64_t capacity = 2'000;

wall_time at(std::int64_t ms) { return wall_time{std::chrono::milliseconds{1'700'000'000'000 + ms}}; }

class chat_contract : public testing::TestWithParam<adapter> {
 protected:
  void SetUp() override { reopen(); }
  void reopen() {
    all_.reset();
    all_ = GetParam().make(folder_.path(), broken_);
  }
  chat_store& chats() { return all_->chats(); }
  std::string fresh(const std::string& kind) { return kind + "-" + std::to_string(++made_); }

  chat_send order(const std::string& project, const std::string& text) {
    chat_send m;
    m.project_id = project;
    m.fresh_session_id = fresh("session");
    m.message_id = fresh("message");
    m.content = text;
    m.at = at(++clock_);
    m.capacity = capacity;
    return m;
  }
  result<chat_result<chat_sent>> ask(const chat_send& m) {
    return wait_for<chat_result<chat_sent>>([&](auto answer) { chats().send(m, std::move(answer)); });
  }
  // The session it went to.
  std::string send(const std::string& project, const std::string& text,
                   std::optional<std::string> session = std::nullopt) {
    auto m = order(project, text);
    m.session_id = std::move(session);
    const auto sent = ask(m);
    EXPECT_TRUE(sent && *sent);
    return sent && *sent ? (*sent)->session_id : std::string{};
  }
  std::string send_to_new(const std::string& project, const std::string& text) {
    auto m = order(project, text);
    m.new_session = true;
    return ask(m)->value().session_id;
  }
  std::optional<chat_refusal> refused(const chat_send& m) {
    const auto sent = ask(m);
    EXPECT_TRUE(sent);
    return *sent ? std::nullopt : std::optional{sent->error()};
  }
  chat_result<chat_claimed> claim(const std::string& project, std::optional<std::string> session,
                                  std::int64_t places = 2,
                                  std::optional<std::string> message = std::nullopt) {
    chat_claim c{project, std::move(session), std::move(message), fresh("session"), places, capacity};
    return wait_for<chat_result<chat_claimed>>([&](auto a) { chats().take_places(c, std::move(a)); }).value();
  }
  void give_back(const std::string& project, const std::string& session, std::int64_t places) {
    EXPECT_TRUE(
        wait_for<void>([&](auto a) { chats().return_places(project, session, places, std::move(a)); }));
  }
  chat_turn turn(const std::string& project, const std::string& session, const std::string& text) {
    chat_turn t;
    t.project_id = project;
    t.session_id = session;
    t.user_message_id = fresh("message");
    t.user_content = text;
    t.assistant_message_id = fresh("message");
    t.assistant_content = "re: " + text;
    t.skill_id = "builtin:chat";
    t.trace_id = "trace";
    t.at = at(++clock_);
    return t;
  }
  result<chat_result<chat_turn_added>> add(const chat_turn& t) {
    return wait_for<chat_result<chat_turn_added>>([&](auto a) { chats().add_turn(t, std::move(a)); });
  }
  void remove(const chat_turn& t, bool session_too) {
    chat_turn_removal r{t.project_id, t.session_id, {}, session_too};
    if (t.user_message_id) r.message_ids.push_back(*t.user_message_id);
    r.message_ids.push_back(t.assistant_message_id);
    EXPECT_TRUE(wait_for<void>([&](auto a) { chats().remove_turn(r, std::move(a)); }));
  }
  chat_result<std::vector<chat_message>> list(const std::string& project,
                                              std::optional<std::string> session = std::nullopt) {
    return wait_for<chat_result<std::vector<chat_message>>>(
               [&](auto a) { chats().list(project, session, std::move(a)); })
        .value();
  }
  std::vector<std::string> texts(const std::string& project,
                                 std::optional<std::string> session = std::nullopt) {
    std::vector<std::string> found;
    for (const chat_message& m : list(project, std::move(session)).value()) found.push_back(m.content);
    return found;
  }
  std::vector<std::string> history(const std::string& project, const std::string& session,
                                   std::optional<std::string> before = std::nullopt,
                                   std::size_t bytes_max = 0) {
    std::vector<std::string> found;
    for (const chat_message& m : wait_for<std::vector<chat_message>>([&](auto a) {
                                   chats().history(project, session, before, bytes_max, std::move(a));
                                 }).value()) {
      found.push_back(m.content);
    }
    return found;
  }
  chat_result<std::size_t> clear(const std::string& project,
                                 std::optional<std::string> session = std::nullopt) {
    return wait_for<chat_result<std::size_t>>(
               [&](auto a) { chats().clear(project, session, at(++clock_), std::move(a)); })
        .value();
  }
  std::vector<chat_session> sessions(const std::string& project, const std::string& query = {}) {
    return wait_for<std::vector<chat_session>>(
               [&](auto a) { chats().sessions(project, query, std::move(a)); })
        .value();
  }
  std::vector<std::string> ids(const std::string& project, const std::string& query = {}) {
    std::vector<std::string> found;
    for (const chat_session& s : sessions(project, query)) found.push_back(s.id);
    return found;
  }
  chat_result<void> archive(const std::string& project, const std::string& session) {
    return wait_for<chat_result<void>>([&](auto a) { chats().archive(project, session, std::move(a)); })
        .value();
  }
  chat_result<void> erase(const std::string& project, const std::string& session) {
    return wait_for<chat_result<void>>([&](auto a) { chats().erase(project, session, std::move(a)); })
        .value();
  }
  void fill(const std::string& project, const std::string& session, int messages) {
    for (int i = 0; i < messages; ++i) {
      auto m = order(project, "m" + std::to_string(i));
      m.session_id = session;
      chats().send(m, [](const auto& sent) { EXPECT_TRUE(sent && *sent); });
    }
  }

  kit::temporary_folder folder_;
  std::shared_ptr<bool> broken_ = std::make_shared<bool>(false);
  std::unique_ptr<stores> all_;
  int made_ = 0;
  std::int64_t clock_ = 0;
};

using strings = std::vector<std::string>;

TEST_P(chat_contract, messages_come_back_in_order_with_all_they_hold) {
  const auto session = send("p", "Guten Tag – 你好");
  EXPECT_EQ(send("p", std::string("zero\0inside", 11)), session);
  auto t = turn("p", session, "and a turn");
  ASSERT_EQ(claim("p", session)->session_id, session);
  ASSERT_TRUE(add(t).value());
  const auto messages = list("p", session).value();
  ASSERT_EQ(messages.size(), 4U);
  EXPECT_EQ(messages[0], (chat_message{"message-2", "p", session, chat_role::user, "Guten Tag – 你好",
                                       std::nullopt, at(1), ""}));
  EXPECT_EQ(messages[1].content, std::string("zero\0inside", 11));
  EXPECT_EQ(messages[3], (chat_message{t.assistant_message_id, "p", session, chat_role::assistant,
                                       "re: and a turn", "builtin:chat", at(3), "trace"}));
  EXPECT_EQ(messages[2].timestamp, messages[3].timestamp) << "ties keep their order";
  EXPECT_EQ(list("p").value(), messages) << "it is the current one";
}

// CHAT-6: time ascending, also where the clock was set back.
TEST_P(chat_contract, a_clock_that_goes_back_does_not_disorder_a_session) {
  const auto session = send("p", "first");
  clock_ = -1'000'000;
  send("p", "second", session);
  const auto messages = list("p", session).value();
  EXPECT_EQ(texts("p", session), (strings{"first", "second"}));
  EXPECT_EQ(messages[0].timestamp, messages[1].timestamp);
}

TEST_P(chat_contract, titles_are_the_first_hundred_characters) {
  std::string text;
  for (int i = 0; i < 150; ++i) text += "语";
  send("p", text);
  EXPECT_EQ(sessions("p").front().title, text.substr(0, 300));
  EXPECT_EQ(chat_title("short"), "short");
  EXPECT_EQ(chat_title(""), "");
}

// CHAT-1, T120
TEST_P(chat_contract, T120_the_current_session_is_the_one_that_was_made_last) {
  const auto first = send("p", "a");
  EXPECT_EQ(send("p", "b"), first);
  const auto second = send_to_new("p", "c");
  EXPECT_NE(second, first);
  EXPECT_EQ(send("p", "d"), second);
  EXPECT_EQ(send("p", "e", first), first) << "the other one still takes messages";
  EXPECT_EQ(send("p", "f"), second);
  EXPECT_NE(send("q", "g"), second) << "each project has its own";
}

// CHAT-3
TEST_P(chat_contract, after_the_current_one_is_archived_or_deleted_a_new_one_begins) {
  const auto first = send("p", "a");
  const auto second = send_to_new("p", "b");
  ASSERT_TRUE(archive("p", second));
  EXPECT_TRUE(archive("p", second)) << "idempotent";
  const auto third = send("p", "c");
  EXPECT_NE(third, first) << "not the one before it";
  EXPECT_NE(third, second);
  ASSERT_TRUE(erase("p", third));
  EXPECT_EQ(list("p").value().size(), 0U) << "no current session";
  const auto fourth = send("p", "d");
  EXPECT_NE(fourth, first);
  ASSERT_TRUE(archive("p", first));
  EXPECT_EQ(send("p", "e"), fourth) << "archiving another one changes nothing";
  EXPECT_EQ(texts("p", second), strings{"b"}) << "archived ones are readable";
  auto late = order("p", "f");
  late.session_id = second;
  EXPECT_EQ(refused(late), chat_refusal::archived);
  EXPECT_EQ(claim("p", second).error(), chat_refusal::archived);
  EXPECT_EQ(texts("p", second), strings{"b"});
}

// CHAT-2, S6, T119: 2,000 messages, then a refusal with nothing written or lost.
TEST_P(chat_contract, S6_a_full_session_refuses_and_keeps_all) {
  const auto session = send("p", "first");
  fill("p", session, 1'999);
  auto over = order("p", "one more");
  EXPECT_EQ(refused(over), chat_refusal::full);
  over.session_id = session;
  EXPECT_EQ(refused(over), chat_refusal::full);
  EXPECT_EQ(claim("p", session, 1).error(), chat_refusal::full);
  const auto kept = texts("p");
  ASSERT_EQ(kept.size(), 2'000U);
  EXPECT_EQ(kept.front(), "first");
  for (int i = 0; i < 1'999; ++i) ASSERT_EQ(kept[static_cast<std::size_t>(i) + 1], "m" + std::to_string(i));
  EXPECT_EQ(sessions("p").front().messages, 2'000);
  ASSERT_TRUE(archive("p", session));
  const auto next = send("p", "on we go");
  EXPECT_NE(next, session);
  EXPECT_EQ(texts("p", session).size(), 2'000U);
}

// T146
TEST_P(chat_contract, T146_a_run_needs_both_of_its_places) {
  const auto session = send("p", "first");
  fill("p", session, 1'998);
  EXPECT_EQ(claim("p", session).error(), chat_refusal::full);
  EXPECT_TRUE(claim("p", session, 1)) << "the answer to a message already sent needs one";
  EXPECT_EQ(claim("p", session, 1).error(), chat_refusal::full) << "places that are held count";
  EXPECT_EQ(refused(order("p", "x")), chat_refusal::full);
  give_back("p", session, 1);
  EXPECT_EQ(refused(order("p", "x")), std::nullopt);
  EXPECT_EQ(texts("p").size(), 2'000U);
}

TEST_P(chat_contract, a_turn_uses_its_places_up) {
  const auto session = send("p", "first");
  fill("p", session, 1'997);
  ASSERT_TRUE(claim("p", session));
  EXPECT_EQ(refused(order("p", "x")), chat_refusal::full);
  ASSERT_TRUE(add(turn("p", session, "turn")).value());
  EXPECT_EQ(texts("p").size(), 2'000U);
  ASSERT_TRUE(clear("p"));
  EXPECT_EQ(refused(order("p", "x")), std::nullopt);
  fill("p", session, 1'999);
  EXPECT_EQ(texts("p").size(), 2'000U) << "no place is left taken";
}

TEST_P(chat_contract, a_session_full_of_bytes_refuses) {
  const auto session = send("p", std::string(chat_content_max, 'a'));
  for (std::size_t held = chat_content_max; held < chat_session_bytes_max; held += chat_content_max) {
    send("p", std::string(chat_content_max, 'b'), session);
  }
  EXPECT_EQ(refused(order("p", "x")), chat_refusal::full);
  EXPECT_EQ(claim("p", session).error(), chat_refusal::full);
  const auto too_long = ask(order("p", std::string(chat_content_max + 1, 'c')));
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().problem, store_problem::too_large);
}

// C4: 50 writers at one session near its end: exactly 2,000 get in.
TEST_P(chat_contract, fifty_writers_leave_exactly_two_thousand) {
  const auto session = send("p", "first");
  fill("p", session, 1'899);
  std::atomic<int> kept{0};
  std::atomic<int> full{0};
  std::vector<std::thread> writers;
  for (int w = 0; w < 50; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; i < 4; ++i) {
        const std::string id = std::to_string(w) + "/" + std::to_string(i);
        if (w % 2 == 0) {
          chat_send m{"p", session, false, "s" + id, "w" + id, "text", "", at(5'000), capacity};
          const auto sent = wait_for<chat_result<chat_sent>>([&](auto a) { chats().send(m, std::move(a)); });
          ++(sent.value() ? kept : full);
          continue;
        }
        chat_claim c{"p", session, std::nullopt, "s" + id, 2, capacity};
        const auto places =
            wait_for<chat_result<chat_claimed>>([&](auto a) { chats().take_places(c, std::move(a)); });
        if (!places.value()) {
          ++full;
          continue;
        }
        chat_turn t{"p", session, "u" + id, "question", "a" + id, "answer", {}, "", at(5'000), 2};
        const auto added =
            wait_for<chat_result<chat_turn_added>>([&](auto a) { chats().add_turn(t, std::move(a)); });
        EXPECT_TRUE(added.value()) << "its places were its own";
        kept += 2;
      }
    });
  }
  for (std::thread& t : writers) t.join();
  EXPECT_GT(full, 0);
  while (claim("p", session, 1)) {  // an odd place may be left over: runs take two
    chat_turn t = turn("p", session, "");
    t.user_message_id.reset();
    t.places = 1;
    ASSERT_TRUE(add(t).value());
    ++kept;
  }
  EXPECT_EQ(kept, 100);
  EXPECT_EQ(texts("p", session).size(), 2'000U);
}

TEST_P(chat_contract, a_run_without_a_session_makes_one_with_its_turn) {
  const auto claimed = claim("p", std::nullopt);
  ASSERT_TRUE(claimed);
  EXPECT_EQ(claim("p", std::nullopt)->session_id, claimed->session_id) << "one for both";
  EXPECT_EQ(history("p", claimed->session_id), strings{});
  EXPECT_EQ(ids("p"), strings{}) << "not there before its first message";
  EXPECT_EQ(list("p", claimed->session_id).error(), chat_refusal::unknown_session);
  const auto first = turn("p", claimed->session_id, "question");
  const auto added = add(first).value();
  ASSERT_TRUE(added);
  EXPECT_TRUE(added->session_made);
  EXPECT_EQ(sessions("p").front().title, "question");
  const auto second = add(turn("p", claimed->session_id, "again")).value();
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->session_made);
  EXPECT_EQ(send("p", "and a message"), claimed->session_id) << "it is the current one";
  EXPECT_EQ(texts("p").size(), 5U);
}

TEST_P(chat_contract, a_message_sent_meanwhile_goes_to_the_session_that_a_run_will_make) {
  const auto claimed = claim("p", std::nullopt);
  ASSERT_TRUE(claimed);
  EXPECT_EQ(send("p", "hello"), claimed->session_id);
  const auto added = add(turn("p", claimed->session_id, "question")).value();
  ASSERT_TRUE(added);
  EXPECT_FALSE(added->session_made);
  EXPECT_EQ(texts("p"), (strings{"hello", "question", "re: question"}));
}

TEST_P(chat_contract, places_given_back_leave_no_session_behind) {
  const auto claimed = claim("p", std::nullopt);
  give_back("p", claimed->session_id, 2);
  EXPECT_EQ(add(turn("p", claimed->session_id, "late")).value().error(), chat_refusal::unknown_session);
  EXPECT_EQ(ids("p"), strings{});
}

// CHAT-4
TEST_P(chat_contract, an_answer_to_a_message_already_sent) {
  const auto session = send("p", "one");
  auto m = order("p", "two");
  ASSERT_TRUE(ask(m).value());
  send("p", "three");
  EXPECT_EQ(claim("p", std::nullopt, 1, m.message_id)->session_id, session);
  EXPECT_EQ(claim("p", session, 1, m.message_id)->session_id, session);
  EXPECT_EQ(claim("p", "other", 1, m.message_id).error(), chat_refusal::unknown_session);
  EXPECT_EQ(claim("q", std::nullopt, 1, m.message_id).error(), chat_refusal::unknown_session);
  EXPECT_EQ(claim("p", std::nullopt, 1, "nothing").error(), chat_refusal::unknown_session);
  EXPECT_EQ(history("p", session, m.message_id), strings{"one"}) << "what came before it";
  EXPECT_EQ(history("p", session, "gone"), (strings{"one", "two", "three"}));
  auto t = turn("p", session, "");
  t.user_message_id.reset();
  t.places = 1;
  ASSERT_TRUE(add(t).value());
  EXPECT_EQ(texts("p"), (strings{"one", "two", "three", "re: "}));
  EXPECT_EQ(claim("p", std::nullopt, 1, t.assistant_message_id).error(), chat_refusal::unknown_session)
      << "an answer is no question";
}

TEST_P(chat_contract, a_turn_is_taken_back_whole) {
  const auto session = send("p", "first");
  const auto before = sessions("p").front();
  const auto t = turn("p", session, "question");
  ASSERT_TRUE(add(t).value());
  remove(t, false);
  EXPECT_EQ(texts("p"), strings{"first"});
  EXPECT_EQ(sessions("p").front(), before);
  remove(t, false);
  EXPECT_EQ(texts("p"), strings{"first"}) << "again: nothing more";
  const auto claimed = claim("q", std::nullopt);
  const auto made = turn("q", claimed->session_id, "question");
  ASSERT_TRUE(add(made).value());
  remove(made, true);
  EXPECT_EQ(ids("q"), strings{}) << "the session that it made goes too";
  const auto next = claim("q", std::nullopt);
  const auto kept = turn("q", next->session_id, "question");
  ASSERT_TRUE(add(kept).value());
  send("q", "meanwhile");
  remove(kept, true);
  EXPECT_EQ(texts("q"), strings{"meanwhile"}) << "unless somebody else wrote to it";
}

TEST_P(chat_contract, a_turn_into_a_session_that_went_meanwhile_is_refused) {
  const auto gone = send("p", "a");
  ASSERT_TRUE(claim("p", gone));
  ASSERT_TRUE(erase("p", gone));
  EXPECT_EQ(add(turn("p", gone, "x")).value().error(), chat_refusal::unknown_session);
  give_back("p", gone, 2);
  const auto closed = send("p", "b");
  ASSERT_TRUE(claim("p", closed));
  ASSERT_TRUE(archive("p", closed));
  EXPECT_EQ(add(turn("p", closed, "x")).value().error(), chat_refusal::archived);
  EXPECT_EQ(texts("p", closed), strings{"b"});
}

TEST_P(chat_contract, history_is_the_newest_that_fits) {
  const auto session = send("p", "aaaa");
  send("p", "bbb");
  send("p", "cc");
  EXPECT_EQ(history("p", session), (strings{"aaaa", "bbb", "cc"}));
  EXPECT_EQ(history("p", session, {}, 9), (strings{"aaaa", "bbb", "cc"})) << "equality fits";
  EXPECT_EQ(history("p", session, {}, 8), (strings{"bbb", "cc"}));
  EXPECT_EQ(history("p", session, {}, 4), strings{"cc"});
  EXPECT_EQ(history("p", session, {}, 1), strings{});
}

// CHAT-6
TEST_P(chat_contract, clearing_answers_what_it_removed) {
  const auto first = send("p", "a");
  send("p", "b");
  const auto second = send_to_new("p", "c");
  const auto foreign = send("q", "d");
  EXPECT_EQ(clear("p", second).value(), 1U);
  EXPECT_EQ(clear("p", second).value(), 0U);
  EXPECT_EQ(clear("p", foreign).error(), chat_refusal::unknown_session);
  EXPECT_EQ(clear("p").value(), 2U);
  EXPECT_EQ(history("p", first), strings{});
  EXPECT_EQ(ids("p").size(), 2U) << "sessions stay";
  EXPECT_EQ(sessions("p").front().messages, 0);
  EXPECT_EQ(texts("q"), strings{"d"});
}

TEST_P(chat_contract, sessions_are_listed_by_their_latest_message) {
  const auto first = send("p", "alpha");
  const auto second = send_to_new("p", "beta");
  EXPECT_EQ(ids("p"), (strings{second, first}));
  send("p", "gamma", first);
  EXPECT_EQ(ids("p"), (strings{first, second}));
  clock_ = sessions("p").front().updated_at.time_since_epoch().count() - at(0).time_since_epoch().count() - 1;
  const auto third = send_to_new("p", "delta");
  EXPECT_EQ(ids("p"), (strings{third, first, second})) << "ties: the newer one";
  ASSERT_TRUE(archive("p", second));
  const auto facts = sessions("p").back();
  EXPECT_EQ(facts.id, second);
  EXPECT_TRUE(facts.archived);
}

TEST_P(chat_contract, a_query_is_a_part_of_a_title_or_a_message) {
  const auto first = send("p", "the title has Percent % and under_score");
  send("p", "later: 你好世界");
  const auto second = send_to_new("p", "something else");
  EXPECT_EQ(ids("p", "Percent"), strings{first});
  EXPECT_EQ(ids("p", "%"), strings{first}) << "no wildcard";
  EXPECT_EQ(ids("p", "_"), strings{first});
  EXPECT_EQ(ids("p", "好世"), strings{first});
  EXPECT_EQ(ids("p", "' OR 1=1 --"), strings{});
  EXPECT_EQ(ids("p", "e"), (strings{second, first}));
  ASSERT_TRUE(clear("p", first));
  EXPECT_EQ(ids("p", "Percent"), strings{first}) << "the title stays";
  EXPECT_EQ(ids("q", "Percent"), strings{});
}

TEST_P(chat_contract, deleting_takes_the_messages_and_may_be_repeated) {
  const auto first = send("p", "secret words");
  const auto second = send_to_new("p", "b");
  ASSERT_TRUE(erase("p", first));
  EXPECT_TRUE(erase("p", first)) << "idempotent";
  EXPECT_EQ(erase("q", first).error(), chat_refusal::unknown_session) << "it was another project's";
  EXPECT_EQ(erase("p", "never").error(), chat_refusal::unknown_session);
  EXPECT_EQ(list("p", first).error(), chat_refusal::unknown_session);
  EXPECT_EQ(ids("p", "secret"), strings{});
  EXPECT_EQ(ids("p"), strings{second});
  EXPECT_EQ(send("p", "c"), second);
}

TEST_P(chat_contract, tells_whose_a_session_is) {
  const auto session = send("p", "a");
  const auto owner = [&](const std::string& id) {
    return wait_for<std::optional<std::string>>([&](auto a) { chats().project_of(id, std::move(a)); })
        .value();
  };
  EXPECT_EQ(owner(session), "p");
  EXPECT_EQ(owner("nothing"), std::nullopt);
}

// C4, CHAT-5: 10,000 random calls of one project with another's ids: nothing is told, nothing changes.
TEST_P(chat_contract, ten_thousand_foreign_calls_leak_nothing) {
  std::vector<std::string> foreign;
  std::vector<std::string> messages;
  for (int s = 0; s < 10; ++s) {
    auto m = order("theirs", "canary-" + std::to_string(s));
    m.new_session = true;
    foreign.push_back(ask(m)->value().session_id);
    messages.push_back(m.message_id);
  }
  const auto before = sessions("theirs");
  const auto content = [&] {
    std::vector<strings> all;
    for (const auto& id : foreign) all.push_back(texts("theirs", id));
    return all;
  };
  const auto kept = content();
  std::mt19937 random{20'26};
  int leaks = 0;
  for (int call = 0; call < 10'000; ++call) {
    const std::string& id = foreign[random() % foreign.size()];
    const std::string& message = messages[random() % messages.size()];
    const std::string mine = random() % 2 == 0 ? "mine" : "";
    switch (random() % 9) {
      case 0: {
        auto m = order(mine, "intrusion");
        m.session_id = id;
        leaks += ask(m).value() ? 1 : 0;
        break;
      }
      case 1:
        leaks += list(mine, id) ? 1 : 0;
        break;
      case 2:
        leaks += clear(mine, id) || clear(mine).value() != 0 ? 1 : 0;
        break;
      case 3:
        leaks += sessions(mine, "canary").empty() ? 0 : 1;
        break;
      case 4:
        leaks += archive(mine, id) ? 1 : 0;
        break;
      case 5:
        leaks += erase(mine, id) ? 1 : 0;
        break;
      case 6:
        leaks += claim(mine, id) || claim(mine, std::nullopt, 1, message) ? 1 : 0;
        break;
      case 7:
        leaks += history(mine, id).empty() ? 0 : 1;
        break;
      default:
        leaks += add(turn(mine, id, "intrusion")).value() ? 1 : 0;
        give_back(mine, id, 5);
        chat_turn t = turn(mine, id, "");
        t.user_message_id = message;
        remove(t, true);
    }
  }
  EXPECT_EQ(leaks, 0);
  EXPECT_EQ(sessions("theirs"), before);
  EXPECT_EQ(content(), kept);
  std::printf("foreign calls: 10000, leaks: %d\n", leaks);
}

TEST_P(chat_contract, a_failed_call_does_nothing_and_says_so) {
  const auto session = send("p", "a");
  *broken_ = true;
  const auto problem = [](const auto& given) {
    return given ? std::nullopt : std::optional{given.error().problem};
  };
  EXPECT_EQ(problem(ask(order("p", "b"))), store_problem::unavailable);
  EXPECT_EQ(problem(add(turn("p", session, "c"))), store_problem::unavailable);
  EXPECT_EQ(problem(wait_for<chat_result<std::size_t>>(
                [&](auto a) { chats().clear("p", std::nullopt, at(9), std::move(a)); })),
            store_problem::unavailable);
  *broken_ = false;
  EXPECT_EQ(texts("p"), strings{"a"});
  EXPECT_EQ(send("p", "b"), session);
}

INSTANTIATE_TEST_SUITE_P(adapters, chat_contract, testing::Values(memory_adapter, sqlite_adapter),
                         [](const auto& info) { return std::string{info.param.name}; });

}  // namespace
}  // namespace tidegate::storage
