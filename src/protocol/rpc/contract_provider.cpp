// ai:config:* and ai:models:*.
#include <array>

#include "protocol/rpc/shapes.h"

namespace tidegate::protocol::rpc::shapes {
namespace {

constexpr shape url{.kind = shape_kind::string, .size_max = 2048};
constexpr shape credential{.kind = shape_kind::string, .size_max = 4096};

constexpr std::array kind_words{std::string_view{"openai"}, std::string_view{"anthropic"},
                                std::string_view{"openai-compatible"}};
constexpr shape provider_kind = words_of("ProviderKind", kind_words);
constexpr std::array status_words{std::string_view{"healthy"}, std::string_view{"degraded"},
                                  std::string_view{"half_open"}};
constexpr shape provider_status = words_of("ProviderStatus", status_words);

constexpr std::array view_fields{need("name", text),
                                 need("kind", provider_kind),
                                 need("enabled", flag),
                                 need("baseUrl", text, "Empty where none is set"),
                                 need("apiKeyConfigured", flag),
                                 need("status", provider_status),
                                 need("consecutiveFailures", integer),
                                 may("degradedAt", instant),
                                 may("cooldownUntil", instant)};
constexpr shape view = named("ProviderView", view_fields, "A provider as configured, and its health");
constexpr shape view_list = list_of(view);
constexpr std::array views_fields{need("providers", view_list)};
constexpr shape views = named("ProviderViews", views_fields, "All providers");

constexpr std::array update_fields{need("provider", id), may("enabled", flag), may("baseUrl", url),
                                   may("apiKey", credential, "Empty clears it; kept sealed, never shown")};
constexpr shape update_request = object_of(update_fields);

constexpr std::array test_fields{may("provider", id, "Default: the first")};
constexpr shape test_request = object_of(test_fields);
constexpr std::array test_reply_fields{need("ok", flag), need("latencyMs", duration),
                                       may("error", brief_error)};
constexpr shape test_reply = object_of(test_reply_fields);

constexpr std::array model_fields{need("id", text), need("name", text), need("provider", text)};
constexpr shape model = named("Model", model_fields, "A model that can be asked for");
constexpr shape model_list = list_of(model);
constexpr std::array models_reply_fields{need("source", text), need("items", model_list, "By name")};
constexpr shape models_reply = object_of(models_reply_fields);

constexpr std::array channels{
    channel{.name = "ai:config:get",
            .request = &nothing,
            .reply = &views,
            .summary = "Providers as configured, without secrets"},
    channel{.name = "ai:config:update",
            .request = &update_request,
            .reply = &views,
            .needs = access::admin,
            .summary = "Change one provider"},
    channel{.name = "ai:config:test",
            .request = &test_request,
            .reply = &test_reply,
            .summary = "Ask a provider for its models, to see whether it answers"},
    channel{.name = "ai:models:list",
            .request = &nothing,
            .reply = &models_reply,
            .summary = "Models of the providers"},
};

}  // namespace

part provider_part() {
  static constexpr std::array names{&provider_kind, &provider_status, &view, &views, &model};
  return {.channels = channels, .shapes = names};
}

}  // namespace tidegate::protocol::rpc::shapes
