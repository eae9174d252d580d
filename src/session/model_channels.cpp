#include "session/model_channels.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "gateway/model_list.h"

namespace tidegate::session {

using foundation::failure;
using runtime::task;

namespace {

constexpr std::chrono::seconds listing_time{10};  // for all providers together

struct item {
  std::string id;
  std::string name;
  std::string_view provider;
};

std::string_view vendor_of(policy::provider_kind kind) {
  switch (kind) {
    case policy::provider_kind::openai:
      return "OpenAI";
    case policy::provider_kind::anthropic:
      return "Anthropic";
    case policy::provider_kind::openai_compatible:
      break;
  }
  return "Proxy";
}

std::string_view source_of(policy::provider_kind kind) {
  return kind == policy::provider_kind::openai_compatible ? "proxy" : policy::name_of(kind);
}

// What answered, and why others did not.
struct listing {
  std::vector<item> items;
  std::set<std::string_view> sources;
  std::optional<failure> fault;  // the first
};

task<listing> ask_all(const gateway::snapshot& served, request_context& context) {
  listing found;
  std::set<std::string, std::less<>> seen;
  const auto by = context.services.loop.fresh_now() + listing_time;
  for (const auto& p : served.providers) {
    if (!p->usable() || context.gone.fired()) continue;
    const auto limit = std::min(by, context.services.loop.fresh_now() + served.rpc.config_test);
    const auto body = co_await gateway::ask_models(context.services, *p, limit, context.gone);
    if (!body) {
      if (!found.fault) found.fault = body.error();
      continue;
    }
    found.sources.insert(source_of(p->kind));
    for (gateway::listed_model& m : gateway::read_models(*body)) {
      if (!seen.insert(m.id).second) continue;
      found.items.push_back({std::move(m.id), std::move(m.name), vendor_of(p->kind)});
    }
  }
  std::ranges::sort(found.items, {}, [](const item& i) { return std::tie(i.name, i.id); });
  co_return found;
}

}  // namespace

std::vector<binding> model_channels::bindings() {
  return {{"ai:models:list", [this](json::value r, request_context& c) { return list(r, c); }}};
}

task<channel_reply> model_channels::list(json::value, request_context& context) {
  gateway::caller who;
  who.key = context.who.id;
  who.policy = context.who.policy;
  if (auto why = gateway::admit_listing(core_, context.services, who)) co_return std::unexpected{*why};
  static_cast<void>(co_await context.services.records.durable(gateway::stage::note));
  const auto served = core_.current();
  const listing found = co_await ask_all(*served, context);
  if (found.sources.empty()) {
    if (found.fault) co_return std::unexpected{*found.fault};
    co_return refusal(foundation::error_code::ai_not_configured, "no provider is configured to be asked");
  }
  std::string reply;
  json::writer w{reply};
  w.begin_object();
  w.member("source", found.sources.size() == 1 ? *found.sources.begin() : std::string_view{"several"});
  w.key("items").begin_array();
  for (const item& i : found.items) {
    w.begin_object().member("id", i.id).member("name", i.name).member("provider", i.provider).end_object();
  }
  w.end_array().end_object();
  co_return reply;
}

}  // namespace tidegate::session
