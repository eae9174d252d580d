// skill:registry:list, read, toggle (PRM-1, PRM-2).
#include "session/skill_channels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "kit/channel_world.h"
#include "kit/temporary_folder.h"
#include "storage/memory/memory_stores.h"

namespace tidegate::session {
namespace {

using kit::channel_request;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

struct world : kit::channel_world {
  world() { bind(handlers.bindings()); }
  std::vector<storage::setting> kept() {
    return storage::wait_for<std::vector<storage::setting>>(
               [&](auto done) { store->settings().list(std::string{toggle_prefix}, std::move(done)); })
        .value();
  }
  // The item of that id in a listing, as JSON; "" where it is not listed.
  std::string item(std::string_view id, std::string body = "{}") {
    const channel_request& r = call("skill:registry:list", std::move(body));
    const auto parsed = json::parse(r.data());
    for (const json::value i : parsed->find("items")->elements()) {
      if (i.string_or("id", "") == id) return std::string{i.raw()};
    }
    return {};
  }
  kit::temporary_folder folder;
  bool broken = false;
  std::unique_ptr<storage::stores> store = storage::memory::make(nullptr, {}, [this] { return broken; });
  skill_registry skills{{folder.path()}, {}, log};
  skill_channels handlers{skills, store->settings(), clock};
};

TEST(skill_channels, the_pack_is_listed_and_read) {
  world w;
  EXPECT_THAT(w.item("builtin:polish"), HasSubstr(R"("scope":"builtin")"));
  EXPECT_THAT(w.item("builtin:polish"), HasSubstr(R"("enabled":true,"valid":true)"));
  const channel_request& whole = w.call("skill:registry:read", R"({"id":"polish"})");
  EXPECT_EQ(whole.text({"id"}), "builtin:polish");
  EXPECT_THAT(whole.text({"content"}), testing::StartsWith("+++"));
  EXPECT_EQ(w.call("skill:registry:read", R"({"id":"nobody"})").code(), "NOT_FOUND");
  EXPECT_EQ(w.call("skill:registry:read", R"({"id":" "})").code(), "INVALID_ARGUMENT");
}

// T144
TEST(skill_channels, a_file_that_is_no_skill_is_listed_with_what_is_wrong) {
  world w;
  std::ofstream{w.folder.file("broken.md")} << "no front matter";
  w.skills.reload();
  EXPECT_THAT(w.item("global:broken"), HasSubstr(R"("valid":false,"error_code":"SKILL_PARSE_FAILED")"));
  EXPECT_EQ(w.call("skill:registry:read", R"({"id":"global:broken"})").text({"content"}), "no front matter");
}

TEST(skill_channels, a_toggle_holds_at_once_and_is_kept) {
  world w;
  const channel_request& off = w.call("skill:registry:toggle", R"({"skillId":"polish","enabled":false})");
  EXPECT_EQ(off.data(), R"({"id":"builtin:polish","enabled":false})");
  EXPECT_EQ(w.item("builtin:polish"), "") << "disabled ones are listed when asked for";
  EXPECT_THAT(w.item("builtin:polish", R"({"includeDisabled":true})"), HasSubstr(R"("enabled":false)"));
  const skill_toggles again = read_toggles(w.kept());
  EXPECT_THAT(again, ElementsAre(testing::Pair("builtin:polish", false)));
  const skill_registry restarted{{}, again, w.log};
  EXPECT_FALSE(restarted.current()->find("polish")->enabled);
  EXPECT_EQ(w.call("skill:registry:toggle", R"({"id":"builtin:polish","enabled":true})").code(), "OK");
  EXPECT_THAT(read_toggles(w.kept()), ElementsAre(testing::Pair("builtin:polish", true)));
}

TEST(skill_channels, a_toggle_names_one_skill_that_there_is) {
  world w;
  EXPECT_EQ(w.call("skill:registry:toggle", R"({"id":"nobody","enabled":false})").code(), "NOT_FOUND");
  EXPECT_EQ(w.call("skill:registry:toggle", R"({"enabled":false})").code(), "INVALID_ARGUMENT");
  EXPECT_EQ(w.call("skill:registry:toggle", R"({"id":" ","enabled":false})").code(), "INVALID_ARGUMENT");
  EXPECT_EQ(w.call("skill:registry:toggle", R"({"id":"polish","skillId":"chat","enabled":false})").code(),
            "INVALID_ARGUMENT");
  EXPECT_EQ(w.call("skill:registry:toggle", R"({"id":"polish","skillId":"polish","enabled":true})").code(),
            "OK");
}

TEST(skill_channels, what_cannot_be_kept_does_not_hold) {
  world w;
  w.broken = true;
  EXPECT_EQ(w.call("skill:registry:toggle", R"({"id":"polish","enabled":false})").code(), "DB_ERROR");
  EXPECT_TRUE(w.skills.current()->find("polish")->enabled);
}

TEST(skill_channels, foreign_settings_are_no_toggles) {
  const storage::setting stored[] = {{"skill-toggle/builtin:chat", "false"},
                                     {"skill-toggle/builtin:polish", "7"},
                                     {"provider/openai", "true"}};
  EXPECT_THAT(read_toggles(stored), ElementsAre(testing::Pair("builtin:chat", false)));
}

}  // namespace
}  // namespace tidegate::session
