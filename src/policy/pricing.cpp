#include "policy/pricing.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "policy/price_catalogue.h"

namespace tidegate::policy {

using foundation::wall_time;

namespace {

// Holds any sum of counts times rates: 2^64 tokens at rate_max, a few times over.
__extension__ typedef __int128 wide;

constexpr wide pico_per_micro = 1'000'000;

std::int64_t saturated(wide amount) {
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  return amount > most ? most : static_cast<std::int64_t>(amount);
}

std::int64_t half_up(wide pico) { return saturated((pico + pico_per_micro / 2) / pico_per_micro); }
std::int64_t up(wide pico) { return saturated((pico + pico_per_micro - 1) / pico_per_micro); }

wide charge(std::int64_t count, std::int64_t rate) {
  return wide{count} * std::clamp<std::int64_t>(rate, 0, rate_max);
}

std::int64_t share(std::int64_t part, std::int64_t whole) { return std::clamp<std::int64_t>(part, 0, whole); }

// A usage whose shares are what they claim to be: non-negative and disjoint where they exclude each other.
llm_usage consistent(const llm_usage& reported) {
  llm_usage u;
  u.input = std::max<std::int64_t>(reported.input, 0);
  u.output = std::max<std::int64_t>(reported.output, 0);
  u.cached = share(reported.cached, u.input);
  u.cache_write = share(reported.cache_write, u.input - u.cached);
  u.cache_write_1h = share(reported.cache_write_1h, u.cache_write);
  u.audio_cached = share(reported.audio_cached, u.cached);
  u.audio_input = std::max(u.audio_cached,
                           share(reported.audio_input, u.input - u.cached - u.cache_write + u.audio_cached));
  u.audio_output = share(reported.audio_output, u.output);
  u.web_searches = std::max<std::int64_t>(reported.web_searches, 0);
  return u;
}

const token_rates& rates_at(const model_price& price, std::int64_t input) {
  return price.tier && input > price.tier->above ? price.tier->rates : price.rates;
}

struct wide_parts {
  wide input, output, other;
};

wide_parts charges(const model_price& price, const llm_usage& usage) {
  const llm_usage u = consistent(usage);
  const token_rates& rates = rates_at(price, u.input);
  const std::int64_t fresh_audio = u.audio_input - u.audio_cached;
  wide input = charge(u.input - u.cached - u.cache_write - fresh_audio, rates.input);
  input += charge(fresh_audio, rates.audio_input);
  input += charge(u.cached - u.audio_cached, rates.cached) + charge(u.audio_cached, rates.audio_cached);
  input += charge(u.cache_write - u.cache_write_1h, rates.cache_write);
  input += charge(u.cache_write_1h, rates.cache_write_1h);
  const wide output =
      charge(u.output - u.audio_output, rates.output) + charge(u.audio_output, rates.audio_output);
  return {input, output, charge(1, price.per_request) + charge(u.web_searches, price.per_web_search)};
}

model_price price_of(const owner_price& entry) {
  model_price price;
  price.id = entry.model;
  const std::int64_t cached = entry.cached.value_or(entry.input);
  price.rates = {.input = entry.input,
                 .cached = cached,
                 .cache_write = entry.input,
                 .output = entry.output,
                 .cache_write_1h = entry.input,
                 .audio_input = entry.input,
                 .audio_cached = cached,
                 .audio_output = entry.output};
  price.owners = true;
  return price;
}

}  // namespace

cost_parts parts_of(const model_price& price, const llm_usage& usage) {
  const wide_parts parts = charges(price, usage);
  return {saturated(parts.input), saturated(parts.output), saturated(parts.other)};
}

std::int64_t cost_of(const model_price& price, const llm_usage& usage) {
  const wide_parts parts = charges(price, usage);
  return half_up(parts.input + parts.output + parts.other);
}

std::int64_t projected_cost(const model_price& price, std::int64_t prompt, std::int64_t max_output) {
  const std::int64_t input = std::max<std::int64_t>(prompt, 0);
  const token_rates& rates = rates_at(price, input);
  const wide pico = charge(input, rates.input) + charge(std::max<std::int64_t>(max_output, 0), rates.output);
  return up(pico + charge(1, price.per_request));
}

std::int64_t rate_of_usd_per_1k(double usd) {
  constexpr double pico_per_token_of_usd_per_1k = 1e9;
  const double rate = usd * pico_per_token_of_usd_per_1k;
  if (!(rate > 0)) return 0;
  return rate >= static_cast<double>(rate_max) ? rate_max : std::llround(rate);
}

double usd_per_1k_of_rate(std::int64_t rate) { return static_cast<double>(rate) / 1e9; }

price_book::price_book(owner_table owners) : owners_{std::move(owners)} {
  std::ranges::sort(owners_.models, {}, &owner_price::model);
}

std::optional<model_price> price_book::find(const priced_target& target, wall_time now) const {
  const auto found = std::ranges::lower_bound(owners_.models, target.model, {}, &owner_price::model);
  if (found != owners_.models.end() && found->model == target.model) return price_of(*found);
  return price_catalogue::find(price_catalogue::vendor_of(target), target.model, now);
}

priced_cost price_book::cost(const priced_target& target, const llm_usage& usage, wall_time now) const {
  const auto price = find(target, now);
  if (!price) return {.micro_usd = 0, .warning = price_warning::model_not_found};
  return {.micro_usd = cost_of(*price, usage),
          .warning = price->owners && stale(now) ? price_warning::pricing_stale : price_warning::none};
}

std::optional<std::int64_t> price_book::projected(const priced_target& target, std::int64_t prompt,
                                                  std::int64_t max_output, wall_time now) const {
  const auto price = find(target, now);
  if (!price) return std::nullopt;
  return projected_cost(*price, prompt, max_output);
}

bool price_book::stale(wall_time now) const {
  return owners_.last_updated && now - *owners_.last_updated > owners_.stale_after;
}

}  // namespace tidegate::policy
