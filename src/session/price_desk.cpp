#include "session/price_desk.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "foundation/text.h"
#include "gateway/store_wait.h"
#include "policy/price_catalogue.h"
#include "session/channels.h"

namespace tidegate::session {
namespace {

using foundation::error_code;
using foundation::failure;
using policy::owner_price;
using policy::owner_table;

constexpr std::string_view setting_name = "pricing/table";

std::unexpected<failure> wrong(std::string field, std::string message) {
  std::string details;
  json::writer{details}.begin_object().member("fieldName", field).end_object();
  auto refused = refusal(error_code::invalid_argument, field + ": " + std::move(message), std::move(details));
  refused.error().param = std::move(field);
  return refused;
}

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// USD per 1,000 tokens to a rate.
std::optional<std::int64_t> rate_at(json::value price, std::string_view member) {
  const auto given = price.find(member);
  const auto usd = given ? given->as_double() : std::nullopt;
  if (!usd || !(*usd >= 0.0 && *usd <= policy::usd_per_1k_of_rate(policy::rate_max))) return std::nullopt;
  return policy::rate_of_usd_per_1k(*usd);
}

std::expected<owner_price, failure> price_of(const std::string& model, json::value given) {
  if (foundation::trim(model).empty() || model.size() > price_model_id_max || has_control(model))
    return wrong("table.prices", "a model id has 1 to 256 bytes and no control characters");
  const std::string at = "table.prices." + model + ".";
  owner_price price;
  price.model = model;
  price.display_name = std::string{foundation::trim(given.string_or("displayName", ""))};
  if (price.display_name.empty()) price.display_name = model;
  if (price.display_name.size() > price_name_max || has_control(price.display_name))
    return wrong(at + "displayName", "at most 256 bytes and no control characters");
  const auto input = rate_at(given, "inputPricePer1K");
  if (!input) return wrong(at + "inputPricePer1K", "not a price: 0 to 1,000,000 USD");
  const auto output = rate_at(given, "outputPricePer1K");
  if (!output) return wrong(at + "outputPricePer1K", "not a price: 0 to 1,000,000 USD");
  price.input = *input;
  price.output = *output;
  if (given.find("cachedInputPricePer1K")) {
    price.cached = rate_at(given, "cachedInputPricePer1K");
    if (!price.cached) return wrong(at + "cachedInputPricePer1K", "not a price: 0 to 1,000,000 USD");
  }
  price.effective_date = given.string_or("effectiveDate", "");
  if (!date_of(price.effective_date)) return wrong(at + "effectiveDate", "not a date of the form YYYY-MM-DD");
  return price;
}

// Rates as integers: what is read back is what was set.
std::string stored_text(const owner_table& table) {
  std::string text;
  json::writer w{text};
  w.begin_object();
  if (table.last_updated) w.member("lastUpdated", table.last_updated->time_since_epoch().count());
  w.key("models").begin_array();
  for (const owner_price& p : table.models) {
    w.begin_object().member("model", p.model).member("name", p.display_name);
    w.member("input", p.input).member("output", p.output);
    if (p.cached) w.member("cached", *p.cached);
    w.member("date", p.effective_date).end_object();
  }
  w.end_array().end_object();
  return text;
}

std::optional<owner_table> stored_table(std::string_view text) {
  const auto parsed = json::parse(text);
  if (!parsed || !parsed->find("models")) return std::nullopt;
  owner_table table;
  if (const auto at = parsed->int_at("lastUpdated"))
    table.last_updated = foundation::wall_time{foundation::milliseconds{*at}};
  for (const json::value& given : parsed->find("models")->elements()) {
    const auto input = given.int_at("input");
    const auto output = given.int_at("output");
    if (!input || !output) return std::nullopt;
    owner_price price;
    price.model = given.string_or("model", "");
    price.display_name = given.string_or("name", price.model);
    price.input = *input;
    price.output = *output;
    price.cached = given.int_at("cached");
    price.effective_date = given.string_or("date", "");
    table.models.push_back(std::move(price));
  }
  return table;
}

struct shown_price {
  std::string_view name;
  std::int64_t input;
  std::int64_t output;
  std::optional<std::int64_t> cached;
  std::string_view date;
};

void write_price(json::writer& w, std::string_view model, const shown_price& price) {
  w.key(model).begin_object().member("displayName", price.name);
  w.member("inputPricePer1K", policy::usd_per_1k_of_rate(price.input));
  w.member("outputPricePer1K", policy::usd_per_1k_of_rate(price.output));
  if (price.cached) w.member("cachedInputPricePer1K", policy::usd_per_1k_of_rate(*price.cached));
  w.member("effectiveDate", price.date).end_object();
}

std::set<std::string_view> vendors_of(const gateway::snapshot& served) {
  std::set<std::string_view> vendors;
  for (const auto& p : served.providers) {
    const std::string_view vendor =
        policy::price_catalogue::vendor_of({policy::name_of(p->kind), p->url_text, {}});
    if (!vendor.empty()) vendors.insert(vendor);
  }
  if (vendors.empty()) vendors = {"anthropic", "openai"};
  return vendors;
}

}  // namespace

std::optional<foundation::wall_time> date_of(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto year = foundation::parse_u64(text.substr(0, 4));
  const auto month = foundation::parse_u64(text.substr(5, 2));
  const auto day = foundation::parse_u64(text.substr(8, 2));
  if (!year || !month || !day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{static_cast<int>(*year)},
                                         std::chrono::month{static_cast<unsigned>(*month)},
                                         std::chrono::day{static_cast<unsigned>(*day)}};
  if (!date.ok()) return std::nullopt;
  return foundation::wall_time{std::chrono::sys_days{date}};
}

std::expected<owner_table, failure> price_table_of(json::value given) {
  if (given.string_or("currency", "USD") != "USD") return wrong("table.currency", "only USD");
  owner_table table;
  table.last_updated = date_of(given.string_or("lastUpdated", ""));
  if (!table.last_updated) return wrong("table.lastUpdated", "not a date of the form YYYY-MM-DD");
  const auto prices = given.find("prices");
  if (!prices || !prices->is_object()) return wrong("table.prices", "missing");
  std::set<std::string> seen;
  for (const json::member& m : prices->members()) {
    auto price = price_of(m.key(), m.content);
    if (!price) return std::unexpected{std::move(price.error())};
    if (!seen.insert(price->model).second) return wrong("table.prices", "a model is named twice");
    table.models.push_back(std::move(*price));
  }
  return table;
}

std::string price_table_json(const gateway::snapshot& served, foundation::wall_time now) {
  const owner_table& owners = served.prices->owners();
  const std::string_view dated = policy::price_catalogue::dated();
  std::string updated{dated};
  if (owners.last_updated) updated = foundation::to_rfc3339(*owners.last_updated).substr(0, 10);
  std::string text;
  json::writer w{text};
  w.begin_object().member("currency", "USD").member("lastUpdated", updated).key("prices").begin_object();
  std::set<std::string, std::less<>> shown;
  for (const owner_price& p : owners.models) {
    const std::string_view date = p.effective_date.empty() ? std::string_view{updated} : p.effective_date;
    write_price(w, p.model, {p.display_name, p.input, p.output, p.cached, date});
    shown.insert(p.model);
  }
  for (const std::string_view vendor : vendors_of(served)) {
    for (const auto& [of, id, price] : policy::price_catalogue::list(vendor, now)) {
      if (!shown.emplace(id).second) continue;
      const auto cached =
          price.rates.cached == price.rates.input ? std::nullopt : std::optional{price.rates.cached};
      write_price(w, id, {id, price.rates.input, price.rates.output, cached, dated});
    }
  }
  w.end_object().end_object();
  return text;
}

std::expected<void, std::string> price_desk::load() {
  const auto kept = storage::wait_for<std::optional<std::string>>(
      [&](auto answer) { store_.get(std::string{setting_name}, std::move(answer)); });
  if (!kept) return std::unexpected{kept.error().message};
  if (!*kept) return {};
  auto table = stored_table(**kept);
  if (!table) {
    log_.at(observe::level::warn, "settings_json_parse_failed")
        .field("key", setting_name)
        .field("reason", "no price table; the configuration's holds");
    return {};
  }
  const std::lock_guard lock{book_->mutex};
  book_->stored = std::move(table);
  return {};
}

std::shared_ptr<const policy::price_book> price_desk::over(
    std::shared_ptr<const policy::price_book> configured) const {
  const std::lock_guard lock{book_->mutex};
  if (!book_->stored) return configured;
  owner_table table = *book_->stored;
  table.stale_after = configured->owners().stale_after;
  return std::make_shared<const policy::price_book>(std::move(table));
}

runtime::task<std::expected<void, failure>> price_desk::update(gateway::loop_services& services,
                                                               owner_table table) {
  std::vector<storage::setting_change> change;
  change.push_back({std::string{setting_name}, stored_text(table)});
  if (change.front().json->size() > storage::setting_text_max)
    co_return refusal(error_code::invalid_argument, "table: too many prices to be kept");
  gateway::store_wait<void> wait{services.loop};
  // Taken over on the store's own thread: of two updates the later one stands in both places.
  auto take_over = [book = book_, table = std::move(table),
                    go_on = wait.answer()](storage::result<void> given) mutable {
    if (given) {
      const std::lock_guard lock{book->mutex};
      book->stored = std::move(table);
    }
    go_on(std::move(given));
  };
  store_.apply(std::move(change), {}, services.loop.wall(), std::move(take_over));
  const auto given = co_await wait;
  if (!given) {
    log_.at(observe::level::warn, "price_table_update_failed").field("message", given.error().message);
    co_return std::unexpected{failure_of(given.error())};
  }
  if (republish_) {
    gateway::store_wait<void> published{services.loop};
    republish_([done = published.answer()]() mutable { done({}); });
    static_cast<void>(co_await published);
  }
  co_return std::expected<void, failure>{};
}

}  // namespace tidegate::session
