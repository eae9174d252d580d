// What an admin may make of a provider (CFG-5, CFG-6).
#include "session/provider_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidegate::session {
namespace {

using foundation::error_code;
using policy::provider_kind;
using testing::HasSubstr;

const provider_base vendor{provider_kind::openai, true, "https://api.openai.com"};
const provider_base custom{provider_kind::openai_compatible, true, "http://127.0.0.1:9/v1"};
const provider_base bare{provider_kind::openai_compatible, false, ""};

provider_patch key_patch(std::string key) {
  provider_patch p;
  p.provider = "openai";
  p.api_key = std::move(key);
  return p;
}

TEST(provider_settings, a_patch_of_nothing_is_refused) {
  const auto plan = plan_update(vendor, {}, {});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, error_code::invalid_argument);
}

TEST(provider_settings, what_is_not_named_stays_as_it_is_stored) {
  provider_override stored;
  stored.base_url = "https://elsewhere.example";
  stored.own_key = true;
  provider_patch patch;
  patch.enabled = false;
  const auto plan = plan_update(vendor, stored, patch);
  ASSERT_TRUE(plan);
  provider_override wanted = stored;
  wanted.enabled = false;
  EXPECT_EQ(plan->next, wanted);
  EXPECT_EQ(plan->api_key, std::nullopt);
}

TEST(provider_settings, a_base_url_is_trimmed_checked_and_normalised) {
  provider_patch patch;
  patch.base_url = "  HTTPS://Elsewhere.example/p/  ";
  EXPECT_EQ(plan_update(vendor, {}, patch)->next.base_url, "https://elsewhere.example/p");
  for (const char* bad :
       {"ftp://h", "https://user:pass@h", "https://h?q=1", "https://h#f", "h", "https://"}) {
    SCOPED_TRACE(bad);
    patch.base_url = bad;
    const auto plan = plan_update(vendor, {}, patch);
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code, error_code::invalid_argument);
    EXPECT_EQ(plan.error().details, R"({"fieldName":"baseUrl"})");
    EXPECT_THAT(plan.error().message, Not(HasSubstr("pass")));
  }
}

// CFG-6
TEST(provider_settings, an_enabled_provider_has_a_base_url) {
  provider_patch patch;
  patch.enabled = true;
  ASSERT_FALSE(plan_update(bare, {}, patch));
  EXPECT_EQ(plan_update(bare, {}, patch).error().code, error_code::invalid_argument);
  patch.base_url = "http://127.0.0.1:9";
  EXPECT_TRUE(plan_update(bare, {}, patch));
  provider_patch clear;
  clear.base_url = " ";
  EXPECT_FALSE(plan_update(vendor, {}, clear)) << "it is enabled";
  clear.enabled = false;
  EXPECT_EQ(plan_update(vendor, {}, clear)->next.base_url, "");
  provider_override cleared;
  cleared.enabled = false;
  cleared.base_url = "";
  provider_patch enable;
  enable.enabled = true;
  EXPECT_FALSE(plan_update(vendor, cleared, enable)) << "the stored value overrides the file";
}

// T69, CFG-5
TEST(provider_settings, T69_a_known_vendor_is_shown_keys_of_its_form_only) {
  for (const char* bad :
       {"plain-text-key", "sk-", "sk-a", "sk-aaaa", "xk-aaaaaaaa", "sk-aaaa aaaa", "sk_aaaaaaaa"}) {
    SCOPED_TRACE(bad);
    const auto plan = plan_update(vendor, {}, key_patch(bad));
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code, error_code::invalid_argument);
    EXPECT_EQ(plan.error().details, R"({"fieldName":"apiKey"})");
    if (std::string_view{bad}.size() >= 8) EXPECT_THAT(plan.error().message, Not(HasSubstr(bad)));
  }
  for (const char* good : {"sk-aaaaa", "pk-a.b_c-d", "rk-12345", "ak-12345"}) {
    const auto plan = plan_update(vendor, {}, key_patch("  " + std::string{good} + "\n"));
    ASSERT_TRUE(plan) << good;
    EXPECT_EQ(plan->api_key, good) << "trimmed";
    EXPECT_TRUE(plan->next.own_key);
    EXPECT_FALSE(plan->unusual_key);
  }
}

// T139
TEST(provider_settings, T139_elsewhere_an_unusual_key_is_taken_with_a_warning) {
  const auto plan = plan_update(custom, {}, key_patch("plain-text-key"));
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->api_key, "plain-text-key");
  EXPECT_TRUE(plan->unusual_key);
  provider_patch moved = key_patch("plain-text-key");
  moved.base_url = "https://gateway.example";
  EXPECT_TRUE(plan_update(vendor, {}, moved)) << "the URL of the same patch counts";
}

TEST(provider_settings, an_empty_key_clears_and_what_cannot_stand_in_a_header_is_refused) {
  const auto plan = plan_update(vendor, {}, key_patch("   "));
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->api_key, "");
  EXPECT_TRUE(plan->next.own_key) << "the file's reference does not come back";
  EXPECT_FALSE(plan->unusual_key);
  EXPECT_FALSE(plan_update(custom, {}, key_patch("a\r\nb: c")));
  EXPECT_FALSE(plan_update(custom, {}, key_patch(std::string(provider_key_max + 1, 'a'))));
}

TEST(provider_settings, what_is_stored_reads_back_and_nothing_else_does) {
  provider_override o;
  EXPECT_EQ(parse_override(to_json(o)), o);
  o.enabled = false;
  o.base_url = "https://h";
  o.own_key = true;
  EXPECT_EQ(parse_override(to_json(o)), o);
  o.base_url = "";
  EXPECT_EQ(parse_override(to_json(o)), o);
  for (const char* bad : {"", "[]", "{", R"({"enabled":1})", R"({"baseUrl":7})", R"({"baseUrl":"ftp://h"})",
                          R"({"ownKey":"yes"})"}) {
    EXPECT_EQ(parse_override(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace tidegate::session
