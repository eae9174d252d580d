#include "gateway/run_queue.h"

#include <new>
#include <optional>

#include "foundation/check.h"
#include "foundation/random.h"
#include "protocol/json/json.h"

namespace tidegate::gateway {
namespace {

using foundation::error_code;
using foundation::failure;
using policy::run_end;
using policy::run_status;
using policy::scheduler;

failure canceled(std::string message) {
  failure f;
  f.code = error_code::canceled;
  f.message = std::move(message);
  return f;
}

failure timed_out(std::string message, std::string_view phase) {
  failure f;
  f.code = error_code::skill_timeout;
  f.message = std::move(message);
  protocol::json::writer{f.details}.begin_object().key("phase").string(phase).end_object();
  return f;
}

failure overloaded(std::string message, std::string_view reason) {
  failure f;
  f.code = error_code::server_overloaded;
  f.message = std::move(message);
  protocol::json::writer{f.details}.begin_object().key("reason").string(reason).end_object();
  return f;
}

}  // namespace

struct run_queue::record {
  record(run_queue& q, runtime::loop& l, queued_run r) : queue{q}, start{.loop = l}, run{std::move(r)} {}
  run_queue& queue;
  wait_point start;
  const queued_run run;
  policy::run_number number = 0;
  bool at_once = false;
  bool ended = false;                        // guarded by mutex_: its terminal stands
  std::optional<policy::run_news> owed;      // guarded by mutex_: left the queue, its ticket has yet to end
  run_status fallback = run_status::failed;  // loop's thread only: for a ticket that goes without a word
};

struct run_queue::extra_record {
  extra_record(run_queue& q, runtime::loop& l, policy::extra_number n)
      : queue{q}, grant{.loop = l}, number{n} {}
  run_queue& queue;
  wait_point grant;
  policy::extra_number number;
};

// Until the point is told.
class run_queue::point_wait {
 public:
  point_wait(run_queue& queue, wait_point& point) noexcept : queue_{queue}, point_{point} {}
  point_wait(const point_wait&) = delete;
  point_wait& operator=(const point_wait&) = delete;
  ~point_wait() { point_.waiter = nullptr; }
  bool await_ready() {
    const std::lock_guard lock{queue_.mutex_};
    point_.waiting = point_.told == verdict::none;
    return !point_.waiting;
  }
  // Who tells it from now on posts to this loop: nothing can come before the coroutine is suspended.
  void await_suspend(std::coroutine_handle<> waiter) noexcept { point_.waiter = waiter; }
  verdict await_resume() {
    const std::lock_guard lock{queue_.mutex_};
    return point_.told;
  }

 private:
  run_queue& queue_;
  wait_point& point_;
};

class run_queue::cancel_start : public runtime::cancel_hook {
 public:
  explicit cancel_start(record& run)
      : cancel_hook{[](cancel_hook& h) {
          record& r = static_cast<cancel_start&>(h).run_;
          r.queue.cancel(r);
        }},
        run_{run} {}

 private:
  record& run_;
};

class run_queue::cancel_extra : public runtime::cancel_hook {
 public:
  explicit cancel_extra(extra_record& extra)
      : cancel_hook{[](cancel_hook& h) {
          extra_record& e = static_cast<cancel_extra&>(h).extra_;
          e.queue.give_up(e);
        }},
        extra_{extra} {}

 private:
  extra_record& extra_;
};

run_queue::deadline_timer::deadline_timer(run_queue& q, runtime::loop& l)
    : timer{l, [](timer& t) { static_cast<deadline_timer&>(t).queue.on_deadline(); }}, queue{q} {}

run_queue::run_queue(runtime::loop& home, const policy::scheduler_settings& settings,
                     queue_listener* listener)
    : home_{home},
      listener_{listener},
      timer_{*this, home},
      scheduler_{settings, foundation::system_seed()},
      by_id_{0, policy::keyed_hash{foundation::system_seed()}} {}

run_queue::~run_queue() { TG_CHECK(runs_.empty()); }

failure run_queue::refusal(const scheduler::entry& entry, const queued_run& run) const {
  switch (entry.refused) {
    case scheduler::refusal::draining:
      return overloaded("the server is shutting down", "draining");
    case scheduler::refusal::all:
      return overloaded("too many runs are waiting", "max_in_flight");
    case scheduler::refusal::none:
    case scheduler::refusal::session:
    case scheduler::refusal::project:
      break;
  }
  const bool project = entry.refused == scheduler::refusal::project;
  failure f;
  f.code = error_code::skill_queue_overflow;
  f.message = project ? "too many runs of this project are in flight" : "too many runs of this session wait";
  protocol::json::writer details{f.details};
  details.begin_object().key("sessionKey").string(run.session.name);
  details.key("limit").number(static_cast<std::int64_t>(entry.limit));
  if (project) details.key("scope").string("project");
  details.end_object();
  return f;
}

std::expected<run_queue::ticket, failure> run_queue::enter(runtime::loop& loop, queued_run run) {
  const auto added = std::make_shared<record>(*this, loop, std::move(run));
  {
    const std::lock_guard lock{mutex_};
    const auto entry = scheduler_.enter(added->run.session.place, added->run.project, now(), effects_);
    if (entry.refused != scheduler::refusal::none) return std::unexpected(refusal(entry, added->run));
    added->number = entry.run;
    added->at_once = entry.position == 0;
    runs_.emplace(entry.run, added);
    const bool unknown = by_id_.emplace(added->run.run_id, added.get()).second;
    TG_CHECK(unknown);
    gather();
  }
  run_errands();
  return ticket{added};
}

bool run_queue::cancel(std::string_view run_id) {
  bool removed = false;
  {
    const std::lock_guard lock{mutex_};
    const auto found = by_id_.find(run_id);
    if (found == by_id_.end()) return false;
    removed = scheduler_.cancel(found->second->number, now(), effects_) == scheduler::cancel_result::removed;
    gather();
  }
  run_errands();
  return removed;
}

void run_queue::cancel(record& run) {
  {
    const std::lock_guard lock{mutex_};
    scheduler_.cancel(run.number, now(), effects_);
    gather();
  }
  run_errands();
}

bool run_queue::finish(const std::shared_ptr<record>& run, run_status terminal) {
  {
    const std::lock_guard lock{mutex_};
    if (run->ended) return false;
    run->ended = true;
    if (run->owed.has_value()) {
      tell(run, *run->owed);
    } else {
      scheduler_.finish(run->number, terminal, now(), effects_);
    }
    gather();
  }
  run_errands();
  return true;
}

void run_queue::give_up(extra_record& extra) {
  {
    const std::lock_guard lock{mutex_};
    const auto found = extras_.find(extra.number);
    if (found == extras_.end()) return;  // its grant is on its way
    const std::shared_ptr<extra_record> held = found->second;
    extras_.erase(found);
    scheduler_.release_extra(extra.number, now(), effects_);
    wake({held, &held->grant}, verdict::canceled);
    gather();
  }
  run_errands();
}

void run_queue::release(extra_record& extra) {
  {
    const std::lock_guard lock{mutex_};
    scheduler_.release_extra(extra.number, now(), effects_);
    gather();
  }
  run_errands();
}

void run_queue::drain() {
  {
    const std::lock_guard lock{mutex_};
    scheduler_.drain(now(), effects_);
    gather();
  }
  run_errands();
}

void run_queue::configure(const policy::scheduler_settings& settings) {
  {
    const std::lock_guard lock{mutex_};
    scheduler_.configure(settings, now(), effects_);
    gather();
  }
  run_errands();
}

run_queue::figures run_queue::count() const {
  const std::lock_guard lock{mutex_};
  return {scheduler_.waiting(), scheduler_.global_running(), scheduler_.sessions()};
}

void run_queue::on_deadline() {
  {
    const std::lock_guard lock{mutex_};
    armed_ = foundation::never;
    scheduler_.expire(now(), effects_);
    gather();
  }
  run_errands();
}

void run_queue::gather() {
  for (const policy::run_news& n : effects_.news) gather(n);
  for (const auto number : effects_.granted) {
    const auto found = extras_.find(number);
    const std::shared_ptr<extra_record> extra = std::move(found->second);
    extras_.erase(found);
    wake({extra, &extra->grant}, verdict::granted);
  }
  for (const auto number : effects_.voided) {
    const auto found = extras_.find(number);
    const std::shared_ptr<extra_record> extra = std::move(found->second);
    extras_.erase(found);
    wake({extra, &extra->grant}, verdict::timeout);
  }
  effects_.news.clear();
  effects_.granted.clear();
  effects_.voided.clear();
  arm();
}

void run_queue::tell(const std::shared_ptr<record>& run, const policy::run_news& news) {
  if (listener_ != nullptr) {
    errands_.push_back({.run = run, .news = news, .point = nullptr, .wake = verdict::none});
  }
}

void run_queue::wake(std::shared_ptr<wait_point> point, verdict why) {
  errands_.push_back({.run = nullptr, .news = {}, .point = std::move(point), .wake = why});
}

void run_queue::gather(const policy::run_news& news) {
  const auto found = runs_.find(news.run);
  const std::shared_ptr<record> run = found->second;
  if (policy::is_terminal(news.status)) {
    by_id_.erase(run->run.run_id);
    runs_.erase(found);
    gather_end(run, news);
    return;
  }
  tell(run, news);
  if (news.status == run_status::started) {
    wake({run, &run->start}, verdict::granted);
  }
}

void run_queue::gather_end(const std::shared_ptr<record>& run, const policy::run_news& news) {
  switch (news.cause) {
    case run_end::queue_wait:
    case run_end::canceled_waiting:
    case run_end::drained:
      run->owed = news;
      wake({run, &run->start}, news.cause == run_end::queue_wait ? verdict::timeout : verdict::canceled);
      return;
    case run_end::slot_recovery:
      run->ended = true;
      break;
    case run_end::none:
    case run_end::finished:
      break;
  }
  tell(run, news);
}

void run_queue::arm() {
  const foundation::instant due = scheduler_.due();
  // A timer that stands too early finds nothing to do and stands anew; so steady traffic never moves it.
  if (due >= armed_) return;
  armed_ = due;
  home_.post([this] {
    foundation::instant when{};
    {
      const std::lock_guard lock{mutex_};
      when = armed_;
    }
    timer_.arm(when);
  });
}

void run_queue::run_errands() {
  std::unique_lock lock{mutex_};
  if (running_errands_) return;
  running_errands_ = true;
  std::vector<errand> taken;
  while (!errands_.empty()) {
    taken.swap(errands_);
    lock.unlock();
    for (const errand& e : taken) {
      try {
        run(e);
      } catch (const std::bad_alloc&) {
        // This one's news are lost; the runs behind it must not be.
      }
    }
    taken.clear();
    lock.lock();
  }
  running_errands_ = false;
}

void run_queue::run(const errand& e) {
  if (e.wake == verdict::none) {
    const policy::run_news& n = e.news;
    listener_->on_news({e.run->run, n.status, n.cause, n.position, n.queued, n.global_running});
    return;
  }
  bool waits = false;
  {
    const std::lock_guard lock{mutex_};
    e.point->told = e.wake;
    waits = std::exchange(e.point->waiting, false);
  }
  if (!waits) return;
  e.point->loop.post([point = e.point] {
    if (point->waiter) point->loop.schedule(std::exchange(point->waiter, nullptr));
  });
}

run_queue::extra_slot& run_queue::extra_slot::operator=(extra_slot&& other) noexcept {
  if (this != &other) {
    release();
    record_ = std::move(other.record_);
  }
  return *this;
}

void run_queue::extra_slot::release() noexcept {
  if (const auto held = std::exchange(record_, nullptr)) held->queue.release(*held);
}

run_queue::ticket& run_queue::ticket::operator=(ticket&& other) noexcept {
  if (this != &other) {
    end();
    record_ = std::move(other.record_);
  }
  return *this;
}

void run_queue::ticket::end() noexcept {
  if (const auto held = std::exchange(record_, nullptr)) held->queue.finish(held, held->fallback);
}

bool run_queue::ticket::at_once() const noexcept { return record_->at_once; }

bool run_queue::ticket::finish(run_status terminal) { return record_->queue.finish(record_, terminal); }

runtime::task<std::expected<void, failure>> run_queue::ticket::started(runtime::cancel_source& cancel) {
  const std::shared_ptr<record> held = record_;
  cancel_start hook{*held};
  if (cancel.fired()) {
    held->queue.cancel(*held);
  } else {
    cancel.attach(hook);
  }
  const verdict told = co_await point_wait{held->queue, held->start};
  hook.detach();
  if (told == verdict::timeout) {
    held->fallback = run_status::timeout;
    co_return std::unexpected(timed_out("the run waited too long for its turn", "queue"));
  }
  // A cancel may come when the start is on its way already.
  if (told == verdict::granted && !cancel.fired()) co_return std::expected<void, failure>{};
  held->fallback = run_status::cancelled;
  co_return std::unexpected(canceled("the run was cancelled before it began"));
}

runtime::task<std::expected<run_queue::extra_slot, failure>> run_queue::ticket::extra(
    runtime::cancel_source& cancel) {
  const std::shared_ptr<record> held = record_;
  if (cancel.fired()) co_return std::unexpected(canceled("the run was cancelled"));
  run_queue& queue = held->queue;
  std::shared_ptr<extra_record> asked;
  {
    const std::lock_guard lock{queue.mutex_};
    const auto extra = queue.scheduler_.ask_extra(held->number, queue.now());
    asked = std::make_shared<extra_record>(queue, held->start.loop, extra.number);
    if (extra.granted || extra.number == 0) {
      asked->grant.told = extra.granted ? verdict::granted : verdict::timeout;
    } else {
      queue.extras_.emplace(extra.number, asked);
    }
  }
  cancel_extra hook{*asked};
  cancel.attach(hook);
  const verdict told = co_await point_wait{queue, asked->grant};
  hook.detach();
  if (told == verdict::timeout) co_return std::unexpected(timed_out("the run's slot was taken back", "run"));
  if (told == verdict::canceled) co_return std::unexpected(canceled("the run was cancelled"));
  extra_slot slot{asked};
  if (cancel.fired()) co_return std::unexpected(canceled("the run was cancelled"));
  co_return std::move(slot);
}

}  // namespace tidegate::gateway
