// Handlers of the session surface without a socket: what surface/rpc does around one, on simulated time.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kit/world.h"
#include "protocol/rpc/contract.h"
#include "session/channels.h"

namespace tidegate::kit {

struct channel_request {
  explicit channel_request(policy::principal caller) : who{std::move(caller)} {}
  policy::principal who;
  std::string body;
  runtime::cancel_source gone;
  bool done = false;
  std::optional<session::channel_reply> reply;

  bool ok() const { return reply && reply->has_value(); }
  // The canonical name of the failure's code, "OK", or "" while it is under way.
  std::string code() const {
    if (!reply) return {};
    return *reply ? std::string{"OK"} : std::string{foundation::name_of(reply->error().code)};
  }
  const std::string& data() const { return **reply; }
  std::string details() const { return reply && !*reply ? reply->error().details : std::string{}; }
  // A member of the reply by its path; "" where there is none.
  std::string text(std::initializer_list<std::string_view> path) const {
    if (!ok()) return {};
    const auto parsed = protocol::json::parse(data());
    const auto found = parsed ? parsed->path(path) : std::nullopt;
    return !found ? std::string{} : found->as_string().value_or(std::string{found->raw()});
  }
};

class channel_world : public world {
 public:
  using world::start;

  explicit channel_world(setup s = {}) : world{std::move(s)} {}
  void bind(std::vector<session::binding> more) {
    for (session::binding& b : more) handlers_.push_back(std::move(b));
  }

  channel_request& begin(std::string_view channel, std::string body,
                         policy::principal who = policy::local_principal()) {
    channel_request& r = requests_.emplace_back(std::move(who));
    r.body = std::move(body);
    const protocol::rpc::channel* const what = protocol::rpc::find_channel(channel);
    EXPECT_NE(what, nullptr);
    const auto read = protocol::rpc::read(*what->request, r.body);
    EXPECT_TRUE(read.ok()) << read.issues.front().path << ": " << read.issues.front().message;
    for (const session::binding& b : handlers_) {
      if (b.channel == channel) drive(*this, b, *what, read.content, r);
    }
    settle();
    return r;
  }
  // Lets time pass until it has ended.
  channel_request& call(std::string_view channel, std::string body,
                        policy::principal who = policy::local_principal()) {
    channel_request& r = begin(channel, std::move(body), std::move(who));
    wait_for(r);
    return r;
  }
  void wait_for(const channel_request& r) {
    for (int idle = 0; !r.done && idle < 20'000; ++idle) {
      const instant next = loop.next_timer();
      if (next == foundation::never) {
        loop.turn(std::chrono::milliseconds{1});  // a store's thread answers
      } else {
        advance(std::max(next - clock.now(), foundation::duration::zero()));
      }
    }
    EXPECT_TRUE(r.done) << "the handler hangs";
  }

 private:
  static runtime::detached drive(channel_world& self, const session::binding& to,
                                 const protocol::rpc::channel& what, protocol::json::value body,
                                 channel_request& r) {
    session::request_context context{
        r.who, "018f0000-0000-7000-8000-000000000001", std::string(32, 'a'), "", self.services, r.gone};
    r.reply = co_await to.run(body, context);
    if (r.ok()) {
      const auto read = protocol::rpc::read(*what.reply, r.data());
      EXPECT_TRUE(read.ok()) << to.channel << ": " << read.issues.front().path << ' '
                             << read.issues.front().message << " in " << r.data();
    }
    r.done = true;
  }

  std::vector<session::binding> handlers_;
  std::deque<channel_request> requests_;
};

}  // namespace tidegate::kit
