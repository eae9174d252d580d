#include "policy/price_catalogue.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>

#include "foundation/text.h"

namespace tidegate::policy::price_catalogue {

using foundation::lower;
using foundation::wall_time;

namespace {

// Longer names cannot be in the table: what a caller sends is bounded before it is compared.
constexpr std::size_t model_name_max = 256;

struct base_rates {
  std::int64_t input, cached, cache_write, output;  // -1: not published
};

// What an entry has beside its base rates, in order. `since` (a: day since 1970) and `daily` (a, b: minutes
// of the UTC day, from inclusive, to exclusive) begin another version of the price, which replaces all before
// it while its time holds; the others belong to the version they stand behind.
enum class special : std::uint8_t { tier, tier_hour, hour, audio, request, web_search, since, daily };

struct special_row {
  special kind;
  std::int64_t a, b;
  base_rates rates;
};

struct model_row {
  std::string_view id, patterns;
  base_rates rates;
  std::size_t special_first, special_count;
};

struct vendor_row {
  std::string_view id, endpoints, models;
  std::size_t row_first, row_count;
  std::array<int, 2> next;
};

#include "policy/price_catalogue_data.inc"

static_assert(std::size(model_rows) > 0 && std::size(vendor_rows) > 0);

std::span<const model_row> rows_of(const vendor_row& vendor) {
  return std::span{model_rows}.subspan(vendor.row_first, vendor.row_count);
}

std::span<const special_row> specials_of(const model_row& row) {
  return std::span{special_rows}.subspan(row.special_first, row.special_count);
}

// Whether `test` holds for one of the patterns, which blanks part.
template <typename Test>
bool any_pattern(std::string_view patterns, Test test) {
  while (!patterns.empty()) {
    const auto end = std::min(patterns.find(' '), patterns.size());
    if (test(patterns.substr(0, end))) return true;
    patterns.remove_prefix(std::min(end + 1, patterns.size()));
  }
  return false;
}

bool any_matches(std::string_view patterns, std::string_view text) {
  return any_pattern(patterns, [&](std::string_view pattern) { return matches(pattern, text); });
}

bool matches_model(const model_row& row, std::string_view model) {
  return any_matches(row.patterns == "=" ? row.id : row.patterns, model);
}

const vendor_row* vendor_named(std::string_view id) {
  const auto found = std::ranges::find(vendor_rows, id, &vendor_row::id);
  return found == std::end(vendor_rows) ? nullptr : &*found;
}

// A pattern of host and, behind a slash, the beginning of the path.
bool endpoint_matches(std::string_view pattern, std::string_view host, std::string_view path) {
  const auto slash = std::min(pattern.find('/'), pattern.size());
  const auto wanted_path = pattern.substr(slash);
  if (!matches(pattern.substr(0, slash), host) || !foundation::istarts_with(path, wanted_path)) return false;
  return wanted_path.empty() || path.size() == wanted_path.size() || path[wanted_path.size()] == '/';
}

const vendor_row* vendor_at(std::string_view base_url) {
  if (const auto scheme = base_url.find("://"); scheme != std::string_view::npos)
    base_url.remove_prefix(scheme + 3);
  const auto host_end = std::min(base_url.find_first_of(":/"), base_url.size());
  const auto path = base_url.substr(std::min(base_url.find('/'), base_url.size()));
  const auto found = std::ranges::find_if(vendor_rows, [&](const vendor_row& vendor) {
    return any_pattern(vendor.endpoints, [&](std::string_view pattern) {
      return endpoint_matches(pattern, base_url.substr(0, host_end), path);
    });
  });
  return found == std::end(vendor_rows) ? nullptr : &*found;
}

// What is not published costs what the kind of token above it costs.
token_rates complete(const base_rates& published) {
  const auto input = std::max<std::int64_t>(published.input, 0);
  const auto output = std::max<std::int64_t>(published.output, 0);
  const auto cached = published.cached >= 0 ? published.cached : input;
  const auto cache_write = published.cache_write >= 0 ? published.cache_write : input;
  return {.input = input,
          .cached = cached,
          .cache_write = cache_write,
          .output = output,
          .cache_write_1h = cache_write,
          .audio_input = input,
          .audio_cached = cached,
          .audio_output = output};
}

bool holds(const special_row& version, wall_time now) {
  const auto day = std::chrono::floor<std::chrono::days>(now);
  if (version.kind == special::since) return day.time_since_epoch().count() >= version.a;
  const auto minute = std::chrono::floor<std::chrono::minutes>(now - day).count();
  return minute >= version.a && minute < version.b;
}

void apply(model_price& price, const special_row& extra) {
  switch (extra.kind) {
    case special::tier:
      price.tier = {.above = extra.a, .rates = complete(extra.rates)};
      break;
    case special::tier_hour:
      if (price.tier) price.tier->rates.cache_write_1h = extra.rates.cache_write;
      break;
    case special::hour:
      price.rates.cache_write_1h = extra.rates.cache_write;
      break;
    case special::audio:
      if (extra.rates.input >= 0) price.rates.audio_input = extra.rates.input;
      if (extra.rates.cached >= 0) price.rates.audio_cached = extra.rates.cached;
      if (extra.rates.output >= 0) price.rates.audio_output = extra.rates.output;
      break;
    case special::request:
      price.per_request = extra.a;
      break;
    case special::web_search:
      price.per_web_search = extra.a;
      break;
    case special::since:
    case special::daily:
      break;
  }
}

model_price price_of(const model_row& row, wall_time now) {
  const auto fresh = [&](const base_rates& rates) {
    model_price price;
    price.id = row.id;
    price.rates = complete(rates);
    return price;
  };
  model_price price = fresh(row.rates);
  bool current = true;
  for (const special_row& extra : specials_of(row)) {
    if (extra.kind != special::since && extra.kind != special::daily) {
      if (current) apply(price, extra);
    } else if (current = holds(extra, now); current) {
      price = fresh(extra.rates);
    }
  }
  return price;
}

const model_row* row_of(const vendor_row& vendor, std::string_view model) {
  const auto rows = rows_of(vendor);
  const auto found =
      std::ranges::find_if(rows, [&](const model_row& row) { return matches_model(row, model); });
  return found == rows.end() ? nullptr : &*found;
}

}  // namespace

bool matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;  // the last `*` passed, and how far its run reaches
  std::size_t run_end = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      run_end = t;
    } else if (p < pattern.size() &&
               (pattern[p] == '#' ? text[t] >= '0' && text[t] <= '9' : lower(pattern[p]) == lower(text[t]))) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++run_end;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

std::string_view dated() { return dated_day; }

std::string_view vendor_of(const priced_target& target) {
  if (const auto* vendor = vendor_at(target.base_url)) return vendor->id;
  if (target.kind == "openai" || target.kind == "anthropic") return target.kind;
  if (target.model.size() > model_name_max) return {};
  const auto found = std::ranges::find_if(
      vendor_rows, [&](const vendor_row& vendor) { return any_matches(vendor.models, target.model); });
  return found == std::end(vendor_rows) ? std::string_view{} : found->id;
}

std::optional<model_price> find(std::string_view vendor, std::string_view model, wall_time now) {
  const vendor_row* const seller = vendor_named(vendor);
  if (seller == nullptr || model.size() > model_name_max) return std::nullopt;
  if (const auto* row = row_of(*seller, model)) return price_of(*row, now);
  for (const int next : seller->next) {
    if (next < 0) break;
    if (const auto* row = row_of(vendor_rows[static_cast<std::size_t>(next)], model))
      return price_of(*row, now);
  }
  return std::nullopt;
}

std::vector<listed_model> list(std::string_view vendor, wall_time now) {
  std::vector<listed_model> all;
  const vendor_row* const seller = vendor_named(vendor);
  if (seller == nullptr) return all;
  for (const model_row& row : rows_of(*seller)) all.push_back({seller->id, row.id, price_of(row, now)});
  return all;
}

}  // namespace tidegate::policy::price_catalogue
