// What `tidegate status` and /admin/v1/status tell.
#include "surface/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kit/world.h"
#include "policy/session_key.h"

namespace tidegate::surface {
namespace {

using testing::HasSubstr;

TEST(status, accounts_of_session_places_are_told_as_text) {
  kit::world w;
  const auto place = [](policy::session_naming naming) { return policy::session_key_of(naming).place; };
  w.shared.ledger().with([&](policy::ledger& ledger) {
    const auto add = [&](const std::string& id) {
      using enum policy::account_scope;
      EXPECT_TRUE(ledger.restore(session, policy::account_unit::tokens, id, 5));
    };
    add("local/by-header");
    add(place({.client_key = "local"}));
    add(place({.client_key = "local", .document = "d1"}));
    add(place({.client_key = "local", .project = "p1"}));
  });
  const std::string told = status_json(w.shared, w.clock.now(), w.clock.wall());
  for (const std::string_view account :
       {"session:local/by-header", "session:local/global", "session:local/document:d1", "session:project:p1"})
    EXPECT_THAT(told, HasSubstr(R"("account":")" + std::string{account} + '"'));
  EXPECT_THAT(told, testing::Not(HasSubstr("001f")));
}

}  // namespace
}  // namespace tidegate::surface
