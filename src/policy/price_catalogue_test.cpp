#include "policy/price_catalogue.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kit/fixtures.h"  // simdjson with it

namespace tidegate::policy {
namespace {

using namespace std::chrono_literals;
using foundation::wall_time;
using simdjson::dom::element;

// A day on which the recorded prices held.
const wall_time recorded_at = std::chrono::sys_days{2026y / 7 / 15} + 12h;

std::optional<model_price> price_at(std::string_view base_url, std::string_view model,
                                    wall_time when = recorded_at,
                                    std::string_view kind = "openai-compatible") {
  return price_book{}.find({.kind = kind, .base_url = base_url, .model = model}, when);
}

TEST(price_catalogue, patterns_match_whole_names_without_regard_to_case) {
  using price_catalogue::matches;
  EXPECT_TRUE(matches("gpt-4o", "GPT-4o"));
  EXPECT_FALSE(matches("gpt-4o", "gpt-4o-mini"));
  EXPECT_TRUE(matches("gpt-4o*", "gpt-4o"));
  EXPECT_TRUE(matches("*claude*", "eu.anthropic.Claude-3"));
  EXPECT_TRUE(matches("*-a", "b-b-a"));
  EXPECT_FALSE(matches("*-a", "b-a-b"));
  EXPECT_TRUE(matches("m-########", "m-20260101"));
  EXPECT_FALSE(matches("m-########", "m-2026010"));
  EXPECT_TRUE(matches("a*b*c", "a-b-b-c"));
  EXPECT_TRUE(matches("*", ""));
  EXPECT_FALSE(matches("", "a"));
  EXPECT_TRUE(matches("", ""));
  EXPECT_FALSE(matches("*a*a*a*a*a*a*a*b", std::string(4'000, 'a')));
}

TEST(price_catalogue, the_address_decides_then_the_kind_then_the_name) {
  using price_catalogue::vendor_of;
  EXPECT_EQ(vendor_of({"openai", "https://api.openai.com/v1", "x"}), "openai");
  EXPECT_EQ(vendor_of({"openai-compatible", "https://API.OPENAI.COM:443/v1", "x"}), "openai");
  EXPECT_EQ(vendor_of({"openai", "https://me.openai.azure.com/openai/v1", "x"}), "azure");
  EXPECT_EQ(vendor_of({"openai-compatible", "https://router.huggingface.co/groq/openai/v1", "x"}),
            "huggingface_groq");
  EXPECT_EQ(vendor_of({"openai-compatible", "https://router.huggingface.co/groqqy", "x"}), "");
  EXPECT_EQ(vendor_of({"openai-compatible", "https://bedrock-runtime.eu-west-1.amazonaws.com", "x"}), "aws");
  EXPECT_EQ(vendor_of({"openai", "http://127.0.0.1:9000", "x"}), "openai");
  EXPECT_EQ(vendor_of({"anthropic", "", "x"}), "anthropic");
  EXPECT_EQ(vendor_of({"openai-compatible", "http://127.0.0.1:9000", "claude-opus-4-5"}), "anthropic");
  EXPECT_EQ(vendor_of({"openai-compatible", "http://127.0.0.1:9000", "o3-mini"}), "openai");
  EXPECT_EQ(vendor_of({"openai-compatible", "http://127.0.0.1:9000", "house-model"}), "");
  EXPECT_EQ(vendor_of({"openai-compatible", "https://api.openai.com.example.org", "house-model"}), "");
  EXPECT_EQ(vendor_of({"openai-compatible", "https://api.openai.com@example.org", "house-model"}), "");
}

TEST(price_catalogue, published_rates_of_known_models) {
  const auto mini = price_at("https://api.openai.com", "gpt-4o-mini-2024-07-18");
  ASSERT_TRUE(mini);
  EXPECT_EQ(mini->rates.input, 150'000);
  EXPECT_EQ(mini->rates.cached, 75'000);
  EXPECT_EQ(mini->rates.output, 600'000);
  const auto sonnet = price_at("https://api.anthropic.com", "claude-sonnet-4-5-20250929");
  ASSERT_TRUE(sonnet);
  EXPECT_EQ(sonnet->rates.input, 3'000'000);
  EXPECT_EQ(sonnet->rates.cached, 300'000);
  EXPECT_EQ(sonnet->rates.cache_write, 3'750'000);
  EXPECT_EQ(sonnet->rates.cache_write_1h, 6'000'000);
  ASSERT_TRUE(sonnet->tier);
  EXPECT_EQ(sonnet->tier->above, 200'000);
  EXPECT_EQ(sonnet->tier->rates.input, 6'000'000);
  EXPECT_EQ(sonnet->tier->rates.cache_write_1h, 12'000'000);
  EXPECT_EQ(sonnet->tier->rates.output, 22'500'000);
  EXPECT_EQ(sonnet->per_web_search, 10'000'000'000);
}

TEST(price_catalogue, an_announced_price_holds_from_its_day) {
  const wall_time first = std::chrono::sys_days{2026y / 9 / 1};
  EXPECT_EQ(price_at("", "claude-sonnet-5", first - 1ms, "anthropic")->rates.input, 2'000'000);
  const auto later = price_at("", "claude-sonnet-5", first, "anthropic");
  EXPECT_EQ(later->rates.input, 3'000'000);
  EXPECT_EQ(later->rates.cache_write_1h, 6'000'000);
  EXPECT_EQ(later->per_web_search, 10'000'000'000);
}

TEST(price_catalogue, a_price_by_the_hour_holds_in_its_hours) {
  const auto day = std::chrono::sys_days{2026y / 8 / 15};
  const auto at = [&](foundation::milliseconds time) {
    return price_at("https://api.deepseek.com", "deepseek-chat", day + time)->rates.input;
  };
  EXPECT_EQ(at(30min - 1ms), 135'000);
  EXPECT_EQ(at(30min), 270'000);
  EXPECT_EQ(at(16h + 30min - 1ms), 270'000);
  EXPECT_EQ(at(16h + 30min), 135'000);
}

TEST(price_catalogue, resold_models_cost_what_their_maker_asks) {
  const auto resold = price_at("https://me.openai.azure.com", "gpt-4o-mini-2024-07-18");
  ASSERT_TRUE(resold);
  EXPECT_EQ(resold->rates.input, 150'000);
}

TEST(price_catalogue, names_of_any_length_and_bytes_are_harmless) {
  EXPECT_FALSE(price_at("https://openrouter.ai", std::string(1'000'000, 'a')));
  EXPECT_FALSE(price_at("https://openrouter.ai", std::string(256, '*')));
  EXPECT_FALSE(price_at(std::string(100'000, ':'), "x"));
  EXPECT_FALSE(price_at("://///", std::string("\0\xff", 2)));
}

TEST(price_catalogue, every_entry_is_sound) {
  std::size_t entries = 0;
  for (const auto* vendor :
       {"openai", "anthropic", "google", "aws", "azure", "openrouter", "mistral", "groq"}) {
    for (const auto& [seller, id, price] : price_catalogue::list(vendor, recorded_at)) {
      ++entries;
      EXPECT_GE(price.rates.input, 0) << id;
      EXPECT_GE(price.rates.output, 0) << id;
      EXPECT_LE(price.rates.output, 1'000'000'000) << id << ": more than 1,000 USD a million tokens";
      EXPECT_TRUE(!price.tier || price.tier->above > 0) << id;
    }
  }
  EXPECT_GT(entries, 900U);
  EXPECT_TRUE(price_catalogue::list("nobody", recorded_at).empty());
  EXPECT_EQ(price_catalogue::dated().size(), 10U);
}

// --- real usages and what they cost (COST-1) ---------------------------------------------------------------

std::int64_t number(element object, std::string_view pointer) {
  double value = 0;
  return object.at_pointer(pointer).get(value) == simdjson::SUCCESS ? static_cast<std::int64_t>(value) : 0;
}

// "0.0090519" or "9.75E-7" in pico-dollars.
std::int64_t pico_of(std::string_view usd) {
  const auto exponent_at = std::min(usd.find('E'), usd.size());
  const int exponent = exponent_at < usd.size() ? std::stoi(std::string{usd.substr(exponent_at + 1)}) : 0;
  std::string digits{usd.substr(0, exponent_at)};
  const auto point = std::min(digits.find('.'), digits.size());
  const auto places = static_cast<std::ptrdiff_t>(digits.size() - std::min(point + 1, digits.size()));
  if (point < digits.size()) digits.erase(point, 1);
  // 12 digits behind the point; the corpus has no finer price.
  const std::ptrdiff_t zeros = 12 - places + exponent;
  if (zeros >= 0) digits.append(static_cast<std::size_t>(zeros), '0');
  return std::stoll(zeros >= 0 ? digits : digits.substr(0, digits.size() - static_cast<std::size_t>(-zeros)));
}

llm_usage of_chat(element u) {
  return {.input = number(u, "/prompt_tokens"),
          .cached = std::max(number(u, "/prompt_tokens_details/cached_tokens"), number(u, "/cached_tokens")),
          .cache_write = number(u, "/prompt_tokens_details/cache_write_tokens"),
          .output = number(u, "/completion_tokens"),
          .audio_input = number(u, "/prompt_tokens_details/audio_tokens"),
          .audio_output = number(u, "/completion_tokens_details/audio_tokens")};
}

llm_usage of_responses(element u) {
  return {.input = number(u, "/input_tokens"),
          .cached = number(u, "/input_tokens_details/cached_tokens"),
          .cache_write = number(u, "/input_tokens_details/cache_write_tokens"),
          .output = number(u, "/output_tokens")};
}

llm_usage of_messages(element u) {
  const std::int64_t cached = number(u, "/cache_read_input_tokens");
  const std::int64_t written = number(u, "/cache_creation_input_tokens");
  return {.input = number(u, "/input_tokens") + cached + written,
          .cached = cached,
          .cache_write = written,
          .output = number(u, "/output_tokens"),
          .cache_write_1h = number(u, "/cache_creation/ephemeral_1h_input_tokens"),
          .web_searches = number(u, "/server_tool_use/web_search_requests")};
}

std::int64_t of_modality(element u, std::string_view list, std::string_view wanted) {
  simdjson::dom::array parts;
  if (u.at_pointer(list).get(parts) != simdjson::SUCCESS) return 0;
  std::int64_t sum = 0;
  for (const element part : parts) {
    std::string_view modality;
    if (part["modality"].get(modality) == simdjson::SUCCESS && modality == wanted)
      sum += number(part, "/tokenCount");
  }
  return sum;
}

llm_usage of_gemini(element u) {
  return {.input = number(u, "/promptTokenCount") + number(u, "/toolUsePromptTokenCount"),
          .cached = number(u, "/cachedContentTokenCount"),
          .output = number(u, "/candidatesTokenCount") + number(u, "/thoughtsTokenCount"),
          .audio_input = of_modality(u, "/promptTokensDetails", "AUDIO"),
          .audio_cached = of_modality(u, "/cacheTokensDetails", "AUDIO"),
          .audio_output = of_modality(u, "/candidatesTokensDetails", "AUDIO")};
}

// The token counts as the corpus extracted them.
llm_usage of_counts(element u) {
  return {.input = number(u, "/input_tokens"),
          .cached = number(u, "/cache_read_tokens"),
          .cache_write = number(u, "/cache_write_tokens"),
          .output = number(u, "/output_tokens"),
          .cache_write_1h = number(u, "/cache_write_1h_tokens"),
          .audio_input = number(u, "/input_audio_tokens"),
          .audio_cached = number(u, "/cache_audio_read_tokens"),
          .audio_output = number(u, "/output_audio_tokens"),
          .web_searches = number(u, "/web_searches")};
}

// The usage object read the way the vendor's dialect says; the corpus reads every usage in each way that
// fits.
llm_usage of_body(element body, std::string_view vendor, std::string_view flavor) {
  element usage;
  if (body["usage"].get(usage) != simdjson::SUCCESS && body["usageMetadata"].get(usage) != simdjson::SUCCESS)
    return {};
  if (flavor == "anthropic" || vendor == "anthropic")
    return flavor == "chat" ? of_chat(usage) : of_messages(usage);
  if (flavor == "responses") return of_responses(usage);
  if (vendor == "google" && flavor == "default") return of_gemini(usage);
  llm_usage chat = of_chat(usage);
  if (flavor == "embeddings") chat = {.input = chat.input};
  return chat;
}

struct tally {
  std::size_t passed = 0;
  std::size_t total = 0;
  std::map<std::string, std::size_t> failed;

  void count(bool right, const std::string& what) {
    ++total;
    passed += right;
    if (!right) ++failed[what];
  }
};

std::ostream& operator<<(std::ostream& out, const tally& t) {
  out << t.passed << "/" << t.total;
  for (const auto& [what, times] : t.failed) out << "\n  " << times << " x " << what;
  return out;
}

struct recorded_prices {
  tally by_counts, by_body, unpriced;

  void reading(element body, element counts, element reader, std::string_view model) {
    const std::string_view vendor = reader["provider_id"];
    const std::string_view flavor = reader["api_flavor"];
    const auto price = price_catalogue::find(vendor, model, recorded_at);
    const std::string what = std::string{vendor} + "/" + std::string{flavor} + " " + std::string{model};
    std::string_view input;
    std::string_view output;
    if (reader["input_price"].get(input) != simdjson::SUCCESS ||
        reader["output_price"].get(output) != simdjson::SUCCESS) {
      unpriced.count(!price, what);
      return;
    }
    const auto right = [&](const llm_usage& usage) {
      if (!price) return false;
      const cost_parts parts = parts_of(*price, usage);
      std::string_view all;
      const bool searched = reader["total_price"].get(all) == simdjson::SUCCESS;
      const std::int64_t total = searched ? pico_of(all) : pico_of(input) + pico_of(output);
      // What only some readings tell of, searches, counts where it was recorded.
      const std::int64_t other = searched ? parts.other : 0;
      return parts.input == pico_of(input) && parts.output == pico_of(output) &&
             parts.input + parts.output + other == total;
    };
    by_counts.count(right(of_counts(counts)), what);
    by_body.count(right(of_body(body, vendor, flavor)), what);
  }
};

TEST(price_catalogue, prices_real_usages_as_recorded) {
  const auto text = kit::read_fixture("prices/genai-prices.usages.json");
  if (!text) GTEST_SKIP() << "no corpus";
  simdjson::dom::parser parser;
  simdjson::dom::array cases;
  ASSERT_EQ(parser.parse(*text).get(cases), simdjson::SUCCESS);
  recorded_prices all;
  for (const element usage_case : cases) {
    std::string_view model;
    if (usage_case["model"].get(model) != simdjson::SUCCESS) continue;
    for (const element extracted : usage_case["extracted"].get_array()) {
      for (const element reader : extracted["extractors"].get_array()) {
        all.reading(usage_case["body"], extracted["usage"], reader, model);
      }
    }
  }
  std::cout << "price_catalogue: prices from recorded counts " << all.by_counts
            << "\nprice_catalogue: prices from usage objects " << all.by_body
            << "\nprice_catalogue: readings without a price " << all.unpriced << "\n";
  EXPECT_GT(all.by_counts.total, 1'000U);
  // docs/CONFORMANCE_PRICES.md: image output has no rate here; a cache write that the recorded reading passed
  // over.
  const std::map<std::string, std::size_t> images{{"google/default gemini-2.5-flash-image", 3}};
  auto cache_write = images;
  cache_write["azure/responses gpt-5.6-sol"] = 1;
  EXPECT_EQ(all.by_counts.failed, images);
  EXPECT_EQ(all.by_body.failed, cache_write);
  EXPECT_TRUE(all.unpriced.failed.empty());
}

}  // namespace
}  // namespace tidegate::policy
