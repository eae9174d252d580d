// From a provider's usage object to what its call costs: the recorded usages of Anthropic's API, with caches
// kept for an hour and searches, as read by the dialect and priced by the catalogue.
#include "gateway/billing.h"

#include <gtest/gtest.h>

#include <iostream>
#include <set>

#include "kit/fixtures.h"
#include "policy/price_catalogue.h"
#include "protocol/dialect/dialect.h"
#include "protocol/json/json.h"

namespace tidegate::gateway {
namespace {

namespace json = protocol::json;
using protocol::dialect::dialect_id;

const foundation::wall_time today = std::chrono::sys_days{std::chrono::year{2026} / 8 / 1};

policy::llm_usage usage_of(dialect_id id, std::string_view body) {
  const auto parsed = json::parse(body);
  EXPECT_TRUE(parsed);
  return priced_usage(protocol::dialect::get(id).usage_of(*parsed));
}

std::int64_t cost_of(std::string_view body) {
  const auto price = policy::price_catalogue::find("anthropic", "claude-sonnet-4-5", today);
  EXPECT_TRUE(price);
  return policy::cost_of(*price, usage_of(dialect_id::anthropic_messages, body));
}

// claude-sonnet-4-5: input 3, cache write 3.75, for an hour 6, output 15 dollars a million; a search 1 cent.
TEST(billing, caches_of_an_hour_and_searches_cost_what_the_vendor_asks) {
  const std::string plain =
      R"({"usage":{"input_tokens":100,"output_tokens":10,"cache_creation_input_tokens":1000)";
  EXPECT_EQ(cost_of(plain + "}}"), 300 + 150 + 3'750);
  EXPECT_EQ(cost_of(plain + R"(,"cache_creation":{"ephemeral_1h_input_tokens":1000}}})"), 300 + 150 + 6'000);
  EXPECT_EQ(cost_of(plain + R"(,"cache_creation":{"ephemeral_1h_input_tokens":400}}})"),
            300 + 150 + 2'250 + 2'400);
  EXPECT_EQ(cost_of(plain + R"(,"cache_creation":{"ephemeral_1h_input_tokens":9000}}})"), 300 + 150 + 6'000)
      << "a share is never more than what it is a share of";
  EXPECT_EQ(cost_of(plain + R"(,"server_tool_use":{"web_search_requests":3}}})"), 300 + 150 + 3'750 + 30'000);
  EXPECT_EQ(cost_of(plain + R"(,"server_tool_use":null,"cache_creation":null}})"), 300 + 150 + 3'750);
}

std::int64_t pico_of(std::string_view usd) {
  const auto dot = usd.find('.');
  std::string digits{usd.substr(0, dot)};
  std::string fraction{dot == std::string_view::npos ? "" : usd.substr(dot + 1)};
  fraction.resize(12, '0');
  return std::stoll(digits + fraction);
}

TEST(billing, recorded_usages_of_anthropic_cost_what_was_recorded) {
  const auto text = kit::read_fixture("prices/genai-prices.usages.json");
  if (!text) GTEST_SKIP() << "no corpus";
  const auto cases = json::parse(*text);
  ASSERT_TRUE(cases);
  std::size_t total = 0;
  std::size_t right = 0;
  std::size_t searched = 0;
  for (const json::value one : cases->elements()) {
    const auto body = one.find("body");
    const std::string model = one.string_or("model", "");
    const auto price = policy::price_catalogue::find("anthropic", model, today);
    if (!body || !price || !body->find("usage")) continue;
    const policy::llm_usage used = usage_of(dialect_id::anthropic_messages, body->raw());
    for (const json::value extracted : one.find("extracted").value_or(json::value{}).elements()) {
      for (const json::value reader : extracted.find("extractors").value_or(json::value{}).elements()) {
        const std::string input = reader.string_or("input_price", "");
        if (reader.string_or("provider_id", "") != "anthropic" || input.empty() ||
            reader.string_or("api_flavor", "") != "default")
          continue;
        const policy::cost_parts parts = policy::parts_of(*price, used);
        const std::string all = reader.string_or("total_price", "");
        ++total;
        searched += used.web_searches > 0 ? 1 : 0;
        const bool same = parts.input == pico_of(input) &&
                          parts.output == pico_of(reader.string_or("output_price", "")) &&
                          (all.empty() || parts.input + parts.output + parts.other == pico_of(all));
        right += same ? 1 : 0;
        EXPECT_TRUE(same) << model << ": " << body->raw();
      }
    }
  }
  std::cout << "billing: " << right << "/" << total << " recorded usages, " << searched << " with searches\n";
  EXPECT_GT(total, 20U);
}

}  // namespace
}  // namespace tidegate::gateway
