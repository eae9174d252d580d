// A call of a store, awaited in a loop: the store answers on a thread of its own, the coroutine goes on in
// its loop's.
#pragma once

#include <coroutine>
#include <memory>
#include <optional>
#include <utility>

#include "runtime/async/task.h"
#include "runtime/loop.h"
#include "storage/result.h"

namespace tidegate::gateway {

template <class T>
class store_wait {
 public:
  explicit store_wait(runtime::loop& loop) : shared_{std::make_shared<state>(loop)} {}

  // Hands over where the answer goes; once.
  storage::done<T> answer() {
    return [shared = shared_](storage::result<T> given) {
      auto held = std::make_shared<storage::result<T>>(std::move(given));
      shared->loop.post([shared, held] {
        shared->given = std::move(*held);
        if (shared->waiter) shared->loop.schedule(std::exchange(shared->waiter, nullptr));
      });
    };
  }
  bool await_ready() const noexcept { return shared_->given.has_value(); }
  void await_suspend(std::coroutine_handle<> waiter) noexcept { shared_->waiter = waiter; }
  storage::result<T> await_resume() { return std::move(*shared_->given); }

 private:
  struct state {
    explicit state(runtime::loop& owner) : loop{owner} {}
    runtime::loop& loop;
    std::optional<storage::result<T>> given;  // loop thread only
    std::coroutine_handle<> waiter;           // loop thread only
  };
  std::shared_ptr<state> shared_;
};

}  // namespace tidegate::gateway
