#include "gateway/model_list.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <utility>

#include "foundation/text.h"
#include "policy/outcome.h"
#include "policy/routing.h"
#include "protocol/json/json.h"

namespace tidegate::gateway {

namespace json = protocol::json;
using foundation::error_code;
using foundation::failure;
using runtime::task;

namespace {

constexpr std::chrono::seconds ask_timeout{2};
constexpr std::size_t models_max = 5000;
constexpr std::uint64_t list_bytes_max = 8U << 20;

bool is_glob(std::string_view pattern) { return pattern.find_first_of("*?") != std::string_view::npos; }

const provider* first_usable(const route& r) {
  for (const target& t : r.targets) {
    if (t.to->usable()) return t.to;
  }
  return nullptr;
}

std::string make_list_head(const provider& p) {
  std::string head = "GET " + p.url.path_of("/v1/models");
  const bool anthropic = p.kind == policy::provider_kind::anthropic;
  if (anthropic) head += "?limit=1000";
  head += " HTTP/1.1\r\nhost: " + p.url.authority() + "\r\n";
  if (anthropic) head += "anthropic-version: 2023-06-01\r\n";
  if (!p.credential.empty())
    head += (anthropic ? "x-api-key: " : "authorization: Bearer ") + p.credential + "\r\n";
  return head + "accept: application/json\r\naccept-encoding: identity\r\n\r\n";
}

// All that an answer depends on.
std::string cache_key(const provider& p) {
  std::string key = p.name + "\n" + p.url.text() + "\n";
  foundation::append_number(key, static_cast<std::int64_t>(std::hash<std::string>{}(p.credential)));
  return key;
}

// Null: no good answer.
task<model_cache::ids> ask(loop_services& services, const provider& p, runtime::cancel_source& cancel) {
  const auto body = co_await ask_models(services, p, services.loop.now() + ask_timeout, cancel);
  if (!body) co_return nullptr;
  std::vector<std::string> ids;
  for (listed_model& m : read_models(*body)) ids.push_back(std::move(m.id));
  if (ids.empty()) co_return nullptr;
  co_return std::make_shared<const std::vector<std::string>>(std::move(ids));
}

task<model_cache::ids> ids_of(core& shared, loop_services& services, const provider& p,
                              runtime::cancel_source& cancel) {
  const std::string key = cache_key(p);
  if (auto kept = shared.models().find(key, services.loop.now())) co_return kept;
  auto answer = co_await ask(services, p, cancel);
  if (answer) shared.models().keep(key, answer, services.loop.now());
  co_return answer;
}

failure told(error_code code, const provider& p, std::string_view what) {
  failure f;
  f.code = code;
  f.message = "provider '" + p.name + "': " + std::string{what};
  f.retryable = true;
  return f;
}

failure of_fault(runtime::call_fault fault, const provider& p) {
  switch (fault) {
    case runtime::call_fault::connect_timeout:
    case runtime::call_fault::first_byte_timeout:
    case runtime::call_fault::idle_timeout:
      return told(error_code::timeout, p, "it did not answer in time");
    case runtime::call_fault::canceled: {
      failure f = told(error_code::canceled, p, "the request has ended");
      f.retryable = false;
      return f;
    }
    default:
      return told(error_code::llm_api_error, p, runtime::to_text(fault));
  }
}

// The provider's own words stay with it: they may repeat what it was sent.
failure of_status(int status, const provider& p) {
  const policy::leg_result result = policy::result_of_status(status);
  failure f = told(result.code, p, "it answered with status " + std::to_string(status));
  f.retryable = result.retryable;
  if (result.outcome == policy::leg_outcome::auth) {
    f.message = "provider '" + p.name + "' refused the gateway's credential";
    f.status = 502;
  }
  if (result.outcome == policy::leg_outcome::auth || result.outcome == policy::leg_outcome::pushback) {
    f.details = R"({"source":"upstream"})";
  } else {
    f.details = R"({"status":)" + std::to_string(status) + '}';
  }
  return f;
}

}  // namespace

task<std::expected<std::string, failure>> ask_models(loop_services& services, const provider& of, instant by,
                                                     runtime::cancel_source& cancel) {
  const std::string head = make_list_head(of);
  auto reply = co_await services.upstream.call(of.origin, head, {}, {by, by}, &cancel);
  if (!reply) co_return std::unexpected{of_fault(reply.error().fault, of)};
  const int status = (*reply)->head().status;
  if (status != 200) co_return std::unexpected{of_status(status, of)};
  std::string body;
  for (;;) {
    const auto piece = co_await (*reply)->read(by, &cancel);
    if (!piece) co_return std::unexpected{of_fault(piece.error(), of)};
    if (piece->empty()) break;
    if (body.size() + piece->size() > list_bytes_max)
      co_return std::unexpected{told(error_code::llm_api_error, of, "its list of models is too large")};
    body.append(*piece);
  }
  co_return body;
}

std::vector<listed_model> read_models(std::string_view body) {
  std::vector<listed_model> models;
  const auto parsed = json::parse(body, 64);
  if (!parsed) return models;
  // Some compatible servers answer with the bare array.
  const auto data = parsed->is_array() ? std::optional{*parsed} : parsed->find("data");
  if (!data) return models;
  std::set<std::string, std::less<>> seen;
  for (const json::value entry : data->elements()) {
    if (models.size() == models_max) break;
    const std::string id = entry.string_or("id", "");
    const std::string_view bare = foundation::trim(id);
    if (bare.empty() || !seen.emplace(bare).second) continue;
    listed_model m{std::string{bare}, std::string{bare}};
    for (const std::string_view field : {"name", "display_name"}) {
      const std::string name = entry.string_or(field, "");
      if (foundation::trim(name).empty()) continue;
      m.name = foundation::trim(name);
      break;
    }
    models.push_back(std::move(m));
  }
  return models;
}

task<std::vector<dialect::model_entry>> list_models(core& shared, loop_services& services,
                                                    runtime::cancel_source& cancel) {
  const auto served = shared.current();
  std::map<std::string, std::string> found;  // id -> owner
  std::map<const provider*, model_cache::ids> asked;
  for (std::size_t i = 0; i < served->routes.size(); ++i) {
    const route& r = served->routes[i];
    const provider* const owner = first_usable(r);
    if (owner == nullptr) continue;
    if (!is_glob(r.pattern)) {
      found.try_emplace(r.pattern, owner->name);
      continue;
    }
    auto known = asked.find(owner);
    if (known == asked.end()) {
      auto answer = co_await ids_of(shared, services, *owner, cancel);
      known = asked.emplace(owner, std::move(answer)).first;
    }
    if (!known->second) continue;
    for (const std::string& id : *known->second) {
      if (policy::first_route(std::span<const std::string>{served->patterns}, id) == i)
        found.try_emplace(id, owner->name);
    }
  }
  std::vector<dialect::model_entry> models;
  models.reserve(found.size());
  for (auto& [id, owner] : found) models.push_back({id, owner, 0});
  co_return models;
}

std::optional<dialect::model_entry> find_model(const snapshot& served, std::string_view id) {
  const auto index = policy::first_route(std::span<const std::string>{served.patterns}, id);
  if (!index) return std::nullopt;
  const provider* const owner = first_usable(served.routes[*index]);
  if (owner == nullptr) return std::nullopt;
  return dialect::model_entry{std::string{id}, owner->name, 0};
}

std::optional<foundation::failure> admit_listing(core& shared, loop_services& services, const caller& who) {
  const auto served = shared.current();
  const std::uint32_t limit = served->policy_named(who.policy).requests_per_minute;
  if (limit == 0) return std::nullopt;
  const auto verdict = shared.limits().with([&](policy::rate_limiter& limits) {
    return limits.try_take(limits.enroll("key:" + who.key), limit, services.loop.now());
  });
  if (!verdict.admitted) return key_limit_failure(limit, verdict.retry_after);
  services.records.event(shared.log(), observe::level::debug, "models_listed", stage::note,
                         [&](json::writer& w) { w.member("key", who.key).member("countedKey", true); });
  return std::nullopt;
}

}  // namespace tidegate::gateway
