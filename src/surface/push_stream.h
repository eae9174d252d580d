// A response as a stream of one run's own pushes (STR-2), with a comment line now and then where there is
// nothing to push for long, as while a run waits its turn.
#pragma once

#include <chrono>
#include <coroutine>
#include <string>
#include <string_view>

#include "runtime/server/downstream.h"
#include "session/channels.h"

namespace tidegate::surface {

// Proxies keep a connection on which something is said so often.
inline constexpr std::chrono::seconds heartbeat{15};
// A reader that takes nothing for so long is given up.
inline constexpr std::chrono::seconds stalled_reader{60};

class push_stream final : public session::push_sink {
 public:
  // `headers`: complete lines. `gone` is fired (client_left) when nothing can be written any more, a reader
  // that takes nothing included.
  push_stream(runtime::downstream& to, std::string headers, runtime::cancel_source& gone)
      : to_{to}, headers_{std::move(headers)}, gone_{gone} {}

  runtime::task<bool> send(std::string_view name, std::string_view id, std::string_view data) override;
  runtime::task<bool> write(std::string_view events) override;
  bool opened() const noexcept override { return opened_; }

  // No comment line from now on; waits for the one that is being written. Before it is destroyed.
  runtime::task<void> settle();

 private:
  // Someone is writing: a push or a comment line, never both.
  class turn;
  struct quiet_wait {
    push_stream& of;
    bool await_ready() const noexcept { return !of.busy_; }
    void await_suspend(std::coroutine_handle<> waiter) const noexcept { of.waiter_ = waiter; }
    void await_resume() const noexcept {}
  };
  struct beat_timer : runtime::timer {
    explicit beat_timer(push_stream& s)
        : timer{s.to_.owner(), [](timer& t) { static_cast<beat_timer&>(t).of.beat(); }}, of{s} {}
    push_stream& of;
  };
  quiet_wait quiet() { return {*this}; }
  runtime::detached beat();

  runtime::downstream& to_;
  std::string headers_;
  runtime::cancel_source& gone_;
  beat_timer beat_{*this};
  std::coroutine_handle<> waiter_;
  bool opened_ = false;
  bool busy_ = false;
};

}  // namespace tidegate::surface
