// Who a caller is (SEC-1, SEC-2): the live table of client keys and the way from a request's credential to a
// principal. One instance a process, part of the core.
#pragma once

#include <expected>
#include <memory>
#include <mutex>
#include <string_view>

#include "foundation/error.h"
#include "gateway/guards.h"
#include "policy/access.h"
#include "storage/client_key.h"

namespace tidegate::gateway {

class access {
 public:
  // Nobody has a key yet: every caller is `local`.
  access();
  // Takes effect with the next request. Without `mac` no key can be told: where keys are defined, every
  // caller is then refused.
  void publish(std::shared_ptr<const policy::key_table> keys, std::shared_ptr<const storage::key_mac> mac);

  // `authorization`, `x_api_key`: the headers' values, "" for none. Bearer first. The principal stays valid
  // while its table is held.
  struct found {
    std::shared_ptr<const policy::key_table> keys;
    const policy::principal* who;
  };
  std::expected<found, foundation::failure> authenticate(std::string_view authorization,
                                                         std::string_view x_api_key) const;
  std::shared_ptr<const policy::key_table> keys() const {
    const std::lock_guard lock{mutex_};
    return keys_;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const policy::key_table> keys_;  // guarded by mutex_
  std::shared_ptr<const storage::key_mac> mac_;    // guarded by mutex_
  policy::principal local_;
};

}  // namespace tidegate::gateway
