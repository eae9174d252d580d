#include "policy/routing.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <vector>

#include "foundation/random.h"

namespace tidegate::policy {
namespace {

using foundation::error_code;

// The definition, exponential and obvious.
bool reference_glob(std::string_view pattern, std::string_view name) {
  if (pattern.empty()) return name.empty();
  if (pattern[0] == '*') {
    return reference_glob(pattern.substr(1), name) ||
           (!name.empty() && reference_glob(pattern, name.substr(1)));
  }
  return !name.empty() && (pattern[0] == '?' || pattern[0] == name[0]) &&
         reference_glob(pattern.substr(1), name.substr(1));
}

TEST(glob, examples) {
  EXPECT_TRUE(glob_matches("gpt-*", "gpt-5.2"));
  EXPECT_TRUE(glob_matches("gpt-*", "gpt-"));
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_TRUE(glob_matches("o?", "o3"));
  EXPECT_TRUE(glob_matches("*-mini*", "gpt-4o-mini-2024"));
  EXPECT_TRUE(glob_matches("[a]", "[a]"));
  EXPECT_FALSE(glob_matches("gpt-*", "GPT-5"));
  EXPECT_FALSE(glob_matches("gpt-?", "gpt-"));
  EXPECT_FALSE(glob_matches("", "a"));
  EXPECT_FALSE(glob_matches("[a]", "a"));
}

TEST(glob, agrees_with_its_definition) {
  foundation::random_source random{42};
  for (int i = 0; i < 50'000; ++i) {
    std::string pattern;
    std::string name;
    for (std::uint64_t n = random.below(8); n > 0; --n) pattern += "ab*?"[random.below(4)];
    for (std::uint64_t n = random.below(9); n > 0; --n) name += "ab"[random.below(2)];
    ASSERT_EQ(glob_matches(pattern, name), reference_glob(pattern, name)) << pattern << " " << name;
  }
}

TEST(glob, many_stars_do_not_blow_up) {
  std::string pattern;
  for (int i = 0; i < 1'000; ++i) pattern += "*a";
  EXPECT_FALSE(glob_matches(pattern + "b", std::string(10'000, 'a')));
}

TEST(routing, res1_first_matching_route_wins) {
  const std::array<std::string_view, 3> patterns{"gpt-5.2", "gpt-*", "*"};
  EXPECT_EQ(first_route(patterns, "gpt-5.2"), 0U);
  EXPECT_EQ(first_route(patterns, "gpt-4o"), 1U);
  EXPECT_EQ(first_route(patterns, "claude-x"), 2U);
  EXPECT_FALSE(first_route(std::span{patterns}.first(2), "claude-x").has_value());
  const std::vector<std::string> owned{"a*", "b*"};
  EXPECT_EQ(first_route(owned, "b1"), 1U);
}

TEST(routing, res1_only_the_first_target_may_omit_its_model) {
  EXPECT_EQ(target_model("", true, "gpt-5.2"), "gpt-5.2");
  EXPECT_EQ(target_model("", false, "gpt-5.2"), "");
  EXPECT_EQ(target_model("*", false, "gpt-5.2"), "gpt-5.2");
  EXPECT_EQ(target_model("claude-sonnet-4", false, "gpt-5.2"), "claude-sonnet-4");
}

std::string joined(std::string_view base, std::string_view path) {
  const auto url = parse_base_url(base);
  return url ? url->url_of(path) : std::string{describe(url.error())};
}

TEST(base_url, t85_joining_keeps_the_prefix_and_collapses_a_doubled_version) {
  constexpr std::string_view chat = "/v1/chat/completions";
  EXPECT_EQ(joined("https://h/p/v1", chat), "https://h/p/v1/chat/completions");
  EXPECT_EQ(joined("https://h/p/v1/", chat), "https://h/p/v1/chat/completions");
  EXPECT_EQ(joined("https://h/p", chat), "https://h/p/v1/chat/completions");
  EXPECT_EQ(joined("https://h", chat), "https://h/v1/chat/completions");
  EXPECT_EQ(joined("https://h/v1", "/v1"), "https://h/v1");
  EXPECT_EQ(joined("https://h/xv1", chat), "https://h/xv1/v1/chat/completions");
  EXPECT_EQ(joined("https://h/v1", "/v1x"), "https://h/v1/v1x");
  EXPECT_EQ(joined(" HTTP://Api.Example.COM:80/ \n", chat), "http://api.example.com/v1/chat/completions");
}

TEST(base_url, parts) {
  const auto v6 = parse_base_url("http://[2001:DB8::1]:8080/openai").value();
  EXPECT_EQ(v6.host, "2001:db8::1");
  EXPECT_EQ(v6.port, 8080);
  EXPECT_FALSE(v6.tls);
  EXPECT_EQ(v6.authority(), "[2001:db8::1]:8080");
  EXPECT_EQ(v6.text(), "http://[2001:db8::1]:8080/openai");
  const auto plain = parse_base_url("https://127.0.0.1").value();
  EXPECT_EQ(plain.port, 443);
  EXPECT_EQ(plain.authority(), "127.0.0.1");
  EXPECT_EQ(parse_base_url("https://h:80").value().authority(), "h:80");
}

TEST(base_url, same_meaning_same_text) {
  EXPECT_EQ(parse_base_url("https://H:443/p//").value().text(), parse_base_url("HTTPS://h/p").value().text());
}

TEST(base_url, cfg3_refusals) {
  const std::vector<std::pair<std::string, url_fault>> cases{
      {"", url_fault::empty},
      {"  ", url_fault::empty},
      {"https://" + std::string(3'000, 'a'), url_fault::too_long},
      {"h", url_fault::not_http},
      {"ftp://h", url_fault::not_http},
      {"https:/h", url_fault::not_http},
      {"https://user@h", url_fault::userinfo},
      {"https://user:pw@h/p", url_fault::userinfo},
      {"https://h?", url_fault::query},
      {"https://h/p?a=b", url_fault::query},
      {"https://h#", url_fault::fragment},
      {"https://", url_fault::bad_host},
      {"https:///p", url_fault::bad_host},
      {"https://:80", url_fault::bad_host},
      {"https://a..b", url_fault::bad_host},
      {"https://a b", url_fault::bad_host},
      {"https://a.", url_fault::bad_host},
      {"https://h\\x", url_fault::bad_host},
      {"https://\xC3\xA4.de", url_fault::bad_host},
      {"https://h\r\nx: y", url_fault::bad_host},
      {"https://[::1", url_fault::bad_host},
      {"https://[::1]x", url_fault::bad_host},
      {"https://[fe80::1%25eth0]", url_fault::bad_host},
      {"https://::1", url_fault::bad_host},
      {"https://h:", url_fault::bad_port},
      {"https://h:0", url_fault::bad_port},
      {"https://h:65536", url_fault::bad_port},
      {"https://h:8a", url_fault::bad_port},
      {"https://[::1]:", url_fault::bad_port},
      {"https://h/a b", url_fault::bad_path},
      {"https://h/a\r\nb", url_fault::bad_path},
      {"https://h/%4", url_fault::bad_path},
      {"https://h/%zz", url_fault::bad_path},
      {"https://h/a/../b", url_fault::bad_path},
      {"https://h/.", url_fault::bad_path},
      {"https://h/a\\b", url_fault::bad_path},
  };
  for (const auto& [text, expected] : cases) {
    const auto url = parse_base_url(text);
    ASSERT_FALSE(url.has_value()) << text;
    EXPECT_EQ(url.error(), expected) << text;
    EXPECT_FALSE(describe(url.error()).empty());
  }
}

TEST(base_url, ipv6_forms) {
  for (const std::string_view good :
       {"::", "::1", "1::", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4"}) {
    EXPECT_TRUE(parse_base_url("http://[" + std::string{good} + "]").has_value()) << good;
  }
  for (const std::string_view bad : {"", ":", ":::", "1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3",
                                     "12345::", "g::", "1:2:3:4:5:6:7:8::", "::1.2.3", "::1.2.3.256",
                                     "::1.2.3.4.5", "1:", "::0001.2.3.4"}) {
    EXPECT_FALSE(parse_base_url("http://[" + std::string{bad} + "]").has_value()) << bad;
  }
}

TEST(base_url, any_bytes_are_safe) {
  foundation::random_source random{7};
  for (int i = 0; i < 20'000; ++i) {
    std::string text = random.below(2) == 0 ? "http://" : "https://[";
    for (std::uint64_t n = random.below(20); n > 0; --n) {
      text += random.below(3) == 0 ? static_cast<char>(random.below(256)) : "a1:./]%@?#"[random.below(10)];
    }
    const auto url = parse_base_url(text);
    if (!url) continue;
    const std::string out = url->url_of("/v1/models");
    for (const char c : out) ASSERT_TRUE(c > ' ' && c < '\x7f') << text;
    ASSERT_EQ(parse_base_url(url->text()).value().text(), url->text());
  }
}

TEST(preflight, t69_vendor_key_format) {
  for (const std::string_view good :
       {"sk-abcde", "pk-12345", "rk-a.b_c-d", "ak-AAAAA", "sk-proj-abc_DEF.1"}) {
    EXPECT_TRUE(is_vendor_key(good)) << good;
  }
  for (const std::string_view bad :
       {"", "sk-", "sk-abcd", "plain-text-key", "SK-abcdef", "sk_abcdef", "sk-abc def", "sk-abc/def",
        "sk-abcdef\n", " sk-abcdef", "xsk-abcdef", "sk-abc\xC3\xA4"}) {
    EXPECT_FALSE(is_vendor_key(bad)) << bad;
  }
}

TEST(preflight, known_vendors) {
  const auto openai = parse_base_url("https://api.openai.com/v1").value();
  const auto anthropic = parse_base_url("https://API.anthropic.com").value();
  EXPECT_TRUE(is_known_vendor(provider_kind::openai, openai));
  EXPECT_TRUE(is_known_vendor(provider_kind::anthropic, anthropic));
  EXPECT_FALSE(is_known_vendor(provider_kind::openai, anthropic));
  EXPECT_FALSE(is_known_vendor(provider_kind::openai_compatible, openai));
  EXPECT_FALSE(is_known_vendor(provider_kind::openai, parse_base_url("https://api.openai.com.evil").value()));
}

TEST(preflight, t71_res4_model_family) {
  EXPECT_TRUE(is_foreign_model(provider_kind::openai, "claude-sonnet-4"));
  for (const std::string_view model :
       {"gpt-5.2", "chatgpt-4o", "o1", "o3-mini", "o4-mini", "text-embedding-3-small"}) {
    EXPECT_TRUE(is_foreign_model(provider_kind::anthropic, model)) << model;
    EXPECT_FALSE(is_foreign_model(provider_kind::openai, model)) << model;
    EXPECT_FALSE(is_foreign_model(provider_kind::openai_compatible, model)) << model;
  }
  EXPECT_FALSE(is_foreign_model(provider_kind::anthropic, "my-model"));
  EXPECT_FALSE(is_foreign_model(provider_kind::openai, "my-claude-"));
  EXPECT_FALSE(is_foreign_model(provider_kind::openai_compatible, "claude-sonnet-4"));
}

TEST(preflight, res4_order_of_checks) {
  preflight_input in{.kind = provider_kind::openai,
                     .known_vendor = true,
                     .credential_configured = true,
                     .credential = " ",
                     .model = ""};
  EXPECT_EQ(preflight(in), error_code::preflight_missing_api_key);
  in.credential = "plain-text-key";
  EXPECT_EQ(preflight(in), error_code::preflight_invalid_api_key_format);
  in.credential = "sk-abcdef";
  EXPECT_EQ(preflight(in), error_code::preflight_missing_model);
  in.model = "claude-sonnet-4";
  EXPECT_EQ(preflight(in), error_code::preflight_model_provider_mismatch);
  in.model = "gpt-5.2";
  EXPECT_FALSE(preflight(in).has_value());
}

TEST(preflight, res4_compatible_needs_no_key_but_a_blank_reference_is_missing) {
  preflight_input in{.kind = provider_kind::openai_compatible, .credential = {}, .model = "claude-sonnet-4"};
  EXPECT_FALSE(preflight(in).has_value());
  in.credential_configured = true;
  EXPECT_EQ(preflight(in), error_code::preflight_missing_api_key);
  in.credential = "anything goes";
  EXPECT_FALSE(preflight(in).has_value());
}

TEST(provider_kinds, names_round_trip) {
  for (const auto kind :
       {provider_kind::openai, provider_kind::anthropic, provider_kind::openai_compatible}) {
    EXPECT_EQ(provider_kind_of(name_of(kind)), kind);
  }
  EXPECT_FALSE(provider_kind_of("azure").has_value());
}

}  // namespace
}  // namespace tidegate::policy
