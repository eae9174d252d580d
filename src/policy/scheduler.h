// Who runs when (SCH-2, SCH-3, SCH-5, SCH-7, SCH-8): runs of one session one after the other, sessions in a
// ring, a bound on all of them together. A pure state machine: no clock, no threads, no waiting; the owner
// locks, and carries out what `effects` says in the order in which it stands there.
//
// Bounded: a session and a project are known only while they have runs; at most queue_limit runs of a session
// and `waiting_max` of all wait; what runs is bounded by the slots. Every operation is O(log n) in the number
// of sessions that wait, plus the positions that SCH-5 has it send again (at most queue_limit a session).
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "foundation/time.h"
#include "policy/keyed_hash.h"

namespace tidegate::policy {

// Zero counts as one in the first four.
struct scheduler_settings {
  std::size_t session_concurrency = 1;
  std::size_t global_concurrency = 8;
  std::size_t queue_limit = 20;         // waiting runs of one session
  std::size_t project_in_flight = 128;  // waiting and running ones
  foundation::duration queue_wait = std::chrono::minutes{5};
  foundation::duration slot_recovery = std::chrono::seconds{125};
};

// Given out by enter(), ascending, never twice. 0 is none.
using run_number = std::uint64_t;
using extra_number = std::uint64_t;

enum class run_status : std::uint8_t { queued, started, completed, failed, cancelled, timeout };
constexpr bool is_terminal(run_status s) noexcept { return s >= run_status::completed; }
// "queued", as in skill:queue:status.
std::string_view name_of(run_status s) noexcept;

// What brought a terminal about.
enum class run_end : std::uint8_t { none, finished, canceled_waiting, queue_wait, slot_recovery, drained };

// One skill:queue:status. `position` is the 1-based rank among the session's waiters, 0 where SCH-5 says so;
// `queued` counts the session's waiters, `global_running` the slots in use, both after what is told.
struct run_news {
  run_number run = 0;
  run_status status = run_status::queued;
  run_end cause = run_end::none;
  std::size_t position = 0;
  std::size_t queued = 0;
  std::size_t global_running = 0;
};

// What an operation brought about, appended in order. The lists are the caller's to carry out and to clear.
struct effects {
  std::vector<run_news> news;
  std::vector<extra_number> granted;  // waiting extra slots that may be used now
  std::vector<extra_number> voided;   // waiting ones whose run has ended
};

class scheduler {
 public:
  static constexpr std::size_t waiting_max = 16'384;
  // Extra slots that one run may hold or wait for.
  static constexpr std::size_t extras_max = 16;

  enum class refusal : std::uint8_t { none, session, project, all, draining };
  struct entry {
    refusal refused = refusal::none;
    std::size_t limit = 0;     // the one that refused
    run_number run = 0;        // 0 when refused
    std::size_t position = 0;  // 0: started
  };

  explicit scheduler(const scheduler_settings& settings, std::uint64_t hash_seed = 0);

  // `session`: unique for what must not run side by side; `project`: "" for none. Instants that go back (two
  // threads read their clock before they take the lock) count as the latest seen.
  entry enter(std::string_view session, std::string_view project, foundation::instant now, effects& out);
  // Gives the place back, waiting or running, with this terminal. False: it has had a terminal already.
  bool finish(run_number run, run_status terminal, foundation::instant now, effects& out);
  // A waiting run leaves at once; a running one stays, for its own cancellation ends it.
  enum class cancel_result : std::uint8_t { removed, running, unknown };
  cancel_result cancel(run_number run, foundation::instant now, effects& out);

  // Slots for the candidates of one running run (CAND-1). Every candidate asks, the first one too: it gets
  // the slot that the run holds anyway. A later one that finds no free slot joins the ring as an entry of its
  // own, and gets the run's own slot once the run has no other candidate under way, so that a run that holds
  // a slot never waits for ever. Needs a running run and fewer than extras_max of its asked for and not given
  // back; number 0: the run has ended.
  struct extra {
    extra_number number = 0;
    bool granted = false;
  };
  extra ask_extra(run_number run, foundation::instant now);
  // Gives a slot back, or the wish for one; nothing if its run has ended.
  void release_extra(extra_number number, foundation::instant now, effects& out);

  // When expire() has something to do at the earliest; `never` when nothing waits and nothing runs.
  foundation::instant due() const noexcept;
  // Waiting runs whose queue_wait is over and running ones whose slot_recovery is over end as `timeout`.
  void expire(foundation::instant now, effects& out);
  // No new runs from now on; the waiting ones are cancelled (NFR-3).
  void drain(foundation::instant now, effects& out);
  // Nobody is stopped by lowered limits; raised ones take effect at once.
  void configure(const scheduler_settings& settings, foundation::instant now, effects& out);

  std::size_t waiting() const noexcept { return waiting_.size(); }
  // Slots in use, extra ones included.
  std::size_t global_running() const noexcept { return slots_; }
  std::size_t runs() const noexcept { return runs_.size(); }
  std::size_t sessions() const noexcept { return sessions_.size(); }
  std::size_t projects() const noexcept { return projects_.size(); }

 private:
  struct run_state;
  struct session_state {
    std::string_view key;  // of its place in the table
    std::list<run_state*> waiters;
    std::size_t running = 0;
    std::uint64_t turn = 0;  // its place in the ring; 0: nobody waits
    bool touched = false;    // its positions are to be sent again
  };
  struct run_state {
    run_number number = 0;
    session_state* session = nullptr;
    std::string_view project;  // of its place in the table; "" for none
    bool running = false;
    foundation::instant since;                   // began to wait, or started
    std::list<run_state*>::iterator in_time;     // in waiting_ or running_
    std::list<run_state*>::iterator in_session;  // while waiting
    std::size_t active = 0;                      // granted extra slots
    std::vector<extra_number> asked;             // granted and waiting ones, oldest first
  };
  struct extra_state {
    run_state* run = nullptr;
    std::uint64_t turn = 0;  // its place in the ring; 0: granted
  };
  // Who is next: a session that waits and may run one more, or an extra slot.
  struct ring_entry {
    session_state* session = nullptr;
    extra_number extra = 0;
  };
  template <class Value>
  using table = std::unordered_map<std::string, Value, keyed_hash, std::equal_to<>>;

  foundation::instant latest(foundation::instant now) noexcept { return now_ = now > now_ ? now : now_; }
  static std::size_t slots_of(const run_state& run) noexcept { return run.active > 1 ? run.active : 1; }
  session_state& session_of(std::string_view key);
  run_state& admit(std::string_view session, std::string_view project);
  void touch(session_state& session);
  void place_in_ring(session_state& session);
  void start(run_state& run, effects& out);
  void grant(extra_number number, effects& out);
  void dispatch(effects& out);
  void remove(run_state& run, run_status terminal, run_end cause, effects& out);
  void forget_extras(run_state& run, effects& out);
  void settle(effects& out);
  void tell(run_state& run, run_status status, run_end cause, std::size_t position, effects& out) const;

  scheduler_settings settings_;
  foundation::instant now_{};
  bool draining_ = false;
  std::size_t slots_ = 0;
  run_number last_run_ = 0;
  extra_number last_extra_ = 0;
  std::uint64_t last_turn_ = 0;
  table<session_state> sessions_;
  table<std::size_t> projects_;  // runs in flight
  std::unordered_map<run_number, run_state> runs_;
  std::unordered_map<extra_number, extra_state> extras_;
  std::map<std::uint64_t, ring_entry> ring_;  // by turn; only those that a free slot would serve
  std::list<run_state*> waiting_;             // oldest first
  std::list<run_state*> running_;             // oldest first
  std::vector<session_state*> touched_;       // of this operation, in order
};

}  // namespace tidegate::policy
