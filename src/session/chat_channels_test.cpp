// ai:chat:* and ai:chatsession:*, and the story behind them with what a chat run asks of it (CHAT-1 to
// CHAT-6).
#include "session/chat_channels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "kit/channel_world.h"
#include "kit/temporary_folder.h"
#include "storage/memory/memory_stores.h"
#include "storage/sqlite/sqlite_stores.h"

namespace tidegate::session {
namespace {

using namespace std::chrono_literals;
using kit::channel_request;
using kit::json_string;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

policy::principal key_for(std::string project) {
  policy::principal who = policy::local_principal();
  who.id = who.name = "key-of-" + project;
  who.role = policy::caller_role::client;
  who.projects = {std::move(project)};
  return who;
}

struct world : kit::channel_world {
  // Without a store of its own: one in memory, which `broken` makes fail.
  explicit world(std::unique_ptr<storage::stores> with = nullptr)
      : stores{with ? std::move(with) : storage::memory::make(nullptr, {}, [this] { return broken; })} {
    bind(handlers.bindings());
  }
  // Its session, or the code.
  std::string send(std::string_view project, std::string_view text, std::string_view more = {}) {
    clock.advance(1ms);
    const channel_request& r =
        call("ai:chat:send", R"({"projectId":)" + json_string(project) + R"(,"message":)" +
                                 json_string(text) + std::string{more} + '}');
    return r.ok() ? r.text({"sessionId"}) : r.code();
  }
  std::string in(std::string_view session) { return R"(,"sessionId":)" + json_string(session); }
  const channel_request& of_project(std::string_view channel, std::string_view project,
                                    std::string_view more = {},
                                    policy::principal who = policy::local_principal()) {
    return call(channel, R"({"projectId":)" + json_string(project) + std::string{more} + '}', std::move(who));
  }
  std::vector<std::string> texts(std::string_view project, std::string_view more = {}) {
    const channel_request& r = of_project("ai:chat:list", project, more);
    std::vector<std::string> found;
    const auto parsed = json::parse(r.data());
    for (const json::value& item : parsed->find("items")->elements())
      found.push_back(item.string_or("content", ""));
    return found;
  }
  template <class T>
  outcome<T> wait_for_story(runtime::task<outcome<T>> story) {
    std::optional<outcome<T>> result;
    [](runtime::task<outcome<T>> todo, std::optional<outcome<T>>& out) -> runtime::detached {
      out = co_await std::move(todo);
    }(std::move(story), result);
    for (int i = 0; !result && i < 20'000; ++i) loop.turn(1ms);
    return std::move(result).value();
  }
  outcome<chat_places> places(std::string project, std::optional<std::string> session = {},
                              std::optional<std::string> message = {},
                              policy::principal who = policy::local_principal()) {
    return wait_for_story(
        stories.take_places(services, who, {std::move(project), std::move(session), std::move(message)}));
  }
  outcome<chat_turn_ids> add_turn(chat_places& held, std::string user, std::string assistant) {
    return wait_for_story(stories.add_turn(services, held, std::move(user), std::move(assistant),
                                           "builtin:chat", std::string(32, 'b')));
  }
  std::string take_back(chat_turn_ids turn) {
    bool over = false;
    [](world& w, chat_turn_ids ids, bool& done) -> runtime::detached {
      co_await w.stories.take_back(w.services, std::move(ids), "run", "trace");
      done = true;
    }(*this, std::move(turn), over);
    for (int i = 0; !over && i < 20'000; ++i) loop.turn(1ms);
    return over ? "done" : "hangs";
  }
  std::vector<std::string> history(const chat_places& held, std::size_t bytes = 0) {
    std::vector<std::string> found;
    for (const auto& m : wait_for_story(stories.history(services, held, bytes)).value())
      found.push_back(m.content);
    return found;
  }

  bool broken = false;
  std::unique_ptr<storage::stores> stores;
  chats stories{stores->chats(), log, 2'000};
  chat_channels handlers{stories};
};

TEST(chat_channels, a_message_is_sent_and_listed) {
  world w;
  const channel_request& r =
      w.call("ai:chat:send", R"({"projectId":"p","message":" \n\u3000Hello, 世界\t ","documentId":"d"})");
  ASSERT_TRUE(r.ok());
  EXPECT_EQ(r.text({"echoed"}), "Hello, 世界");
  EXPECT_EQ(r.text({"accepted"}), "true");
  const channel_request& listed = w.of_project("ai:chat:list", "p");
  const auto parsed = json::parse(listed.data());
  const json::value item = *parsed->find("items")->elements().begin();
  EXPECT_EQ(item.string_or("messageId", ""), r.text({"messageId"}));
  EXPECT_EQ(item.string_or("sessionId", ""), r.text({"sessionId"}));
  EXPECT_EQ(item.string_or("projectId", ""), "p");
  EXPECT_EQ(item.string_or("role", ""), "user");
  EXPECT_EQ(item.string_or("content", ""), "Hello, 世界");
  EXPECT_EQ(item.int_at("timestamp"), w.clock.wall().time_since_epoch().count());
  EXPECT_FALSE(item.find("skillId"));
}

// CHAT-1, CHAT-5
TEST(chat_channels, what_makes_no_sense_is_refused) {
  world w;
  for (const char* const blank : {"", "  ", "\n\t", "\u3000\u00a0\u2028"})
    EXPECT_EQ(w.send("p", blank), "INVALID_ARGUMENT");
  EXPECT_EQ(w.send("", "x"), "INVALID_ARGUMENT");
  EXPECT_EQ(w.send("  ", "x"), "INVALID_ARGUMENT");
  EXPECT_EQ(w.send("p", "x", R"(,"sessionId":"s","newSession":true)"), "INVALID_ARGUMENT");
  EXPECT_EQ(w.send("p", "x", R"(,"sessionId":"nothing")"), "NOT_FOUND");
  EXPECT_EQ(w.send("p", "x", R"(,"sessionId":"")"), "NOT_FOUND");
  EXPECT_THAT(w.texts("p"), IsEmpty());
}

TEST(chat_channels, a_project_that_is_not_granted_is_forbidden) {
  world w;
  const std::string session = w.send("p", "x");
  for (const char* const channel : {"ai:chat:list", "ai:chat:clear", "ai:chat:sessions"})
    EXPECT_EQ(w.of_project(channel, "p", "", key_for("q")).code(), "FORBIDDEN") << channel;
  for (const char* const channel : {"ai:chatsession:archive", "ai:chatsession:delete", "ai:chat:list"}) {
    EXPECT_EQ(w.of_project(channel, "p", w.in(session), key_for("q")).code(), "FORBIDDEN") << channel;
    EXPECT_EQ(w.of_project(channel, "q", w.in(session), key_for("q")).code(), "NOT_FOUND") << channel;
  }
  EXPECT_EQ(w.call("ai:chat:send", R"({"projectId":"p","message":"y"})", key_for("q")).code(), "FORBIDDEN");
  EXPECT_EQ(w.places("p", {}, {}, key_for("q")).error().code, foundation::error_code::forbidden);
  EXPECT_THAT(w.texts("p"), ElementsAre("x"));
}

// S6, T119
TEST(chat_channels, S6_a_full_session_names_its_way_out) {
  world w;
  const std::string session = w.send("p", "m0");
  for (int i = 1; i < 2'000; ++i) ASSERT_EQ(w.send("p", "m" + std::to_string(i)), session);
  const channel_request& r = w.call("ai:chat:send", R"({"projectId":"p","message":"over"})");
  EXPECT_EQ(r.code(), "CONFLICT");
  EXPECT_THAT(r.reply->error().message, HasSubstr("archive"));
  EXPECT_EQ(r.details(), R"({"reason":"capacity","hint":"archive","capacity":2000})");
  const auto kept = w.texts("p");
  ASSERT_EQ(kept.size(), 2'000U);
  for (std::size_t i = 0; i < kept.size(); ++i) ASSERT_EQ(kept[i], "m" + std::to_string(i));
  EXPECT_EQ(w.of_project("ai:chatsession:archive", "p", w.in(session)).data(), R"({"archived":true})");
  EXPECT_EQ(w.of_project("ai:chatsession:archive", "p", w.in(session)).data(), R"({"archived":true})");
  const std::string next = w.send("p", "on");
  EXPECT_NE(next, session);
  EXPECT_EQ(w.texts("p", w.in(session)).size(), 2'000U) << "readable";
  EXPECT_EQ(w.send("p", "x", w.in(session)), "CONFLICT");
}

// T120
TEST(chat_channels, T120_a_new_session_is_the_one_to_go_on_in) {
  world w;
  const std::string first = w.send("p", "a");
  const std::string second = w.send("p", "b", R"(,"newSession":true)");
  EXPECT_NE(second, first);
  EXPECT_EQ(w.send("p", "c"), second);
  EXPECT_THAT(w.texts("p"), ElementsAre("b", "c"));
  EXPECT_EQ(w.send("p", "d", R"(,"newSession":false)"), second);
}

// CHAT-6
TEST(chat_channels, sessions_are_searched_cleared_and_deleted) {
  world w;
  const std::string first = w.send("p", "alpha " + std::string(200, 'x'));
  const std::string second = w.send("p", "beta", R"(,"newSession":true)");
  w.send("p", "later words", w.in(first));
  const channel_request& all = w.of_project("ai:chat:sessions", "p");
  const auto parsed = json::parse(all.data());
  std::vector<std::string> ids;
  for (const json::value& s : parsed->find("sessions")->elements()) {
    ids.push_back(s.string_or("sessionId", ""));
    EXPECT_EQ(s.find("archived")->as_bool(), false);
    EXPECT_LE(s.int_at("createdAt"), s.int_at("updatedAt"));
  }
  EXPECT_THAT(ids, ElementsAre(first, second));
  EXPECT_EQ(parsed->find("sessions")->elements().begin()->string_or("title", "").size(), 100U);
  const auto found = [&](std::string_view query) {
    return w.of_project("ai:chat:sessions", "p", R"(,"query":)" + json_string(query)).data();
  };
  EXPECT_THAT(found("later w"), HasSubstr(first));
  EXPECT_EQ(found("nowhere"), R"({"sessions":[]})");
  EXPECT_EQ(w.of_project("ai:chat:clear", "p", w.in(first)).data(), R"({"cleared":true,"removed":2})");
  EXPECT_EQ(found("later w"), R"({"sessions":[]})");
  EXPECT_EQ(w.of_project("ai:chat:clear", "p").data(), R"({"cleared":true,"removed":1})");
  EXPECT_EQ(w.of_project("ai:chatsession:delete", "p", w.in(first)).data(), R"({"deleted":true})");
  EXPECT_EQ(w.of_project("ai:chatsession:delete", "p", w.in(first)).data(), R"({"deleted":true})");
  EXPECT_EQ(w.of_project("ai:chatsession:delete", "p", w.in("nothing")).code(), "NOT_FOUND");
  EXPECT_EQ(w.of_project("ai:chat:list", "p", w.in(first)).code(), "NOT_FOUND");
}

// DEG-2
TEST(chat_channels, a_store_that_is_down_is_a_db_error) {
  world w;
  w.send("p", "a");
  w.broken = true;
  for (const char* const channel : {"ai:chat:list", "ai:chat:clear", "ai:chat:sessions"})
    EXPECT_EQ(w.of_project(channel, "p").code(), "DB_ERROR") << channel;
  EXPECT_EQ(w.send("p", "b"), "DB_ERROR");
  EXPECT_EQ(w.places("p").error().code, foundation::error_code::db_error);
  EXPECT_EQ(w.count("chat_store_failed"), 5U);
  w.broken = false;
  EXPECT_THAT(w.texts("p"), ElementsAre("a"));
}

// T146, T135: what a run does.
TEST(chats, a_turn_is_stored_whole_and_read_by_the_next_run) {
  world w;
  auto held = w.places("p");
  ASSERT_TRUE(held);
  EXPECT_THAT(w.history(*held), IsEmpty());
  const auto turn = w.add_turn(*held, "question", "answer");
  ASSERT_TRUE(turn);
  EXPECT_FALSE(*held) << "its places are used up";
  auto next = w.places("p", turn->session);
  ASSERT_TRUE(next);
  EXPECT_THAT(w.history(*next), ElementsAre("question", "answer"));
  EXPECT_THAT(w.history(*next, 6), ElementsAre("answer"));
  EXPECT_TRUE(w.of_project("ai:chat:clear", "p").ok());
  EXPECT_THAT(w.history(*next), IsEmpty()) << "T135";
}

TEST(chats, T146_a_run_without_room_for_both_messages_is_refused) {
  world w;
  const std::string session = w.send("p", "m");
  for (int i = 1; i < 1'999; ++i) w.send("p", "m");
  const auto refused = w.places("p");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, foundation::error_code::conflict);
  const channel_request& r = w.call("ai:chat:send", R"({"projectId":"p","message":"last"})");
  const std::string message = r.text({"messageId"});
  EXPECT_EQ(w.places("p", session, message).error().code, foundation::error_code::conflict);
}

TEST(chats, places_are_given_back_when_the_run_ends_without_a_turn) {
  world w;
  w.stories.set_capacity(2);
  {
    const auto held = w.places("p");
    ASSERT_TRUE(held);
    EXPECT_EQ(w.places("p").error().code, foundation::error_code::conflict);
    EXPECT_EQ(w.send("p", "x"), "CONFLICT");
  }
  auto held = w.places("p");
  ASSERT_TRUE(held);
  chat_places moved = std::move(*held);
  EXPECT_EQ(w.send("p", "x"), "CONFLICT");
  moved = chat_places{};
  EXPECT_NE(w.send("p", "x"), "CONFLICT");
}

TEST(chats, an_answer_to_a_sent_message_adds_the_answer_only) {
  world w;
  w.send("p", "before");
  const channel_request& r = w.call("ai:chat:send", R"({"projectId":"p","message":"question"})");
  auto held = w.places("p", std::nullopt, r.text({"messageId"}));
  ASSERT_TRUE(held);
  EXPECT_EQ(held->session(), r.text({"sessionId"}));
  EXPECT_THAT(w.history(*held), ElementsAre("before"));
  ASSERT_TRUE(w.add_turn(*held, "question", "answer"));
  EXPECT_THAT(w.texts("p"), ElementsAre("before", "question", "answer"));
  EXPECT_EQ(w.places("p", std::nullopt, "nothing").error().code, foundation::error_code::not_found);
}

TEST(chats, a_session_without_a_project_is_found_by_whoever_may_use_it) {
  world w;
  const std::string session = w.send("p", "x");
  EXPECT_EQ(w.places("", session)->project(), "p");
  EXPECT_EQ(w.places("", session, {}, key_for("p"))->project(), "p");
  EXPECT_EQ(w.places("", session, {}, key_for("q")).error().code, foundation::error_code::not_found);
  EXPECT_EQ(w.places("", "nothing").error().code, foundation::error_code::not_found);
  EXPECT_EQ(w.places("", "  ").error().code, foundation::error_code::invalid_argument);
}

// CHAT-4
TEST(chats, a_turn_is_taken_back_and_a_fault_in_that_is_passed_over) {
  world w;
  w.send("p", "before");
  auto held = w.places("p");
  auto turn = w.add_turn(*held, "question", "answer");
  ASSERT_TRUE(turn);
  EXPECT_EQ(w.take_back(*turn), "done");
  EXPECT_THAT(w.texts("p"), ElementsAre("before"));
  auto fresh = w.places("q");
  auto made = w.add_turn(*fresh, "question", "answer");
  ASSERT_TRUE(made);
  EXPECT_TRUE(made->session_made);
  w.broken = true;
  EXPECT_EQ(w.take_back(*made), "done");
  EXPECT_THAT(w.fields("ai_write_transaction_rollback_failed", "runId"), ElementsAre("run"));
  w.broken = false;
  EXPECT_EQ(w.take_back(*made), "done");
  EXPECT_EQ(w.of_project("ai:chat:sessions", "q").data(), R"({"sessions":[]})");
}

TEST(chats, a_turn_that_cannot_be_stored_keeps_its_places) {
  world w;
  w.stories.set_capacity(2);
  auto held = w.places("p");
  w.broken = true;
  EXPECT_EQ(w.add_turn(*held, "question", "answer").error().code, foundation::error_code::db_error);
  w.broken = false;
  EXPECT_TRUE(*held);
  EXPECT_EQ(w.send("p", "x"), "CONFLICT");
  EXPECT_TRUE(w.add_turn(*held, "question", "answer"));
}

TEST(chats, blanks_are_unicodes) {
  EXPECT_EQ(trim_text("\ufeff\u2003 a b\u00a0\u3000\r\n"), "a b");
  EXPECT_EQ(trim_text("\u3000"), "");
  EXPECT_EQ(trim_text("é"), "é") << "the bytes of a letter are no blanks";
  EXPECT_EQ(trim_text(""), "");
}

// C4, CHAT-5: what a client key of one project can learn or change of another's: 10,000 random calls through
// the handlers, over the real store.
TEST(chats, ten_thousand_calls_with_foreign_ids_leak_nothing) {
  const kit::temporary_folder folder;
  auto store = storage::sqlite::open({.path = folder.file("tidegate.db")}, nullptr);
  ASSERT_TRUE(store);
  world w{std::move(*store)};
  std::vector<std::string> foreign;
  for (int i = 0; i < 5; ++i)
    foreign.push_back(w.send("theirs", "canary-" + std::to_string(i), R"(,"newSession":true)"));
  const std::string before = w.of_project("ai:chat:sessions", "theirs").data();
  std::mt19937 random{7};
  int leaks = 0;
  int refused = 0;
  for (int n = 0; n < 10'000; ++n) {
    const std::string project = random() % 2 == 0 ? "theirs" : "mine";
    const std::string session = w.in(foreign[random() % foreign.size()]);
    constexpr std::array channels{"ai:chat:list",           "ai:chat:clear",         "ai:chat:sessions",
                                  "ai:chatsession:archive", "ai:chatsession:delete", "ai:chat:send"};
    const std::string_view channel = channels[random() % channels.size()];
    std::string more;
    if (channel == "ai:chat:sessions") {
      more = R"(,"query":"canary")";
    } else {
      more = session;
      if (channel == "ai:chat:send") more += R"(,"message":"intrusion")";
    }
    const channel_request& r = w.of_project(channel, project, more, key_for("mine"));
    const bool empty = r.ok() && r.data() == R"({"sessions":[]})";
    const std::string expected = project == "theirs" ? "FORBIDDEN" : "NOT_FOUND";
    leaks += empty || r.code() == expected ? 0 : 1;
    refused += r.code() == expected ? 1 : 0;
  }
  EXPECT_EQ(leaks, 0);
  EXPECT_GT(refused, 8'000);
  EXPECT_EQ(w.of_project("ai:chat:sessions", "theirs").data(), before);
  for (std::size_t i = 0; i < foreign.size(); ++i)
    EXPECT_THAT(w.texts("theirs", w.in(foreign[i])), ElementsAre("canary-" + std::to_string(i)));
  std::printf("foreign calls: 10000, leaks: %d\n", leaks);
}

// CHAT-2
TEST(chats, room_that_the_store_would_not_take_back_is_offered_to_it_again) {
  world w;
  w.stories.set_capacity(3);
  const std::string session = w.send("p", "one");
  for (int round = 0; round < 2; ++round) {
    auto held = w.places("p", session);
    ASSERT_TRUE(held.has_value());
    w.broken = true;
    *held = {};
    EXPECT_EQ(w.places("p", session).error().code, foundation::error_code::db_error) << "still down";
    w.broken = false;
  }
  EXPECT_EQ(w.send("p", "two", w.in(session)), session);
  EXPECT_EQ(w.send("p", "three", w.in(session)), session) << "all of it came back";
  EXPECT_EQ(w.send("p", "four", w.in(session)), "CONFLICT") << "and no more than all";
}

}  // namespace
}  // namespace tidegate::session
