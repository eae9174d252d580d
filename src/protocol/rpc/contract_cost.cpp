// cost:*.
#include <array>

#include "protocol/rpc/shapes.h"

namespace tidegate::protocol::rpc::shapes {
namespace {

constexpr std::array record_fields{need("requestId", id),
                                   need("modelId", text),
                                   need("skillId", text, "Empty for calls of the gateway surface"),
                                   need("inputTokens", integer),
                                   need("outputTokens", integer),
                                   need("cachedTokens", integer),
                                   need("cost", usd),
                                   may("warning", code),
                                   need("timestamp", instant)};
constexpr shape record = named("UsageRecord", record_fields, "One logical request, its rounds together");
constexpr shape record_list = list_of(record);
constexpr std::array list_fields{may("skillId", id), may("since", instant, "Inclusive"),
                                 may("limit", integer, "At least 1")};
constexpr shape list_request = object_of(list_fields);
constexpr std::array list_reply_fields{need("records", record_list, "Newest first"),
                                       need("totalCount", integer)};
constexpr shape list_reply = object_of(list_reply_fields);

constexpr std::array share_fields{need("cost", usd), need("requests", integer)};
constexpr shape share = named("CostShare", share_fields, "What one model or skill cost");
constexpr shape shares{.kind = shape_kind::map, .element = &share};
constexpr std::array summary_fields{may("skillId", id), may("since", instant, "Inclusive")};
constexpr shape summary_request = object_of(summary_fields);
constexpr std::array summary_reply_fields{need("totalCost", usd),
                                          need("totalRequests", integer),
                                          need("totalInputTokens", integer),
                                          need("totalOutputTokens", integer),
                                          need("totalCachedTokens", integer),
                                          need("costByModel", shares),
                                          need("costBySkill", shares),
                                          need("sessionStartedAt", instant)};
constexpr shape summary_reply = object_of(summary_reply_fields);

constexpr std::array guard_fields{need("warningThreshold", usd), need("hardStopLimit", usd),
                                  need("enabled", flag)};
constexpr shape guard = named("CostGuard", guard_fields, "What a client key's session runs may cost");
constexpr std::array guard_get_fields{may("key", id, "Client key; default: the caller's own")};
constexpr shape guard_get = object_of(guard_get_fields);
constexpr std::array guard_update_fields{may("key", id, "Client key; default: the caller's own"),
                                         need("policy", guard)};
constexpr shape guard_update = object_of(guard_update_fields);

constexpr std::array scope_words{std::string_view{"session"}, std::string_view{"project"},
                                 std::string_view{"key"}, std::string_view{"guard"}};
constexpr shape scope = words_of("BudgetScope", scope_words);
constexpr std::array reset_fields{need("scope", scope), need("id", id, "Session key, project or client key")};
constexpr shape reset_request = object_of(reset_fields);
constexpr std::array reset_reply_fields{need("reset", truth),
                                        need("previousTotal", number, "Tokens; US dollars of a guard")};
constexpr shape reset_reply = object_of(reset_reply_fields);

constexpr std::array currency_words{std::string_view{"USD"}};
constexpr shape currency = words_of("", currency_words);
constexpr std::array price_fields{need("displayName", text), need("inputPricePer1K", usd),
                                  need("outputPricePer1K", usd), may("cachedInputPricePer1K", usd),
                                  need("effectiveDate", date)};
constexpr shape price = named("ModelPrice", price_fields, "Price of a thousand tokens");
constexpr shape prices{.kind = shape_kind::map, .note = "By model id", .element = &price, .size_max = 10'000};
constexpr std::array table_fields{need("currency", currency), need("lastUpdated", date),
                                  need("prices", prices)};
constexpr shape table = named("PriceTable", table_fields, "Prices that costs are reckoned by");
constexpr std::array pricing_update_fields{need("table", table)};
constexpr shape pricing_update = object_of(pricing_update_fields);

constexpr std::array channels{
    channel{.name = "cost:usage:list",
            .request = &list_request,
            .reply = &list_reply,
            .summary = "Newest requests with their usage and cost"},
    channel{.name = "cost:usage:summary",
            .request = &summary_request,
            .reply = &summary_reply,
            .summary = "Totals, by model and by skill"},
    channel{.name = "cost:budget:get",
            .request = &guard_get,
            .reply = &guard,
            .summary = "The cost guard of a client key"},
    channel{.name = "cost:budget:update",
            .request = &guard_update,
            .reply = &guard,
            .needs = access::admin,
            .summary = "Set the cost guard of a client key"},
    channel{.name = "cost:budget:reset",
            .request = &reset_request,
            .reply = &reset_reply,
            .needs = access::admin,
            .summary = "Set an account back to zero"},
    channel{.name = "cost:pricing:get",
            .request = &nothing,
            .reply = &table,
            .summary = "The price table in use"},
    channel{.name = "cost:pricing:update",
            .request = &pricing_update,
            .reply = &table,
            .needs = access::admin,
            .summary = "Replace the price table"},
};

}  // namespace

part cost_part() {
  static constexpr std::array names{&record, &share, &guard, &scope, &price, &table};
  return {.channels = channels, .shapes = names};
}

}  // namespace tidegate::protocol::rpc::shapes
