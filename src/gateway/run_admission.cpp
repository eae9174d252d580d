// Before any leg: the request is read, its route found, the fit targets chosen (RES-1 to RES-5). A refusal
// here has touched no provider.
#include <algorithm>
#include <utility>

#include "foundation/text.h"
#include "gateway/run.h"
#include "policy/routing.h"
#include "protocol/json/json.h"

namespace tidegate::gateway {

namespace json = protocol::json;
using foundation::error_code;

namespace {

// Names go into records, metrics and tables: what a caller may put there is bounded here.
constexpr std::size_t model_name_max = 256;

failure bad_json(const json::syntax_error& error) {
  failure f;
  f.code = error_code::validation_error;
  f.message = "the request body is not valid JSON at byte " + std::to_string(error.offset) + ": ";
  f.message += error.reason;
  return f;
}

failure invalid(error_code code, std::string message, std::string param) {
  failure f;
  f.code = code;
  f.message = std::move(message);
  f.param = std::move(param);
  return f;
}

std::string preflight_message(error_code code, const provider& p, std::string_view model) {
  switch (code) {
    case error_code::preflight_missing_api_key:
      return "provider '" + p.name + "' has no API key: its reference resolves to nothing";
    case error_code::preflight_invalid_api_key_format:
      return "the API key of provider '" + p.name + "' does not have the vendor's format";
    case error_code::preflight_missing_model:
      return "no model is named for provider '" + p.name + "'";
    default:
      return "model '" + std::string{model} + "' does not belong to provider '" + p.name + "'";
  }
}

}  // namespace

std::optional<failure> run::read() {
  if (story_ != nullptr) {
    read_.summary = call_.asked;
    return check_model();
  }
  if (auto why = read_body()) return why;
  if (call_.what == endpoint::generate) {
    auto summary = caller_.summarize(read_.body);
    if (!summary)
      return invalid(error_code::invalid_argument, summary.error().message, summary.error().param);
    read_.summary = std::move(*summary);
  } else {
    const auto model = read_.body.find("model");
    const auto name = model ? model->as_string() : std::nullopt;
    if (!name) return invalid(error_code::invalid_argument, "model must be a string", "model");
    read_.summary.model = *name;
  }
  return check_model();
}

std::optional<failure> run::read_body() {
  const auto parsed = json::parse(call_.body, snapshot_->max_json_depth);
  if (!parsed) return bad_json(parsed.error());
  if (!parsed->is_object())
    return invalid(error_code::validation_error, "the request body must be a JSON object", {});
  read_.body = *parsed;
  return std::nullopt;
}

std::optional<failure> run::check_model() const {
  if (foundation::trim(read_.summary.model).empty()) {
    return invalid(error_code::invalid_argument, "model is missing", "model");
  }
  if (read_.summary.model.size() > model_name_max) {
    return invalid(error_code::invalid_argument,
                   "model is longer than " + std::to_string(model_name_max) + " bytes", "model");
  }
  return std::nullopt;
}

std::optional<failure> run::resolve() {
  if (snapshot_->providers.empty()) {
    return invalid(error_code::ai_not_configured, "no provider is configured; see `tidegate init`", {});
  }
  const auto found =
      policy::first_route(std::span<const std::string>{snapshot_->patterns}, read_.summary.model);
  if (!found) {
    return invalid(error_code::not_found,
                   "The model `" + read_.summary.model + "` does not exist: no route serves it", "model");
  }
  const route& r = snapshot_->routes[*found];
  route_ = &r;
  mode_ = r.mode.value_or(story_ != nullptr ? policy::failover_mode::after_trip
                                            : policy::failover_mode::immediate);
  return choose_targets(r);
}

bool run::serves_endpoint(const provider& p) const {
  const bool anthropic = p.kind == policy::provider_kind::anthropic;
  switch (call_.what) {
    case endpoint::generate:
      break;
    case endpoint::embeddings:
      return !anthropic;
    case endpoint::count_tokens:
      // The first target decides between asking and estimating; behind one that counts, only its like can.
      return anthropic || targets_.empty();
  }
  return true;
}

std::optional<failure> run::choose_targets(const route& r) {
  bool first_usable = true;
  bool any_usable = false;
  for (std::size_t i = 0; i < r.targets.size(); ++i) {
    const target& t = r.targets[i];
    if (!t.to->usable()) continue;
    any_usable = true;
    if (!serves_endpoint(*t.to)) continue;
    std::string model{policy::target_model(t.model, i == 0, read_.summary.model)};
    const bool repeated = std::ranges::any_of(
        targets_, [&](const chosen_target& c) { return c.to->name == t.to->name && c.model == model; });
    if (repeated) continue;
    const auto unfit = policy::preflight({.kind = t.to->kind,
                                          .known_vendor = policy::is_known_vendor(t.to->kind, t.to->url),
                                          .credential_configured = t.to->credential_configured,
                                          .credential = t.to->credential,
                                          .model = model});
    if (unfit) {
      std::string details;
      json::writer{details}.begin_object().member("provider", t.to->name).member("model", model).end_object();
      if (first_usable) {
        failure f = invalid(*unfit, preflight_message(*unfit, *t.to, model), {});
        f.details = std::move(details);
        return f;
      }
      core_.log()
          .at(observe::level::warn, "preflight_backup_passed_over")
          .field("traceId", call_.trace_id)
          .field("provider", t.to->name)
          .field("model", model)
          .field("code", foundation::name_of(*unfit));
      continue;
    }
    first_usable = false;
    targets_.push_back({t.to, std::move(model)});
  }
  if (!any_usable) {
    return invalid(
        error_code::ai_not_configured,
        "no target of route '" + r.pattern + "' can be used: enable its provider and give it a credential",
        {});
  }
  if (targets_.empty()) {
    return invalid(error_code::invalid_argument, "no target of route '" + r.pattern + "' serves embeddings",
                   "model");
  }
  for (const chosen_target& c : targets_)
    refs_.push_back({c.to->health, c.to->credential_id, c.model, c.to->endpoint});
  return std::nullopt;
}

}  // namespace tidegate::gateway
