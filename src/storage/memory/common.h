// What all ports of one set of memory stores share: one lock, and the test's way to make a call fail.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "storage/memory/memory_stores.h"

namespace tidegate::storage::memory {

struct common {
  std::shared_ptr<const sealer> seal;
  fault_hook fault;
  std::mutex mutex;

  // Under the lock; the answer is called without it.
  template <typename T, typename Work>
  void call(Work work, done<T>& answer) {
    auto outcome = [&]() -> result<T> {
      const std::scoped_lock lock{mutex};
      if (fault && fault()) return fail(store_problem::unavailable, "a fault was asked for");
      return work();
    }();
    answer(std::move(outcome));
  }
};

}  // namespace tidegate::storage::memory
