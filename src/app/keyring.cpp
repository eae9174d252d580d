#include "app/keyring.h"

#include <algorithm>
#include <utility>

#include "app/keyring_inside.h"
#include "protocol/json/json.h"

namespace tidegate::app {

namespace json = protocol::json;
using namespace keyring_inside;
using observe::level;
using storage::client_key;

namespace {

constexpr const char* fingerprint_setting = "storage.master_key_fingerprint";

}  // namespace

keyring::keyring(storage::stores& store, storage::master_key_source master, keyring_rules rules,
                 const foundation::clock& time, observe::logger* log, keyring_hooks hooks)
    : store_{store},
      source_{std::move(master)},
      time_{time},
      log_{log},
      hooks_{std::move(hooks)},
      random_{foundation::system_seed()},
      rules_{std::move(rules)} {}

keyring::~keyring() {
  std::unique_lock lock{mutex_};
  idle_.wait(lock, [this] { return under_way_ == 0; });
}

std::expected<std::unique_ptr<keyring>, std::string> keyring::open(
    storage::stores& store, storage::master_key_source master, keyring_rules rules,
    const foundation::clock& time, observe::logger* log, keyring_hooks hooks) {
  std::unique_ptr<keyring> made{
      new keyring{store, std::move(master), std::move(rules), time, log, std::move(hooks)}};
  if (auto loaded = made->load(); !loaded) return std::unexpected{std::move(loaded.error())};
  return made;
}

std::expected<void, std::string> keyring::load() {
  auto keys = storage::wait_for<std::vector<client_key>>(
      [this](auto answer) { store_.keys().list(std::move(answer)); });
  if (!keys) return std::unexpected{"client keys cannot be read: " + keys.error().message};
  keys_ = std::move(*keys);
  auto found = storage::find_master_key(source_);
  if (!found) {
    master_problem_ = found.error();
    if (log_ != nullptr) log_->at(level::error, "master_key_unusable").field("reason", master_problem_);
  } else if (*found) {
    // Only to look: what was sealed under another key must not be sealed over.
    auto key = master_key_for(store_, source_);
    if (key) {
      adopt(*key);
      check_fingerprint(*key);
    } else {
      master_problem_ = key.error();
      if (log_ != nullptr) log_->at(level::error, "master_key_changed").field("message", master_problem_);
    }
  }
  return load_secrets();
}

std::expected<void, std::string> keyring::load_secrets() {
  const auto entries = storage::wait_for<std::vector<storage::secret_entry>>(
      [this](auto answer) { store_.secrets().list(std::move(answer)); });
  if (!entries) return std::unexpected{"secrets cannot be read: " + entries.error().message};
  for (const storage::secret_entry& entry : *entries) {
    const auto sealed = storage::wait_for<std::optional<std::string>>(
        [&](auto answer) { store_.secrets().get(entry.name, std::move(answer)); });
    if (!sealed) return std::unexpected{"secrets cannot be read: " + sealed.error().message};
    held_secret held{std::nullopt, entry.updated_at};
    if (sealer_ != nullptr && *sealed)
      held.plain = sealer_->unseal(storage::secret_record(entry.name), **sealed);
    if (!held.plain && log_ != nullptr) {
      log_->at(level::error, sealer_ == nullptr ? "ai_proxy_settings_secret_decrypt_unavailable"
                                                : "ai_proxy_settings_secret_decrypt_failed")
          .field("field", entry.name)
          .field("message", "it counts as absent");
    }
    secrets_.emplace(entry.name, std::move(held));
  }
  return {};
}

// Marks the store with the master key that it is written under, so that an exchanged one is told from a wrong
// key in a caller's hand (master_key_for).
void keyring::check_fingerprint(const storage::master_key& key) {
  std::string mark = '"' + key.fingerprint() + '"';
  store_.settings().get(
      fingerprint_setting, [this, held = call{*this}, mark = std::move(mark)](auto known) mutable {
        if (!known) return;  // the store tells of itself at the next call
        if (!*known) {
          store_.settings().apply({{fingerprint_setting, std::move(mark)}}, {}, time_.wall(),
                                  [held = std::move(held)](storage::result<void>) {});
        }
      });
}

void keyring::adopt(const storage::master_key& key) {
  auto mac = storage::key_mac::of(key);
  auto seal = storage::sealer::of(key);
  const std::scoped_lock lock{mutex_};
  if (!mac || !seal) {
    master_problem_ = "no locked memory for the master key";
    return;
  }
  mac_ = std::make_shared<const storage::key_mac>(std::move(*mac));
  sealer_ = std::make_shared<const storage::sealer>(std::move(*seal));
  master_problem_.clear();
}

// Not made anew where the store was written under one that is missing now, and not another one: what is
// sealed could never be read again, and nobody would be told.
std::expected<storage::master_key, std::string> master_key_for(storage::stores& store,
                                                               const storage::master_key_source& from) {
  const auto known = storage::wait_for<std::optional<std::string>>(
      [&](auto answer) { store.settings().get(std::string{fingerprint_setting}, std::move(answer)); });
  if (!known) return std::unexpected{"the store cannot be read: " + known.error().message};
  auto found = storage::find_master_key(from);
  if (!found) return std::unexpected{found.error()};
  if (*known) {
    if (!*found) {
      return std::unexpected{std::string{"the master key that the store was written under is missing: put " +
                                         from.file + " back, or set TIDEGATE_MASTER_KEY as it was"}};
    }
    if ('"' + (*found)->fingerprint() + '"' != **known)
      return std::unexpected{std::string{"the store was written under another master key"}};
  }
  if (*found) return std::move(**found);
  return storage::find_or_make_master_key(from);
}

std::expected<void, failure> keyring::need_master_key() {
  const std::scoped_lock making{making_};
  if (sealing() != nullptr) return {};
  auto key = master_key_for(store_, source_);
  if (key) adopt(*key);
  if (key && sealing() != nullptr) {
    check_fingerprint(*key);
    return {};
  }
  const std::string why = key ? master_key_problem() : key.error();
  if (log_ != nullptr) log_->at(level::error, "master_key_unusable").field("reason", why);
  return refuse(error_code::unsupported, why);
}

void keyring::with_master_key(surface::desk_answer<void> then) {
  if (sealing() != nullptr) return then({});
  elsewhere([this, held = call{*this}, then = std::move(then)]() mutable { then(need_master_key()); });
}

void keyring::elsewhere(std::move_only_function<void()> what) {
  if (hooks_.elsewhere) return hooks_.elsewhere(std::move(what));
  what();
}

void keyring::set_rules(keyring_rules rules) {
  const std::scoped_lock lock{mutex_};
  rules_ = std::move(rules);
}

std::vector<client_key> keyring::access_keys() const {
  const std::scoped_lock lock{mutex_};
  std::vector<client_key> defined = rules_.configured;
  for (const client_key& key : keys_) {
    if (std::ranges::find(rules_.configured, key.mac, &client_key::mac) != rules_.configured.end()) continue;
    defined.push_back(key);
    defined.back().enabled = key.enabled && key.live();
  }
  return defined;
}

std::shared_ptr<const storage::key_mac> keyring::mac() const {
  const std::scoped_lock lock{mutex_};
  return mac_;
}

std::shared_ptr<const storage::sealer> keyring::sealing() const {
  const std::scoped_lock lock{mutex_};
  return sealer_;
}

std::optional<std::string> keyring::secret(std::string_view name) const {
  const std::scoped_lock lock{mutex_};
  const auto held = secrets_.find(name);
  return held == secrets_.end() ? std::nullopt : held->second.plain;
}

std::string keyring::master_key_problem() const {
  const std::scoped_lock lock{mutex_};
  return master_problem_;
}

// DEG-2: what cannot be recorded is not done.
std::expected<void, failure> keyring::check_record() const {
  if (!hooks_.recording || hooks_.recording()) return {};
  return refuse(error_code::db_error, "the journal has stopped, so no change of keys or secrets is made");
}

std::expected<void, failure> keyring::tell(std::string_view event, std::string_view id,
                                           std::string_view name) {
  bool recorded = true;
  if (hooks_.event) {
    std::string text;
    json::writer w{text};
    w.begin_object().member("event", event);
    if (!id.empty()) w.member("keyId", id);
    w.member("name", name).end_object();
    recorded = hooks_.event(text);
  }
  if (hooks_.changed) hooks_.changed();
  if (recorded) return {};
  return refuse(error_code::db_error, "the change was made, but the journal would not record it");
}

}  // namespace tidegate::app
