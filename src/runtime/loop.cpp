#include "runtime/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "foundation/check.h"

namespace tidegate::runtime {
namespace {

constexpr std::size_t scratch_bytes = 64U << 10;

int timeout_ms(duration wait) {
  if (wait <= duration::zero()) return 0;
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(wait).count();
  return static_cast<int>(std::min<std::int64_t>(ms, 60'000));
}

}  // namespace

void timer::arm(instant when) {
  if (when == never) {
    disarm();
    return;
  }
  when_ = when;
  if (slot_ == unarmed) {
    owner_.heap_.push_back(this);
    slot_ = static_cast<std::uint32_t>(owner_.heap_.size() - 1);
    owner_.sift_up(slot_);
  } else {
    owner_.sift_up(slot_);
    owner_.sift_down(slot_);
  }
}

void timer::disarm() noexcept {
  if (slot_ == unarmed) return;
  const std::uint32_t slot = std::exchange(slot_, unarmed);
  timer* const last = owner_.heap_.back();
  owner_.heap_.pop_back();
  if (last == this) return;
  owner_.place(slot, last);
  owner_.sift_up(slot);
  owner_.sift_down(last->slot_);
}

io_source::io_source(loop& owner, int fd) noexcept : owner_{owner}, fd_{fd}, read_timer_{owner, *this} {
  if (owner_.attach(*this)) return;
  ::close(fd_);
  fd_ = -1;
  readable_ = writable_ = hung_up_ = true;
}

io_source::~io_source() { close(); }

void io_source::close() noexcept {
  if (fd_ < 0) return;
  owner_.forget(*this);
  ::close(fd_);  // leaves the epoll set with it
  fd_ = -1;
  read_timer_.disarm();
}

io_wait io_source::readable(instant deadline, cancel_source* cancel) {
  return {*this, io_wait::want::read, deadline, cancel};
}
io_wait io_source::writable(instant deadline, cancel_source* cancel) {
  return {*this, io_wait::want::write, deadline, cancel};
}
io_wait io_source::ready(instant deadline, cancel_source* cancel) {
  return {*this, io_wait::want::either, deadline, cancel};
}

void io_source::on_events(std::uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    readable_ = writable_ = hung_up_ = true;
  }
  if ((events & EPOLLRDHUP) != 0) readable_ = hung_up_ = true;
  if ((events & EPOLLIN) != 0) readable_ = true;
  if ((events & EPOLLOUT) != 0) writable_ = true;
  if (reader_ != nullptr && readable_) reader_->finish(wake::ready);
  if (writer_ != nullptr && writable_) writer_->finish(wake::ready);
  if (hung_up_ && hangup_ != nullptr) hangup_->fire(cancel_reason::client_left);
}

void io_source::read_deadline_passed(timer& t) {
  io_source& self = static_cast<read_timer&>(t).source;
  if (self.reader_ == nullptr) return;
  if (self.reader_->deadline_ > self.owner_.now()) {
    t.arm(self.reader_->deadline_);
    return;
  }
  self.reader_->finish(wake::timeout);
}

io_wait::hook_type::hook_type(io_wait& w)
    : cancel_hook{[](cancel_hook& h) { static_cast<hook_type&>(h).wait.finish(wake::canceled); }}, wait{w} {}
io_wait::timer_type::timer_type(io_wait& w, loop& l)
    : timer{l, [](timer& t) { static_cast<timer_type&>(t).wait.finish(wake::timeout); }}, wait{w} {}

io_wait::io_wait(io_source& source, want what, instant deadline, cancel_source* cancel) noexcept
    : source_{source},
      what_{what},
      deadline_{deadline},
      cancel_{cancel},
      hook_{*this},
      timer_{*this, source.owner()} {}

bool io_wait::await_ready() noexcept {
  if (cancel_ != nullptr && cancel_->fired()) {
    result_ = wake::canceled;
    return true;
  }
  return (what_ != want::write && source_.readable_) || (what_ != want::read && source_.writable_);
}

void io_wait::await_suspend(std::coroutine_handle<> waiter) {
  waiter_ = waiter;
  if (what_ != want::write) {
    TG_CHECK(source_.reader_ == nullptr);
    source_.reader_ = this;
  }
  if (what_ != want::read) {
    TG_CHECK(source_.writer_ == nullptr);
    source_.writer_ = this;
  }
  if (cancel_ != nullptr) cancel_->attach(hook_);
  if (deadline_ == never) return;
  if (what_ != want::read) {
    timer_.arm(deadline_);
  } else if (!source_.read_timer_.armed() || source_.read_timer_.when() > deadline_) {
    source_.read_timer_.arm(deadline_);
  }
}

void io_wait::finish(wake result) {
  result_ = result;
  if (what_ != want::write) source_.reader_ = nullptr;
  if (what_ != want::read) source_.writer_ = nullptr;
  hook_.detach();
  timer_.disarm();
  source_.owner().schedule(waiter_);
}

sleep_wait::hook_type::hook_type(sleep_wait& w)
    : cancel_hook{[](cancel_hook& h) { static_cast<hook_type&>(h).wait.finish(wake::canceled); }}, wait{w} {}
sleep_wait::timer_type::timer_type(sleep_wait& w, loop& l)
    : timer{l, [](timer& t) { static_cast<timer_type&>(t).wait.finish(wake::timeout); }}, wait{w} {}

sleep_wait::sleep_wait(loop& owner, instant until, cancel_source* cancel) noexcept
    : owner_{owner}, until_{until}, cancel_{cancel}, hook_{*this}, timer_{*this, owner} {}

void sleep_wait::await_suspend(std::coroutine_handle<> waiter) {
  waiter_ = waiter;
  if (cancel_ != nullptr) cancel_->attach(hook_);
  timer_.arm(until_);
}

void sleep_wait::finish(wake result) {
  result_ = result;
  hook_.detach();
  timer_.disarm();
  owner_.schedule(waiter_);
}

loop::loop(const foundation::clock& time)
    : time_{time},
      now_{time.now()},
      epoll_{::epoll_create1(EPOLL_CLOEXEC)},
      wakeup_{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)},
      scratch_(scratch_bytes) {
  TG_CHECK(epoll_ >= 0 && wakeup_ >= 0);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  TG_CHECK(::epoll_ctl(epoll_, EPOLL_CTL_ADD, wakeup_, &event) == 0);
}

loop::~loop() {
  for (timer* t : heap_) t->slot_ = timer::unarmed;
  ::close(wakeup_);
  ::close(epoll_);
}

bool loop::attach(io_source& source) noexcept {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &source;
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, source.fd_, &event) == 0) return true;
  TG_CHECK(errno == ENOMEM || errno == ENOSPC);
  return false;
}

void loop::forget(const io_source& source) noexcept {
  for (std::size_t i = 0; i < pending_count_; ++i) {
    if (pending_[i] == &source) pending_[i] = nullptr;
  }
}

void loop::run() {
  while (!stopped_.load(std::memory_order_acquire)) turn(std::chrono::minutes{1});
}

void loop::stop() {
  stopped_.store(true, std::memory_order_release);
  const std::uint64_t one = 1;
  static_cast<void>(::write(wakeup_, &one, sizeof one));
}

void loop::post(std::function<void()> call) {
  bool first = false;
  {
    const std::lock_guard lock{mutex_};
    first = posted_.empty();
    posted_.push_back(std::move(call));
  }
  if (!first) return;
  const std::uint64_t one = 1;
  static_cast<void>(::write(wakeup_, &one, sizeof one));
}

bool loop::run_posted() {
  std::vector<std::function<void()>> calls;
  {
    const std::lock_guard lock{mutex_};
    calls.swap(posted_);
  }
  for (auto& call : calls) call();
  return !calls.empty();
}

bool loop::turn(duration wait) {
  if (!ready_.empty() || !closing_.empty()) wait = duration::zero();
  if (!heap_.empty()) wait = std::min(wait, heap_.front()->when_ - fresh_now());
  std::array<epoll_event, batch> events;
  const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(batch), timeout_ms(wait));
  TG_CHECK(count >= 0 || errno == EINTR);
  now_ = time_.now();

  bool worked = false;
  bool woken = false;
  pending_count_ = count > 0 ? static_cast<std::size_t>(count) : 0;
  for (std::size_t i = 0; i < pending_count_; ++i) pending_[i] = static_cast<io_source*>(events[i].data.ptr);
  for (std::size_t i = 0; i < pending_count_; ++i) {
    if (events[i].data.ptr == nullptr) {
      woken = true;
    } else if (pending_[i] != nullptr) {
      pending_[i]->on_events(events[i].events);
      worked = true;
    }
  }
  pending_count_ = 0;
  if (woken) {
    std::uint64_t value = 0;
    static_cast<void>(::read(wakeup_, &value, sizeof value));
    worked |= run_posted();
  }
  worked |= fire_timers();
  // What these schedule in turn runs in this round too, so that a hand-over costs no system call.
  while (!ready_.empty() || !closing_.empty()) {
    worked = true;
    running_.swap(ready_.empty() ? closing_ : ready_);
    for (const auto waiter : running_) waiter.resume();
    running_.clear();
  }
  return worked;
}

bool loop::fire_timers() {
  bool fired = false;
  while (!heap_.empty() && heap_.front()->when_ <= now_) {
    timer& due = *heap_.front();
    due.disarm();
    due.call_(due);
    fired = true;
  }
  return fired;
}

void loop::place(std::uint32_t slot, timer* node) noexcept {
  heap_[slot] = node;
  node->slot_ = slot;
}

void loop::sift_up(std::uint32_t slot) noexcept {
  timer* const node = heap_[slot];
  while (slot > 0) {
    const std::uint32_t parent = (slot - 1) / 4;
    if (heap_[parent]->when_ <= node->when_) break;
    place(slot, heap_[parent]);
    slot = parent;
  }
  place(slot, node);
}

void loop::sift_down(std::uint32_t slot) noexcept {
  timer* const node = heap_[slot];
  const auto size = static_cast<std::uint32_t>(heap_.size());
  for (;;) {
    const std::uint32_t first = slot * 4 + 1;
    if (first >= size) break;
    std::uint32_t least = first;
    const std::uint32_t last = std::min(first + 4, size);
    for (std::uint32_t child = first + 1; child < last; ++child) {
      if (heap_[child]->when_ < heap_[least]->when_) least = child;
    }
    if (heap_[least]->when_ >= node->when_) break;
    place(slot, heap_[least]);
    slot = least;
  }
  place(slot, node);
}

}  // namespace tidegate::runtime
