#include "app/configuration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tidegate::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

configuration_source source_of(std::string text) { return {"t.toml", std::move(text), {}, {}}; }

std::vector<std::string> errors_of(std::string text) {
  const auto loaded = load(source_of(std::move(text)));
  std::vector<std::string> texts;
  if (!loaded) {
    for (const config_error& error : loaded.error()) texts.push_back(to_text(error));
  }
  return texts;
}

configuration settings_of(std::string text) {
  auto loaded = load(source_of(std::move(text)));
  if (!loaded) {
    ADD_FAILURE() << to_text(loaded.error().front());
    return {};
  }
  return loaded->settings;
}

constexpr const char* two_providers = R"(
[[provider]]
name = "openai"
kind = "openai"
api_key = "env:OPENAI_API_KEY"
[[provider]]
name = "anthropic"
kind = "anthropic"
api_key = "secret:anthropic"
)";

TEST(configuration, the_documented_example_loads) {
  const configuration settings = settings_of(R"(
[server]
listen = "127.0.0.1:8787"
[breaker]
failure_threshold = 4
half_open_after = "1h30m"
[policy.default]
requests_per_minute = 61
[policy.batch]
on_exceed = "clamp"
budget_period = "month"
key_usd_budget = 12
[[provider]]
name = "openai"
kind = "openai"
base_url = " https://api.openai.com "
api_key = "env:OPENAI_API_KEY"
[[provider]]
name = "anthropic"
kind = "anthropic"
api_key = "secret:anthropic"
first_byte = "3s"
[[provider]]
name = "local"
kind = "openai-compatible"
base_url = "http://127.0.0.1:9000/v1"
max_tokens_field = "max_completion_tokens"
[[route]]
model = "gpt-*"
failover = "immediate"
targets = [
  { provider = "openai" },
  { provider = "anthropic", model = "claude-sonnet-4-5" },
  { provider = "local", model = "*" },
]
[[key]]
name = "ci"
hash = "hmac-sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
policy = "batch"
role = "admin"
projects = ["p1", "p2"]
)");
  EXPECT_EQ(settings.breaker.failure_threshold, 4);
  EXPECT_EQ(settings.breaker.half_open_after, milliseconds{5'400'000});
  EXPECT_EQ(settings.policies.at("default").requests_per_minute, 61);
  EXPECT_EQ(settings.policies.at("batch").on_exceed, exceed_action::clamp);
  EXPECT_EQ(settings.policies.at("batch").period, budget_period::month);
  EXPECT_EQ(settings.policies.at("batch").key_usd_budget, 12.0);
  EXPECT_EQ(settings.policies.at("batch").requests_per_minute, 60);
  ASSERT_EQ(settings.providers.size(), 3);
  EXPECT_EQ(settings.providers[0].base_url, "https://api.openai.com");
  EXPECT_EQ(settings.providers[0].api_key,
            (credential_reference{credential_source::environment, "OPENAI_API_KEY"}));
  EXPECT_EQ(settings.providers[0].tokens_field, max_tokens_field::max_completion_tokens);
  EXPECT_EQ(settings.providers[0].first_byte, milliseconds{30'000});
  EXPECT_EQ(settings.providers[1].base_url, "https://api.anthropic.com");
  EXPECT_EQ(settings.providers[1].kind, provider_kind::anthropic);
  EXPECT_EQ(settings.providers[1].tokens_field, max_tokens_field::max_tokens);
  EXPECT_EQ(settings.providers[1].first_byte, milliseconds{3'000});
  EXPECT_EQ(settings.providers[2].base_url, "http://127.0.0.1:9000/v1");
  EXPECT_EQ(settings.providers[2].tokens_field, max_tokens_field::max_completion_tokens);
  ASSERT_EQ(settings.routes.size(), 1);
  EXPECT_EQ(settings.routes[0].failover, failover_mode::immediate);
  ASSERT_EQ(settings.routes[0].targets.size(), 3);
  EXPECT_EQ(settings.routes[0].targets[0].model, "");
  EXPECT_EQ(settings.routes[0].targets[1].model, "claude-sonnet-4-5");
  EXPECT_EQ(settings.routes[0].targets[2].model, "*");
  ASSERT_EQ(settings.keys.size(), 1);
  EXPECT_EQ(settings.keys[0].role, key_role::admin);
  EXPECT_THAT(settings.keys[0].projects, ElementsAre("p1", "p2"));
  EXPECT_THAT(settings.keys[0].channels, ElementsAre("*"));
}

TEST(configuration, a_syntax_error_has_its_place) {
  EXPECT_THAT(errors_of("[server]\nthreads = \n"), ElementsAre(HasSubstr("t.toml:2:11: ")));
  EXPECT_THAT(errors_of("a = 1\na = 2\n"), ElementsAre(HasSubstr("t.toml:2:")));
}

TEST(configuration, unknown_keys_are_refused_with_a_suggestion) {
  EXPECT_THAT(errors_of("[server]\n  lisen = \"x\"\n"),
              ElementsAre("t.toml:2:3: unknown key \"lisen\"; did you mean \"listen\"?"));
  EXPECT_THAT(errors_of("[servr]\n"),
              ElementsAre("t.toml:1:2: unknown section \"servr\"; did you mean \"server\"?"));
  EXPECT_THAT(errors_of("zebra = 1\n"), ElementsAre("t.toml:1:1: unknown key \"zebra\""));
  EXPECT_THAT(
      errors_of("[policy.default]\nrequest_per_minute = 1\n"),
      ElementsAre("t.toml:2:1: unknown key \"request_per_minute\"; did you mean \"requests_per_minute\"?"));
  EXPECT_THAT(errors_of("[[provider]]\nname = \"a\"\nkind = \"openai\"\nurl = \"x\"\n"),
              ElementsAre("t.toml:4:1: unknown key \"url\""));
}

TEST(configuration, all_errors_are_found_in_file_order) {
  EXPECT_THAT(
      errors_of("[timeouts]\n"
                "run = \"121s\"\n"
                "idle = 5\n"
                "\n"
                "[server]\n"
                "threads = 257\n"
                "max_body = \"11MiB\"\n"
                "listen = \"nowhere\"\n"
                "allowed_origins = [\"https://ok.example\", \"https://bad.example/path\"]\n"
                "[retry]\n"
                "backoff = [\"1s\", \"0s\"]\n"
                "retry_on_status = \"yes\"\n"),
      ElementsAre("t.toml:2:7: run: out of range, expected 1ms–2m",
                  "t.toml:3:8: idle: expected a duration such as \"250ms\" or \"15m\", found an integer",
                  "t.toml:6:11: threads: out of range, expected 0–256",
                  "t.toml:7:12: max_body: out of range, expected 1B–10MiB",
                  "t.toml:8:10: listen: expected host:port or unix:/path",
                  "t.toml:9:42: allowed_origins: expected an origin such as \"https://app.example.com\"",
                  "t.toml:11:18: backoff: out of range, expected ≥1ms",
                  "t.toml:12:19: retry_on_status: expected true or false, found a string"));
}

TEST(configuration, kinds_of_values_are_not_mixed_up) {
  for (const char* text : {
           "server = 1",                                         //
           "[server]\nthreads = 1.0",                            //
           "[server]\nthreads = \"1\"",                          //
           "[server]\nthreads = -1",                             //
           "[server]\nmax_connections = 9007199254740992",       //
           "[server]\nmax_body = 5",                             //
           "[server]\nmax_body = \"5\"",                         //
           "[server]\nkeep_alive = \"75\"",                      //
           "[server]\nallowed_origins = \"https://a.example\"",  //
           "[server]\nallowed_origins = [1]",                    //
           "[server]\ntls_cert = \"a\\u0000b\"",                 //
           "[session]\ntemperature = nan",                       //
           "[session]\ntemperature = inf",                       //
           "[session]\ntemperature = 2.1",                       //
           "[session]\ntemperature = \"none\"",                  //
           "[session]\nlocale = \"de\"",                         //
           "[session]\nsession_concurrency = 9",                 //
           "[judge]\nmodel = \" \"",                             //
           "[journal]\nretention = \"23h\"",                     //
           "[journal]\ndurability = \"fast\"",                   //
           "[storage]\ndir = \"\"",                              //
           "[storage]\ntrace_retention = \"719h\"",              //
           "[pricing]\nlast_updated = \"2026-02-30\"",           //
           "[pricing.models]\nx = 1",                            //
           "[pricing.models.x]\ninput_per_1k = 1",               //
           "[pricing.models.x]\ninput_per_1k = -1\noutput_per_1k = 1",
           "[policy]\nrequests_per_minute = 1",
           "[policy.\"a b\"]\n",
           "[[policy]]\n",
           "[provider]\nname = \"a\"",
           "[[server]]\n",
           "route = [1]",
           "[retry]\nbackoff = \"5;6\"",  // T20: the file is refused, the environment forgiven
           "[retry]\nbackoff = \"0\"",
       }) {
    EXPECT_THAT(errors_of(text), Not(IsEmpty())) << text;
  }
}

TEST(configuration, kinds_of_values_that_fit) {
  const configuration settings = settings_of(R"(
[session]
temperature = "omit"
[judge]
temperature = 1
[journal]
retention = "48h"
durability = "power"
[pricing]
last_updated = 2026-01-31
[pricing.models."my/model:1"]
input_per_1k = 0.003
output_per_1k = 1
[retry]
backoff = "7,11"
[admin]
listen = ""
)");
  EXPECT_EQ(settings.session.temperature, std::nullopt);
  EXPECT_EQ(settings.judge.temperature, 1.0);
  EXPECT_EQ(settings.journal.retention, milliseconds{172'800'000});
  EXPECT_EQ(settings.journal.durability, journal_durability::power);
  EXPECT_EQ(settings.pricing.last_updated, "2026-01-31");
  EXPECT_EQ(settings.pricing.models.at("my/model:1").cached_input_per_1k, 0.003);
  EXPECT_THAT(settings.retry.backoff, ElementsAre(milliseconds{7}, milliseconds{11}));
  EXPECT_EQ(settings.admin.listen, "");
  EXPECT_THAT(settings_of("[retry]\nbackoff = []").retry.backoff, IsEmpty());
}

// CFG-4
TEST(configuration, a_literal_credential_is_refused_and_never_repeated) {
  const auto errors = errors_of(
      "[admin]\ntoken = \"hunter2-hunter2\"\n[[provider]]\nname = \"a\"\nkind = \"openai\"\napi_key = "
      "\"sk-live-123\"\n");
  EXPECT_THAT(errors, ElementsAre(HasSubstr("t.toml:2:9: token: "), HasSubstr("t.toml:6:11: api_key: ")));
  for (const std::string& error : errors) {
    EXPECT_THAT(error, Not(HasSubstr("hunter2")));
    EXPECT_THAT(error, Not(HasSubstr("sk-live")));
  }
}

// CFG-3
TEST(configuration, a_base_url_that_does_not_fit_is_refused) {
  for (const char* url :
       {"ftp://h", "https://u:p@h", "https://h/?q=1", "https://h/#f", "not a url", "https://"}) {
    const std::string text =
        "[[provider]]\nname = \"a\"\nkind = \"openai\"\nbase_url = \"" + std::string{url} + "\"\n";
    const auto errors = errors_of(text);
    EXPECT_THAT(errors, ElementsAre(HasSubstr("t.toml:4:12: base_url: base URL "))) << url;
    if (!errors.empty()) EXPECT_THAT(errors[0], Not(HasSubstr("u:p")));
  }
  EXPECT_EQ(
      settings_of("[[provider]]\nname = \"a\"\nkind = \"openai\"\nbase_url = \" \"\n").providers[0].base_url,
      "https://api.openai.com");
}

TEST(configuration, required_keys_are_missed) {
  EXPECT_THAT(
      errors_of("[[provider]]\n[[route]]\n[[key]]\n"),
      ElementsAre("t.toml:1:1: provider needs the key \"kind\"",
                  "t.toml:1:1: provider needs the key \"name\"", "t.toml:2:1: route needs the key \"model\"",
                  "t.toml:2:1: route needs the key \"targets\"", "t.toml:3:1: key needs the key \"hash\"",
                  "t.toml:3:1: key needs the key \"name\""));
}

TEST(configuration, names_are_unique) {
  EXPECT_THAT(
      errors_of(
          "[[provider]]\nname = \"a\"\nkind = \"openai\"\n[[provider]]\nkind = \"openai\"\nname = \"a\"\n"),
      ElementsAre("t.toml:6:8: a provider named \"a\" exists already"));
  const std::string key = "[[key]]\nname = \"k\"\nhash = \"hmac-sha256:" + std::string(64, '0') + "\"\n";
  EXPECT_THAT(errors_of(key + key), ElementsAre("t.toml:5:8: a key named \"k\" exists already"));
}

TEST(configuration, references_must_lead_somewhere) {
  EXPECT_THAT(errors_of(std::string{two_providers} +
                        "[[route]]\nmodel = \"m\"\ntargets = [{ provider = \"opnai\" }]\n"),
              ElementsAre("t.toml:12:25: no provider is named \"opnai\"; did you mean \"openai\"?"));
  EXPECT_THAT(errors_of("[policy.bulk]\n[[key]]\nname = \"k\"\nhash = \"hmac-sha256:" + std::string(64, '0') +
                        "\"\npolicy = \"blk\"\n"),
              ElementsAre("t.toml:5:10: no policy is named \"blk\"; did you mean \"bulk\"?"));
}

TEST(configuration, T152_a_backup_without_model_is_refused) {
  const std::string start = std::string{two_providers} + "[[route]]\nmodel = \"gpt-*\"\n";
  EXPECT_THAT(errors_of(start + "targets = [{ provider = \"openai\" }, { provider = \"anthropic\" }]\n"),
              ElementsAre("t.toml:12:37: a backup target names its model, or \"*\" for the caller's"));
  EXPECT_THAT(
      errors_of(start +
                "targets = [{ provider = \"openai\" }, { provider = \"anthropic\", model = \" \" }]\n"),
      ElementsAre(HasSubstr("t.toml:12:37: ")));
  EXPECT_THAT(
      errors_of(start +
                "targets = [{ provider = \"openai\" }, { provider = \"anthropic\", model = \"*\" }]\n"),
      IsEmpty());
  EXPECT_THAT(errors_of(start + "targets = []\n"), ElementsAre(HasSubstr("t.toml:12:11: targets: ")));
  EXPECT_THAT(errors_of(start + "targets = [{ model = \"m\" }]\n"),
              ElementsAre("t.toml:12:12: a target needs a provider"));
}

TEST(configuration, limits_that_belong_together_are_judged_together) {
  EXPECT_THAT(errors_of("[policy.default]\nmax_output_tokens = 512\ndefault_max_tokens = 513\n"),
              ElementsAre("t.toml:3:22: default_max_tokens: must be at most max_output_tokens (512)"));
  EXPECT_EQ(
      settings_of("[policy.default]\nmax_output_tokens = 512\n").policies.at("default").default_max_tokens,
      512);
  EXPECT_EQ(settings_of("[policy.default]\nmax_output_tokens = 0\ndefault_max_tokens = 9000\n")
                .policies.at("default")
                .default_max_tokens,
            9'000);
  EXPECT_THAT(errors_of("[session]\ncost_warning_usd = 6\n"),
              ElementsAre("t.toml:2:20: cost_hard_stop_usd must be at least cost_warning_usd"));
  EXPECT_THAT(errors_of("[server]\ntls_cert = \"a.pem\"\n"),
              ElementsAre("t.toml:2:12: tls_cert and tls_key are set together or not at all"));
}

// SEC-1, SEC-4
TEST(configuration, listeners_off_loopback_need_credentials) {
  EXPECT_THAT(errors_of("[admin]\nlisten = \"0.0.0.0:1\"\n"),
              ElementsAre("t.toml:2:10: an admin listener off loopback needs admin.token"));
  EXPECT_THAT(errors_of("[admin]\nlisten = \"0.0.0.0:1\"\ntoken = \"env:T\"\n"), IsEmpty());
  const configuration open = settings_of("[server]\nlisten = \"0.0.0.0:1\"\n");
  EXPECT_THAT(exposure_problems(open, false),
              ElementsAre("a data listener off loopback needs at least one client key"));
  EXPECT_THAT(exposure_problems(open, true), IsEmpty());
}

TEST(configuration, odd_but_legal_settings_are_warned_about) {
  const auto loaded = load(source_of(std::string{two_providers} + R"(
[[route]]
model = "*"
targets = [{ provider = "openai", model = "claude-x" }]
[[route]]
model = "gpt-4o"
targets = [{ provider = "openai" }]
[[provider]]
name = "bare"
kind = "openai-compatible"
)"));
  ASSERT_TRUE(loaded);
  std::vector<std::string> events;
  for (const config_warning& warning : loaded->warnings) events.push_back(warning.event);
  EXPECT_THAT(events, ElementsAre("ai_provider_without_url", "ai_preflight_failed", "route_never_reached"));
}

TEST(configuration, providers_without_routes_serve_their_vendors_models) {
  const configuration settings = settings_of(two_providers);
  std::vector<std::string> models;
  for (const route_settings& route : settings.routes)
    models.push_back(route.model + "=" + route.targets[0].provider);
  EXPECT_THAT(models, ElementsAre("gpt-*=openai", "o*=openai", "chatgpt-*=openai", "text-embedding-*=openai",
                                  "claude-*=anthropic"));
}

TEST(configuration, hostile_texts_are_refused_quickly) {
  EXPECT_THAT(errors_of(std::string(config_text_max + 1, ' ')), ElementsAre("t.toml:1:1: larger than 4 MiB"));
  std::string deep = "a";
  for (int i = 0; i < 100'000; ++i) deep += ".a";
  EXPECT_THAT(errors_of(deep + " = 1\n"), ElementsAre(HasSubstr("dotted key")));
  EXPECT_THAT(errors_of("[" + deep + "]\n"), ElementsAre(HasSubstr("dotted key")));
  EXPECT_THAT(errors_of("a = " + std::string(100'000, '[')), Not(IsEmpty()));
  for (const char* text : {"\xff\xfe = 1", "\u03a0 = 1", "a \u03a0", "[!]", "[\x1d", "[[=]]", "[a.]", "[a.!]",
                           "a.! = 1", "!", "[", "a", "a =", "a = {", "\""}) {
    EXPECT_THAT(errors_of(text), ElementsAre(HasSubstr("t.toml:1:"))) << text;
  }
  std::string many;
  for (int i = 0; i < 5'000; ++i) many += "k" + std::to_string(i) + " = 1\n";
  EXPECT_EQ(errors_of(many).size(), config_errors_max);
  EXPECT_THAT(errors_of("# " + std::string(500, '.') + "\n[server]\ntls_cert = \"" + std::string(500, '.') +
                        "\"\ntls_key = '" + std::string(500, '.') + "'\n"),
              IsEmpty());
}

TEST(configuration, is_found_by_flag_then_variable_then_place) {
  const file_reader read = [](const std::string& path) -> std::expected<std::string, std::string> {
    if (path == "missing") return std::unexpected{std::string{file_not_found}};
    return "# " + path;
  };
  const file_reader none = [](const std::string&) -> std::expected<std::string, std::string> {
    return std::unexpected{std::string{file_not_found}};
  };
  const file_reader denied = [](const std::string&) -> std::expected<std::string, std::string> {
    return std::unexpected{std::string{"Permission denied"}};
  };
  const environment env{{"TIDEGATE_CONFIG", "from_variable"}};
  EXPECT_EQ(find_configuration("from_flag", env, read)->text, "# from_flag");
  EXPECT_EQ(find_configuration({}, env, read)->text, "# from_variable");
  EXPECT_EQ(find_configuration({}, {}, read)->text, "# ./tidegate.toml");
  EXPECT_EQ(find_configuration({}, {}, none)->text, "");
  EXPECT_EQ(find_configuration({}, {}, none)->name, "built-in defaults");
  EXPECT_EQ(to_text(find_configuration("missing", {}, read).error()), "missing: no such file");
  EXPECT_EQ(to_text(find_configuration({}, env, none).error()), "from_variable: no such file");
  EXPECT_EQ(to_text(find_configuration({}, {}, denied).error()), "tidegate.toml: Permission denied");
}

}  // namespace
}  // namespace tidegate::app
