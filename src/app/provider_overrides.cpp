#include "app/provider_overrides.h"

#include <algorithm>
#include <utility>

#include "foundation/text.h"

namespace tidegate::app {

using foundation::failure;
using session::provider_override;
using session::provider_patch;
using session::provider_plan;

std::expected<std::unique_ptr<provider_overrides>, std::string> provider_overrides::open(
    storage::stores& store, keyring& keys, base_reader base, observe::logger& log) {
  std::unique_ptr<provider_overrides> made{new provider_overrides{keys, std::move(base)}};
  const auto kept = storage::wait_for<std::vector<storage::setting>>(
      [&](auto answer) { store.settings().list(std::string{session::override_prefix}, std::move(answer)); });
  if (!kept) {
    log.at(observe::level::error, "ai_proxy_settings_get_failed")
        .field("code", "DB_ERROR")
        .field("message", kept.error().message);
    return std::unexpected{"settings of providers cannot be read: " + kept.error().message};
  }
  for (const storage::setting& s : *kept) {
    std::string name = s.name.substr(session::override_prefix.size());
    if (auto parsed = session::parse_override(s.json)) {
      made->stored_.emplace(std::move(name), std::move(*parsed));
    } else {
      log.at(observe::level::error, "ai_proxy_settings_parse_failed")
          .field("field", name)
          .field("message", "what is stored of this provider is not readable; the configuration holds");
    }
  }
  return made;
}

provider_overrides::~provider_overrides() {
  std::unique_lock lock{mutex_};
  idle_.wait(lock, [this] { return !busy_ && asking_ == 0; });
}

std::expected<provider_plan, failure> provider_overrides::plan(const provider_patch& patch) const {
  const auto base = base_(patch.provider);
  if (!base) {
    failure f;
    f.code = foundation::error_code::invalid_argument;
    f.message = "there is no provider of that name";
    f.details = R"({"fieldName":"provider"})";
    return std::unexpected{std::move(f)};
  }
  provider_override stored;
  {
    const std::lock_guard lock{mutex_};
    const auto found = stored_.find(patch.provider);
    if (found != stored_.end()) stored = found->second;
  }
  return session::plan_update(*base, stored, patch);
}

void provider_overrides::update(provider_patch patch, answer then) {
  // Looked at twice: what is refused is refused before a master key is made for it.
  const auto first = plan(patch);
  if (!first) return then(std::unexpected{first.error()});
  job next{std::move(patch), std::move(then)};
  if (!first->api_key || first->api_key->empty()) return enqueue(std::move(next));
  {
    const std::lock_guard lock{mutex_};
    ++asking_;
  }
  keys_.with_master_key([this, next = std::move(next)](std::expected<void, failure> ready) mutable {
    if (ready) {
      enqueue(std::move(next));
    } else {
      next.then(std::unexpected{std::move(ready.error())});
    }
    const std::lock_guard lock{mutex_};
    if (--asking_ == 0) idle_.notify_all();  // under the lock: behind it this may be gone
  });
}

void provider_overrides::enqueue(job next) {
  {
    const std::lock_guard lock{mutex_};
    if (busy_) {
      waiting_.push_back(std::move(next));
      return;
    }
    busy_ = true;
  }
  begin(std::move(next));
}

void provider_overrides::begin(job next) {
  auto planned = plan(next.patch);
  if (!planned) {
    next.then(std::unexpected{std::move(planned.error())});
    return ended();
  }
  const std::string name = next.patch.provider;
  std::vector<storage::setting_change> changes;
  changes.push_back({std::string{session::override_prefix} + name, session::to_json(planned->next)});
  const bool unusual = planned->unusual_key;
  keys_.save(
      name, std::move(planned->api_key), std::move(changes),
      [this, name, kept = planned->next] {
        const std::lock_guard lock{mutex_};
        stored_[name] = kept;
      },
      [this, unusual, then = std::move(next.then)](std::expected<void, failure> done) mutable {
        if (done) {
          then(outcome{unusual});
        } else {
          then(std::unexpected{std::move(done.error())});
        }
        ended();
      });
}

void provider_overrides::ended() {
  std::optional<job> next;
  {
    const std::lock_guard lock{mutex_};
    if (waiting_.empty()) {
      busy_ = false;
      idle_.notify_all();  // under the lock: behind it this may be gone
      return;
    }
    next.emplace(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  begin(std::move(*next));
}

configuration provider_overrides::over(configuration settings) const {
  const std::lock_guard lock{mutex_};
  for (provider_settings& p : settings.providers) {
    const auto found = stored_.find(p.name);
    if (found == stored_.end()) continue;
    if (found->second.enabled) p.enabled = *found->second.enabled;
    if (found->second.base_url) p.base_url = *found->second.base_url;
    // Without a reference it takes what is sealed under its own name, or has none.
    if (found->second.own_key) p.api_key = {};
  }
  return settings;
}

std::optional<session::provider_base> provider_base_of(const configuration& settings, std::string_view name) {
  const auto found = std::ranges::find(settings.providers, name, &provider_settings::name);
  if (found == settings.providers.end()) return std::nullopt;
  return session::provider_base{found->kind, found->enabled, found->base_url};
}

}  // namespace tidegate::app
