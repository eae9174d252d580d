// The scripted provider on a port of one loop: for `tidegate mock`, `serve --mock` and tests.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "mock/handler.h"
#include "mock/state.h"
#include "runtime/loop.h"
#include "runtime/net/address.h"
#include "runtime/server/server.h"

namespace tidegate::mock {

// Everything in the loop's thread. Before it goes: drain(), and turns of the loop until idle().
class mock_server {
 public:
  // Loop and state outlive the server.
  mock_server(runtime::loop& owner, mock_state& state);
  mock_server(const mock_server&) = delete;
  mock_server& operator=(const mock_server&) = delete;
  ~mock_server();

  // The address with the port that the kernel chose where it was 0; else why there is none.
  std::expected<runtime::address, std::string> listen(runtime::address where);
  // No new calls; those under way are broken off as far as they wait for something.
  void drain();
  bool idle() const;

 private:
  std::expected<void, std::string> open();
  // Closes the port and the connections that wait, opens it again after that time. A refusal during a refusal
  // prolongs it.
  void refuse(milliseconds time);
  runtime::detached reopen();
  void forget_retired();

  runtime::loop& loop_;
  mock_state& state_;
  mock_handler handler_;
  runtime::connection_budget budget_{100'000};
  runtime::address where_;
  std::unique_ptr<runtime::server> server_;                // null while the port is closed
  std::vector<std::unique_ptr<runtime::server>> retired_;  // with calls under way from before a refusal
  foundation::instant closed_until_{};
  runtime::cancel_source stop_;
  bool reopening_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for calls that are posted but not yet run
  std::uint64_t listener_ = 0;
};

// A scripted provider with a loop and a thread of its own, for `serve --mock`. The thread takes no signals.
class mock_thread {
 public:
  // "127.0.0.1:0": any port. `time` outlives the result.
  static std::expected<std::unique_ptr<mock_thread>, std::string> start(std::string_view where,
                                                                        mock_settings settings,
                                                                        const foundation::clock& time);
  mock_thread(const mock_thread&) = delete;
  mock_thread& operator=(const mock_thread&) = delete;
  // Breaks off what is under way.
  ~mock_thread();

  // With the port in use.
  const std::string& address() const noexcept { return address_; }
  mock_state& state() noexcept { return state_; }

 private:
  mock_thread(mock_settings settings, const foundation::clock& time);
  void run();

  runtime::loop loop_;
  mock_state state_;
  mock_server server_;
  std::string address_;
  bool stopping_ = false;  // of the loop's thread
  std::thread thread_;
};

}  // namespace tidegate::mock
