#include "session/provider_settings.h"

#include <algorithm>
#include <utility>

#include "foundation/text.h"
#include "policy/health.h"
#include "protocol/json/json.h"

namespace tidegate::session {

namespace json = protocol::json;
using foundation::error_code;
using foundation::failure;

namespace {

std::unexpected<failure> refuse_field(std::string_view field, std::string message) {
  failure f;
  f.code = error_code::invalid_argument;
  f.message = std::move(message);
  f.param = field;
  if (!field.empty()) json::writer{f.details}.begin_object().member("fieldName", field).end_object();
  return std::unexpected{std::move(f)};
}

bool is_printable(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

std::string_view name_of(policy::breaker_status status) {
  switch (status) {
    case policy::breaker_status::healthy:
      return "healthy";
    case policy::breaker_status::degraded:
      return "degraded";
    case policy::breaker_status::half_open:
      return "half_open";
  }
  return "";
}

bool is_known_vendor_url(policy::provider_kind kind, std::string_view url) {
  const auto parsed = policy::parse_base_url(url);
  return parsed && policy::is_known_vendor(kind, *parsed);
}

}  // namespace

std::string to_json(const provider_override& stored) {
  std::string text;
  json::writer w{text};
  w.begin_object();
  if (stored.enabled) w.member("enabled", *stored.enabled);
  if (stored.base_url) w.member("baseUrl", *stored.base_url);
  if (stored.own_key) w.member("ownKey", true);
  w.end_object();
  return text;
}

std::optional<provider_override> parse_override(std::string_view text) {
  const auto parsed = json::parse(text);
  if (!parsed || !parsed->is_object()) return std::nullopt;
  provider_override stored;
  for (const json::member& m : parsed->members()) {
    if (m.key_is("enabled")) {
      stored.enabled = m.content.as_bool();
      if (!stored.enabled) return std::nullopt;
    } else if (m.key_is("baseUrl")) {
      stored.base_url = m.content.as_string();
      if (!stored.base_url) return std::nullopt;
      if (!stored.base_url->empty() && !policy::parse_base_url(*stored.base_url)) return std::nullopt;
    } else if (m.key_is("ownKey")) {
      const auto own = m.content.as_bool();
      if (!own) return std::nullopt;
      stored.own_key = *own;
    }
  }
  return stored;
}

std::expected<provider_plan, failure> plan_update(const provider_base& base, const provider_override& stored,
                                                  const provider_patch& patch) {
  if (!patch.enabled && !patch.base_url && !patch.api_key)
    return refuse_field("", "nothing to change: name enabled, baseUrl or apiKey");
  provider_plan plan{stored, std::nullopt, false};
  if (patch.enabled) plan.next.enabled = patch.enabled;
  if (patch.base_url) {
    const std::string_view given = foundation::trim(*patch.base_url);
    if (given.empty()) {
      plan.next.base_url = std::string{};
    } else {
      const auto url = policy::parse_base_url(given);
      if (!url) return refuse_field("baseUrl", "baseUrl " + std::string{policy::describe(url.error())});
      plan.next.base_url = url->text();
    }
  }
  const std::string& url = plan.next.base_url ? *plan.next.base_url : base.base_url;
  if (plan.next.enabled.value_or(base.enabled) && url.empty())
    return refuse_field("baseUrl", "an enabled provider needs a baseUrl");
  if (!patch.api_key) return plan;
  const std::string_view key = foundation::trim(*patch.api_key);
  if (key.size() > provider_key_max || !is_printable(key))
    return refuse_field("apiKey", "apiKey: expected one line of at most 64 KiB without control characters");
  if (!key.empty() && !policy::is_vendor_key(key)) {
    if (is_known_vendor_url(base.kind, url))
      return refuse_field("apiKey", "apiKey: expected a key such as sk-..., of at least 8 characters");
    plan.unusual_key = true;
  }
  plan.api_key = std::string{key};
  plan.next.own_key = true;
  return plan;
}

std::string provider_views(gateway::core& shared, foundation::instant now, foundation::wall_time wall) {
  const auto served = shared.current();
  std::string body;
  json::writer w{body};
  w.begin_object().key("providers").begin_array();
  shared.health().with([&](const policy::health_bank& bank) {
    const auto stamp = [&](foundation::instant at) {
      const auto when = wall + std::chrono::duration_cast<foundation::milliseconds>(at - now);
      return std::int64_t{when.time_since_epoch().count()};
    };
    for (const auto& p : served->providers) {
      const policy::breaker& circuit = bank.breaker_of(p->health);
      w.begin_object().member("name", p->name).member("kind", policy::name_of(p->kind));
      w.member("enabled", p->enabled).member("baseUrl", p->has_url ? p->url_text : std::string{});
      w.member("apiKeyConfigured", !p->credential.empty());
      w.member("status", name_of(circuit.status(now)));
      w.member("consecutiveFailures", std::int64_t{circuit.consecutive_failures()});
      if (const auto since = circuit.degraded_at(now)) w.member("degradedAt", stamp(*since));
      if (const auto until = bank.cooldown_until(p->health, now)) w.member("cooldownUntil", stamp(*until));
      w.end_object();
    }
  });
  w.end_array().end_object();
  return body;
}

}  // namespace tidegate::session
