#include "gateway/usage_record.h"

#include <utility>

#include "foundation/time.h"

namespace tidegate::gateway {

namespace json = protocol::json;

std::string to_record(const usage_entry& entry) {
  const storage::usage_call& c = entry.call;
  std::string text;
  json::writer w{text};
  w.begin_object().member("event", usage_recorded).member("number", entry.number);
  w.member("confirmed", entry.confirmed).member("id", c.id).member("key", c.key_id);
  w.member("requestId", c.request_id).member("session", c.session_id).member("model", c.model);
  w.member("skillId", c.skill_id).member("inputTokens", c.input_tokens);
  w.member("outputTokens", c.output_tokens).member("cachedTokens", c.cached_tokens);
  w.member("durationMs", c.duration_ms).member("microUsd", c.micro_usd);
  if (c.warning) w.member("warning", *c.warning);
  w.member("createdAtMs", std::int64_t{c.created_at.time_since_epoch().count()}).end_object();
  return text;
}

std::optional<usage_entry> read_usage_record(std::string_view record) {
  const auto parsed = json::parse(record);
  if (!parsed) return std::nullopt;
  const auto number = [&](std::string_view key) { return parsed->int_at(key).value_or(0); };
  usage_entry e;
  e.number = number("number");
  e.confirmed = number("confirmed");
  e.call.id = parsed->string_or("id", "");
  if (e.number <= 0 || e.call.id.empty()) return std::nullopt;
  e.call.key_id = parsed->string_or("key", "");
  e.call.request_id = parsed->string_or("requestId", "");
  e.call.session_id = parsed->string_or("session", "");
  e.call.model = parsed->string_or("model", "");
  e.call.skill_id = parsed->string_or("skillId", "");
  e.call.input_tokens = number("inputTokens");
  e.call.output_tokens = number("outputTokens");
  e.call.cached_tokens = number("cachedTokens");
  e.call.cache_hit = e.call.cached_tokens > 0;
  e.call.duration_ms = number("durationMs");
  e.call.micro_usd = number("microUsd");
  if (parsed->find("warning")) e.call.warning = parsed->string_or("warning", "");
  e.call.created_at = foundation::wall_time{foundation::milliseconds{number("createdAtMs")}};
  return e;
}

void unconfirmed_usage::apply(std::string_view record) {
  const json::value body{record};
  const std::int64_t number = body.int_at("number").value_or(0);
  if (number <= 0) return;
  rows_.insert_or_assign(number, std::string{record});
  rows_.erase(rows_.begin(), rows_.upper_bound(body.int_at("confirmed").value_or(0)));
  if (rows_.size() > kept_max) rows_.erase(rows_.begin());
}

void unconfirmed_usage::save(json::writer& w) const {
  for (const auto& [number, record] : rows_) w.raw(record);
}

void unconfirmed_usage::load(json::value rows) {
  rows_.clear();
  for (const json::value row : rows.elements()) apply(row.raw());
}

std::vector<usage_entry> unconfirmed_usage::entries() const {
  std::vector<usage_entry> all;
  all.reserve(rows_.size());
  for (const auto& [number, record] : rows_) {
    if (auto e = read_usage_record(record)) all.push_back(std::move(*e));
  }
  return all;
}

}  // namespace tidegate::gateway
