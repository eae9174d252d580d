#include "runtime/net/resolver.h"

#include <netdb.h>

#include <cstring>
#include <utility>

namespace tidegate::runtime {

// Shared by the asking coroutine, which may give up first, and the thread that looks the name up.
struct resolver::waiting {
  explicit waiting(loop& l) : on{l} {}
  loop& on;
  cancel_source done;  // loop thread only
  std::vector<socket_address> addresses;
};

namespace {

// Brings the caller's cancellation into the wait for the answer.
struct forward_hook : cancel_hook {
  explicit forward_hook(cancel_source& target)
      : cancel_hook{[](cancel_hook& h) { static_cast<forward_hook&>(h).to.fire(cancel_reason::requested); }},
        to{target} {}
  cancel_source& to;
};

}  // namespace

resolver::resolver(lookup ask, duration keep, unsigned threads) : ask_{std::move(ask)}, keep_{keep} {
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

resolver::~resolver() { stop(); }

void resolver::stop() {
  {
    const std::lock_guard lock{mutex_};
    stopping_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

std::vector<socket_address> resolver::system_lookup(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  std::vector<socket_address> found;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list) != 0) return found;
  for (const addrinfo* entry = list; entry != nullptr && found.size() < 8; entry = entry->ai_next) {
    socket_address one;
    std::memcpy(&one.storage, entry->ai_addr, entry->ai_addrlen);
    one.length = entry->ai_addrlen;
    found.push_back(one);
  }
  ::freeaddrinfo(list);
  return found;
}

task<std::expected<std::vector<socket_address>, io_error>> resolver::resolve(loop& on, std::string host,
                                                                             std::uint16_t port,
                                                                             instant deadline,
                                                                             cancel_source* cancel) {
  address literal;
  literal.host = host;
  literal.port = port;
  if (const auto numeric = to_socket_address(literal)) co_return std::vector{*numeric};

  const auto asker = std::make_shared<waiting>(on);
  {
    const std::lock_guard lock{mutex_};
    const auto kept = answers_.find({host, port});
    if (kept != answers_.end() && kept->second.until > on.now()) co_return kept->second.addresses;
    const auto [open, first] = askers_.try_emplace({host, port});
    open->second.push_back(asker);
    if (first) questions_.emplace_back(host, port);
  }
  changed_.notify_one();
  forward_hook forward{asker->done};
  if (cancel != nullptr) {
    if (cancel->fired()) co_return std::unexpected{io_error::canceled};
    cancel->attach(forward);
  }
  const wake woken = co_await on.sleep_until(deadline, &asker->done);
  if (cancel != nullptr && cancel->fired()) co_return std::unexpected{io_error::canceled};
  if (woken == wake::timeout) co_return std::unexpected{io_error::timeout};
  if (asker->addresses.empty()) co_return std::unexpected{io_error::dns};
  const std::lock_guard lock{mutex_};
  if (answers_.size() >= kept_max) answers_.clear();
  answers_[{host, port}] = {asker->addresses, on.now() + keep_};
  co_return asker->addresses;
}

void resolver::work() {
  std::unique_lock lock{mutex_};
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !questions_.empty(); });
    if (stopping_) return;
    question next = std::move(questions_.front());
    questions_.pop_front();
    lock.unlock();
    const auto found = ask_(next.first, next.second);
    lock.lock();
    const auto waiters = askers_.extract(next);
    for (const auto& one : waiters.mapped()) {
      auto asker = one.lock();
      if (asker == nullptr) continue;  // gave up
      loop& on = asker->on;
      on.post([asker = std::move(asker), found] {
        asker->addresses = found;
        asker->done.fire(cancel_reason::requested);
      });
    }
  }
}

}  // namespace tidegate::runtime
