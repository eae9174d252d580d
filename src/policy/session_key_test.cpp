#include "policy/session_key.h"

#include <gtest/gtest.h>

namespace tidegate::policy {
namespace {

// SCH-1
TEST(session_key, the_first_that_is_not_blank_names_the_session) {
  EXPECT_EQ(session_key_of({.client_key = "k", .session = "s", .project = "p", .document = "d"}).name,
            "session:s");
  EXPECT_EQ(session_key_of({.client_key = "k", .session = " \t", .project = "p", .document = "d"}).name,
            "project:p");
  EXPECT_EQ(session_key_of({.client_key = "k", .session = "", .project = " ", .document = " d "}).name,
            "document:d");
  EXPECT_EQ(session_key_of({.client_key = "k", .session = "", .project = "", .document = ""}).name, "global");
}

TEST(session_key, only_projects_and_stored_chats_are_shared_between_keys) {
  const auto place = [](std::string_view key, session_naming n) {
    n.client_key = key;
    return session_key_of(n).place;
  };
  const session_naming session{.client_key = "", .session = "s", .project = "", .document = ""};
  const session_naming stored{
      .client_key = "", .session = "s", .project = "", .document = "", .stored_chat = true};
  const session_naming project{.client_key = "", .session = "", .project = "p", .document = ""};
  const session_naming document{.client_key = "", .session = "", .project = "", .document = "d"};
  const session_naming global{.client_key = "", .session = "", .project = "", .document = ""};
  EXPECT_NE(place("a", session), place("b", session));
  EXPECT_EQ(place("a", stored), place("b", stored));
  EXPECT_EQ(place("a", project), place("b", project));
  EXPECT_NE(place("a", document), place("b", document));
  EXPECT_NE(place("a", global), place("b", global));
  EXPECT_NE(place("a", session), place("a", stored)) << "a name of the caller's own is no stored chat";
}

}  // namespace
}  // namespace tidegate::policy
