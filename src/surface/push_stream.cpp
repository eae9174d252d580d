#include "surface/push_stream.h"

#include <utility>

namespace tidegate::surface {

using runtime::cancel_reason;
using runtime::task;

class push_stream::turn {
 public:
  explicit turn(push_stream& of) : of_{of} {
    of.busy_ = true;
    of.to_.set_deadline(of.to_.owner().now() + stalled_reader);
  }
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;
  ~turn() {
    of_.busy_ = false;
    of_.beat_.arm(of_.to_.owner().now() + heartbeat);
    if (of_.waiter_) of_.to_.owner().schedule(std::exchange(of_.waiter_, nullptr));
  }

 private:
  push_stream& of_;
};

task<bool> push_stream::send(std::string_view name, std::string_view id, std::string_view data) {
  std::string text;
  text.reserve(name.size() + id.size() + data.size() + 24);
  if (!id.empty()) text.append("id: ").append(id).append("\n");
  text.append("event: ").append(name).append("\n");
  text.append("data: ").append(data).append("\n\n");
  co_return co_await write(text);
}

task<bool> push_stream::write(std::string_view events) {
  co_await quiet();
  bool written = false;
  {
    const turn mine{*this};
    const bool open = std::exchange(opened_, true) || co_await to_.begin(200, headers_);
    written = open && co_await to_.write(events);
  }
  if (!written) gone_.fire(cancel_reason::client_left);
  co_return written;
}

runtime::detached push_stream::beat() {
  if (busy_) co_return;  // something is on its way as it is
  bool written = false;
  try {
    const turn mine{*this};
    written = co_await to_.write(": alive\n\n");
  } catch (...) {  // out of memory: as if it could not be written
    written = false;
  }
  if (!written) gone_.fire(cancel_reason::client_left);
}

task<void> push_stream::settle() {
  co_await quiet();
  beat_.disarm();
}

}  // namespace tidegate::surface
