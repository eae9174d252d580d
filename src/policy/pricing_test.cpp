#include "policy/pricing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "foundation/random.h"
#include "policy/price_catalogue.h"
#include "policy/tokens.h"

namespace tidegate::policy {
namespace {

using namespace std::chrono_literals;
using foundation::wall_time;

constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
const wall_time now = std::chrono::sys_days{2026y / 11 / 23} + 12h;

model_price per_1k(double input, double output, double cached) {
  model_price price;
  price.rates = {.input = rate_of_usd_per_1k(input),
                 .cached = rate_of_usd_per_1k(cached),
                 .cache_write = rate_of_usd_per_1k(input),
                 .output = rate_of_usd_per_1k(output)};
  return price;
}

owner_table one_model(std::string name, std::optional<wall_time> updated = std::nullopt) {
  return {.last_updated = updated,
          .models = {{.model = std::move(name),
                      .display_name = {},
                      .input = rate_of_usd_per_1k(0.0025),
                      .output = rate_of_usd_per_1k(0.01),
                      .cached = std::nullopt,
                      .effective_date = {}}}};
}

// T57
TEST(pricing, T57_the_formula_in_micro_dollars) {
  EXPECT_EQ(cost_of(per_1k(0.0025, 0.01, 0.0025), {.input = 2'000, .output = 500}), 10'000);
  EXPECT_EQ(cost_of(per_1k(0.003, 0.015, 0.0015), {.input = 1'000, .cached = 500, .output = 200}), 5'250);
}

// T62: a thousand hanzi are 1,500 tokens by the estimator.
TEST(pricing, T62_an_estimate_uses_the_estimator) {
  std::string prompt;
  for (int i = 0; i < 1'000; ++i) prompt += "中";
  const std::int64_t prompt_tokens = estimate_tokens(prompt);
  EXPECT_EQ(prompt_tokens, 1'500);
  EXPECT_EQ(cost_of(per_1k(0.0025, 0.01, 0.0025), {.input = prompt_tokens, .output = 500}), 8'750);
}

TEST(pricing, rounds_half_up_once_at_the_end) {
  model_price price;
  price.rates.input = 500'000;  // half a micro-dollar a token
  price.rates.output = 499'999;
  EXPECT_EQ(cost_of(price, {.input = 1}), 1);
  EXPECT_EQ(cost_of(price, {.output = 1}), 0);
  EXPECT_EQ(cost_of(price, {.input = 3}), 2);
  EXPECT_EQ(cost_of(price, {.input = 1, .output = 1}), 1) << "parts are not rounded on their own";
}

TEST(pricing, negative_counts_are_zero_and_shares_never_exceed_their_whole) {
  const model_price price = per_1k(1, 2, 0.5);
  EXPECT_EQ(cost_of(price, {.input = -5, .cached = -1, .output = -7}), 0);
  EXPECT_EQ(cost_of(price, {.input = 10, .cached = 50}), cost_of(price, {.input = 10, .cached = 10}));
  EXPECT_EQ(cost_of(price, {.input = 10, .cached = 6, .cache_write = 50}),
            cost_of(price, {.input = 10, .cached = 6, .cache_write = 4}));
  EXPECT_EQ(cost_of(price, {.cached = 10}), 0);
}

TEST(pricing, a_context_tier_prices_the_whole_call) {
  model_price price = per_1k(0.003, 0.015, 0.0003);
  price.tier = context_tier{.above = 200'000, .rates = per_1k(0.006, 0.0225, 0.0006).rates};
  EXPECT_EQ(cost_of(price, {.input = 200'000, .output = 1'000}), 600'000 + 15'000);
  EXPECT_EQ(cost_of(price, {.input = 200'001, .output = 1'000}), 1'200'006 + 22'500);
  EXPECT_EQ(projected_cost(price, 200'001, 1'000), 1'200'006 + 22'500);
}

// BUD-7
TEST(pricing, a_projection_is_rounded_up) {
  model_price price;
  price.rates.input = 1;
  EXPECT_EQ(projected_cost(price, 1, 0), 1);
  EXPECT_EQ(projected_cost(price, 1'000'000, 0), 1);
  EXPECT_EQ(projected_cost(price, 1'000'001, 0), 2);
  EXPECT_EQ(projected_cost(price, -5, -5), 0);
}

TEST(pricing, costs_saturate_and_never_wrap) {
  model_price price;
  price.rates = {.input = most, .cached = most, .cache_write = most, .output = most};
  price.per_request = most;
  price.per_web_search = most;
  EXPECT_EQ(cost_of(price, {.input = most, .cached = most / 2, .output = most, .web_searches = most}), most);
  EXPECT_EQ(projected_cost(price, most, most), most);
  EXPECT_EQ(parts_of(price, {.input = most}).input, most);
}

TEST(pricing, what_is_paid_by_the_request_and_by_the_search_is_added) {
  model_price price;
  price.per_request = 12'000'000'000;
  price.per_web_search = 10'000'000'000;
  EXPECT_EQ(cost_of(price, {.web_searches = 3}), 12'000 + 30'000);
}

TEST(pricing, owners_prices_become_exact_rates) {
  EXPECT_EQ(rate_of_usd_per_1k(0.0025), 2'500'000);
  EXPECT_EQ(rate_of_usd_per_1k(0.1), 100'000'000);
  EXPECT_EQ(rate_of_usd_per_1k(0), 0);
  EXPECT_EQ(rate_of_usd_per_1k(-1), 0);
  EXPECT_EQ(rate_of_usd_per_1k(std::nan("")), 0);
  EXPECT_EQ(rate_of_usd_per_1k(1e300), rate_max);
  EXPECT_DOUBLE_EQ(usd_per_1k_of_rate(2'500'000), 0.0025);
}

// T61, T132
TEST(pricing, T61_an_unknown_model_costs_nothing_and_says_so) {
  const price_book book;
  const priced_target unknown{
      .kind = "openai", .base_url = "https://api.openai.com/v1", .model = "no-such-model"};
  const auto cost = book.cost(unknown, {.input = 1'000, .output = 1'000}, now);
  EXPECT_EQ(cost.micro_usd, 0);
  EXPECT_EQ(cost.warning, price_warning::model_not_found);
  EXPECT_FALSE(book.projected(unknown, 10, 10, now));
}

// T61
TEST(pricing, T61_the_owners_table_is_stale_when_older_than_thirty_days) {
  const wall_time updated = std::chrono::sys_days{2026y / 10 / 1};
  const price_book book{one_model("mine", updated)};
  const priced_target target{
      .kind = "openai-compatible", .base_url = "http://10.0.0.1:8000", .model = "mine"};
  const auto at = [&](wall_time when) { return book.cost(target, {.input = 2'000, .output = 500}, when); };
  EXPECT_EQ(at(updated + std::chrono::days{30}).warning, price_warning::none)
      << "exactly thirty days is not older";
  EXPECT_EQ(at(updated + std::chrono::days{30} + 1ms).warning, price_warning::pricing_stale);
  EXPECT_EQ(at(updated + std::chrono::days{31}).micro_usd, 10'000) << "the cost stands";
  EXPECT_EQ(at(updated - 1h).warning, price_warning::none);
}

TEST(pricing, the_built_in_table_is_never_stale) {
  const price_book book{one_model("mine", wall_time{})};
  const priced_target builtin{.kind = "openai", .base_url = "https://api.openai.com", .model = "gpt-4o-mini"};
  const auto cost = book.cost(builtin, {.input = 1'000'000}, now);
  EXPECT_EQ(cost.warning, price_warning::none);
  EXPECT_EQ(cost.micro_usd, 150'000);
  EXPECT_EQ(price_book{one_model("mine")}
                .cost({.kind = "openai", .base_url = "", .model = "mine"}, {.input = 1},
                      now + std::chrono::years{9})
                .warning,
            price_warning::none)
      << "a table without a date has no age";
}

TEST(pricing, the_owners_entry_wins_and_holds_for_the_exact_name) {
  const price_book book{one_model("gpt-4o-mini")};
  const auto mine = book.find({.kind = "openai", .base_url = "", .model = "gpt-4o-mini"}, now);
  ASSERT_TRUE(mine);
  EXPECT_TRUE(mine->owners);
  EXPECT_EQ(mine->rates.input, 2'500'000);
  EXPECT_EQ(mine->rates.cached, 2'500'000) << "cached input costs what input costs";
  const auto dated = book.find({.kind = "openai", .base_url = "", .model = "gpt-4o-mini-2024-07-18"}, now);
  ASSERT_TRUE(dated);
  EXPECT_FALSE(dated->owners);
}

// The formula over random usages against plain 64-bit arithmetic.
TEST(pricing, agrees_with_plain_arithmetic) {
  foundation::random_source random{7};
  for (int i = 0; i < 200'000; ++i) {
    model_price price;
    price.rates = {.input = static_cast<std::int64_t>(random.below(20'000'000)),
                   .cached = static_cast<std::int64_t>(random.below(20'000'000)),
                   .cache_write = static_cast<std::int64_t>(random.below(20'000'000)),
                   .output = static_cast<std::int64_t>(random.below(20'000'000))};
    llm_usage u{.input = static_cast<std::int64_t>(random.below(100'000)),
                .output = static_cast<std::int64_t>(random.below(9'000))};
    u.cached = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(u.input) + 1));
    u.cache_write =
        static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(u.input - u.cached) + 1));
    const std::int64_t pico = (u.input - u.cached - u.cache_write) * price.rates.input +
                              u.cached * price.rates.cached + u.cache_write * price.rates.cache_write +
                              u.output * price.rates.output;
    ASSERT_EQ(cost_of(price, u), (pico + 500'000) / 1'000'000);
  }
}

}  // namespace
}  // namespace tidegate::policy
