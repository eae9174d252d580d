// HTTP calls of the chat client on a loop of its own, each on a connection of its own; Ctrl-C as something
// that a loop and a prompt can wait for.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "app/chat/reply.h"
#include "load/request.h"
#include "runtime/async/task.h"
#include "runtime/loop.h"
#include "runtime/net/address.h"
#include "runtime/net/stream.h"
#include "runtime/net/tls.h"

namespace tidegate::app::chat {

struct gateway_place {
  std::string url;  // as given, for messages
  load::target to;  // its path ends in "/rpc/"
  std::vector<runtime::socket_address> addresses;
  runtime::ssl_context tls;
  std::string key;  // blank: none
};
// Resolves the name. The error says what is wrong with the URL or the key.
std::expected<gateway_place, std::string> find_gateway(std::string_view url, std::string key);

// What came of one call: a whole reply, or why there is none.
struct received {
  std::string fault;      // of the transport; blank where a reply came
  bool canceled = false;  // given up from this side
  bool stream = false;    // it was an event stream; its events are told
  int status = 0;
  std::string body;
};

class client {
 public:
  client(runtime::loop& owner, const gateway_place& place) : loop_{owner}, place_{place} {}

  // POST /rpc/<channel>. With `on_event`, an event stream is asked for. Nothing may be silent for longer than
  // `patience`.
  runtime::task<received> post(std::string channel, std::string body, reply_parser::event_sink on_event,
                               runtime::duration patience, runtime::cancel_source* cancel);
  const gateway_place& place() const noexcept { return place_; }
  runtime::loop& owner() const noexcept { return loop_; }

 private:
  runtime::task<std::string> exchange(std::string request, reply_parser& reply, runtime::duration patience,
                                      runtime::cancel_source* cancel);
  std::string head(std::string_view channel, std::size_t body_bytes, bool events) const;

  runtime::loop& loop_;
  const gateway_place& place_;
};

// SIGINT of this process from now on: taken here, it ends nothing by itself. One at a time.
class interrupts {
 public:
  static std::expected<int, std::string> open();  // the descriptor for the constructor
  interrupts(runtime::loop& owner, int fd) : source_{owner, fd} {}
  // Whether one came since it was last asked. Never waits.
  bool take();
  runtime::io_source& source() noexcept { return source_; }

 private:
  runtime::io_source source_;
};

// One call, waited for, that Ctrl-C ends: by `ai:skill:cancel` where the run's id is known by then, after
// which the call has a moment to end by itself; else, and the second time, by leaving.
class watched_call {
 public:
  watched_call(client& through, interrupts& signals) : client_{through}, interrupts_{signals} {}

  received run(std::string_view channel, std::string body, reply_parser::event_sink on_event,
               runtime::duration patience);
  // Of the run that is being told of; called from `on_event`.
  void execution(std::string_view id) { execution_ = id; }
  bool interrupted() const noexcept { return interrupted_; }

 private:
  runtime::detached drive(std::string channel, std::string body, reply_parser::event_sink on_event,
                          runtime::duration patience);
  runtime::detached watch();
  runtime::detached cancel_run(std::string execution);

  client& client_;
  interrupts& interrupts_;
  received result_;
  std::string execution_;
  bool interrupted_ = false;
  int open_ = 0;  // coroutines that have not ended
  runtime::cancel_source gone_;
  runtime::cancel_source over_;
};

}  // namespace tidegate::app::chat
