// Awaits an answer that somebody else's work brings, on whatever thread, for no longer than one's own time:
// the work goes on without whoever has given up waiting for it.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "foundation/error.h"
#include "foundation/time.h"
#include "runtime/async/cancel.h"
#include "runtime/async/task.h"
#include "runtime/loop.h"

namespace tidegate::session {

template <class T>
class bounded_answer {
 public:
  using given = std::expected<T, foundation::failure>;
  explicit bounded_answer(runtime::loop& loop) : shared_{std::make_shared<state>(loop)} {}

  // What is called with the answer, on any thread and as late as it likes, while the loop lives. Once.
  std::move_only_function<void(given)> answer() {
    return [shared = shared_](given g) {
      auto held = std::make_shared<given>(std::move(g));
      shared->loop.post([shared, held] {
        shared->heard = std::move(*held);
        shared->wake.fire(runtime::cancel_reason::requested);
      });
    };
  }
  // Nothing: the time was over, or `cancel` fired, before the answer came. Once, in the loop's thread.
  runtime::task<std::optional<given>> wait(foundation::instant until, runtime::cancel_source& cancel) {
    const std::shared_ptr<state> held = shared_;
    relay hook{*held};
    if (cancel.fired()) {
      held->wake.fire(cancel.reason());
    } else {
      cancel.attach(hook);
    }
    static_cast<void>(co_await held->loop.sleep_until(until, &held->wake));
    co_return std::move(held->heard);
  }

 private:
  struct state {
    explicit state(runtime::loop& owner) : loop{owner} {}
    runtime::loop& loop;
    std::optional<given> heard;   // loop's thread only
    runtime::cancel_source wake;  // loop's thread only
  };
  struct relay : runtime::cancel_hook {
    explicit relay(state& s)
        : cancel_hook{[](cancel_hook& h) {
            static_cast<relay&>(h).of.wake.fire(runtime::cancel_reason::requested);
          }},
          of{s} {}
    state& of;
  };

  std::shared_ptr<state> shared_;
};

}  // namespace tidegate::session
