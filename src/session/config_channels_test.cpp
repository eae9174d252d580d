// ai:config:get, update and test (CFG-5 to CFG-7).
#include "session/config_channels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kit/channel_world.h"

namespace tidegate::session {
namespace {

using namespace std::chrono_literals;
using foundation::error_code;
using kit::channel_request;
using kit::P;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Takes what it is given, or refuses.
struct scripted_desk final : provider_desk {
  void update(provider_patch patch, answer then) override {
    patches.push_back(std::move(patch));
    if (refuses) {
      foundation::failure f;
      f.code = *refuses;
      f.message = "not now";
      return then(std::unexpected{f});
    }
    then(outcome{unusual});
  }
  std::vector<provider_patch> patches;
  std::optional<error_code> refuses;
  bool unusual = false;
};

struct world : kit::channel_world {
  explicit world(kit::setup s = {}) : channel_world{std::move(s)} { bind(handlers.bindings()); }
  // The verdict of ai:config:test on what P does next.
  std::string tested(kit::behavior next) {
    upstream.next(P, std::move(next));
    const channel_request& r = call("ai:config:test", R"({"provider":"openai"})");
    EXPECT_EQ(r.code(), "OK");
    EXPECT_EQ(r.text({"ok"}), r.text({"error", "code"}).empty() ? "true" : "false");
    return r.text({"error", "code"});
  }
  scripted_desk desk;
  config_channels handlers{shared, desk};
};

TEST(config_channels, providers_are_shown_without_their_secrets) {
  world w;
  w.degrade("openai");
  const channel_request& r = w.call("ai:config:get", "{}");
  ASSERT_TRUE(r.ok());
  const auto parsed = json::parse(r.data());
  const json::value first = *parsed->find("providers")->elements().begin();
  EXPECT_EQ(first.string_or("name", ""), "openai");
  EXPECT_EQ(first.string_or("kind", ""), "openai");
  EXPECT_EQ(first.string_or("baseUrl", ""), "https://api.openai.com");
  EXPECT_EQ(first.find("enabled")->as_bool(), true);
  EXPECT_EQ(first.find("apiKeyConfigured")->as_bool(), true);
  EXPECT_EQ(first.string_or("status", ""), "degraded");
  EXPECT_EQ(first.int_at("consecutiveFailures"), 3);
  EXPECT_EQ(first.int_at("degradedAt"), w.clock.wall().time_since_epoch().count());
  EXPECT_THAT(r.data(), Not(HasSubstr("credential")));
}

TEST(config_channels, an_update_hands_on_the_patch_and_is_on_the_record) {
  world w;
  const channel_request& r = w.call(
      "ai:config:update", R"({"provider":" openai ","enabled":false,"apiKey":"sk-openai-byok-secret"})");
  EXPECT_EQ(r.code(), "OK");
  ASSERT_EQ(w.desk.patches.size(), 1U);
  EXPECT_EQ(w.desk.patches[0].provider, "openai");
  EXPECT_EQ(w.desk.patches[0].enabled, false);
  EXPECT_EQ(w.desk.patches[0].base_url, std::nullopt);
  EXPECT_EQ(w.desk.patches[0].api_key, "sk-openai-byok-secret");
  ASSERT_EQ(w.journal.of("ai_proxy_settings_updated").size(), 1U);
  EXPECT_THAT(
      w.journal.of("ai_proxy_settings_updated").front(),
      HasSubstr(R"("provider":"openai","enabled":true,"baseUrlConfigured":true,"apiKeyConfigured":true)"));
  EXPECT_FALSE(w.lines.contains("byok"));
  for (const std::string& line : w.journal.lines()) EXPECT_THAT(line, Not(HasSubstr("byok")));
}

// T139
TEST(config_channels, T139_an_unusual_key_is_warned_of) {
  world w;
  w.desk.unusual = true;
  EXPECT_TRUE(w.call("ai:config:update", R"({"provider":"openai","apiKey":"plain-text-key"})").ok());
  EXPECT_THAT(w.fields("provider_key_unusual", "provider"), ElementsAre("openai"));
  EXPECT_FALSE(w.lines.contains("plain-text-key"));
}

TEST(config_channels, a_refused_update_is_told_and_logged_and_leaves_no_record) {
  for (const error_code code :
       {error_code::invalid_argument, error_code::unsupported, error_code::db_error}) {
    world w;
    w.desk.refuses = code;
    const channel_request& r = w.call("ai:config:update", R"({"provider":"openai","apiKey":"sk-aaaaaaaa"})");
    EXPECT_EQ(r.code(), foundation::name_of(code));
    EXPECT_THAT(w.fields("ai_proxy_settings_update_failed", "code"), ElementsAre(foundation::name_of(code)));
    EXPECT_EQ(w.count("ai_proxy_settings_secret_encrypt_failed"), code == error_code::unsupported ? 1U : 0U);
    EXPECT_THAT(w.journal.of("ai_proxy_settings_updated"), IsEmpty());
  }
}

// CFG-7
TEST(config_channels, a_test_maps_what_a_run_would_be_told) {
  world w;
  EXPECT_EQ(w.tested(kit::replies(200, R"({"data":[]})")), "");
  EXPECT_EQ(w.tested(kit::status(401)), "AI_AUTH_FAILED");
  EXPECT_EQ(w.tested(kit::status(403)), "AI_AUTH_FAILED");
  EXPECT_EQ(w.tested(kit::status(429)), "AI_RATE_LIMITED");
  EXPECT_EQ(w.tested(kit::status(404)), "LLM_API_ERROR");
  EXPECT_EQ(w.tested(kit::status(503)), "LLM_API_ERROR");
  EXPECT_EQ(w.tested(kit::status(302)), "LLM_API_ERROR");
  EXPECT_EQ(w.tested(kit::replies(200, "<html>")), "LLM_API_ERROR");
  EXPECT_EQ(w.tested(kit::fails(runtime::call_fault::connect)), "LLM_API_ERROR");
  EXPECT_EQ(w.failures("openai"), 0U) << "a test says nothing of a provider's health";
  const auto& first = w.upstream.calls().front();
  EXPECT_THAT(first.head, testing::StartsWith("GET /v1/models HTTP/1.1\r\n"));
  EXPECT_THAT(first.head, HasSubstr("authorization: Bearer " + std::string{kit::primary_key}));
}

// T87
TEST(config_channels, T87_a_test_that_hangs_ends_at_2_000) {
  world w;
  w.upstream.next(P, kit::hangs());
  const channel_request& r = w.begin("ai:config:test", "{}");
  w.advance(1'999ms);
  EXPECT_FALSE(r.done);
  w.advance(1ms);
  ASSERT_TRUE(r.done);
  EXPECT_EQ(r.code(), "OK");
  EXPECT_EQ(r.text({"ok"}), "false");
  EXPECT_EQ(r.text({"error", "code"}), "TIMEOUT");
  EXPECT_EQ(r.text({"latencyMs"}), "2000");
}

TEST(config_channels, a_test_of_what_cannot_be_called_calls_nobody) {
  kit::setup s;
  s.adjust = [](gateway::snapshot& served) {
    served.providers[0]->enabled = false;
    served.providers[1]->has_url = false;
  };
  world w{std::move(s)};
  EXPECT_EQ(w.call("ai:config:test", "{}").text({"error", "code"}), "INVALID_ARGUMENT") << "the first";
  EXPECT_EQ(w.call("ai:config:test", R"({"provider":"anthropic"})").text({"error", "code"}),
            "AI_NOT_CONFIGURED");
  EXPECT_EQ(w.call("ai:config:test", R"({"provider":"nobody"})").text({"error", "code"}), "INVALID_ARGUMENT");
  kit::setup none;
  none.adjust = [](gateway::snapshot& served) {
    served.routes.clear();
    served.patterns.clear();
    served.providers.clear();
  };
  world empty{std::move(none)};
  EXPECT_EQ(empty.call("ai:config:test", "{}").text({"error", "code"}), "AI_NOT_CONFIGURED");
  EXPECT_TRUE(w.upstream.calls().empty());
}

}  // namespace
}  // namespace tidegate::session
