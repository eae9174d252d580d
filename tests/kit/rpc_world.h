// The session surface over real loopback sockets on simulated time: a listener with handlers of the test's
// own, client keys as a test wants them, everything else as kit/world.h has it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kit/raw_client.h"
#include "kit/world.h"
#include "runtime/net/address.h"
#include "runtime/server/server.h"
#include "session/channels.h"
#include "session/push_hub.h"
#include "storage/client_key.h"
#include "surface/data.h"

namespace tidegate::kit {

// What an envelope says.
struct envelope {
  int status = 0;
  bool ok = false;
  std::string code;
  std::string raw;  // the whole body

  std::string text(std::initializer_list<std::string_view> path) const {
    const auto parsed = protocol::json::parse(raw);
    const auto found = parsed ? parsed->path(path) : std::nullopt;
    return !found ? std::string{} : found->as_string().value_or(std::string{found->raw()});
  }
};

inline envelope read_envelope(const raw_reply& reply) {
  envelope e;
  e.status = reply.status;
  e.raw = reply.body;
  e.ok = e.text({"ok"}) == "true";
  e.code = e.text({"error", "code"});
  return e;
}

// A coroutine that a handler in a test may be: answers with a text.
inline runtime::task<session::channel_reply> reply_with(std::string data) { co_return data; }

class rpc_world : public world {
 public:
  explicit rpc_world(std::vector<session::binding> handlers, setup s = {}, session::push_settings pushes = {})
      : world{std::move(s)},
        hub{pushes, clock, log},
        channels{handlers},
        surface_{shared, services, channels, hub},
        net_{loop, surface_, {}, budget_} {
    const int fd = runtime::open_listener(runtime::parse_address("127.0.0.1:0").value()).value();
    port_ = runtime::bound_port(fd);
    net_.listen(fd, nullptr);
  }
  ~rpc_world() {
    net_.drain();
    net_.stop_exchanges();
    until([&] { return net_.quiet(); });
  }

  // Adds a client key and gives its text; from the first one on a key is needed.
  std::string add_key(policy::principal who) {
    std::string text = storage::make_client_key();
    if (mac_ == nullptr) {
      const auto master = storage::master_key::random();
      mac_ = std::make_shared<const storage::key_mac>(*storage::key_mac::of(*master));
    }
    policy::key_entry e;
    const storage::mac_bytes mac = mac_->of_text(text);
    std::ranges::copy(std::as_bytes(std::span{mac}), e.mac.begin());
    e.who = std::move(who);
    keys_.push_back(std::move(e));
    shared.callers().publish(std::make_shared<const policy::key_table>(keys_), mac_);
    return text;
  }

  raw_client connect() {
    auto made = raw_client::connect(port_);
    EXPECT_TRUE(made.has_value());
    return std::move(*made);
  }
  // Real time passes for sockets, none for the gateway.
  void until(const std::function<bool()>& done) {
    for (int i = 0; i < 20'000 && !done(); ++i) loop.turn(std::chrono::milliseconds{1});
    EXPECT_TRUE(done());
  }
  raw_reply reply_of(raw_client& from) {
    until([&] {
      const raw_reply so_far = from.peek_reply();
      return so_far.complete || so_far.end != connection_end::open;
    });
    return from.read_reply(0);
  }
  raw_reply exchange(std::string_view method, std::string_view path, std::string_view body,
                     std::string_view headers = {}) {
    raw_client client = connect();
    client.send_request(method, path, body, headers);
    return reply_of(client);
  }
  envelope post(std::string_view channel, std::string_view body, std::string_view headers = {}) {
    return read_envelope(exchange("POST", "/rpc/" + std::string{channel}, body, headers));
  }
  runtime::server& net() { return net_; }

  session::push_hub hub;
  surface::channel_table channels;

 private:
  surface::data surface_;
  runtime::connection_budget budget_{1000};
  runtime::server net_;
  std::uint16_t port_ = 0;
  std::shared_ptr<const storage::key_mac> mac_;
  std::vector<policy::key_entry> keys_;
};

inline std::string bearer(std::string_view key) {
  return "authorization: Bearer " + std::string{key} + "\r\n";
}

}  // namespace tidegate::kit
