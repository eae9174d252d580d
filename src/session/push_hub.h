// The pushes of one process on their way to those who subscribed (section 4 of the requirements, STR-11). Any
// thread publishes; each subscription belongs to one loop and is read there.
//
// Replay: the last `event_replay` pushes are kept, and no more than `replay_bytes` of them. A subscriber that
// names the id of one of them goes on behind it, without loss or doubling; one that names no id, or an id
// that is not kept (any more), sees what is published from now on. Replayed pushes are read out of the ring
// slice by slice and, where chunks come faster than the window allows, wait for it instead of being dropped;
// who falls out of the ring while doing so is cut off.
//
// Backpressure: live pushes wait for their reader as references to the shared event. Chunks over
// `chunks_per_second`, or over `buffer` waiting bytes, are dropped. Other pushes never are: a subscriber with
// more than control_events_max of them, or 4 x `buffer` bytes, unread is cut off, and resumes by id.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "foundation/error.h"
#include "foundation/time.h"
#include "observe/log.h"
#include "policy/access.h"
#include "policy/keyed_hash.h"
#include "runtime/async/cancel.h"
#include "runtime/async/task.h"
#include "runtime/loop.h"

namespace tidegate::session {

struct push {
  std::string_view name{};     // "skill:stream:chunk"; static text
  std::string id{};            // unique: see push_id()
  std::string payload{};       // a JSON object
  std::string project{};       // "" for none
  std::string session_key{};   // as told: "session:<id>", "project:<id>"; "" for none
  std::string session_id{};    // context.sessionId; "" for none
  std::string execution_id{};  // "" for none
  std::string key_id{};        // of the client key that it concerns
  bool droppable = false;      // a chunk
  bool of_whole_key = false;   // belongs to no project or session: filters by either let it pass
};

// "<execution id>:<attempt>:<seq>"
std::string push_id(std::string_view execution_id, std::uint32_t attempt, std::uint64_t seq);
// Appends the push as one server-sent event: id, event, data, blank line.
void append_event(std::string& out, const push& p);

struct push_settings {
  std::size_t event_replay = 10'000;
  std::size_t replay_bytes = std::size_t{64} << 20;
  std::uint32_t chunks_per_second = 5'000;
  std::size_t max_subscriptions = 500;  // of one client key; zero counts as one
  std::size_t buffer = std::size_t{1} << 20;
};

// Who wants to see what. Pushes of a project are seen by keys that are granted it, others by the key that
// they concern; an admin sees all. Empty filters let everything pass; `session` may be a session's id or its
// key.
struct push_filter {
  policy::principal who{};
  std::string project{};
  std::string session{};
  std::string execution_id{};
  std::string last_event_id{};
  // False: not one of the key's max_subscriptions (a run's pushes on its own response).
  bool counted = true;
};

struct push_batch {
  enum class state : std::uint8_t {
    events,    // `text` holds some
    idle,      // the time is over: a moment for a comment line
    canceled,  // the reader is gone
    cut_off,   // too far behind, or its key is closed: resume by id
    closed,    // the hub ends
  };
  state what = state::events;
  std::string text{};  // whole server-sent events
};

// Must outlive its subscriptions.
class push_hub {
  struct event;
  struct inbox;

 public:
  static constexpr std::size_t control_events_max = 4'096;
  // next() gives at most this much at once, and at least one event.
  static constexpr std::size_t batch_bytes = std::size_t{64} << 10;

  // Its loop's thread only. Ends with its destructor.
  class subscription {
   public:
    subscription() = default;
    subscription(subscription&& other) noexcept = default;
    subscription& operator=(subscription&& other) noexcept;
    ~subscription() { end(); }
    // Until there is something to send, `until`, or `cancel`. One at a time.
    runtime::task<push_batch> next(runtime::cancel_source& cancel, foundation::instant until);

   private:
    friend class push_hub;
    explicit subscription(std::shared_ptr<inbox> held) : inbox_{std::move(held)} {}
    void end() noexcept;
    std::shared_ptr<inbox> inbox_;
  };

  push_hub(const push_settings& settings, const foundation::clock& time, observe::logger& log);
  push_hub(const push_hub&) = delete;
  push_hub& operator=(const push_hub&) = delete;
  ~push_hub();

  // IPC_SUBSCRIPTION_LIMIT_EXCEEDED{limit}; SERVER_OVERLOADED once closed.
  std::expected<subscription, foundation::failure> subscribe(runtime::loop& loop, push_filter filter);

  // Any thread, all below.
  // Subscribers see pushes in the order of these calls.
  void publish(push p);
  // Ends the subscriptions of a key (revoked, or granted something else).
  void cut(std::string_view key_id);
  // Subscribers get what waits for them, then the end; nobody subscribes any more.
  void close();
  // Windows of standing subscriptions keep their limit.
  void configure(const push_settings& settings);
  std::size_t subscriptions() const;

 private:
  class inbox_wait;
  using audience = std::vector<std::shared_ptr<inbox>>;
  template <class Value>
  using table = std::unordered_map<std::string, Value, policy::keyed_hash, std::equal_to<>>;
  struct kept {
    std::size_t id_hash;
    std::shared_ptr<const event> what;
  };
  struct drop_report {
    std::uint64_t subscriber;
    std::uint64_t dropped;
    std::uint32_t limit;
  };
  // What a subscriber can be given now.
  struct taken {
    std::vector<std::shared_ptr<const event>> events;
    std::optional<push_batch::state> end;
    foundation::instant again = foundation::never;  // when the window lets the next replayed chunk through
  };

  // Under the lock, all below but wake, report and leave.
  std::optional<std::uint64_t> position_of(std::string_view id) const;
  void keep(std::shared_ptr<const event> e);
  void trim();
  void offer(const std::shared_ptr<inbox>& to, const std::shared_ptr<const event>& e, foundation::instant now,
             audience& woken, std::vector<drop_report>& drops);
  static void cut_off(const std::shared_ptr<inbox>& in, audience& woken);
  static void ready(const std::shared_ptr<inbox>& in, audience& woken);
  void replay(inbox& in, foundation::instant now, taken& out);
  taken take(inbox& in);
  static void wake(audience woken);
  void report(std::string_view channel, const std::vector<drop_report>& drops);
  void leave(const std::shared_ptr<inbox>& in);

  const foundation::clock& time_;
  observe::logger& log_;
  const policy::keyed_hash hash_;
  mutable std::mutex mutex_;
  // Guarded by mutex_, all below.
  push_settings settings_;
  std::deque<kept> ring_;
  std::size_t ring_bytes_ = 0;
  std::uint64_t next_ = 0;  // position of the push to come; the ring ends before it
  audience general_;        // without an execution id in the filter
  table<audience> by_execution_;
  table<std::size_t> of_key_;  // counted subscriptions
  std::size_t count_ = 0;
  std::uint64_t last_subscriber_ = 0;
  bool closed_ = false;
};

}  // namespace tidegate::session
