// Port: client keys made with `tidegate key`. Small (at most `client_keys_max`), read at start, kept in
// memory by its reader, changed seldom. What a call reports done survives a power loss.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "foundation/time.h"
#include "storage/client_key.h"
#include "storage/result.h"

namespace tidegate::storage {

using foundation::wall_time;

inline constexpr std::size_t client_keys_max = 10'000;

// Texts hold no control characters (their writer sees to it). `policy` is a policy's name and `role` "client"
// or "admin"; projects and channels may hold "*".
struct client_key {
  std::string id;
  std::string name;
  mac_bytes mac{};
  std::string policy = "default";
  std::string role = "client";
  std::vector<std::string> projects{"*"};
  std::vector<std::string> channels{"*"};
  bool enabled = true;
  wall_time created_at;
  // Of the latest rotation.
  std::optional<wall_time> rotated_at;
  std::optional<wall_time> revoked_at;

  bool live() const { return !revoked_at; }
  bool operator==(const client_key&) const = default;
};

class key_store {
 public:
  virtual ~key_store() = default;
  // A new key. conflict: the id or the MAC is known, or a key that is not revoked has the name. too_large:
  // `client_keys_max` are stored.
  virtual void put(client_key key, done<void> answer) = 0;
  // All of them, revoked ones too, oldest first, then by id.
  virtual void list(done<std::vector<client_key>> answer) = 0;
  // Ends a key for good and answers with what it has become; not_found: no key that is not revoked has the
  // id. Its name is free again.
  virtual void revoke(std::string id, wall_time at, done<client_key> answer) = 0;
  // The same key under a new MAC: the old one is void as soon as this is done. The id stays, for limits,
  // budgets and idempotency belong to the client and not to its present credential. not_found as above.
  virtual void rotate(std::string id, mac_bytes mac, wall_time at, done<client_key> answer) = 0;
};

}  // namespace tidegate::storage
