// Keys and secrets as the running gateway keeps them (SEC-1, CFG-4, CFG-5).
#include "app/keyring.h"
#include "kit/scenario_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "app/command/desk.h"
#include "kit/temporary_folder.h"
#include "observe/captured_log.h"
#include "protocol/json/json.h"
#include "storage/memory/memory_stores.h"

namespace tidegate::app {
namespace {

using command::ask;
using foundation::error_code;
using foundation::failure;
using surface::key_view;
using surface::made_client_key;
using surface::secret_outcome;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

template <typename T>
std::optional<error_code> code_of(const std::expected<T, failure>& given) {
  return given ? std::nullopt : std::optional{given.error().code};
}

struct world {
  world() { reopen(); }

  void reopen() {
    ring.reset();
    auto opened = keyring::open(*store, {std::nullopt, folder.file("master.key")}, rules, time, &log,
                                {[this] { ++changes; },
                                 [this](std::string_view e) {
                                   if (recorded) events.emplace_back(e);
                                   return recorded;
                                 },
                                 [this] { return recording; }});
    ASSERT_TRUE(opened) << opened.error();
    ring = std::move(*opened);
  }
  std::expected<made_client_key, failure> create(surface::new_client_key wanted) {
    return ask<made_client_key>([&](auto answer) { ring->create_key(wanted, std::move(answer)); });
  }
  std::expected<made_client_key, failure> create(std::string name) {
    surface::new_client_key wanted;
    wanted.name = std::move(name);
    return create(wanted);
  }
  std::expected<made_client_key, failure> rotate(const std::string& id) {
    return ask<made_client_key>([&](auto answer) { ring->rotate_key(id, std::move(answer)); });
  }
  std::expected<key_view, failure> revoke(const std::string& id) {
    return ask<key_view>([&](auto answer) { ring->revoke_key(id, std::move(answer)); });
  }
  std::expected<secret_outcome, failure> set(const std::string& name, const std::string& value) {
    return ask<secret_outcome>([&](auto answer) { ring->set_secret(name, value, std::move(answer)); });
  }
  std::expected<void, failure> remove(const std::string& name) {
    return ask<void>([&](auto answer) { ring->remove_secret(name, std::move(answer)); });
  }
  std::vector<key_view> keys() {
    return ask<std::vector<key_view>>([&](auto answer) { ring->list_keys(std::move(answer)); }).value();
  }
  std::optional<std::string> sealed(const std::string& name) {
    return storage::wait_for<std::optional<std::string>>(
               [&](auto answer) { store->secrets().get(name, std::move(answer)); })
        .value();
  }

  kit::temporary_folder folder;
  bool broken = false;
  std::unique_ptr<storage::stores> store = storage::memory::make(nullptr, {}, [this] { return broken; });
  foundation::manual_clock time;
  observe::captured_log lines;
  observe::logger log{lines, time};
  keyring_rules rules;
  std::vector<std::string> events;
  bool recording = true;
  bool recorded = true;
  int changes = 0;
  std::unique_ptr<keyring> ring;
};

TEST(keyring, a_made_key_is_known_by_its_mac_alone) {
  world w;
  EXPECT_THAT(w.ring->access_keys(), IsEmpty());
  EXPECT_EQ(w.ring->mac(), nullptr);
  const auto made = w.create("ci");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_TRUE(storage::well_formed_client_key(made->text));
  const auto live = w.ring->access_keys();
  ASSERT_EQ(live.size(), 1U);
  EXPECT_EQ(live.front().mac, w.ring->mac()->of_text(made->text));
  EXPECT_EQ(live.front().name, "ci");
  EXPECT_THAT(w.events, ElementsAre("{\"event\":\"client_key_created\",\"keyId\":\"" + live.front().id +
                                    "\",\"name\":\"ci\"}"));
  EXPECT_EQ(w.changes, 1);
  w.reopen();
  EXPECT_EQ(w.ring->access_keys(), live);
  EXPECT_EQ(w.ring->mac()->of_text(made->text), live.front().mac);
  EXPECT_FALSE(w.lines.contains(made->text));
}

TEST(keyring, a_rotated_key_answers_to_its_new_text_only) {
  world w;
  const auto first = w.create("ci");
  const auto second = w.rotate(first->view.key.id);
  ASSERT_TRUE(second);
  EXPECT_NE(first->text, second->text);
  const auto live = w.ring->access_keys();
  ASSERT_EQ(live.size(), 1U);
  EXPECT_EQ(live.front().id, first->view.key.id);
  EXPECT_EQ(live.front().mac, w.ring->mac()->of_text(second->text));
  EXPECT_EQ(w.events.size(), 2U);
}

TEST(keyring, a_revoked_key_is_gone_for_good_but_listed) {
  world w;
  const auto made = w.create("ci");
  ASSERT_TRUE(w.revoke(made->view.key.id));
  ASSERT_EQ(w.ring->access_keys().size(), 1U) << "the last key's end must not open the gateway";
  EXPECT_FALSE(w.ring->access_keys().front().enabled);
  ASSERT_EQ(w.keys().size(), 1U);
  EXPECT_TRUE(w.keys().front().key.revoked_at);
  EXPECT_EQ(code_of(w.revoke(made->view.key.id)), error_code::not_found);
  EXPECT_EQ(code_of(w.rotate(made->view.key.id)), error_code::not_found);
  EXPECT_EQ(code_of(w.rotate("key_unknown")), error_code::not_found);
  EXPECT_TRUE(w.create("ci"));
}

TEST(keyring, what_a_key_is_asked_to_be_is_checked) {
  world w;
  w.rules.policies = {"default", "bulk"};
  w.reopen();
  const auto refused = [&](auto change) {
    surface::new_client_key wanted;
    wanted.name = "ci";
    change(wanted);
    const auto made = w.create(wanted);
    return made ? std::string{} : made.error().details;
  };
  EXPECT_EQ(refused([](auto& k) { k.name = ""; }), R"({"fieldName":"name"})");
  EXPECT_EQ(refused([](auto& k) { k.name = "two words"; }), R"({"fieldName":"name"})");
  EXPECT_EQ(refused([](auto& k) { k.policy = "unknown"; }), R"({"fieldName":"policy"})");
  EXPECT_EQ(refused([](auto& k) { k.role = "root"; }), R"({"fieldName":"role"})");
  EXPECT_EQ(refused([](auto& k) { k.projects = {}; }), R"({"fieldName":"projects"})");
  EXPECT_EQ(refused([](auto& k) { k.projects = {"a\nb"}; }), R"({"fieldName":"projects"})");
  EXPECT_EQ(refused([](auto& k) { k.channels = {""}; }), R"({"fieldName":"channels"})");
  EXPECT_EQ(refused([](auto& k) { k.channels = std::vector<std::string>(257, "c"); }),
            R"({"fieldName":"channels"})");
  EXPECT_EQ(refused([](auto& k) { k.policy = "bulk"; }), "");
  EXPECT_EQ(code_of(w.create("ci")), error_code::conflict);
}

TEST(keyring, configured_keys_stand_beside_stored_ones_and_are_changed_elsewhere) {
  world w;
  const auto made = w.create("stored");
  storage::client_key configured;
  configured.id = "config:ci";
  configured.name = "ci";
  configured.mac.fill(9);
  storage::client_key same = made->view.key;
  same.id = "config:same";
  same.name = "same";
  w.ring->set_rules({{configured, same}});
  const auto live = w.ring->access_keys();
  ASSERT_EQ(live.size(), 2U);
  EXPECT_EQ(live[1].id, "config:same") << "of two with one MAC the configured one counts";
  EXPECT_EQ(w.keys().size(), 3U);
  EXPECT_EQ(code_of(w.create("ci")), error_code::conflict);
  EXPECT_EQ(code_of(w.revoke("config:ci")), error_code::forbidden);
  EXPECT_EQ(code_of(w.rotate("config:ci")), error_code::forbidden);
  EXPECT_EQ(code_of(w.revoke(made->view.key.id)), error_code::conflict) << "it would go on being served";
  w.ring->set_rules({{configured}});
  EXPECT_TRUE(w.revoke(made->view.key.id));
}

// DEG-2, TRC-2
TEST(keyring, what_the_journal_cannot_record_is_not_done) {
  world w;
  const auto made = w.create("ci");
  ASSERT_TRUE(made);
  ASSERT_TRUE(w.set("openai", "sk-openai-byok-secret"));
  const auto keys = w.ring->access_keys();
  w.recording = false;
  EXPECT_EQ(code_of(w.create("second")), error_code::db_error);
  EXPECT_EQ(code_of(w.rotate(made->view.key.id)), error_code::db_error);
  EXPECT_EQ(code_of(w.revoke(made->view.key.id)), error_code::db_error);
  EXPECT_EQ(code_of(w.set("openai", "sk-another-secret")), error_code::db_error);
  EXPECT_EQ(code_of(ask<void>([&](auto answer) { w.ring->remove_secret("openai", std::move(answer)); })),
            error_code::db_error);
  w.reopen();
  EXPECT_EQ(w.ring->access_keys(), keys);
  EXPECT_EQ(w.ring->secret("openai"), "sk-openai-byok-secret");
}

// The journal stops while the change is made: nobody is told that all is well.
TEST(keyring, a_change_whose_record_fails_is_answered_so_and_holds) {
  world w;
  w.recorded = false;
  const auto failed = w.create("ci");
  EXPECT_EQ(code_of(failed), error_code::db_error);
  EXPECT_THAT(failed.error().message, HasSubstr("was made"));
  EXPECT_EQ(w.ring->access_keys().size(), 1U);
  EXPECT_EQ(w.changes, 1) << "what is in the store is served";
}

// T68
TEST(keyring, T68_a_secret_is_sealed_and_read_back) {
  world w;
  const auto set = w.set("openai", "  sk-openai-byok-secret\n");
  ASSERT_TRUE(set);
  EXPECT_TRUE(set->changed);
  EXPECT_EQ(set->warning, "");
  EXPECT_EQ(w.ring->secret("openai"), "sk-openai-byok-secret");
  ASSERT_TRUE(w.sealed("openai"));
  EXPECT_EQ(w.sealed("openai")->find("byok"), std::string::npos);
  EXPECT_THAT(w.events, ElementsAre(R"({"event":"secret_set","name":"openai"})"));
  w.reopen();
  EXPECT_EQ(w.ring->secret("openai"), "sk-openai-byok-secret");
  EXPECT_FALSE(w.lines.contains("byok"));
}

TEST(keyring, only_a_changed_secret_is_sealed_again) {
  world w;
  ASSERT_TRUE(w.set("openai", "sk-openai-byok-secret"));
  const auto before = w.sealed("openai");
  const auto again = w.set("openai", "sk-openai-byok-secret ");
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->changed);
  EXPECT_EQ(w.sealed("openai"), before);
  EXPECT_EQ(w.changes, 1);
  ASSERT_TRUE(w.set("openai", "sk-openai-other-secret"));
  EXPECT_NE(w.sealed("openai"), before);
}

// T69, T139
TEST(keyring, T69_T139_a_known_vendors_secret_has_a_vendors_form_others_are_warned_of) {
  world w;
  const auto refused = w.set("openai", "plain-text-key");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, error_code::invalid_argument);
  EXPECT_EQ(refused.error().details, R"({"fieldName":"value"})");
  EXPECT_EQ(refused.error().message.find("plain-text"), std::string::npos);
  for (const char* bad : {"sk-a", "sk-1234", "xx-123456789", "sk-12345 6789", "sk-", "skk123456"}) {
    EXPECT_FALSE(w.set("anthropic", bad)) << bad;
  }
  for (const char* good : {"sk-12345", "pk-a.b_c-d", "rk-123456", "ak-123456"}) {
    EXPECT_TRUE(w.set("anthropic", good)) << good;
  }
  const auto custom = w.set("local", "plain-text-key");
  ASSERT_TRUE(custom);
  EXPECT_NE(custom->warning, "");
  EXPECT_EQ(custom->warning.find("plain-text"), std::string::npos);
  EXPECT_EQ(code_of(w.set("local", "two\nlines")), error_code::invalid_argument);
  EXPECT_EQ(code_of(w.set("local", std::string(70'000, 'x'))), error_code::invalid_argument);
  EXPECT_EQ(code_of(w.set("no name", "sk-12345678")), error_code::invalid_argument);
}

TEST(keyring, an_empty_secret_clears) {
  world w;
  ASSERT_TRUE(w.set("openai", "sk-openai-byok-secret"));
  const auto cleared = w.set("openai", " \n");
  ASSERT_TRUE(cleared);
  EXPECT_TRUE(cleared->changed);
  EXPECT_EQ(w.ring->secret("openai"), std::nullopt);
  EXPECT_EQ(w.sealed("openai"), std::nullopt);
  EXPECT_FALSE(w.set("openai", "")->changed);
  EXPECT_EQ(code_of(ask<void>([&](auto a) { w.ring->remove_secret("openai", std::move(a)); })),
            error_code::not_found);
}

// T69: nothing is written where nothing can be sealed.
TEST(keyring, T69_without_a_usable_master_key_changes_are_unsupported) {
  world w;
  std::ofstream{w.folder.file("master.key")} << std::string(64, 'a');
  ASSERT_EQ(::chmod(w.folder.file("master.key").c_str(), 0644), 0);
  w.reopen();
  EXPECT_NE(w.ring->master_key_problem(), "");
  EXPECT_EQ(w.lines.of("master_key_unusable").size(), 1U);
  EXPECT_EQ(code_of(w.set("openai", "sk-openai-byok-secret")), error_code::unsupported);
  EXPECT_EQ(code_of(w.create("ci")), error_code::unsupported);
  EXPECT_EQ(w.sealed("openai"), std::nullopt);
  EXPECT_THAT(w.keys(), IsEmpty());
  EXPECT_EQ(w.changes, 0);
  ASSERT_EQ(::chmod(w.folder.file("master.key").c_str(), 0600), 0);
  EXPECT_TRUE(w.create("ci")) << "mended without a restart";
  EXPECT_EQ(w.ring->master_key_problem(), "");
}

// T88
TEST(keyring, T88_what_cannot_be_unsealed_is_absent_and_logged_by_name_only) {
  world w;
  ASSERT_TRUE(w.set("openai", "sk-openai-byok-secret"));
  ASSERT_TRUE(w.set("local", "sk-local-byok-secret"));
  const std::string sealed = w.sealed("openai").value();
  ASSERT_TRUE(storage::wait_for<void>([&](auto answer) {
    w.store->secrets().set("local", sealed, w.time.wall(), std::move(answer));  // another record's
  }));
  w.reopen();
  EXPECT_EQ(w.ring->secret("openai"), "sk-openai-byok-secret");
  EXPECT_EQ(w.ring->secret("local"), std::nullopt);
  EXPECT_THAT(w.lines.of("ai_proxy_settings_secret_decrypt_failed"),
              ElementsAre(HasSubstr("\"field\":\"local\"")));
  EXPECT_FALSE(w.lines.contains("byok"));
  EXPECT_TRUE(w.set("local", "sk-local-byok-secret")->changed) << "it can be set anew";
}

TEST(keyring, an_exchanged_master_key_is_told) {
  world w;
  ASSERT_TRUE(w.create("ci"));
  w.reopen();
  EXPECT_THAT(w.lines.of("master_key_changed"), IsEmpty());
  const std::string path = w.folder.file("master.key");
  std::filesystem::remove(path);
  w.reopen();
  EXPECT_EQ(code_of(w.create("other")), error_code::unsupported) << "no new key over what the old one sealed";
  EXPECT_FALSE(std::filesystem::exists(path));
  std::ofstream{path} << std::string(64, 'a') << '\n';
  std::filesystem::permissions(path,
                               std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  w.reopen();
  EXPECT_EQ(code_of(w.create("other")), error_code::unsupported);
  EXPECT_EQ(w.lines.of("master_key_changed").size(), 1U);
}

TEST(keyring, a_fault_of_the_store_changes_nothing_in_memory) {
  world w;
  const auto made = w.create("ci");
  ASSERT_TRUE(w.set("openai", "sk-openai-byok-secret"));
  const auto before = w.ring->access_keys();
  w.broken = true;
  EXPECT_EQ(code_of(w.create("other")), error_code::db_error);
  EXPECT_EQ(code_of(w.rotate(made->view.key.id)), error_code::db_error);
  EXPECT_EQ(code_of(w.revoke(made->view.key.id)), error_code::db_error);
  EXPECT_EQ(code_of(w.set("openai", "sk-openai-other-secret")), error_code::db_error);
  EXPECT_EQ(code_of(ask<void>([&](auto a) { w.ring->remove_secret("openai", std::move(a)); })),
            error_code::db_error);
  EXPECT_EQ(w.ring->access_keys(), before);
  EXPECT_EQ(w.ring->secret("openai"), "sk-openai-byok-secret");
  EXPECT_EQ(w.changes, 2);
}

TEST(keyring_rules, follow_the_configuration) {
  configuration_source source;
  source.text = R"(
[policy.bulk]
requests_per_minute = 1
[[provider]]
name = "main"
kind = "openai"
api_key = "secret:main-key"
[[provider]]
name = "anthropic"
kind = "anthropic"
base_url = "https://proxy.example"
[[key]]
name = "ci"
hash = "hmac-sha256:abababababababababababababababababababababababababababababababab"
role = "admin"
projects = ["a"]
)";
  const auto loaded = load(source);
  ASSERT_TRUE(loaded) << to_text(loaded.error().front());
  const keyring_rules rules = rules_of(loaded->settings);
  EXPECT_THAT(rules.policies, testing::UnorderedElementsAre("default", "bulk"));
  EXPECT_THAT(rules.vendor_secrets, testing::UnorderedElementsAre("openai", "main", "main-key"));
  ASSERT_EQ(rules.configured.size(), 1U);
  EXPECT_EQ(rules.configured.front().id, "config:ci");
  EXPECT_EQ(rules.configured.front().role, "admin");
  EXPECT_EQ(rules.configured.front().mac[31], 0xab);
  EXPECT_THAT(rules.configured.front().projects, ElementsAre("a"));
}

}  // namespace
}  // namespace tidegate::app
