// Client keys: listed, made, revoked and rotated.
#include <algorithm>
#include <utility>

#include "app/configuration_values.h"
#include "app/keyring.h"
#include "app/keyring_inside.h"

namespace tidegate::app {

using namespace keyring_inside;
using storage::client_key;
using surface::desk_answer;
using surface::key_view;
using surface::made_client_key;

namespace {

constexpr std::size_t names_max = 256;
constexpr std::size_t granted_name_max = 255;

bool are_grantable(const std::vector<std::string>& names) {
  return !names.empty() && names.size() <= names_max &&
         std::ranges::all_of(names, [](const std::string& name) {
           return !name.empty() && name.size() <= granted_name_max && is_printable(name);
         });
}

std::string make_id(foundation::random_source& random) {
  constexpr char digits[] = "0123456789abcdef";
  std::string id = "key_";
  for (std::uint64_t bits = random.next(), i = 0; i < 16; ++i, bits >>= 4) id += digits[bits & 15];
  return id;
}

}  // namespace

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
  with_master_key([this, wanted = std::move(wanted),
                   answer = std::move(answer)](std::expected<void, failure> ready) mutable {
    if (!ready) return answer(std::unexpected{std::move(ready.error())});
    make_key(std::move(wanted), std::move(answer));
  });
}

void keyring::make_key(surface::new_client_key wanted, desk_answer<made_client_key> answer) {
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
  store_.keys().put(std::move(stored),
                    answered<void>([this, made = std::move(made),
                                    answer = std::move(answer)](storage::result<void> put) mutable {
                      if (!put) return answer(std::unexpected{of_store(put.error())});
                      replace_key(made.view.key);
                      auto told = tell("client_key_created", made.view.key.id, made.view.key.name);
                      if (!told) return answer(std::unexpected{std::move(told.error())});
                      answer(std::move(made));
                    }));
}

void keyring::revoke_key(std::string id, desk_answer<key_view> answer) {
  if (auto fine = check_stored_key(id); !fine) return answer(std::unexpected{std::move(fine.error())});
  if (auto fine = check_record(); !fine) return answer(std::unexpected{std::move(fine.error())});
  store_.keys().revoke(
      std::move(id), time_.wall(),
      answered<client_key>([this, answer = std::move(answer)](storage::result<client_key> revoked) mutable {
        if (!revoked) return answer(std::unexpected{of_store(revoked.error())});
        replace_key(*revoked);
        auto told = tell("client_key_revoked", revoked->id, revoked->name);
        if (!told) return answer(std::unexpected{std::move(told.error())});
        answer(key_view{std::move(*revoked), false});
      }));
}

void keyring::rotate_key(std::string id, desk_answer<made_client_key> answer) {
  if (auto fine = check_stored_key(id); !fine) return answer(std::unexpected{std::move(fine.error())});
  if (auto fine = check_record(); !fine) return answer(std::unexpected{std::move(fine.error())});
  with_master_key(
      [this, id = std::move(id), answer = std::move(answer)](std::expected<void, failure> ready) mutable {
        if (!ready) return answer(std::unexpected{std::move(ready.error())});
        replace_mac(std::move(id), std::move(answer));
      });
}

void keyring::replace_mac(std::string id, desk_answer<made_client_key> answer) {
  std::string text = storage::make_client_key();
  const storage::mac_bytes fresh = mac()->of_text(text);
  store_.keys().rotate(std::move(id), fresh, time_.wall(),
                       answered<client_key>([this, text = std::move(text), answer = std::move(answer)](
                                                storage::result<client_key> rotated) mutable {
                         if (!rotated) return answer(std::unexpected{of_store(rotated.error())});
                         replace_key(*rotated);
                         auto told = tell("client_key_rotated", rotated->id, rotated->name);
                         if (!told) return answer(std::unexpected{std::move(told.error())});
                         answer(made_client_key{{std::move(*rotated), false}, std::move(text)});
                       }));
}

}  // namespace tidegate::app
