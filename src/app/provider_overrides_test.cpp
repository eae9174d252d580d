// What admins change of providers: sealed, in one transaction, over the file, across a restart (CFG-5,
// CFG-6).
#include "app/provider_overrides.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "app/snapshot_of.h"
#include "kit/temporary_folder.h"
#include "observe/captured_log.h"
#include "storage/memory/memory_stores.h"
#include "storage/sqlite/sqlite_stores.h"

namespace tidegate::app {
namespace {

using foundation::error_code;
using foundation::failure;
using session::provider_desk;
using session::provider_patch;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* secret = "sk-openai-byok-secret";

struct world {
  world() {
    provider_settings openai;
    openai.name = "openai";
    openai.base_url = "https://api.openai.com";
    openai.api_key = {credential_source::environment, "FILE_KEY"};
    provider_settings local;
    local.name = "local";
    local.kind = provider_kind::openai_compatible;
    local.enabled = false;
    settings.providers = {openai, local};
    reopen();
  }
  void reopen() {
    overrides.reset();
    ring.reset();
    auto keys = keyring::open(*store, {std::nullopt, folder.file("master.key")}, rules_of(settings), time,
                              &log, {[this] { served_at_change.push_back(key_of("openai")); }, {}, {}});
    ASSERT_TRUE(keys) << keys.error();
    ring = std::move(*keys);
    auto opened = provider_overrides::open(
        *store, *ring, [this](std::string_view name) { return provider_base_of(settings, name); }, log);
    ASSERT_TRUE(opened) << opened.error();
    overrides = std::move(*opened);
  }
  served now() const {
    return make_snapshot(
        overrides->over(settings), {{"FILE_KEY", "sk-of-the-file"}},
        [](const std::string&) { return std::unexpected{std::string{"none"}}; },
        [this](std::string_view name) { return ring->secret(name); });
  }
  const gateway::provider& provider(const served& what, std::string_view name) const {
    for (const auto& p : what.routes->providers) {
      if (p->name == name) return *p;
    }
    std::abort();
  }
  std::string key_of(std::string_view name) const {
    if (overrides == nullptr || !watches_changes) return {};
    return provider(now(), name).credential;
  }
  std::optional<error_code> update(provider_patch patch) {
    std::optional<std::expected<provider_desk::outcome, failure>> got;
    overrides->update(std::move(patch), [&](auto given) { got = std::move(given); });
    EXPECT_TRUE(got.has_value());
    return *got ? std::nullopt : std::optional{got->error().code};
  }
  provider_patch patch(std::string name) {
    provider_patch p;
    p.provider = std::move(name);
    return p;
  }
  std::optional<error_code> set_key(std::string name, std::string key) {
    provider_patch p = patch(std::move(name));
    p.api_key = std::move(key);
    return update(std::move(p));
  }
  std::optional<std::string> sealed(const std::string& name) {
    return storage::wait_for<std::optional<std::string>>(
               [&](auto answer) { store->secrets().get(name, std::move(answer)); })
        .value();
  }
  std::vector<storage::setting> kept() {
    return storage::wait_for<std::vector<storage::setting>>(
               [&](auto answer) { store->settings().list("provider/", std::move(answer)); })
        .value();
  }

  kit::temporary_folder folder;
  bool broken = false;
  std::unique_ptr<storage::stores> store = storage::memory::make(nullptr, {}, [this] { return broken; });
  foundation::manual_clock time;
  observe::captured_log lines;
  observe::logger log{lines, time};
  configuration settings;
  bool watches_changes = true;
  std::vector<std::string> served_at_change;
  std::unique_ptr<keyring> ring;
  std::unique_ptr<provider_overrides> overrides;
};

// T68
TEST(provider_overrides, T68_a_key_is_kept_sealed_and_served_at_once) {
  world w;
  EXPECT_EQ(w.key_of("openai"), "sk-of-the-file");
  EXPECT_EQ(w.set_key("openai", "  sk-openai-byok-secret\n"), std::nullopt);
  EXPECT_EQ(w.key_of("openai"), secret) << "the stored value overrides the file";
  EXPECT_THAT(w.served_at_change, ElementsAre(secret)) << "known to whoever is told of the change";
  ASSERT_TRUE(w.sealed("openai"));
  EXPECT_THAT(*w.sealed("openai"), Not(HasSubstr("byok")));
  ASSERT_THAT(w.kept(), SizeIs(1));
  EXPECT_THAT(w.kept().front().json, Not(HasSubstr("byok")));
  EXPECT_FALSE(w.lines.contains("byok"));
  w.reopen();
  EXPECT_EQ(w.key_of("openai"), secret);
}

// T69
TEST(provider_overrides, T69_without_a_master_key_nothing_is_written) {
  world w;
  std::ofstream{w.folder.file("master.key")} << "not a key";
  ASSERT_EQ(::chmod(w.folder.file("master.key").c_str(), 0600), 0);
  EXPECT_EQ(w.set_key("openai", secret), error_code::unsupported);
  EXPECT_EQ(w.sealed("openai"), std::nullopt);
  EXPECT_THAT(w.kept(), IsEmpty());
  EXPECT_EQ(w.set_key("openai", "plain-text-key"), error_code::invalid_argument);
  provider_patch off = w.patch("openai");
  off.enabled = false;
  EXPECT_EQ(w.update(off), std::nullopt) << "what needs no sealing needs no master key";
}

TEST(provider_overrides, a_refused_key_makes_no_master_key) {
  world w;
  EXPECT_EQ(w.set_key("openai", "plain-text-key"), error_code::invalid_argument);
  EXPECT_FALSE(std::filesystem::exists(w.folder.file("master.key")));
}

// CFG-6
TEST(provider_overrides, override_and_key_change_together_or_not_at_all) {
  world w;
  ASSERT_EQ(w.set_key("openai", secret), std::nullopt);
  provider_patch both = w.patch("openai");
  both.enabled = false;
  both.api_key = "sk-another-one";
  w.broken = true;
  EXPECT_EQ(w.update(both), error_code::db_error);
  EXPECT_TRUE(w.provider(w.now(), "openai").enabled);
  EXPECT_EQ(w.key_of("openai"), secret);
  w.broken = false;
  w.reopen();
  EXPECT_EQ(w.key_of("openai"), secret);
  EXPECT_EQ(w.update(both), std::nullopt);
  EXPECT_FALSE(w.provider(w.now(), "openai").enabled);
  EXPECT_EQ(w.key_of("openai"), "sk-another-one");
}

TEST(provider_overrides, patches_add_up_and_outlive_a_restart) {
  world w;
  provider_patch url = w.patch("local");
  url.base_url = "http://127.0.0.1:9/v1/";
  EXPECT_EQ(w.update(url), std::nullopt);
  provider_patch on = w.patch("local");
  on.enabled = true;
  EXPECT_EQ(w.update(on), std::nullopt);
  for (int i = 0; i < 2; ++i) {
    const served what = w.now();
    EXPECT_TRUE(w.provider(what, "local").enabled);
    EXPECT_EQ(w.provider(what, "local").url.text(), "http://127.0.0.1:9/v1");
    EXPECT_TRUE(w.provider(what, "openai").enabled);
    w.reopen();
  }
}

TEST(provider_overrides, what_makes_no_sense_is_refused) {
  world w;
  provider_patch unknown = w.patch("nobody");
  unknown.enabled = true;
  EXPECT_EQ(w.update(unknown), error_code::invalid_argument);
  EXPECT_EQ(w.update(w.patch("openai")), error_code::invalid_argument);
  provider_patch blank = w.patch("local");
  blank.enabled = true;
  EXPECT_EQ(w.update(blank), error_code::invalid_argument) << "no base URL";
  EXPECT_THAT(w.kept(), IsEmpty());
}

// CFG-5
TEST(provider_overrides, an_empty_key_clears_what_is_sealed_and_what_the_file_names) {
  world w;
  ASSERT_EQ(w.set_key("openai", secret), std::nullopt);
  EXPECT_EQ(w.set_key("openai", " "), std::nullopt);
  EXPECT_EQ(w.sealed("openai"), std::nullopt);
  EXPECT_EQ(w.key_of("openai"), "");
  EXPECT_FALSE(w.provider(w.now(), "openai").usable());
  w.reopen();
  EXPECT_EQ(w.key_of("openai"), "");
  EXPECT_EQ(w.set_key("openai", secret), std::nullopt);
  EXPECT_EQ(w.key_of("openai"), secret);
}

// CFG-4
TEST(provider_overrides, only_a_changed_key_is_sealed_again) {
  world w;
  ASSERT_EQ(w.set_key("openai", secret), std::nullopt);
  const auto before = w.sealed("openai");
  EXPECT_EQ(w.set_key("openai", secret), std::nullopt);
  EXPECT_EQ(w.sealed("openai"), before);
  EXPECT_EQ(w.set_key("openai", "sk-another-one"), std::nullopt);
  EXPECT_NE(w.sealed("openai"), before);
}

TEST(provider_overrides, what_is_stored_but_not_readable_leaves_the_file_in_force) {
  world w;
  ASSERT_TRUE(storage::wait_for<void>([&](auto answer) {
    w.store->settings().apply({{"provider/openai", "[1]"}, {"provider/gone", R"({"enabled":false})"}}, {},
                              w.time.wall(), std::move(answer));
  }));
  w.reopen();
  EXPECT_THAT(w.lines.of("ai_proxy_settings_parse_failed"), ElementsAre(HasSubstr("\"field\":\"openai\"")));
  EXPECT_EQ(w.key_of("openai"), "sk-of-the-file");
}

// One after the other, whatever threads they come from: what is served last is what a restart finds.
TEST(provider_overrides, concurrent_updates_add_up) {
  world w;
  w.overrides.reset();
  w.ring.reset();
  storage::sqlite::options where;
  where.path = w.folder.file("tidegate.db");
  auto opened = storage::sqlite::open(std::move(where), nullptr);
  ASSERT_TRUE(opened) << opened.error();
  w.store = std::move(*opened);
  w.watches_changes = false;  // its hook is called on the store's thread now
  w.reopen();
  constexpr int threads = 4;
  constexpr int updates = 10;
  std::atomic<int> answered{0};
  std::atomic<int> refused{0};
  std::vector<std::thread> running;
  for (int t = 0; t < threads; ++t) {
    running.emplace_back([&, t] {
      for (int i = 0; i < updates; ++i) {
        provider_patch p;
        p.provider = "openai";
        if (t == 0) p.enabled = i % 2 == 0;
        if (t == 1) p.base_url = "https://h" + std::to_string(i) + ".example";
        if (t >= 2) p.api_key = "sk-number-" + std::to_string(i);
        w.overrides->update(std::move(p), [&](auto given) {
          refused += given ? 0 : 1;
          ++answered;
        });
      }
    });
  }
  for (std::thread& t : running) t.join();
  w.overrides.reset();  // waits for the last one
  EXPECT_EQ(answered, threads * updates);
  EXPECT_EQ(refused, 0);
  w.ring.reset();
  w.reopen();
  const served after = w.now();
  const gateway::provider& openai = w.provider(after, "openai");
  EXPECT_FALSE(openai.enabled);
  EXPECT_EQ(openai.url.text(), "https://h9.example");
  EXPECT_EQ(openai.credential, "sk-number-9");
}

}  // namespace
}  // namespace tidegate::app
