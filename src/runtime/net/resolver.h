// Host names to addresses: getaddrinfo on a few threads of its own, awaited by the loop; answers are kept for
// a short while, so that a burst of new connections asks once. Numeric hosts never leave the loop.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/async/task.h"
#include "runtime/loop.h"
#include "runtime/net/address.h"
#include "runtime/net/stream.h"

namespace tidegate::runtime {

class resolver {
 public:
  // How a name becomes addresses; throws nothing, empty means "not resolved". The default asks the system.
  using lookup = std::function<std::vector<socket_address>(const std::string& host, std::uint16_t port)>;
  explicit resolver(lookup ask = system_lookup, duration keep = std::chrono::seconds{30},
                    unsigned threads = 2);
  resolver(const resolver&) = delete;
  resolver& operator=(const resolver&) = delete;
  ~resolver();
  // Ends the threads, after the lookups they are in; questions still open get no answer. To be called before
  // a loop that has asked is destroyed.
  void stop();

  task<std::expected<std::vector<socket_address>, io_error>> resolve(loop& on, std::string host,
                                                                     std::uint16_t port, instant deadline,
                                                                     cancel_source* cancel);
  static std::vector<socket_address> system_lookup(const std::string& host, std::uint16_t port);

 private:
  struct waiting;
  using question = std::pair<std::string, std::uint16_t>;
  struct answer {
    std::vector<socket_address> addresses;
    instant until;
  };
  void work();

  static constexpr std::size_t kept_max = 256;
  lookup ask_;
  duration keep_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::deque<question> questions_;  // not yet taken by a thread; guarded by mutex_
  // Who waits for a question, taken or not; guarded by mutex_. Asked once however many wait, so that one name
  // whose server is silent holds one thread and not all of them.
  std::map<question, std::vector<std::weak_ptr<waiting>>> askers_;
  std::map<question, answer> answers_;  // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace tidegate::runtime
