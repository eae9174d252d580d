#include "gateway/access.h"

#include <cstddef>
#include <span>
#include <utility>

#include "foundation/text.h"

namespace tidegate::gateway {
namespace {

foundation::failure unknown_key(bool any_given) {
  foundation::failure f;
  f.code = foundation::error_code::ai_auth_failed;
  f.message = any_given ? "the client key is not known here, or was revoked"
                        : "a client key is needed: Authorization: Bearer tg-... or x-api-key: tg-...";
  f.details = R"({"source":"local"})";
  return f;
}

}  // namespace

access::access() : keys_{std::make_shared<policy::key_table>()}, local_{policy::local_principal()} {}

void access::publish(std::shared_ptr<const policy::key_table> keys,
                     std::shared_ptr<const storage::key_mac> mac) {
  const std::lock_guard lock{mutex_};
  keys_.swap(keys);
  mac_.swap(mac);
  // What was there before ends with the arguments, outside the lock.
}

std::expected<access::found, foundation::failure> access::authenticate(std::string_view authorization,
                                                                       std::string_view x_api_key) const {
  found result{nullptr, &local_};
  std::shared_ptr<const storage::key_mac> hash;
  {
    const std::lock_guard lock{mutex_};
    result.keys = keys_;
    hash = mac_;
  }
  if (result.keys->empty()) return result;
  std::string_view given = foundation::trim(x_api_key);
  if (foundation::istarts_with(authorization, "bearer ")) given = foundation::trim(authorization.substr(7));
  // What is no key of ours needs no hash: its form is no secret.
  if (hash == nullptr || !storage::well_formed_client_key(given))
    return std::unexpected{unknown_key(!given.empty())};
  const storage::mac_bytes mac = hash->of_text(given);
  result.who = result.keys->find(std::as_bytes(std::span{mac}));
  if (result.who == nullptr) return std::unexpected{unknown_key(true)};
  return result;
}

}  // namespace tidegate::gateway
