// What the environment and the command line change (CFG-1, RES-2, RET-3).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "app/configuration.h"
#include "app/configuration_reader.h"
#include "app/configuration_schema.h"
#include "app/configuration_values.h"

namespace tidegate::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

loaded_configuration load_with(environment env, std::string text = {}) {
  auto loaded = load({"t.toml", std::move(text), std::move(env), {}});
  if (!loaded) {
    ADD_FAILURE() << to_text(loaded.error().front());
    return {};
  }
  return std::move(*loaded);
}

std::vector<std::string> events_of(const loaded_configuration& loaded) {
  std::vector<std::string> events;
  for (const config_warning& warning : loaded.warnings) events.push_back(warning.event + " " + warning.key);
  return events;
}

TEST(configuration_environment, overrides_every_kind_of_key) {
  const auto loaded = load_with({
      {"TIDEGATE_SERVER_LISTEN", "[::1]:0"},
      {"TIDEGATE_SERVER_THREADS", "3"},
      {"TIDEGATE_SERVER_MAX_BODY", "1MiB"},
      {"TIDEGATE_SERVER_MAX_HEADER", "2048"},
      {"TIDEGATE_SERVER_ALLOWED_ORIGINS", "https://a.example, https://b.example"},
      {"TIDEGATE_SERVER_DRAIN_TIMEOUT", "250"},
      {"TIDEGATE_TIMEOUTS_RUN", "1m30s"},
      {"TIDEGATE_ADMIN_TOKEN", "file:/run/token"},
      {"TIDEGATE_JOURNAL_DURABILITY", "none"},
      {"TIDEGATE_JOURNAL_RETENTION", "30d"},
      {"TIDEGATE_RETRY_BACKOFF", "7,11"},
      {"TIDEGATE_RETRY_RETRY_ON_STATUS", "1"},
      {"TIDEGATE_POLICY_DEFAULT_REQUESTS_PER_MINUTE", "1"},
      {"TIDEGATE_POLICY_DEFAULT_RESERVE_FAILOVER_UNIT", "false"},
      {"TIDEGATE_POLICY_DEFAULT_KEY_USD_BUDGET", "2.5"},
      {"TIDEGATE_SESSION_QUEUE_LIMIT", "1"},
      {"TIDEGATE_SESSION_TEMPERATURE", "omit"},
      {"TIDEGATE_SESSION_MODEL", "gpt-x"},
      {"TIDEGATE_PRICING_LAST_UPDATED", "2026-01-31"},
  });
  const configuration& settings = loaded.settings;
  EXPECT_EQ(settings.server.listen, "[::1]:0");
  EXPECT_EQ(settings.server.threads, 3);
  EXPECT_EQ(settings.server.max_body, mebibyte);
  EXPECT_EQ(settings.server.max_header, 2'048);
  EXPECT_THAT(settings.server.allowed_origins, ElementsAre("https://a.example", "https://b.example"));
  EXPECT_EQ(settings.server.drain_timeout, milliseconds{250});
  EXPECT_EQ(settings.timeouts.run, milliseconds{90'000});
  EXPECT_EQ(settings.admin.token, (credential_reference{credential_source::file, "/run/token"}));
  EXPECT_EQ(settings.journal.durability, journal_durability::none);
  EXPECT_EQ(settings.journal.retention, milliseconds{30LL * 86'400'000});
  EXPECT_THAT(settings.retry.backoff, ElementsAre(milliseconds{7}, milliseconds{11}));
  EXPECT_TRUE(settings.retry.retry_on_status);
  EXPECT_EQ(settings.policies.at("default").requests_per_minute, 1);
  EXPECT_FALSE(settings.policies.at("default").reserve_failover_unit);
  EXPECT_EQ(settings.policies.at("default").key_usd_budget, 2.5);
  EXPECT_EQ(settings.session.queue_limit, 1);
  EXPECT_EQ(settings.session.temperature, std::nullopt);
  EXPECT_EQ(settings.pricing.last_updated, "2026-01-31");
  EXPECT_THAT(events_of(loaded), ElementsAre("route_missing session.model"));
}

TEST(configuration_environment, beats_the_file_and_is_beaten_by_the_command_line) {
  const environment env{{"TIDEGATE_SERVER_THREADS", "3"}, {"TIDEGATE_SERVER_LISTEN", "127.0.0.1:2"}};
  const std::string text = "[server]\nthreads = 2\nlisten = \"127.0.0.1:1\"\n";
  const auto loaded = load({"t.toml", text, env, {{"--listen", "server", "listen", "127.0.0.1:3"}}});
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->settings.server.threads, 3);
  EXPECT_EQ(loaded->settings.server.listen, "127.0.0.1:3");
}

TEST(configuration_environment, a_bad_flag_is_an_error) {
  const auto loaded =
      load({"t.toml", "[server]\nthreads = \"x\"\n", {}, {{"--listen", "server", "listen", "nowhere"}}});
  ASSERT_FALSE(loaded);
  std::vector<std::string> errors;
  for (const config_error& error : loaded.error()) errors.push_back(to_text(error));
  EXPECT_THAT(errors, ElementsAre("t.toml:2:11: threads: expected an integer, found a string",
                                  "--listen: expected host:port or unix:/path"));
  const auto exposed = load({"t.toml", "", {}, {{"--admin-listen", "admin", "listen", "0.0.0.0:1"}}});
  ASSERT_FALSE(exposed);
  EXPECT_EQ(to_text(exposed.error().front()),
            "--admin-listen: an admin listener off loopback needs admin.token");
}

// CFG-1: not the file's value, the key's default.
TEST(configuration_environment, an_invalid_value_leaves_the_default_and_a_warning) {
  const auto loaded = load_with({{"TIDEGATE_SERVER_THREADS", "many"}}, "[server]\nthreads = 2\n");
  EXPECT_EQ(loaded.settings.server.threads, 0);
  ASSERT_EQ(loaded.warnings.size(), 1);
  EXPECT_EQ(loaded.warnings[0].event, "settings_json_parse_failed");
  EXPECT_EQ(loaded.warnings[0].key, "server.threads");
  EXPECT_EQ(loaded.warnings[0].reason,
            "TIDEGATE_SERVER_THREADS: expected an integer, found a string; the default 0 holds");
}

TEST(configuration_environment, every_key_falls_back_to_its_default) {
  std::size_t checked = 0;
  for (const section_row& section : schema()) {
    const bool policy = section.name == "policy";
    if (section.shape != section_shape::table && !policy) continue;
    for (const key_row& row : section.keys) {
      // Free texts have no invalid value but a control character.
      const std::string variable = variable_name(section.name, policy ? "default" : "", row.key);
      auto loaded = load_with({{variable, "\x01?"}});
      const record owner =
          policy ? record{&loaded.settings.policies.at("default")} : record{&loaded.settings};
      EXPECT_EQ(format_value(row, row.bind(owner)), format_value(row, row.bind(section.defaults())))
          << variable;
      ASSERT_EQ(loaded.warnings.size(), 1) << variable;
      EXPECT_EQ(loaded.warnings[0].event, "settings_json_parse_failed") << variable;
      EXPECT_THAT(loaded.warnings[0].reason, HasSubstr(variable + ": "));
      ++checked;
    }
  }
  std::printf("environment_keys: %zu\n", checked);
}

TEST(configuration_environment, an_invalid_value_is_never_repeated) {
  const auto loaded = load_with({{"TIDEGATE_ADMIN_TOKEN", "hunter2-hunter2"}});
  ASSERT_EQ(loaded.warnings.size(), 1);
  EXPECT_THAT(loaded.warnings[0].reason, Not(HasSubstr("hunter2")));
  EXPECT_FALSE(loaded.settings.admin.token.configured());
}

// RET-3, T19, T20
TEST(configuration_environment, backoff_lists_are_plain_milliseconds) {
  const auto backoff = [](const char* text) {
    auto loaded = load({"t.toml", "", {{"TIDEGATE_RETRY_BACKOFF", text}}, {}});
    return loaded ? loaded->settings.retry.backoff : std::vector<milliseconds>{};
  };
  EXPECT_THAT(backoff("7,11"), ElementsAre(milliseconds{7}, milliseconds{11}));
  EXPECT_THAT(backoff("7"), ElementsAre(milliseconds{7}));
  for (const char* bad : {"5;6", "0", "7,0", "7, 11", " 7", "7 ", "", ",", "7,", "a", "1s,2s", "-7", "7.5"}) {
    EXPECT_THAT(backoff(bad), ElementsAre(milliseconds{1'000}, milliseconds{2'000}, milliseconds{4'000}))
        << bad;
  }
}

TEST(configuration_environment, reaches_named_policies_and_prices) {
  const auto loaded = load_with(
      {{"TIDEGATE_POLICY_BATCH_JOBS_ON_EXCEED", "clamp"},
       {"TIDEGATE_PRICING_MODELS_MY_MODEL_1_INPUT_PER_1K", "0.5"}},
      "[policy.batch-jobs]\n[pricing.models.\"my-model.1\"]\ninput_per_1k = 1\noutput_per_1k = 1\n");
  EXPECT_EQ(loaded.settings.policies.at("batch-jobs").on_exceed, exceed_action::clamp);
  EXPECT_EQ(loaded.settings.pricing.models.at("my-model.1").input_per_1k, 0.5);
  EXPECT_THAT(loaded.warnings, IsEmpty());
}

TEST(configuration_environment, a_slip_in_a_name_is_warned_about) {
  const auto loaded = load_with({{"TIDEGATE_SERVER_LISTN", "x"},
                                 {"TIDEGATE_CONFIG", "x"},
                                 {"TIDEGATE_AI_MODEL", "x"},
                                 {"TIDEGATE_MASTER_KEY", "x"},
                                 {"OTHER_SERVER_LISTEN", "x"}});
  ASSERT_THAT(events_of(loaded), ElementsAre("settings_unknown_variable TIDEGATE_SERVER_LISTN"));
  EXPECT_EQ(loaded.warnings[0].reason, "sets nothing; did you mean TIDEGATE_SERVER_LISTEN?");
}

TEST(configuration_environment, conflicts_it_causes_do_not_stop_the_start) {
  const auto lower_cap = load_with({{"TIDEGATE_POLICY_DEFAULT_MAX_OUTPUT_TOKENS", "512"}},
                                   "[policy.default]\ndefault_max_tokens = 600\n");
  EXPECT_EQ(lower_cap.settings.policies.at("default").default_max_tokens, 512);
  EXPECT_THAT(events_of(lower_cap),
              ElementsAre("settings_json_parse_failed policy.default.default_max_tokens"));
  const auto guard = load_with({{"TIDEGATE_SESSION_COST_WARNING_USD", "6"}});
  EXPECT_EQ(guard.settings.session.cost_warning_usd, 1.0);
  EXPECT_EQ(guard.settings.session.cost_hard_stop_usd, 5.0);
  EXPECT_THAT(events_of(guard), ElementsAre("settings_json_parse_failed session.cost_hard_stop_usd"));
}

// --- RES-2

TEST(environment_providers, vendor_keys_bring_the_vendors) {
  const auto both = load_with({{"OPENAI_API_KEY", "sk-a"}, {"ANTHROPIC_API_KEY", "sk-b"}});
  ASSERT_EQ(both.settings.providers.size(), 2);
  EXPECT_EQ(both.settings.providers[0].name, "openai");
  EXPECT_EQ(both.settings.providers[0].base_url, "https://api.openai.com");
  EXPECT_EQ(to_text(both.settings.providers[0].api_key), "env:OPENAI_API_KEY");
  EXPECT_EQ(both.settings.providers[1].kind, provider_kind::anthropic);
  EXPECT_EQ(both.settings.providers[1].base_url, "https://api.anthropic.com");
  std::vector<std::string> models;
  for (const route_settings& route : both.settings.routes) models.push_back(route.model);
  EXPECT_THAT(models, ElementsAre("gpt-*", "o*", "chatgpt-*", "text-embedding-*", "claude-*"));
  const auto one = load_with({{"ANTHROPIC_API_KEY", "sk-b"}, {"OPENAI_API_KEY", " "}});
  ASSERT_EQ(one.settings.providers.size(), 1);
  EXPECT_EQ(one.settings.providers[0].name, "anthropic");
}

TEST(environment_providers, stand_back_behind_the_file) {
  const auto loaded =
      load_with({{"OPENAI_API_KEY", "sk-a"}, {"TIDEGATE_AI_PROVIDER", "anthropic"}},
                "[[provider]]\nname = \"mine\"\nkind = \"openai-compatible\"\nbase_url = \"http://h\"\n");
  ASSERT_EQ(loaded.settings.providers.size(), 1);
  EXPECT_EQ(loaded.settings.providers[0].name, "mine");
}

TEST(environment_providers, one_provider_for_all_models) {
  const auto loaded = load_with({{"TIDEGATE_AI_PROVIDER", "openai-compatible"},
                                 {"TIDEGATE_AI_BASE_URL", "http://127.0.0.1:9/v1/"},
                                 {"TIDEGATE_AI_API_KEY", "k"},
                                 {"TIDEGATE_AI_MODEL", "llama"},
                                 {"OPENAI_API_KEY", "sk-a"}});
  ASSERT_EQ(loaded.settings.providers.size(), 1);
  const provider_settings& provider = loaded.settings.providers[0];
  EXPECT_EQ(provider.kind, provider_kind::openai_compatible);
  EXPECT_EQ(provider.base_url, "http://127.0.0.1:9/v1");
  EXPECT_EQ(to_text(provider.api_key), "env:TIDEGATE_AI_API_KEY");
  ASSERT_EQ(loaded.settings.routes.size(), 1);
  EXPECT_EQ(loaded.settings.routes[0].model, "*");
  EXPECT_EQ(loaded.settings.routes[0].targets.at(0).model, "llama");
  EXPECT_EQ(loaded.settings.routes[0].targets.size(), 1);
}

// CFG-3: unset, and never the vendor's URL in its place.
TEST(environment_providers, a_bad_url_counts_as_unset) {
  const auto loaded = load_with({{"TIDEGATE_AI_PROVIDER", "openai"}, {"TIDEGATE_AI_BASE_URL", "ftp://h"}});
  ASSERT_EQ(loaded.settings.providers.size(), 1);
  EXPECT_FALSE(loaded.settings.providers[0].enabled);
  EXPECT_EQ(loaded.settings.providers[0].base_url, "");
  EXPECT_THAT(events_of(loaded), ElementsAre("settings_json_parse_failed TIDEGATE_AI_BASE_URL"));
}

// CFG-2: the file's routes may name a vendor whose key is not there.
TEST(environment_providers, a_routed_vendor_without_key_does_not_stop_the_start) {
  const auto loaded = load_with({}, "[[route]]\nmodel = \"gpt-*\"\ntargets = [{ provider = \"openai\" }]\n");
  ASSERT_EQ(loaded.settings.providers.size(), 1);
  EXPECT_EQ(loaded.settings.providers[0].name, "openai");
  EXPECT_EQ(to_text(loaded.settings.providers[0].api_key), "env:OPENAI_API_KEY");
}

TEST(environment_providers, the_proxy_takes_the_place_of_all_targets) {
  const auto loaded =
      load_with({{"TIDEGATE_AI_PROXY_ENABLED", "1"},
                 {"TIDEGATE_AI_PROXY_BASE_URL", "http://proxy:1"},
                 {"TIDEGATE_AI_PROXY_API_KEY", "k"}},
                "[[provider]]\nname = \"proxy\"\nkind = \"openai\"\n"
                "[[route]]\nmodel = \"a\"\ntargets = [{ provider = \"proxy\", model = \"m\" }, "
                "{ provider = \"proxy\", model = \"n\" }]\n"
                "[[route]]\nmodel = \"b\"\ntargets = [{ provider = \"proxy\" }]\n");
  ASSERT_EQ(loaded.settings.providers.size(), 2);
  const provider_settings& proxy = loaded.settings.providers[1];
  EXPECT_EQ(proxy.name, "proxy-2");
  EXPECT_EQ(proxy.base_url, "http://proxy:1");
  EXPECT_EQ(proxy.kind, provider_kind::openai_compatible);
  EXPECT_EQ(proxy.tokens_field, max_tokens_field::max_tokens);
  EXPECT_EQ(proxy.first_byte, milliseconds{30'000});
  for (const route_settings& route : loaded.settings.routes) {
    ASSERT_EQ(route.targets.size(), 1);
    EXPECT_EQ(route.targets[0].provider, "proxy-2");
  }
  EXPECT_EQ(loaded.settings.routes[0].targets[0].model, "m");
  EXPECT_EQ(loaded.settings.routes[1].targets[0].model, "");
}

TEST(environment_providers, the_proxy_serves_all_models_where_no_route_is_written) {
  const auto loaded = load_with({{"TIDEGATE_AI_PROXY_ENABLED", "true"},
                                 {"TIDEGATE_AI_PROXY_BASE_URL", "http://proxy:1"},
                                 {"OPENAI_API_KEY", "sk-a"}});
  ASSERT_EQ(loaded.settings.routes.size(), 1);
  EXPECT_EQ(loaded.settings.routes[0].model, "*");
  EXPECT_EQ(loaded.settings.routes[0].targets[0].provider, "proxy");
}

TEST(environment_providers, a_proxy_without_url_lets_nothing_past_it) {
  const auto loaded = load_with({{"TIDEGATE_AI_PROXY_ENABLED", "1"}, {"OPENAI_API_KEY", "sk-a"}});
  ASSERT_EQ(loaded.settings.routes.size(), 1);
  EXPECT_EQ(loaded.settings.routes[0].targets[0].provider, "proxy");
  EXPECT_EQ(loaded.settings.providers.back().base_url, "");
  EXPECT_THAT(events_of(loaded), ElementsAre("ai_provider_without_url proxy"));
  const auto off = load_with({{"TIDEGATE_AI_PROXY_ENABLED", "maybe"}, {"OPENAI_API_KEY", "sk-a"}});
  EXPECT_EQ(off.settings.routes[0].targets[0].provider, "openai");
  EXPECT_THAT(events_of(off), ElementsAre("settings_json_parse_failed TIDEGATE_AI_PROXY_ENABLED"));
}

}  // namespace
}  // namespace tidegate::app
