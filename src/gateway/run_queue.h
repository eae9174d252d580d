// The scheduler of one process behind one lock, for the runs of all loops (SCH). A run enters, awaits its
// start in its own loop, and gives its place back with its terminal. Session runs and /v1 calls that name a
// session go through it alike.
//
// News go to one listener, outside the lock, in the order in which the scheduler made them, for all sessions
// together: who brings news about queues them under the lock, and one thread at a time hands them on, so an
// operation may return before its own news is told. A run's waiters are woken through the same queue: what a
// run does behind started() comes after its `started` was told.
//
// A run that is taken out of the queue (cancel, queue_wait, drain) leaves the scheduler at once and its
// waiter is woken; its own terminal news is told when its ticket ends, for its done push comes first
// (STR-12).
//
// Must outlive its tickets and the loops' last turn.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "foundation/error.h"
#include "policy/keyed_hash.h"
#include "policy/scheduler.h"
#include "policy/session_key.h"
#include "runtime/async/cancel.h"
#include "runtime/async/task.h"
#include "runtime/loop.h"

namespace tidegate::gateway {

// Who enters. `run_id` is unique among the runs in the queue.
struct queued_run {
  std::string run_id{};
  std::string trace_id{};
  policy::session_key session{};
  std::string project{};     // "" for none
  std::string key_id{};      // of the client key
  std::string session_id{};  // context.sessionId, for filters of pushes; "" for none
  bool told = true;          // false: nobody is told of it (/v1)
};

// The queue's news of one run; see policy::run_news.
struct queue_news {
  const queued_run& run;
  policy::run_status status;
  policy::run_end cause;
  std::size_t position;
  std::size_t queued;
  std::size_t global_running;
};

// Called from any thread, one call at a time. It may publish and post; it must not enter or end runs, and
// must not wait. On `timeout` by slot_recovery the run's slot is free, but its coroutine still runs: the
// listener has it cancelled.
class queue_listener {
 public:
  virtual void on_news(const queue_news& news) = 0;

 protected:
  ~queue_listener() = default;
};

class run_queue {
  struct record;
  struct extra_record;

 public:
  // A candidate's slot (CAND-1), given back by its destructor. Goes before its run's ticket or behind it.
  class extra_slot {
   public:
    extra_slot() = default;
    extra_slot(extra_slot&& other) noexcept = default;
    extra_slot& operator=(extra_slot&& other) noexcept;
    ~extra_slot() { release(); }
    void release() noexcept;

   private:
    friend class run_queue;
    explicit extra_slot(std::shared_ptr<extra_record> held) : record_{std::move(held)} {}
    std::shared_ptr<extra_record> record_;
  };

  // A run's place, waiting or running. Its loop's thread only.
  class ticket {
   public:
    ticket() = default;
    ticket(ticket&& other) noexcept = default;
    ticket& operator=(ticket&& other) noexcept;
    // Gives the place back: as `cancelled` or `timeout` when started() said so, else as `failed`.
    ~ticket() { end(); }

    // False: the run waits for its turn (STR-1). As of enter().
    bool at_once() const noexcept;
    // Until the run may start. CANCELED: cancelled or drained while it waited; SKILL_TIMEOUT{phase:"queue"}:
    // queue_wait was over. Once.
    runtime::task<std::expected<void, foundation::failure>> started(runtime::cancel_source& cancel);
    // A slot for one candidate; every candidate asks, the first too (see policy::scheduler::ask_extra). Any
    // number of coroutines of the run's loop may wait at once, up to scheduler::extras_max. CANCELED;
    // SKILL_TIMEOUT when the run's own slot was taken back.
    runtime::task<std::expected<extra_slot, foundation::failure>> extra(runtime::cancel_source& cancel);
    // The run's terminal, behind its done push. False: slot recovery was first; its terminal stands.
    bool finish(policy::run_status terminal);

   private:
    friend class run_queue;
    explicit ticket(std::shared_ptr<record> held) : record_{std::move(held)} {}
    void end() noexcept;
    std::shared_ptr<record> record_;
  };

  struct figures {
    std::size_t waiting = 0;
    std::size_t running = 0;  // slots in use, extra ones included
    std::size_t sessions = 0;
  };

  // `home`: the loop that keeps the deadlines' timer, and whose clock counts. `listener` may be null.
  run_queue(runtime::loop& home, const policy::scheduler_settings& settings, queue_listener* listener);
  run_queue(const run_queue&) = delete;
  run_queue& operator=(const run_queue&) = delete;
  ~run_queue();

  // In the thread of `loop`. SKILL_QUEUE_OVERFLOW{sessionKey,limit} with scope "project" where the project is
  // full; SERVER_OVERLOADED when draining or when scheduler::waiting_max runs wait.
  std::expected<ticket, foundation::failure> enter(runtime::loop& loop, queued_run run);

  // Any thread, all below.
  // Takes a waiting run out of the queue. False: it has started, or is not known.
  bool cancel(std::string_view run_id);
  // No run enters any more, waiting ones are cancelled (NFR-3).
  void drain();
  void configure(const policy::scheduler_settings& settings);
  figures count() const;

 private:
  // What becomes of a wait.
  enum class verdict : std::uint8_t { none, granted, canceled, timeout };
  // Where a coroutine waits in its loop.
  struct wait_point {
    runtime::loop& loop;
    verdict told = verdict::none;      // guarded by mutex_
    bool waiting = false;              // guarded by mutex_
    std::coroutine_handle<> waiter{};  // loop's thread only
  };
  // Something to be done outside the lock: `news` of `run` is told, or who waits at `point` is woken.
  struct errand {
    std::shared_ptr<record> run;
    policy::run_news news;
    std::shared_ptr<wait_point> point;
    verdict wake = verdict::none;
  };
  class point_wait;
  class cancel_start;
  class cancel_extra;
  struct deadline_timer : runtime::timer {
    deadline_timer(run_queue& q, runtime::loop& l);
    run_queue& queue;
  };

  foundation::instant now() const noexcept { return home_.time().now(); }
  foundation::failure refusal(const policy::scheduler::entry& entry, const queued_run& run) const;
  void cancel(record& run);
  bool finish(const std::shared_ptr<record>& run, policy::run_status terminal);
  void give_up(extra_record& extra);
  void release(extra_record& extra);
  void on_deadline();
  // Under the lock, at the end of an operation: makes errands of its effects, sees to the timer.
  void gather();
  void gather(const policy::run_news& news);
  void gather_end(const std::shared_ptr<record>& run, const policy::run_news& news);
  void tell(const std::shared_ptr<record>& run, const policy::run_news& news);
  void wake(std::shared_ptr<wait_point> point, verdict why);
  void arm();
  // Outside the lock: does the errands, unless another thread is at it.
  void run_errands();
  void run(const errand& e);

  runtime::loop& home_;
  queue_listener* const listener_;
  deadline_timer timer_;  // home loop's thread only
  mutable std::mutex mutex_;
  // Guarded by mutex_, all below.
  policy::scheduler scheduler_;
  policy::effects effects_;
  std::unordered_map<policy::run_number, std::shared_ptr<record>> runs_;
  std::unordered_map<policy::extra_number, std::shared_ptr<extra_record>> extras_;  // those that wait
  std::unordered_map<std::string_view, record*, policy::keyed_hash> by_id_;
  std::vector<errand> errands_;
  bool running_errands_ = false;
  foundation::instant armed_ = foundation::never;
};

}  // namespace tidegate::gateway
