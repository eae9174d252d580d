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

bool lacks_token(const configuration& settings, const served& what) {
  return settings.admin.token.configured() && what.admin_token.empty();
}

std::string token_problem(const configuration& settings) {
  return "admin.token: " + to_text(settings.admin.token) +
         " gives no token; the admin listener does not open without the one it was promised";
}

}  // namespace

std::expected<std::unique_ptr<service>, start_failure> service::open(
    const configuration& settings, const environment& env, observe::logger& log,
    const foundation::clock& time, reload_action reload, const std::string& ca_file) {
  auto directory = data_directory::take(settings.storage.dir);
  if (!directory) return std::unexpected{failed(directory.error().message)};
  std::unique_ptr<service> made{new service{std::move(*directory), log, time}};
  made->settings_ = std::make_shared<const configuration>(settings);
  made->env_ = env;
  if (auto opened = made->open_store(settings, env); !opened) return std::unexpected{failed(opened.error())};
  if (auto problems = exposure_problems(settings, !made->open_access()); !problems.empty())
    return std::unexpected{start_failure{2, std::move(problems)}};
  const served what = made->resolve(settings, env);
  for (const config_warning& w : what.warnings)
    log.at(level::warn, w.event).field("key", w.key).field("reason", w.reason);
  if (lacks_token(settings, what)) return std::unexpected{wrong(token_problem(settings))};
  if (auto started = made->start_node(what, std::move(reload), ca_file); !started)
    return std::unexpected{failed(started.error())};
  made->housekeeper_ = std::thread{[&self = *made] { self.housekeep(); }};
  return made;
}

std::expected<void, std::string> service::start_node(const served& what, reload_action reload,
                                                     const std::string& ca_file) {
  auto control = control_path::of(directory_.path());
  if (!control) return std::unexpected{control.error()};
  node_parts parts;
  parts.desk = keys_.get();
  parts.control_path = control->path();
  parts.traces = feed_.get();
  parts.stores = stores_.get();
  parts.providers = overrides_.get();
  parts.prices = prices_.get();
  auto ask = [this, reload = std::move(reload)](surface::reload_answer answer) {
    errands_.run([&reload, answer = std::move(answer)]() mutable { answer(reload()); });
  };
  auto started =
      node::start(*present_settings(), what, log_, time_, std::move(ask), std::move(parts), ca_file);
  if (!started) return std::unexpected{started.error()};
  const std::lock_guard lock{publishing_};
  node_ = std::move(*started);
  publish_access();
  running_.store(node_.get());
  node_->run();
  return {};
}

service::~service() {
  {
    const std::lock_guard publishing{publishing_};
    running_.store(nullptr);
    const std::lock_guard lock{mutex_};
    ending_ = true;
  }
  wake_.notify_all();
  if (housekeeper_.joinable()) housekeeper_.join();
  // Its loops end when their exchanges have, and those may still wait for an errand.
  node_.reset();
  errands_.stop();
  if (feed_ != nullptr) feed_->flush();
}

std::shared_ptr<const configuration> service::present_settings() const {
  const std::lock_guard lock{mutex_};
  return settings_;
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
  auto keys = keyring::open(*stores_, master_key_source_of(settings, env), rules_of(settings), time_, &log_,
                            make_hooks());
  if (!keys) return std::unexpected{keys.error()};
  keys_ = std::move(*keys);
  auto overrides = provider_overrides::open(
      *stores_, *keys_, [this](std::string_view name) { return provider_base_of(*present_settings(), name); },
      log_);
  if (!overrides) return std::unexpected{overrides.error()};
  overrides_ = std::move(*overrides);
  prices_ = std::make_unique<session::price_desk>(stores_->settings(), log_);
  prices_->on_change([this](std::move_only_function<void()> done) {
    errands_.run([this, done = std::move(done)]() mutable {
      keys_changed();
      done();
    });
  });
  return prices_->load();
}

keyring_hooks service::make_hooks() {
  keyring_hooks hooks;
  hooks.changed = [this] { keys_changed(); };
  hooks.event = [this](std::string_view event) {
    const std::lock_guard lock{publishing_};
    return running_.load() != nullptr && node_->records().record(event);
  };
  // Asked in a loop of the node's, or for one that waits: it stands.
  hooks.recording = [this] {
    app::node* const running = running_.load();
    return running != nullptr && running->core().recording();
  };
  hooks.elsewhere = [this](std::move_only_function<void()> what) { errands_.run(std::move(what)); };
  return hooks;
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

void service::publish_served(const configuration& settings, const served& what) {
  publish_access();
  node_->publish(what);
  // Where the promised token cannot be had any more, the one before it stays: nobody is let in without one.
  if (!lacks_token(settings, what)) node_->set_admin_token(what.admin_token);
}

// A key, a secret or the prices changed: from the next request on.
void service::keys_changed() {
  const std::lock_guard lock{publishing_};
  if (running_.load() == nullptr) return;
  const auto held = present_settings();
  publish_served(*held, resolve(*held, env_));
}

std::expected<void, std::string> service::publish(const configuration& settings, const environment& env) {
  const std::lock_guard publishing{publishing_};
  if (running_.load() == nullptr)
    return std::unexpected{std::string{"the gateway is starting or shutting down"}};
  const auto before = present_settings();
  keys_->set_rules(rules_of(settings));
  // The listeners are those of the start, whatever the new file says of them.
  auto opened = std::make_shared<configuration>(settings);
  opened->server.listen = before->server.listen;
  opened->admin.listen = before->admin.listen;
  auto problems = exposure_problems(*opened, !open_access());
  served what;
  if (problems.empty()) {
    what = resolve(*opened, env);
    if (lacks_token(*opened, what)) problems.push_back(token_problem(*opened));
  }
  if (!problems.empty()) {
    keys_->set_rules(rules_of(*before));
    return std::unexpected{problems.front()};
  }
  {
    const std::lock_guard lock{mutex_};
    settings_ = opened;
  }
  env_ = env;
  for (const config_warning& w : what.warnings)
    log_.at(level::warn, w.event).field("key", w.key).field("reason", w.reason);
  publish_served(*opened, what);
  node_->configure(*opened);
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
  const auto held = present_settings();
  const auto trace_age = held->storage.trace_retention;
  const auto reply_age = held->server.idempotency_ttl;
  const bool project_budget = held->session.project_token_budget > 0;
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
