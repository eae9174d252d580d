// Sealed credentials: listed, set, saved with settings, removed.
#include <algorithm>
#include <utility>

#include "app/configuration_values.h"
#include "app/keyring.h"
#include "app/keyring_inside.h"
#include "foundation/text.h"

namespace tidegate::app {

using namespace keyring_inside;
using surface::desk_answer;
using surface::secret_outcome;

namespace {

constexpr std::size_t secret_max = 64UL * 1024;

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

}  // namespace

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
  with_master_key([this, name = std::move(name), plain = std::move(plain), warning = std::move(*warning),
                   answer = std::move(answer)](std::expected<void, failure> ready) mutable {
    if (!ready) return answer(std::unexpected{std::move(ready.error())});
    seal_secret(std::move(name), std::move(plain), std::move(warning), std::move(answer));
  });
}

void keyring::seal_secret(std::string name, std::string plain, std::string warning,
                          desk_answer<secret_outcome> answer) {
  if (secret(name) == plain) return answer(secret_outcome{false, std::move(warning)});
  if (auto fine = check_record(); !fine) return answer(std::unexpected{std::move(fine.error())});
  std::string sealed = sealing()->seal(storage::secret_record(name), plain);
  const foundation::wall_time now = time_.wall();
  std::string stored_name = name;
  store_.secrets().set(std::move(stored_name), std::move(sealed), now,
                       answered<void>([this, name = std::move(name), plain = std::move(plain), now,
                                       warning = std::move(warning),
                                       answer = std::move(answer)](storage::result<void> set) mutable {
                         if (!set) return answer(std::unexpected{of_store(set.error())});
                         {
                           const std::scoped_lock lock{mutex_};
                           secrets_[name] = {std::move(plain), now};
                         }
                         auto told = tell("secret_set", {}, name);
                         if (!told) return answer(std::unexpected{std::move(told.error())});
                         answer(secret_outcome{true, std::move(warning)});
                       }));
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
  store_.settings().apply(std::move(settings), std::move(secrets), now,
                          answered<void>([this, name = std::move(name), plain = std::move(plain), now,
                                          adopted = std::move(adopted),
                                          answer = std::move(answer)](storage::result<void> done) mutable {
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
                          }));
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
                          answered<void>([this, name = std::move(name),
                                          answer = std::move(answer)](storage::result<void> removed) mutable {
                            if (!removed) return answer(std::unexpected{of_store(removed.error())});
                            {
                              const std::scoped_lock lock{mutex_};
                              secrets_.erase(name);
                            }
                            answer(tell("secret_removed", {}, name));
                          }));
}

}  // namespace tidegate::app
