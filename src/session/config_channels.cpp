#include "session/config_channels.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "foundation/text.h"
#include "gateway/model_list.h"
#include "runtime/loop.h"

namespace tidegate::session {

using foundation::error_code;
using foundation::failure;
using observe::level;
using runtime::task;

namespace {

std::optional<std::string> text_at(json::value request, std::string_view name) {
  const auto found = request.find(name);
  return found ? found->as_string() : std::nullopt;
}

provider_patch patch_of(json::value request) {
  provider_patch patch;
  patch.provider = foundation::trim(request.string_or("provider", ""));
  if (const auto enabled = request.find("enabled")) patch.enabled = enabled->as_bool();
  patch.base_url = text_at(request, "baseUrl");
  patch.api_key = text_at(request, "apiKey");
  return patch;
}

const gateway::provider* provider_asked(const gateway::snapshot& served, std::string_view name) {
  for (const auto& p : served.providers) {
    if (name.empty() || p->name == name) return p.get();
  }
  return nullptr;
}

failure make_failure(error_code code, std::string message) {
  failure f;
  f.code = code;
  f.message = std::move(message);
  return f;
}

// Why it need not be called, or nothing.
std::optional<failure> unfit(const gateway::provider* p, std::string_view name) {
  if (p == nullptr && name.empty())
    return make_failure(error_code::ai_not_configured, "no provider is configured");
  if (p == nullptr) return make_failure(error_code::invalid_argument, "there is no such provider");
  if (!p->enabled) return make_failure(error_code::invalid_argument, "the provider is disabled");
  if (!p->has_url) return make_failure(error_code::ai_not_configured, "the provider has no base URL");
  return std::nullopt;
}

// CFG-7.
task<std::optional<failure>> probe(const gateway::snapshot& served, std::string name,
                                   request_context& context) {
  const gateway::provider* const p = provider_asked(served, name);
  if (auto why = unfit(p, name)) co_return why;
  const auto by = context.services.loop.fresh_now() + served.rpc.config_test;
  const auto body = co_await gateway::ask_models(context.services, *p, by, context.gone);
  if (!body) co_return body.error();
  if (!json::parse(*body))
    co_return make_failure(error_code::llm_api_error, "its answer to /v1/models is not JSON");
  co_return std::nullopt;
}

}  // namespace

std::vector<binding> config_channels::bindings() {
  return {{"ai:config:get", [this](json::value r, request_context& c) { return get(r, c); }},
          {"ai:config:update", [this](json::value r, request_context& c) { return update(r, c); }},
          {"ai:config:test", [this](json::value r, request_context& c) { return test(r, c); }}};
}

std::string config_channels::views(request_context& context) {
  runtime::loop& loop = context.services.loop;
  return provider_views(core_, loop.fresh_now(), loop.wall());
}

task<channel_reply> config_channels::get(json::value, request_context& context) { co_return views(context); }

task<channel_reply> config_channels::update(json::value request, request_context& context) {
  provider_patch patch = patch_of(request);
  const std::string name = patch.provider;
  loop_answer<provider_desk::outcome> wait{context.services.loop};
  desk_.update(std::move(patch), wait.answer());
  const auto done = co_await wait;
  if (!done) {
    if (done.error().code == error_code::unsupported) {
      core_.log()
          .at(level::warn, "ai_proxy_settings_secret_encrypt_failed")
          .field("field", "apiKey")
          .field("message", done.error().message);
    }
    core_.log()
        .at(level::warn, "ai_proxy_settings_update_failed")
        .field("code", foundation::name_of(done.error().code))
        .field("message", done.error().message)
        .field("traceId", context.trace_id);
    co_return std::unexpected{done.error()};
  }
  // As it is served now; gone only where a reload took it out of the configuration meanwhile.
  const auto served = core_.current();
  const gateway::provider* const p = provider_asked(*served, name);
  context.services.records.event(core_.log(), level::info, "ai_proxy_settings_updated", gateway::stage::end,
                                 [&](json::writer& w) {
                                   w.member("provider", name).member("enabled", p != nullptr && p->enabled);
                                   w.member("baseUrlConfigured", p != nullptr && p->has_url);
                                   w.member("apiKeyConfigured", p != nullptr && !p->credential.empty());
                                   w.member("traceId", context.trace_id);
                                 });
  if (done->unusual_key) {
    core_.log()
        .at(level::warn, "provider_key_unusual")
        .field("provider", name)
        .field("field", "apiKey")
        .field("message", "it does not look like the usual API keys (sk-...); it was taken as it is");
  }
  if (!co_await context.services.records.durable(gateway::stage::end))
    co_return refusal(error_code::db_error, "the change was made, but the journal would not record it");
  co_return views(context);
}

task<channel_reply> config_channels::test(json::value request, request_context& context) {
  gateway::caller who;
  who.key = context.who.id;
  who.policy = context.who.policy;
  // A call of the provider, with the owner's credential (RL-2).
  if (auto why = gateway::admit_listing(core_, context.services, who)) co_return std::unexpected{*why};
  static_cast<void>(co_await context.services.records.durable(gateway::stage::note));
  const auto served = core_.current();
  const auto started = context.services.loop.fresh_now();
  const auto why =
      co_await probe(*served, std::string{foundation::trim(request.string_or("provider", ""))}, context);
  const auto took = context.services.loop.fresh_now() - started;
  std::string reply;
  json::writer w{reply};
  w.begin_object().member("ok", !why).member("latencyMs", foundation::to_ms(took));
  if (why) {
    w.key("error").begin_object().member("code", foundation::name_of(why->code));
    w.member("message", why->message).end_object();
  }
  w.end_object();
  co_return reply;
}

}  // namespace tidegate::session
