// Client keys and sealed credentials of one data directory, as the gateway and the commands use them: the
// stores on disk, the master key, and what of both is kept in memory. Thread safe.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/configuration.h"
#include "foundation/random.h"
#include "foundation/time.h"
#include "observe/log.h"
#include "storage/client_key.h"
#include "storage/seal.h"
#include "storage/stores.h"
#include "surface/admin_keys.h"

namespace tidegate::app {

// What of the configuration bears on keys and secrets.
struct keyring_rules {
  // [[key]], with ids "config:<name>".
  std::vector<storage::client_key> configured;
  // Names a key's policy may have.
  std::vector<std::string> policies{"default"};
  // Secrets that a known vendor will be shown: their form is checked (CFG-5).
  std::vector<std::string> vendor_secrets{"openai", "anthropic"};
};

keyring_rules rules_of(const configuration& settings);

// Where the master key of these settings is to be found: TIDEGATE_MASTER_KEY, storage.master_key_file, or
// master.key in storage.dir.
storage::master_key_source master_key_source_of(const configuration& settings, const environment& env);

struct keyring_hooks {
  // After each change of keys or secrets, once it is durable: publish access table and credentials anew. Runs
  // `elsewhere`; may call the keyring's const members.
  std::function<void()> changed;
  // One JSON object for the journal, {"event":"client_key_created","keyId":…,"name":…}: ids and names only.
  // Called before `changed`; returns once it is on the record. False: it cannot be, and the change is
  // answered with DB_ERROR though it was made.
  std::function<bool(std::string_view event_json)> event;
  // Whether `event` can be expected to succeed; asked before a change, which is else refused with DB_ERROR.
  std::function<bool()> recording;
  // Runs what waits for files, the store or the journal, soon and on a thread where it may. Empty: what waits
  // does so on the thread that calls, or the store's, which is for commands and tests.
  std::function<void(std::move_only_function<void()>)> elsewhere = {};
};

// The master key to write under, made at first need. Fails where the store was written under another one, or
// under one that is missing now. Waits for the store.
std::expected<storage::master_key, std::string> master_key_for(storage::stores& store,
                                                               const storage::master_key_source& from);

class keyring final : public surface::key_desk {
 public:
  // Reads keys and secrets; waits for the store, so not from a loop. A master key that is there but not
  // usable is no failure here: secrets then count as absent, changes are answered UNSUPPORTED, and it is
  // logged. `log` may be null.
  static std::expected<std::unique_ptr<keyring>, std::string> open(
      storage::stores& store, storage::master_key_source master, keyring_rules rules,
      const foundation::clock& time, observe::logger* log, keyring_hooks hooks = {});
  // Waits until the store has answered every call under way.
  ~keyring() override;
  keyring(const keyring&) = delete;
  keyring& operator=(const keyring&) = delete;

  // After a reload of the configuration; calls no hook.
  void set_rules(keyring_rules rules);

  // What the access table is made of: every configured key and every stored one, of two with one MAC the
  // configured one. Revoked keys come as disabled ones: where the last key was revoked, keys are still
  // defined, and nobody is let in without one (SEC-1).
  std::vector<storage::client_key> access_keys() const;
  // For the MAC of what a caller shows. Null while there is no usable master key: then no key can match.
  std::shared_ptr<const storage::key_mac> mac() const;
  // Null while there is no usable master key.
  std::shared_ptr<const storage::sealer> sealing() const;
  // The credential of that name; nothing where there is none or it cannot be unsealed.
  std::optional<std::string> secret(std::string_view name) const;
  // Why there is no usable master key though one is configured or on disk; empty otherwise.
  std::string master_key_problem() const;

  // foundation::failure codes: INVALID_ARGUMENT {fieldName}, NOT_FOUND, CONFLICT, FORBIDDEN (a configured
  // key), UNSUPPORTED (no master key to be had), DB_ERROR, SERVER_OVERLOADED.
  void list_keys(surface::desk_answer<std::vector<surface::key_view>> answer) override;
  void create_key(surface::new_client_key wanted,
                  surface::desk_answer<surface::made_client_key> answer) override;
  void revoke_key(std::string id, surface::desk_answer<surface::key_view> answer) override;
  void rotate_key(std::string id, surface::desk_answer<surface::made_client_key> answer) override;
  void list_secrets(surface::desk_answer<std::vector<storage::secret_entry>> answer) override;
  void set_secret(std::string name, std::string value,
                  surface::desk_answer<surface::secret_outcome> answer) override;
  void remove_secret(std::string name, surface::desk_answer<void> answer) override;

  // Settings together with a secret, all or nothing (CFG-6). `plain`: trimmed and checked by the caller; ""
  // removes the secret, nothing leaves it. Only a changed one is sealed again. `adopted` is called once all
  // is durable, before the hook `changed`; the record of it is the caller's. UNSUPPORTED, DB_ERROR and the
  // other failures of the store.
  void save(std::string name, std::optional<std::string> plain, std::vector<storage::setting_change> settings,
            std::move_only_function<void()> adopted, surface::desk_answer<void> answer);
  // Once there is a master key, made if there is none yet (CFG-4), or with why there cannot be one; at once
  // where it is there, else from `elsewhere`. Not on a thread of the store's.
  void with_master_key(surface::desk_answer<void> then);

 private:
  struct held_secret {
    // Nothing: stored, but not to be unsealed.
    std::optional<std::string> plain;
    foundation::wall_time updated_at;
  };
  class call;

  keyring(storage::stores& store, storage::master_key_source master, keyring_rules rules,
          const foundation::clock& time, observe::logger* log, keyring_hooks hooks);
  std::expected<void, std::string> load();
  std::expected<void, foundation::failure> need_master_key();
  void elsewhere(std::move_only_function<void()> what);
  template <typename T, typename Then>
  storage::done<T> answered(Then then);
  std::expected<void, std::string> load_secrets();
  void check_fingerprint(const storage::master_key& key);
  void adopt(const storage::master_key& key);
  std::expected<void, foundation::failure> check_new_key(const surface::new_client_key& wanted) const;
  std::expected<void, foundation::failure> check_stored_key(const std::string& id) const;
  std::expected<std::string, foundation::failure> check_secret(const std::string& name,
                                                               std::string_view value) const;
  void make_key(surface::new_client_key wanted, surface::desk_answer<surface::made_client_key> answer);
  void replace_mac(std::string id, surface::desk_answer<surface::made_client_key> answer);
  void seal_secret(std::string name, std::string plain, std::string warning,
                   surface::desk_answer<surface::secret_outcome> answer);
  void clear_secret(std::string name, surface::desk_answer<surface::secret_outcome> answer);
  void replace_key(const storage::client_key& changed);
  std::expected<void, foundation::failure> check_record() const;
  std::expected<void, foundation::failure> tell(std::string_view event, std::string_view id,
                                                std::string_view name);

  storage::stores& store_;
  const storage::master_key_source source_;
  const foundation::clock& time_;
  observe::logger* const log_;
  const keyring_hooks hooks_;

  std::mutex making_;  // one master key at a time is looked for or made

  mutable std::mutex mutex_;
  std::condition_variable idle_;
  // Guarded by mutex_.
  foundation::random_source random_;
  keyring_rules rules_;
  std::vector<storage::client_key> keys_;
  std::map<std::string, held_secret, std::less<>> secrets_;
  std::shared_ptr<const storage::key_mac> mac_;
  std::shared_ptr<const storage::sealer> sealer_;
  std::string master_problem_;
  std::size_t under_way_ = 0;
};

}  // namespace tidegate::app
