// `idempotency-key` (GW-7): the same request again gets the stored reply and costs nothing; one that still
// runs, was streamed, or comes with another body under the same key is a CONFLICT.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "gateway/guards.h"
#include "runtime/async/task.h"
#include "storage/client_key.h"
#include "storage/reply_store.h"

namespace tidegate::gateway {

class core;
class reply_sink;
struct call;
struct loop_services;

inline constexpr std::size_t idempotency_key_max = 255;  // bytes

// Which keyed calls run now, and where the replies of those that ended stand. One a process, part of the
// core.
class idempotency {
 public:
  // Before the first exchange. `digests` makes request bodies comparable without keeping them.
  void use(storage::reply_store* replies, storage::key_mac digests);
  bool usable() const noexcept { return replies_ != nullptr; }

 private:
  friend runtime::task<void> run_idempotent(core&, loop_services&, call&, std::string, reply_sink&);
  storage::reply_store* replies_ = nullptr;
  std::optional<storage::key_mac> digests_;
  guarded<std::set<storage::reply_key>> running_;
};

// As run_exchange, under the caller's key (1 to idempotency_key_max bytes).
runtime::task<void> run_idempotent(core& shared, loop_services& services, call& request, std::string key,
                                   reply_sink& reply);

}  // namespace tidegate::gateway
