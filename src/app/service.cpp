#include "app/service.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <utility>

#include "app/process.h"
#include "gateway/budget_reset.h"
#include "policy/access.h"
#include "storage/sqlite/sqlite_stores.h"

namespace tidegate::app {
namespace {

using observe::level;

constexpr std::chrono::minutes housekeeping_interval{10};
constexpr std::size_t purge_rows = 1'000;

start_failure wrong(std::string message) { return {2, {std::move(message)}}; }
start_failure failed(std::string message) { return {1, {std::move(message)}}; }

std::shared_ptr<const policy::key_table> table_of(const std::vector<storage::client_key>& keys) {
  std::vector<policy::key_entry> entries;
  for (const storage::client_key& key : keys) {
    policy::key_entry e;
    const auto mac = std::as_bytes(std::span{key.mac});
    std::ranges::copy(mac, e.mac.begin());
    e.who.id = key.id;
    e.who.name = key.name;
    e.who.policy = key.policy;
    e.who.role = key.role == "admin" ? policy::caller_role::admin : policy::caller_role::client;
    e.who.enabled = key.enabled;
    e.who.projects = key.projects;
    e.who.channels = key.channels;
    entries.push_back(std::move(e));
  }
  return std::make_shared<const policy::key_table>(std::move(entries));
}

}  // namespace

std::expected<std::unique_ptr<service>, start_failure> service::open(
    const configuration& settings, const environment& env, observe::logger& log,
    const foundation::clock& time, surface::reload_request reload, const std::string& ca_file) {
  auto directory = data_directory::take(settings.storage.dir);
  if (!directory) return std::unexpected{failed(directory.error().message)};
  std::unique_ptr<service> made{new service{std::move(*directory), log, time}};
  made->settings_ = settings;
  made->env_ = env;
  if (auto opened = made->open_store(settings, env); !opened) return std::unexpected{failed(opened.error())};
  if (auto problems = exposure_problems(settings, !made->open_access()); !problems.empty())
    return std::unexpected{start_failure{2, std::move(problems)}};
  const served what = made->resolve(settings, env);
  for (const config_warning& w : what.warnings)
    log.at(level::warn, w.event).field("key", w.key).field("reason", w.reason);
  if (settings.admin.token.configured() && what.admin_token.empty()) {
    return std::unexpected{wrong("admin.token: " + to_text(settings.admin.token) +
                                 " gives no token; the admin listener does not open without the one it was "
                                 "promised")};
  }
  auto control = control_path::of(made->directory_.path());
  if (!control) return std::unexpected{failed(control.error())};
  node_parts parts;
  parts.desk = made->keys_.get();
  parts.control_path = control->path();
  parts.traces = made->feed_.get();
  parts.stores = made->stores_.get();
  parts.providers = made->overrides_.get();
  parts.prices = made->prices_.get();
  auto started = node::start(settings, what, log, time, std::move(reload), std::move(parts), ca_file);
  if (!started) return std::unexpected{failed(started.error())};
  made->node_ = std::move(*started);
  made->publish_access();
  {
    const std::lock_guard lock{made->mutex_};
    made->serving_ = true;
  }
  made->node_->run();
  made->housekeeper_ = std::thread{[&self = *made] { self.housekeep(); }};
  return made;
}

service::~service() {
  {
    const std::lock_guard lock{mutex_};
    serving_ = false;
    ending_ = true;
  }
  wake_.notify_all();
  if (housekeeper_.joinable()) housekeeper_.join();
  node_.reset();
  if (feed_ != nullptr) feed_->flush();
}

// Texts of runs and replies are sealed, so the master key is needed as soon as one is kept (CFG-4: made at
// first need).
std::shared_ptr<const storage::sealer> service::text_sealer(storage::stores& bare,
                                                            const configuration& settings,
                                                            const environment& env) {
  auto key = master_key_for(bare, master_key_source_of(settings, env));
  if (!key) {
    log_.at(level::warn, "master_key_unusable")
        .field("reason", key.error())
        .field("message", "texts of runs and stored replies are left out, secrets cannot be read");
    return nullptr;
  }
  auto sealer = storage::sealer::of(*key);
  return sealer ? std::make_shared<const storage::sealer>(std::move(*sealer)) : nullptr;
}

std::expected<void, std::string> service::open_store(const configuration& settings, const environment& env) {
  storage::sqlite::options where;
  where.path = directory_.database();
  where.trace_texts = settings.storage.texts != trace_texts::off;
  std::shared_ptr<const storage::sealer> sealer;
  {
    // First without sealing: only the store knows which master key it was written under.
    auto bare = storage::sqlite::open(where, nullptr);
    if (!bare) return std::unexpected{bare.error()};
    sealer = text_sealer(**bare, settings, env);
  }
  auto opened = storage::sqlite::open(std::move(where), std::move(sealer));
  if (!opened) return std::unexpected{opened.error()};
  stores_ = std::move(*opened);
  feed_ = std::make_unique<gateway::trace_feed>(stores_->traces(), log_);
  keyring_hooks hooks;
  hooks.changed = [this] { keys_changed(); };
  hooks.event = [this](std::string_view event) {
    const std::lock_guard lock{mutex_};
    return serving_ && node_->records().record(event);
  };
  hooks.recording = [this] {
    const std::lock_guard lock{mutex_};
    return serving_ && node_->core().recording();
  };
  auto keys = keyring::open(*stores_, master_key_source_of(settings, env), rules_of(settings), time_, &log_,
                            std::move(hooks));
  if (!keys) return std::unexpected{keys.error()};
  keys_ = std::move(*keys);
  auto overrides = provider_overrides::open(
      *stores_, *keys_,
      [this](std::string_view name) {
        const std::lock_guard lock{mutex_};
        return provider_base_of(settings_, name);
      },
      log_);
  if (!overrides) return std::unexpected{overrides.error()};
  overrides_ = std::move(*overrides);
  prices_ = std::make_unique<session::price_desk>(stores_->settings(), log_);
  prices_->on_change([this] { keys_changed(); });
  return prices_->load();
}

served service::resolve(const configuration& settings, const environment& env) const {
  served what = make_snapshot(overrides_->over(settings), env, read_system_file,
                              [this](std::string_view name) { return keys_->secret(name); });
  what.routes->prices = prices_->over(what.routes->prices);
  return what;
}

void service::publish_access() {
  const std::vector<storage::client_key> keys = keys_->access_keys();
  node_->core().callers().publish(table_of(keys), keys_->mac());
  // Whose key is gone, or may something else now, watches no longer.
  for (const storage::client_key& was : watched_) {
    const auto now = std::ranges::find(keys, was.id, &storage::client_key::id);
    if (now == keys.end() || *now != was) node_->pushes().cut(was.id);
  }
  if (watched_.empty() && !keys.empty()) node_->pushes().cut(policy::local_principal().id);
  watched_ = keys;
}

// A key or a secret changed: from the next request on.
void service::keys_changed() {
  const std::lock_guard lock{mutex_};
  if (!serving_) return;
  publish_access();
  node_->publish(resolve(settings_, env_));
}

std::expected<void, std::string> service::publish(const configuration& settings, const environment& env) {
  const std::lock_guard lock{mutex_};
  if (!serving_) return std::unexpected{std::string{"the gateway is starting or shutting down"}};
  keys_->set_rules(rules_of(settings));
  // The listeners are those of the start, whatever the new file says of them.
  configuration opened = settings;
  opened.server.listen = settings_.server.listen;
  opened.admin.listen = settings_.admin.listen;
  const auto problems = exposure_problems(opened, !open_access());
  if (!problems.empty()) {
    keys_->set_rules(rules_of(settings_));
    return std::unexpected{problems.front()};
  }
  settings_ = std::move(opened);
  env_ = env;
  const served what = resolve(settings, env);
  for (const config_warning& w : what.warnings)
    log_.at(level::warn, w.event).field("key", w.key).field("reason", w.reason);
  publish_access();
  node_->publish(what);
  node_->configure(settings_);
  node_->records().note(R"({"event":"configuration_reloaded"})");
  return {};
}

void service::housekeep() {
  std::unique_lock lock{mutex_};
  while (!ending_) {
    lock.unlock();
    purge_old();
    lock.lock();
    wake_.wait_for(lock, housekeeping_interval, [this] { return ending_; });
  }
}

// Traces beyond their retention, stored replies beyond their time, accounts that nobody will ask for again.
void service::purge_old() {
  const auto wall = time_.wall();
  foundation::milliseconds trace_age{};
  foundation::milliseconds reply_age{};
  bool project_budget = false;
  {
    const std::lock_guard lock{mutex_};
    trace_age = settings_.storage.trace_retention;
    reply_age = settings_.server.idempotency_ttl;
    project_budget = settings_.session.project_token_budget > 0;
  }
  for (;;) {
    const auto gone = storage::wait_for<std::size_t>(
        [&](auto answer) { stores_->traces().purge(wall - trace_age, purge_rows, std::move(answer)); });
    if (!gone) log_.at(level::warn, "trace_store_persist_failed").field("message", gone.error().message);
    if (!gone || *gone < purge_rows) break;
  }
  for (;;) {
    const auto gone = storage::wait_for<std::size_t>(
        [&](auto answer) { stores_->replies().purge(wall - reply_age, purge_rows, std::move(answer)); });
    if (!gone || *gone < purge_rows) break;
  }
  for (;;) {
    const auto gone = storage::wait_for<std::size_t>(
        [&](auto answer) { stores_->usage().purge(wall - trace_age, purge_rows, std::move(answer)); });
    if (!gone || *gone < purge_rows) break;
  }
  policy::stale_rule stale;
  stale.session_idle = trace_age;  // a session's account goes with the traces of its last runs
  if (!project_budget) stale.project_idle = trace_age;
  gateway::drop_stale_accounts(node_->core(), wall, stale,
                               [this](std::string_view record) { node_->records().note(record); });
}

}  // namespace tidegate::app
