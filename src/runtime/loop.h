// One event loop a core: epoll (edge triggered), timers, hand-over from other threads. Everything that waits
// in tidegate waits here. A loop belongs to the thread that runs it; only post() and stop() may be called
// from others. With a manual clock and turn() it runs simulated time: nothing sleeps, timers fire when the
// clock has moved.
#pragma once

#include <array>
#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "foundation/time.h"
#include "runtime/async/cancel.h"

namespace tidegate::runtime {

using foundation::duration;
using foundation::instant;
using foundation::never;

class loop;

// A place in the loop's timer heap. Not copyable; leaves the heap when destroyed.
class timer {
 public:
  using function = void (*)(timer&);
  timer(loop& owner, function call) noexcept : owner_{owner}, call_{call} {}
  timer(const timer&) = delete;
  timer& operator=(const timer&) = delete;
  ~timer() { disarm(); }
  void arm(instant when);  // moves an armed timer; `never` disarms
  void disarm() noexcept;
  bool armed() const noexcept { return slot_ != unarmed; }
  instant when() const noexcept { return when_; }
  loop& owner() const noexcept { return owner_; }

 private:
  friend class loop;
  static constexpr std::uint32_t unarmed = 0xffffffff;
  loop& owner_;
  function call_;
  instant when_{};
  std::uint32_t slot_ = unarmed;
};

enum class wake : std::uint8_t { ready, timeout, canceled };

class io_wait;

// One descriptor in the loop. Edge triggered: `readable`/`writable` stay set until an operation says "would
// block". A descriptor that the kernel cannot watch (out of memory, out of watches) is closed at once, and
// the source stands as one that has hung up: no wait on it lasts, and every operation finds it closed.
class io_source {
 public:
  io_source(loop& owner, int fd) noexcept;
  io_source(const io_source&) = delete;
  io_source& operator=(const io_source&) = delete;
  ~io_source();

  int fd() const noexcept { return fd_; }
  loop& owner() const noexcept { return owner_; }
  // The peer has closed its side, or the connection is broken.
  bool hung_up() const noexcept { return hung_up_; }
  void mark_unreadable() noexcept {
    if (!hung_up_) readable_ = false;
  }
  void mark_drained() noexcept { readable_ = false; }
  void mark_unwritable() noexcept { writable_ = false; }
  bool looks_readable() const noexcept { return readable_; }
  // Fired with client_left when the peer hangs up; nullptr for none.
  void on_hangup(cancel_source* source) noexcept {
    hangup_ = source;
    if (hung_up_ && source != nullptr) source->fire(cancel_reason::client_left);
  }
  void close() noexcept;

  io_wait readable(instant deadline, cancel_source* cancel);
  io_wait writable(instant deadline, cancel_source* cancel);
  // Until either can be done.
  io_wait ready(instant deadline, cancel_source* cancel);

 private:
  friend class loop;
  friend class io_wait;
  void on_events(std::uint32_t events);
  static void read_deadline_passed(timer& t);

  loop& owner_;
  int fd_;
  bool readable_ = false;
  bool writable_ = false;
  bool hung_up_ = false;
  io_wait* reader_ = nullptr;
  io_wait* writer_ = nullptr;
  cancel_source* hangup_ = nullptr;
  // Armed lazily: a wait that ends in time leaves it standing, so that steady traffic never touches the heap.
  struct read_timer : timer {
    read_timer(loop& l, io_source& s) : timer{l, &io_source::read_deadline_passed}, source{s} {}
    io_source& source;
  } read_timer_;
};

// Awaitable: until the source can be read (written, either), the deadline passes, or the cancel source fires.
class io_wait {
 public:
  enum class want : std::uint8_t { read, write, either };
  io_wait(io_source& source, want what, instant deadline, cancel_source* cancel) noexcept;
  io_wait(const io_wait&) = delete;
  io_wait& operator=(const io_wait&) = delete;
  bool await_ready() noexcept;
  void await_suspend(std::coroutine_handle<> waiter);
  wake await_resume() const noexcept { return result_; }

 private:
  friend class io_source;
  void finish(wake result);
  struct hook_type : cancel_hook {
    explicit hook_type(io_wait& w);
    io_wait& wait;
  };
  struct timer_type : timer {
    explicit timer_type(io_wait& w, loop& l);
    io_wait& wait;
  };

  io_source& source_;
  want what_;
  wake result_ = wake::ready;
  instant deadline_;
  cancel_source* cancel_;
  std::coroutine_handle<> waiter_;
  hook_type hook_;
  timer_type timer_;
};

// Awaitable: until a point in time. `ready` never comes; `timeout` is the ordinary end.
class sleep_wait {
 public:
  sleep_wait(loop& owner, instant until, cancel_source* cancel) noexcept;
  sleep_wait(const sleep_wait&) = delete;
  sleep_wait& operator=(const sleep_wait&) = delete;
  bool await_ready() const noexcept { return cancel_ != nullptr && cancel_->fired(); }
  void await_suspend(std::coroutine_handle<> waiter);
  wake await_resume() const noexcept { return result_; }

 private:
  void finish(wake result);
  struct hook_type : cancel_hook {
    explicit hook_type(sleep_wait& w);
    sleep_wait& wait;
  };
  struct timer_type : timer {
    explicit timer_type(sleep_wait& w, loop& l);
    sleep_wait& wait;
  };
  loop& owner_;
  instant until_;
  cancel_source* cancel_;
  wake result_ = wake::canceled;
  std::coroutine_handle<> waiter_;
  hook_type hook_;
  timer_type timer_;
};

// Awaitable: until all else that is ready in this round has run.
class round_end_wait {
 public:
  explicit round_end_wait(std::vector<std::coroutine_handle<>>& place) noexcept : place_{place} {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) { place_.push_back(waiter); }
  void await_resume() const noexcept {}

 private:
  std::vector<std::coroutine_handle<>>& place_;
};

class loop {
 public:
  explicit loop(const foundation::clock& time);
  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;
  ~loop();

  // Until stop(); dispatches what is ready, then sleeps until the next event or timer.
  void run();
  // One round: waits at most `wait` for events, then dispatches all that is ready. True if anything was done.
  bool turn(duration wait);
  // Any thread.
  void stop();
  // Any thread. Runs in the loop's thread, in order of posting.
  void post(std::function<void()> call);

  // As of the current round.
  instant now() const noexcept { return now_; }
  instant fresh_now() noexcept { return now_ = time_.now(); }
  foundation::wall_time wall() const noexcept { return time_.wall(); }
  const foundation::clock& time() const noexcept { return time_; }
  // Resumes the coroutine later in this round. Loop thread only.
  void schedule(std::coroutine_handle<> waiter) { ready_.push_back(waiter); }
  // Writers wait here so that a round's messages leave one after the other: a peer on this machine is then
  // woken once a round instead of once a message, which costs more than the message itself.
  round_end_wait round_end() noexcept { return round_end_wait{closing_}; }
  sleep_wait sleep_until(instant until, cancel_source* cancel) { return {*this, until, cancel}; }
  instant next_timer() const noexcept { return heap_.empty() ? never : heap_.front()->when_; }

  // Shared by all connections of this loop between two suspensions; what is read into it must be used or
  // copied before the next co_await.
  std::span<char> scratch() noexcept { return scratch_; }

 private:
  friend class timer;
  friend class io_source;
  bool attach(io_source& source) noexcept;  // false: the kernel cannot watch it
  void forget(const io_source& source) noexcept;
  bool fire_timers();
  bool run_posted();
  void place(std::uint32_t slot, timer* node) noexcept;
  void sift_up(std::uint32_t slot) noexcept;
  void sift_down(std::uint32_t slot) noexcept;

  static constexpr std::size_t batch = 256;
  const foundation::clock& time_;
  instant now_;
  int epoll_;
  int wakeup_;
  std::atomic<bool> stopped_{false};
  std::vector<std::coroutine_handle<>> ready_;
  std::vector<std::coroutine_handle<>> running_;
  std::vector<std::coroutine_handle<>> closing_;  // waiting for the round's end
  std::vector<timer*> heap_;
  std::vector<char> scratch_;
  std::array<io_source*, batch> pending_{};  // this round's events, so that a source can leave it
  std::size_t pending_count_ = 0;
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by mutex_
};

}  // namespace tidegate::runtime
