#include "session/skill_channels.h"

#include <utility>

#include "foundation/text.h"

namespace tidegate::session {

using foundation::error_code;
using runtime::task;

namespace {

std::string trimmed(json::value request, std::string_view name) {
  return std::string{foundation::trim(request.string_or(name, ""))};
}

void write_row(json::writer& w, const skill_snapshot::row& row) {
  const skill& s = *row.what;
  w.begin_object().member("id", s.id);
  w.member("name", s.definition.name.empty() ? s.leaf : s.definition.name);
  w.member("scope", name_of(s.scope)).member("version", s.definition.version);
  w.member("enabled", row.enabled).member("valid", s.valid());
  if (s.fault) {
    w.member("error_code", foundation::name_of(s.fault->code));
    w.member("error_message", s.fault->message);
  }
  w.end_object();
}

}  // namespace

skill_toggles read_toggles(std::span<const storage::setting> stored) {
  skill_toggles toggles;
  for (const storage::setting& s : stored) {
    const std::string_view name = s.name;
    if (!name.starts_with(toggle_prefix) || (s.json != "true" && s.json != "false")) continue;
    toggles.insert_or_assign(std::string{name.substr(toggle_prefix.size())}, s.json == "true");
  }
  return toggles;
}

std::vector<binding> skill_channels::bindings() {
  return {{"skill:registry:list", [this](json::value r, request_context& c) { return list(r, c); }},
          {"skill:registry:read", [this](json::value r, request_context& c) { return read(r, c); }},
          {"skill:registry:toggle", [this](json::value r, request_context& c) { return toggle(r, c); }}};
}

task<channel_reply> skill_channels::list(json::value request, request_context&) {
  const auto asked = request.find("includeDisabled");
  const bool all = asked && asked->as_bool().value_or(false);
  const auto skills = skills_.current();
  std::string reply;
  json::writer w{reply};
  w.begin_object().key("items").begin_array();
  for (const skill_snapshot::row& row : skills->rows()) {
    if (all || row.enabled) write_row(w, row);
  }
  w.end_array().end_object();
  co_return reply;
}

task<channel_reply> skill_channels::read(json::value request, request_context&) {
  const std::string id = trimmed(request, "id");
  if (id.empty()) co_return refusal(error_code::invalid_argument, "id is blank", R"({"fieldName":"id"})");
  const auto skills = skills_.current();
  const skill_snapshot::row* const row = skills->find(id);
  if (row == nullptr) co_return refusal(error_code::not_found, "there is no such skill");
  const skill& s = *row->what;
  if (s.fault && s.content.empty()) co_return refusal(s.fault->code, s.fault->message);
  std::string reply;
  json::writer{reply}.begin_object().member("id", s.id).member("content", s.content).end_object();
  co_return reply;
}

task<channel_reply> skill_channels::toggle(json::value request, request_context& context) {
  std::string id = trimmed(request, "id");
  const std::string other = trimmed(request, "skillId");
  if (id.empty()) id = other;
  if (id.empty() || (!other.empty() && other != id)) {
    co_return refusal(error_code::invalid_argument, "name one skill, as id or as skillId",
                      R"({"fieldName":"id"})");
  }
  const bool enabled = request.find("enabled")->as_bool().value_or(false);
  const auto skills = skills_.current();
  const skill_snapshot::row* const row = skills->find(id);
  if (row == nullptr) co_return refusal(error_code::not_found, "there is no such skill");
  const std::string full = row->what->id;
  // The registry follows the store in the store's own order, so that of two toggles at once the same one
  // stands in both.
  const auto kept = co_await ask_store<void>(context, [&](storage::done<void> done) {
    std::vector<storage::setting_change> changes;
    changes.push_back({std::string{toggle_prefix} + full, enabled ? "true" : "false"});
    settings_.apply(std::move(changes), {}, time_.wall(),
                    [this, full, enabled, done = std::move(done)](storage::result<void> r) mutable {
                      if (r) static_cast<void>(skills_.toggle(full, enabled));
                      done(std::move(r));
                    });
  });
  if (!kept) co_return std::unexpected{failure_of(kept.error())};
  std::string reply;
  json::writer{reply}.begin_object().member("id", full).member("enabled", enabled).end_object();
  co_return reply;
}

}  // namespace tidegate::session
