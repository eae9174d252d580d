// Carries out one reply, with the faults that its behavior asks for. Lives in the frame of the exchange's
// coroutine; behavior and downstream outlive it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mock/behavior.h"
#include "mock/reply_stream.h"
#include "mock/state.h"
#include "mock/vendor.h"
#include "runtime/async/task.h"
#include "runtime/server/downstream.h"

namespace tidegate::mock {

using runtime::task;

class player {
 public:
  player(runtime::downstream& to, const behavior& does, milliseconds interval)
      : to_{to}, does_{does}, interval_{interval} {}

  // Waits until the client leaves.
  task<outcome> hang();
  task<outcome> reset();
  // False: the client left meanwhile.
  task<bool> pause(foundation::duration time);

  // `headers`: complete lines. The views outlive the call.
  task<outcome> whole(int status, std::string_view headers, std::string_view body);
  task<outcome> stream(std::string_view headers, reply_stream& events, vendor shape);
  task<outcome> recorded(std::string_view headers, const recording& reply);

  // Why a write or a wait was broken off.
  outcome gone() const;

 private:
  task<outcome> whole_until(std::uint64_t bytes, int status, std::string_view headers, std::string_view body);
  task<outcome> slowly(int status, std::string_view headers, std::string_view body);
  task<outcome> garbled(int status, std::string_view headers, std::string_view body);
  task<outcome> break_stream(reply_stream& events, vendor shape);
  task<outcome> end_stream();
  task<bool> send(std::string_view bytes);
  task<bool> send_slowly(std::string_view bytes, bool raw);
  task<bool> keep_pace(bool fragment);

  runtime::downstream& to_;
  const behavior& does_;
  milliseconds interval_;
  foundation::instant next_{};  // when the next fragment is due
  std::uint64_t sent_ = 0;      // events or pieces
};

}  // namespace tidegate::mock
