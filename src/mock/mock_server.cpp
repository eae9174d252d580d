#include "mock/mock_server.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "foundation/check.h"

namespace tidegate::mock {
namespace {

runtime::server_settings settings_of_test_server() {
  runtime::server_settings out;
  // A test may take its time: nothing here is a defence.
  out.header_timeout = std::chrono::minutes{10};
  out.keep_alive = std::chrono::minutes{10};
  out.min_body_rate = 0;
  out.head.head_bytes = 256U << 10;
  out.head.fields = 1000;
  out.head.target = 64U << 10;
  return out;
}

}  // namespace

mock_server::mock_server(runtime::loop& owner, mock_state& state)
    : loop_{owner}, state_{state}, handler_{state} {
  listener_ = state_.on_refusal([this, alive = alive_](milliseconds time) {
    loop_.post([this, alive, time] {
      if (*alive) refuse(time);
    });
  });
}

mock_server::~mock_server() {
  state_.forget_listener(listener_);
  *alive_ = false;
  TG_CHECK(idle());
}

std::expected<runtime::address, std::string> mock_server::listen(runtime::address where) {
  where_ = std::move(where);
  if (const auto opened = open(); !opened) return std::unexpected{opened.error()};
  return where_;
}

std::expected<void, std::string> mock_server::open() {
  const auto fd = runtime::open_listener(where_);
  if (!fd) return std::unexpected{fd.error()};
  if (!where_.is_unix()) where_.port = runtime::bound_port(*fd);
  server_ = std::make_unique<runtime::server>(loop_, handler_, settings_of_test_server(), budget_);
  server_->listen(*fd, nullptr);
  return {};
}

void mock_server::drain() {
  stop_.fire(runtime::cancel_reason::shutdown);
  if (server_) retired_.push_back(std::move(server_));
  for (const auto& each : retired_) {
    each->drain();
    each->stop_exchanges();
  }
}

bool mock_server::idle() const {
  return !server_ && !reopening_ &&
         std::ranges::all_of(retired_, [](const auto& each) { return each->quiet(); });
}

void mock_server::refuse(milliseconds time) {
  if (stop_.fired() || (!server_ && !reopening_)) return;
  closed_until_ = std::max(closed_until_, loop_.now()) + time;
  if (!server_) return;
  forget_retired();
  server_->drain();
  retired_.push_back(std::move(server_));
  reopen();
}

void mock_server::forget_retired() {
  std::erase_if(retired_, [](const auto& each) { return each->quiet(); });
}

runtime::detached mock_server::reopen() {
  reopening_ = true;
  while (!stop_.fired()) {
    if (co_await loop_.sleep_until(closed_until_, &stop_) == runtime::wake::canceled) break;
    if (loop_.now() < closed_until_) continue;
    if (open()) break;
    // Somebody else has the port for the moment.
    closed_until_ = loop_.now() + milliseconds{10};
  }
  reopening_ = false;
}

mock_thread::mock_thread(mock_settings settings, const foundation::clock& time)
    : loop_{time}, state_{std::move(settings)}, server_{loop_, state_} {}

std::expected<std::unique_ptr<mock_thread>, std::string> mock_thread::start(std::string_view where,
                                                                            mock_settings settings,
                                                                            const foundation::clock& time) {
  auto at = runtime::parse_address(where);
  if (!at) return std::unexpected{at.error()};
  std::unique_ptr<mock_thread> out{new mock_thread{std::move(settings), time}};
  auto bound = out->server_.listen(std::move(*at));
  if (!bound) return std::unexpected{bound.error()};
  out->address_ = runtime::to_text(*bound);
  // A thread inherits the mask: signals stay the business of the threads that expect them.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  out->thread_ = std::thread{&mock_thread::run, out.get()};
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return out;
}

mock_thread::~mock_thread() {
  if (!thread_.joinable()) return;
  loop_.post([this] {
    server_.drain();
    stopping_ = true;
  });
  thread_.join();
}

void mock_thread::run() {
  while (!stopping_ || !server_.idle()) loop_.turn(std::chrono::minutes{1});
}

}  // namespace tidegate::mock
