// Awaitable: asks somebody who answers once, on whatever thread, and goes on in the loop's.
#pragma once

#include <coroutine>
#include <functional>
#include <optional>
#include <utility>

#include "runtime/loop.h"

namespace tidegate::surface {

// `Start` is called with a std::move_only_function<void(Answer)>. The loop stands until it was called.
template <typename Answer, typename Start>
class loop_call {
 public:
  loop_call(runtime::loop& on, Start start) : loop_{on}, start_{std::move(start)} {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    start_(std::move_only_function<void(Answer)>{[this, waiter](Answer given) {
      answer_.emplace(std::move(given));
      loop_.post([waiter] { waiter.resume(); });
    }});
  }
  Answer await_resume() { return std::move(*answer_); }

 private:
  runtime::loop& loop_;
  Start start_;
  std::optional<Answer> answer_;
};

}  // namespace tidegate::surface
