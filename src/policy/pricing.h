// What a call costs (COST-1, BUD-7): the owner's price table over a built-in, dated catalogue of the vendors'
// published prices.
//
// Rates are pico-dollars (1e-12 USD) per token, so that every published price is an exact integer: 1 USD per
// million tokens = 1,000,000. Costs are micro-dollars (1e-6 USD), rounded half up once, at the end.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/time.h"

namespace tidegate::policy {

// LLM tokens of one call as the provider reported them (USE-2). The shares below the first four are left at 0
// where a provider does not report them.
struct llm_usage {
  std::int64_t input = 0;           // the whole prompt: what was read from and written to a cache included
  std::int64_t cached = 0;          // of input: read from a cache
  std::int64_t cache_write = 0;     // of input: written to a cache
  std::int64_t output = 0;          // reasoning included
  std::int64_t cache_write_1h = 0;  // of cache_write: kept for an hour instead of minutes
  std::int64_t audio_input = 0;     // of input
  std::int64_t audio_cached = 0;    // of cached and of audio_input
  std::int64_t audio_output = 0;    // of output
  std::int64_t web_searches = 0;    // run by the provider, charged by the piece
};

// Pico-dollars per token.
struct token_rates {
  std::int64_t input = 0;
  std::int64_t cached = 0;
  std::int64_t cache_write = 0;
  std::int64_t output = 0;
  std::int64_t cache_write_1h = 0;
  std::int64_t audio_input = 0;
  std::int64_t audio_cached = 0;
  std::int64_t audio_output = 0;
};

inline constexpr std::int64_t rate_max = 1'000'000'000'000'000;  // 1,000 USD per token

// The whole call is charged at these rates when its input is more than `above` tokens.
struct context_tier {
  std::int64_t above = 0;
  token_rates rates;
};

struct model_price {
  std::string id;  // of the entry that matched
  token_rates rates;
  std::optional<context_tier> tier;
  std::int64_t per_request = 0;     // pico-dollars
  std::int64_t per_web_search = 0;  // pico-dollars
  bool owners = false;              // from the owner's table
};

// What a call costs in pico-dollars, before rounding; saturated at some 9 million USD each.
struct cost_parts {
  std::int64_t input = 0;
  std::int64_t output = 0;
  std::int64_t other = 0;  // per request and per search
};
cost_parts parts_of(const model_price& price, const llm_usage& usage);

// Micro-dollars, half up. Negative counts are 0, shares never exceed what they are a share of.
std::int64_t cost_of(const model_price& price, const llm_usage& usage);
// Micro-dollars, rounded up: the prompt at the input price and all of max_output at the output price (BUD-7).
std::int64_t projected_cost(const model_price& price, std::int64_t prompt, std::int64_t max_output);

// USD per 1,000 tokens, as the owner writes prices, to a rate; to the nearest, within [0, rate_max].
std::int64_t rate_of_usd_per_1k(double usd);
double usd_per_1k_of_rate(std::int64_t rate);

struct owner_price {
  std::string model;  // the exact name that is sent upstream
  std::string display_name;
  std::int64_t input = 0;
  std::int64_t output = 0;
  std::optional<std::int64_t> cached;  // as input, if none
  std::string effective_date;
};

struct owner_table {
  std::optional<foundation::wall_time> last_updated;  // none: never stale
  std::chrono::days stale_after{30};
  std::vector<owner_price> models;
};

// Where a call goes. base_url decides first; `kind` names the vendor behind an address nobody knows; of
// openai-compatible ones the model's name tells.
struct priced_target {
  std::string_view kind;      // openai, anthropic, openai-compatible
  std::string_view base_url;  // as configured; may be empty
  std::string_view model;     // as sent upstream
};

enum class price_warning : std::uint8_t { none, model_not_found, pricing_stale };

struct priced_cost {
  std::int64_t micro_usd = 0;
  price_warning warning = price_warning::none;
};

// Immutable; published as a snapshot.
class price_book {
 public:
  explicit price_book(owner_table owners = {});

  // The price that holds at `now`; the owner's entry wins. Nothing for an unknown model.
  std::optional<model_price> find(const priced_target& target, foundation::wall_time now) const;
  // 0 with model_not_found for an unknown model. pricing_stale: the owner's price is used and its table is
  // older than stale_after (strict); the cost stands.
  priced_cost cost(const priced_target& target, const llm_usage& usage, foundation::wall_time now) const;
  // As projected_cost; nothing for an unknown model.
  std::optional<std::int64_t> projected(const priced_target& target, std::int64_t prompt,
                                        std::int64_t max_output, foundation::wall_time now) const;
  bool stale(foundation::wall_time now) const;

  const owner_table& owners() const { return owners_; }

 private:
  owner_table owners_;  // models by name
};

}  // namespace tidegate::policy
