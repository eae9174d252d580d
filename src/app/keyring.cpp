#include "app/keyring.h"

#include <algorithm>
#include <utility>

#include "app/configuration_values.h"
#include "foundation/text.h"
#include "protocol/json/json.h"

namespace tidegate::app {

namespace json = protocol::json;
using foundation::error_code;
using foundation::failure;
using observe::level;
using storage::client_key;
using surface::desk_answer;
using surface::key_view;
using surface::made_client_key;
using surface::secret_outcome;

namespace {

constexpr std::size_t secret_max = 64UL * 1024;
constexpr std::size_t names_max = 256;
constexpr std::size_t granted_name_max = 255;
constexpr std::string_view configured_prefix = "config:";
constexpr const char* fingerprint_setting = "storage.master_key_fingerprint";

failure make_failure(error_code code, std::string message) {
  failure f;
  f.code = code;
  f.message = std::move(message);
  return f;
}

std::unexpected<failure> refuse(error_code code, std::string message) {
  return std::unexpected{make_failure(code, std::move(message))};
}

std::unexpected<failure> refuse_field(std::string_view field, std::string_view expected) {
  failure f =
      make_failure(error_code::invalid_argument, std::string{field} + ": expected " + std::string{expected});
  json::writer w{f.details};
  w.begin_object().member("fieldName", field).end_object();
  return std::unexpected{std::move(f)};
}

failure of_store(const storage::store_failure& why) {
  switch (why.problem) {
    case storage::store_problem::not_found:
      return make_failure(error_code::not_found, why.message);
    case storage::store_problem::conflict:
      return make_failure(error_code::conflict, "the name is taken by a key that is not revoked");
    case storage::store_problem::too_large:
      return make_failure(error_code::invalid_argument, why.message);
    case storage::store_problem::overloaded:
      return make_failure(error_code::server_overloaded, why.message);
    case storage::store_problem::no_key:
      return make_failure(error_code::unsupported, why.message);
    case storage::store_problem::unavailable:
      break;
  }
  return make_failure(error_code::db_error, why.message);
}

bool is_printable(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

bool are_grantable(const std::vector<std::string>& names) {
  return !names.empty() && names.size() <= names_max &&
         std::ranges::all_of(names, [](const std::string& name) {
           return !name.empty() && name.size() <= granted_name_max && is_printable(name);
         });
}

// ^(sk|pk|rk|ak)-[A-Za-z0-9._-]{2,}$ and at least 8 characters (CFG-5).
bool looks_like_vendor_key(std::string_view value) {
  if (value.size() < 8 || value[2] != '-') return false;
  const std::string_view kind = value.substr(0, 2);
  if (kind != "sk" && kind != "pk" && kind != "rk" && kind != "ak") return false;
  return std::ranges::all_of(value.substr(3), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

bool is_vendors_own(const provider_settings& provider) {
  const auto url = policy::parse_base_url(provider.base_url);
  if (!url) return false;
  return (provider.kind == provider_kind::openai && url->host == "api.openai.com") ||
         (provider.kind == provider_kind::anthropic && url->host == "api.anthropic.com");
}

std::string make_id(foundation::random_source& random) {
  constexpr char digits[] = "0123456789abcdef";
  std::string id = "key_";
  for (std::uint64_t bits = random.next(), i = 0; i < 16; ++i, bits >>= 4) id += digits[bits & 15];
  return id;
}

}  // namespace

keyring_rules rules_of(const configuration& settings) {
  keyring_rules rules;
  for (const key_settings& from : settings.keys) {
    const auto mac = storage::parse_mac(from.hash);
    if (!mac) continue;  // the loader has refused it
    client_key key;
    key.id = std::string{configured_prefix} + from.name;
    key.name = from.name;
    key.mac = *mac;
    key.policy = from.policy;
    key.role = from.role == key_role::admin ? "admin" : "client";
    key.projects = from.projects;
    key.channels = from.channels;
    key.enabled = from.enabled;
    rules.configured.push_back(std::move(key));
  }
  rules.policies.clear();
  for (const auto& [name, unused] : settings.policies) rules.policies.push_back(name);
  for (const provider_settings& provider : settings.providers) {
    std::vector<std::string> names{provider.name};
    if (provider.api_key.source == credential_source::secret) names.push_back(provider.api_key.name);
    for (std::string& name : names) {
      std::erase(rules.vendor_secrets, name);
      if (is_vendors_own(provider)) rules.vendor_secrets.push_back(std::move(name));
    }
  }
  return rules;
}

storage::master_key_source master_key_source_of(const configuration& settings, const environment& env) {
  storage::master_key_source source;
  const auto named = env.find("TIDEGATE_MASTER_KEY");
  if (named != env.end() && !foundation::trim(named->second).empty()) source.environment = named->second;
  source.file = settings.storage.master_key_file.empty() ? settings.storage.dir + "/master.key"
                                                         : settings.storage.master_key_file;
  return source;
}

// Counts a call of the store that is under way; the keyring stays until the last has gone.
class keyring::call {
 public:
  explicit call(keyring& of) : of_{&of} {
    const std::scoped_lock lock{of.mutex_};
    ++of.under_way_;
  }
  call(call&& other) noexcept : of_{std::exchange(other.of_, nullptr)} {}
  call& operator=(call&&) = delete;
  ~call() {
    if (of_ == nullptr) return;
    const std::scoped_lock lock{of_->mutex_};
    // Under the lock: behind it the keyring may be gone.
    if (--of_->under_way_ == 0) of_->idle_.notify_all();
  }

 private:
  keyring* of_;
};

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

std::expected<void, failure> keyring::check_new_key(const surface::new_client_key& wanted) const {
  if (!is_name(wanted.name)) return refuse_field("name", "1 to 64 of the characters A-Z a-z 0-9 . _ -");
  if (wanted.role != "client" && wanted.role != "admin") return refuse_field("role", "client or admin");
  if (!are_grantable(wanted.projects)) return refuse_field("projects", "1 to 256 names of projects, or *");
  if (!are_grantable(wanted.channels)) return refuse_field("channels", "1 to 256 names of channels, or *");
  const std::scoped_lock lock{mutex_};
  if (std::ranges::find(rules_.policies, wanted.policy) == rules_.policies.end()) {
    return refuse_field("policy", "the name of a policy of the configuration");
  }
  if (std::ranges::find(rules_.configured, wanted.name, &client_key::name) != rules_.configured.end()) {
    return refuse(error_code::conflict, "a [[key]] of the configuration has that name");
  }
  return {};
}

std::expected<void, failure> keyring::check_stored_key(const std::string& id) const {
  const std::scoped_lock lock{mutex_};
  if (id.starts_with(configured_prefix)) {
    return refuse(error_code::forbidden, "a [[key]] is changed in the configuration");
  }
  const auto at = std::ranges::find(keys_, id, &client_key::id);
  if (at == keys_.end() || !at->live()) return refuse(error_code::not_found, "no such client key");
  const auto listed = std::ranges::find(rules_.configured, at->mac, &client_key::mac);
  if (listed != rules_.configured.end()) {
    return refuse(error_code::conflict, "its hash stands in [[key]] " + listed->name +
                                            " of the configuration too: take it out there first");
  }
  return {};
}

void keyring::replace_key(const client_key& changed) {
  const std::scoped_lock lock{mutex_};
  const auto at = std::ranges::find(keys_, changed.id, &client_key::id);
  if (at == keys_.end()) {
    keys_.push_back(changed);
  } else {
    *at = changed;
  }
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

void keyring::list_keys(desk_answer<std::vector<key_view>> answer) {
  std::vector<key_view> views;
  {
    const std::scoped_lock lock{mutex_};
    for (const client_key& key : rules_.configured) views.push_back({key, true});
    for (const client_key& key : keys_) views.push_back({key, false});
  }
  answer(std::move(views));
}

void keyring::create_key(surface::new_client_key wanted, desk_answer<made_client_key> answer) {
  if (auto fine = check_new_key(wanted); !fine) return answer(std::unexpected{std::move(fine.error())});
  if (auto fine = check_record(); !fine) return answer(std::unexpected{std::move(fine.error())});
  if (auto ready = need_master_key(); !ready) return answer(std::unexpected{std::move(ready.error())});
  made_client_key made;
  made.text = storage::make_client_key();
  client_key& key = made.view.key;
  key.mac = mac()->of_text(made.text);
  key.name = std::move(wanted.name);
  key.policy = std::move(wanted.policy);
  key.role = std::move(wanted.role);
  key.projects = std::move(wanted.projects);
  key.channels = std::move(wanted.channels);
  key.created_at = time_.wall();
  {
    const std::scoped_lock lock{mutex_};
    key.id = make_id(random_);
  }
  client_key stored = key;
  store_.keys().put(std::move(stored), [this, held = call{*this}, made = std::move(made),
                                        answer = std::move(answer)](storage::result<void> put) mutable {
    if (!put) return answer(std::unexpected{of_store(put.error())});
    replace_key(made.view.key);
    auto told = tell("client_key_created", made.view.key.id, made.view.key.name);
    if (!told) return answer(std::unexpected{std::move(told.error())});
    answer(std::move(made));
  });
}

void keyring::revoke_key(std::string id, desk_answer<key_view> answer) {
  if (auto fine = check_stored_key(id); !fine) return answer(std::unexpected{std::move(fine.error())});
  if (auto fine = check_record(); !fine) return answer(std::unexpected{std::move(fine.error())});
  store_.keys().revoke(
      std::move(id), time_.wall(),
      [this, held = call{*this}, answer = std::move(answer)](storage::result<client_key> revoked) mutable {
        if (!revoked) return answer(std::unexpected{of_store(revoked.error())});
        replace_key(*revoked);
        auto told = tell("client_key_revoked", revoked->id, revoked->name);
        if (!told) return answer(std::unexpected{std::move(told.error())});
        answer(key_view{std::move(*revoked), false});
      });
}

void keyring::rotate_key(std::string id, desk_answer<made_client_key> answer) {
  if (auto fine = check_stored_key(id); !fine) return answer(std::unexpected{std::move(fine.error())});
  if (auto fine = check_record(); !fine) return answer(std::unexpected{std::move(fine.error())});
  if (auto ready = need_master_key(); !ready) return answer(std::unexpected{std::move(ready.error())});
  std::string text = storage::make_client_key();
  const storage::mac_bytes fresh = mac()->of_text(text);
  store_.keys().rotate(std::move(id), fresh, time_.wall(),
                       [this, held = call{*this}, text = std::move(text),
                        answer = std::move(answer)](storage::result<client_key> rotated) mutable {
                         if (!rotated) return answer(std::unexpected{of_store(rotated.error())});
                         replace_key(*rotated);
                         auto told = tell("client_key_rotated", rotated->id, rotated->name);
                         if (!told) return answer(std::unexpected{std::move(told.error())});
                         answer(made_client_key{{std::move(*rotated), false}, std::move(text)});
                       });
}

void keyring::list_secrets(desk_answer<std::vector<storage::secret_entry>> answer) {
  std::vector<storage::secret_entry> entries;
  {
    const std::scoped_lock lock{mutex_};
    for (const auto& [name, held] : secrets_) entries.push_back({name, held.updated_at});
  }
  answer(std::move(entries));
}

// What CFG-5 asks of a value. The warning is for where the vendor is not known.
std::expected<std::string, failure> keyring::check_secret(const std::string& name,
                                                          std::string_view value) const {
  if (value.size() > secret_max) return refuse_field("value", "at most 64 KiB");
  if (!is_printable(value)) return refuse_field("value", "one line without control characters");
  if (looks_like_vendor_key(value)) return std::string{};
  const std::scoped_lock lock{mutex_};
  if (std::ranges::find(rules_.vendor_secrets, name) != rules_.vendor_secrets.end()) {
    return refuse_field("value", "a key such as sk-…, of at least 8 characters");
  }
  return std::string{"the value does not look like the usual API keys (sk-…); it was taken as it is"};
}

void keyring::set_secret(std::string name, std::string value, desk_answer<secret_outcome> answer) {
  if (!is_name(name)) {
    return answer(refuse_field("name", "1 to 64 of the characters A-Z a-z 0-9 . _ -"));
  }
  std::string plain{foundation::trim(value)};
  storage::wipe(value);
  if (plain.empty()) return clear_secret(std::move(name), std::move(answer));
  auto warning = check_secret(name, plain);
  if (!warning) return answer(std::unexpected{std::move(warning.error())});
  if (auto ready = need_master_key(); !ready) return answer(std::unexpected{std::move(ready.error())});
  if (secret(name) == plain) return answer(secret_outcome{false, std::move(*warning)});
  if (auto fine = check_record(); !fine) return answer(std::unexpected{std::move(fine.error())});
  std::string sealed = sealing()->seal(storage::secret_record(name), plain);
  const foundation::wall_time now = time_.wall();
  std::string stored_name = name;
  store_.secrets().set(
      std::move(stored_name), std::move(sealed), now,
      [this, held = call{*this}, name = std::move(name), plain = std::move(plain), now,
       warning = std::move(*warning), answer = std::move(answer)](storage::result<void> set) mutable {
        if (!set) return answer(std::unexpected{of_store(set.error())});
        {
          const std::scoped_lock lock{mutex_};
          secrets_[name] = {std::move(plain), now};
        }
        auto told = tell("secret_set", {}, name);
        if (!told) return answer(std::unexpected{std::move(told.error())});
        answer(secret_outcome{true, std::move(warning)});
      });
}

void keyring::save(std::string name, std::optional<std::string> plain,
                   std::vector<storage::setting_change> settings, std::move_only_function<void()> adopted,
                   desk_answer<void> answer) {
  if (auto fine = check_record(); !fine) return answer(std::unexpected{std::move(fine.error())});
  if (plain && !plain->empty() && plain == secret(name)) plain.reset();
  std::vector<storage::secret_change> secrets;
  if (plain && plain->empty()) {
    secrets.push_back({name, std::nullopt});
  } else if (plain) {
    const auto seal = sealing();
    if (seal == nullptr) return answer(refuse(error_code::unsupported, "there is no usable master key"));
    secrets.push_back({name, seal->seal(storage::secret_record(name), *plain)});
  }
  const foundation::wall_time now = time_.wall();
  store_.settings().apply(
      std::move(settings), std::move(secrets), now,
      [this, held = call{*this}, name = std::move(name), plain = std::move(plain), now,
       adopted = std::move(adopted), answer = std::move(answer)](storage::result<void> done) mutable {
        if (!done) return answer(std::unexpected{of_store(done.error())});
        if (!plain) {
          adopted();
          if (hooks_.changed) hooks_.changed();
          return answer({});
        }
        const bool removed = plain->empty();
        {
          const std::scoped_lock lock{mutex_};
          if (removed) {
            secrets_.erase(name);
          } else {
            secrets_[name] = {std::move(*plain), now};
          }
        }
        adopted();
        answer(tell(removed ? "secret_removed" : "secret_set", {}, name));
      });
}

void keyring::clear_secret(std::string name, desk_answer<secret_outcome> answer) {
  remove_secret(std::move(name), [answer = std::move(answer)](std::expected<void, failure> removed) mutable {
    if (removed) return answer(secret_outcome{true, {}});
    if (removed.error().code == error_code::not_found) return answer(secret_outcome{false, {}});
    answer(std::unexpected{std::move(removed.error())});
  });
}

void keyring::remove_secret(std::string name, desk_answer<void> answer) {
  if (auto fine = check_record(); !fine) return answer(std::unexpected{std::move(fine.error())});
  std::string stored_name = name;
  store_.secrets().remove(std::move(stored_name),
                          [this, held = call{*this}, name = std::move(name),
                           answer = std::move(answer)](storage::result<void> removed) mutable {
                            if (!removed) return answer(std::unexpected{of_store(removed.error())});
                            {
                              const std::scoped_lock lock{mutex_};
                              secrets_.erase(name);
                            }
                            answer(tell("secret_removed", {}, name));
                          });
}

}  // namespace tidegate::app
