// Something that happens once, and whoever waits for it in the loop's thread.
#pragma once

#include <coroutine>
#include <utility>
#include <vector>

#include "runtime/loop.h"

namespace tidegate::session {

class event {
 public:
  explicit event(runtime::loop& owner) noexcept : loop_{owner} {}
  event(const event&) = delete;
  event& operator=(const event&) = delete;

  bool fired() const noexcept { return fired_; }
  // Those that wait go on in the loop's next round.
  void fire() {
    fired_ = true;
    for (const std::coroutine_handle<> waiter : std::exchange(waiters_, {})) loop_.schedule(waiter);
  }
  auto operator co_await() noexcept {
    struct awaiter {
      event& e;
      bool await_ready() const noexcept { return e.fired_; }
      void await_suspend(std::coroutine_handle<> waiter) const { e.waiters_.push_back(waiter); }
      void await_resume() const noexcept {}
    };
    return awaiter{*this};
  }

 private:
  runtime::loop& loop_;
  bool fired_ = false;
  std::vector<std::coroutine_handle<>> waiters_;
};

}  // namespace tidegate::session
