#include "load/generator.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <coroutine>
#include <optional>
#include <utility>
#include <vector>

#include "foundation/check.h"
#include "load/connection.h"
#include "runtime/loop.h"
#include "runtime/net/resolver.h"
#include "runtime/net/tls.h"

namespace tidegate::load {
namespace {

using foundation::instant;
using foundation::never;
using runtime::detached;
using runtime::task;

constexpr std::chrono::milliseconds progress_interval{200};
// A server that refuses connections is asked again, but not in a busy loop.
constexpr std::chrono::milliseconds refused_pause{20};

// Wakes at a point in time to the microsecond; the loop's own timers count in milliseconds.
class pacer {
 public:
  explicit pacer(runtime::loop& owner)
      : loop_{owner}, source_{owner, ::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)} {}

  task<void> until(instant when) {
    for (duration left = when - loop_.fresh_now(); left > duration::zero(); left = when - loop_.fresh_now()) {
      itimerspec spec{};
      spec.it_value.tv_sec = left.count() / 1'000'000'000;
      spec.it_value.tv_nsec = left.count() % 1'000'000'000;
      TG_CHECK(::timerfd_settime(source_.fd(), 0, &spec, nullptr) == 0);
      source_.mark_drained();
      co_await source_.readable(never, &woken_);
      if (woken_.fired()) co_return;
      std::uint64_t ticks = 0;
      static_cast<void>(::read(source_.fd(), &ticks, sizeof ticks));
    }
  }
  // Ends every wait, now and later.
  void wake() { woken_.fire(runtime::cancel_reason::requested); }

 private:
  runtime::loop& loop_;
  runtime::io_source source_;
  runtime::cancel_source woken_;
};

class generator {
 public:
  generator(runtime::loop& owner, const plan& what, const destination& to)
      : loop_{owner}, plan_{what}, to_{to}, pacer_{owner}, request_{make_request(to.to, what.shape)} {}

  void start() {
    started_ = loop_.fresh_now();
    over_ = started_ + plan_.when.length();
    if (plan_.when.open_loop()) {
      dispatching_ = true;
      dispatch();
      return;
    }
    for (std::uint64_t i = 0; i < plan_.connections; ++i) caller();
  }

  // No new calls; those under way may end.
  void close() {
    if (closing_) return;
    closing_ = true;
    elapsed_ = loop_.fresh_now() - started_;
    kill_at_ = loop_.now() + plan_.grace;
    pacer_.wake();
    for (const auto waiter : std::exchange(parked_, {})) loop_.schedule(waiter);
  }
  // Gives up what is still under way once its grace is over.
  void abandon_late() {
    if (closing_ && loop_.now() >= kill_at_) abandoned_.fire(runtime::cancel_reason::shutdown);
  }

  bool over() const { return loop_.now() >= over_; }
  // A trace that ended before its time: nothing more will come.
  bool exhausted() const {
    return plan_.when.open_loop() && !dispatching_ && taken_ == due_ && parked_.size() == callers_;
  }
  bool ended() const { return closing_ && callers_ == 0 && !dispatching_; }
  instant end_of_schedule() const { return over_; }

  const report& results() {
    report_.elapsed = closing_ ? elapsed_ : loop_.fresh_now() - started_;
    return report_;
  }
  report finish() {
    report_.elapsed = elapsed_;
    report_.unsent = due_ - taken_;
    return std::move(report_);
  }

 private:
  struct job {
    instant due;
    const trace_call* traced = nullptr;
  };

  // Hands calls out as they fall due; who is busy takes the overdue ones afterwards.
  detached dispatch() {
    for (;;) {
      const auto next = plan_.when.due(due_);
      if (!next || closing_) break;
      co_await pacer_.until(started_ + *next);
      if (closing_) break;
      ++due_;
      if (!parked_.empty()) {
        loop_.schedule(parked_.back());
        parked_.pop_back();
      } else if (callers_ < plan_.connections) {
        caller();
      }
    }
    dispatching_ = false;
  }

  std::optional<job> take() {
    if (closing_ || over()) return std::nullopt;
    if (!plan_.when.open_loop()) return job{loop_.fresh_now()};
    if (taken_ == due_) return std::nullopt;
    const std::uint64_t index = taken_++;
    return job{started_ + *plan_.when.due(index), plan_.when.traced(index)};
  }

  struct parking {
    std::vector<std::coroutine_handle<>>& place;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) { place.push_back(waiter); }
    void await_resume() const noexcept {}
  };

  detached caller() {
    ++callers_;
    connection link{loop_, to_, report_};
    while (!closing_) {
      const std::optional<job> next = take();
      if (!next) {
        if (!plan_.when.open_loop()) break;
        co_await parking{parked_};
        continue;
      }
      if (!co_await call(link, *next)) {
        co_await loop_.sleep_until(loop_.now() + refused_pause, nullptr);
      }
    }
    --callers_;
  }

  // False where there was no connection to be had.
  task<bool> call(connection& link, job next) {
    std::string traced;
    if (next.traced != nullptr) traced = make_traced_request(*next.traced);
    const instant deadline = std::min(loop_.now() + plan_.call_timeout, over_ + plan_.grace);
    const call_result result =
        co_await link.call(traced.empty() ? request_ : traced, next.due, deadline, &abandoned_);
    if (result.timed_out && closing_) {
      ++report_.unfinished;
      co_return true;
    }
    const std::string reason =
        result.transport_error.empty() ? link.reply().verdict() : result.transport_error;
    if (!reason.empty()) report_.add_error(reason);
    co_return result.transport_error.empty();
  }

  // Four bytes a token, as the gateway's own estimator counts Latin text.
  std::string make_traced_request(const trace_call& call) const {
    request_shape shape = plan_.shape;
    shape.body_bytes = std::uint64_t{call.context_llm_tokens} * 4;
    shape.max_llm_tokens = std::max<std::uint32_t>(1, call.generated_llm_tokens);
    return make_request(to_.to, shape);
  }

  runtime::loop& loop_;
  const plan& plan_;
  const destination& to_;
  pacer pacer_;
  std::string request_;
  report report_;
  instant started_{};
  instant over_ = never;
  instant kill_at_ = never;
  duration elapsed_{};
  runtime::cancel_source abandoned_;
  bool closing_ = false;
  bool dispatching_ = false;
  std::uint64_t callers_ = 0;
  std::uint64_t due_ = 0;    // calls of the schedule whose time has come
  std::uint64_t taken_ = 0;  // of those, handed to a connection
  std::vector<std::coroutine_handle<>> parked_;
};

}  // namespace

std::expected<report, std::string> run(plan what, const foundation::clock& time,
                                       const progress& on_progress) {
  destination to{what.to, runtime::resolver::system_lookup(what.to.host, what.to.port), nullptr};
  if (to.addresses.empty()) return std::unexpected{"cannot resolve " + what.to.host};
  runtime::ssl_context tls;
  if (what.to.tls) {
    auto made = runtime::make_client_context();
    if (!made) return std::unexpected{made.error()};
    tls = std::move(*made);
    to.tls = tls.get();
  }
  runtime::loop owner{time};
  generator load{owner, what, to};
  load.start();
  for (instant shown = owner.now(); !load.ended();) {
    // Until the schedule's end or the next look at the progress, whichever is first.
    const duration to_end =
        std::max(load.end_of_schedule() - owner.now(), duration{std::chrono::milliseconds{1}});
    owner.turn(std::min<duration>(progress_interval, to_end));
    if (load.over() || load.exhausted()) load.close();
    if (owner.now() - shown >= progress_interval) {
      shown = owner.now();
      if (on_progress && !on_progress(load.results())) load.close();
    }
    load.abandon_late();
  }
  return load.finish();
}

}  // namespace tidegate::load
