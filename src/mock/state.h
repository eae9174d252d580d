// What several listeners of one scripted provider share: the script that waits, the default, what has
// arrived. Thread safe; every lock is held for a few instructions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/time.h"
#include "mock/behavior.h"
#include "protocol/http1/http1.h"

namespace tidegate::mock {

struct mock_settings {
  // Where neither script nor prompt says otherwise.
  behavior fallback{};
  std::vector<step> steps{};
  // Text fragments of a streamed answer, in code points, and the wait between two of them.
  std::uint64_t chunk_chars = 6;
  milliseconds interval{0};
  // The record of what arrived; the oldest go first. 0 requests: none is kept.
  std::size_t requests_max = 10'000;
  std::size_t requests_bytes_max = 64U << 20;
};

// How a call ended.
enum class outcome : std::uint8_t {
  pending,
  completed,
  client_closed,  // before the reply was complete
  reset,
  cut,
  garbage,
  shutdown,
  refused,  // the request itself was not good HTTP
};

// What scripts can match on. Views of the call under way.
struct call_facts {
  std::string_view method;
  std::string_view target;
  std::string_view path;
  std::string_view model;
  std::string_view body;
  const protocol::http1::head* head = nullptr;
};

struct call_end {
  outcome how = outcome::pending;
  foundation::wall_time at{};
  foundation::duration after{};  // since the request's first byte
};

class mock_state {
 public:
  explicit mock_state(mock_settings settings);
  mock_state(const mock_state&) = delete;
  mock_state& operator=(const mock_state&) = delete;

  const mock_settings& settings() const noexcept { return settings_; }

  // --- script
  // True where the port was told to close: the caller lets its loop turn before it answers.
  bool apply(script_change change);
  // Back to what it was at the start.
  void reset_script();
  std::size_t steps_waiting() const;
  struct taken {
    std::shared_ptr<const behavior> does;  // null: no step is for this call
    bool refusing = false;                 // as for apply()
  };
  // The first waiting step that matches, counted down.
  taken take(const call_facts& call);
  std::shared_ptr<const behavior> fallback() const;

  // --- what arrived
  // The id of the call: 1, 2, 3, …
  std::uint64_t begin(const call_facts& call, foundation::wall_time received);
  void end(std::uint64_t id, const call_end& how);
  // {"requests":[…],"dropped":N}
  std::string requests_json() const;
  void clear_requests();
  // {"active":N,"total":N,"aborted":N,…}
  std::string counters_json() const;

  // --- closing the port. The listener's callback may be called from any thread that drives a listener; it
  // must not call back into this object.
  using refusal_listener = std::function<void(milliseconds)>;
  std::uint64_t on_refusal(refusal_listener listener);
  void forget_listener(std::uint64_t id);

 private:
  struct record {
    std::string method;
    std::string target;
    std::string headers;  // "name\nvalue\n" each; neither holds a line end
    std::string body;
    foundation::wall_time received{};
    call_end end;
    std::size_t bytes() const { return sizeof(record) + target.size() + headers.size() + body.size(); }
  };
  bool refuse_if_due(std::unique_lock<std::mutex>& lock);
  void drop_oldest();
  static void append_record(std::string& out, std::uint64_t id, const record& r);

  const mock_settings settings_;
  const std::shared_ptr<const behavior> first_fallback_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::deque<step> steps_;
  std::shared_ptr<const behavior> fallback_;
  std::deque<record> records_;
  std::uint64_t first_id_ = 1;  // of records_.front()
  std::uint64_t next_id_ = 1;
  std::size_t record_bytes_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint64_t active_ = 0;
  std::uint64_t total_ = 0;
  std::uint64_t aborted_ = 0;

  std::mutex listeners_mutex_;
  std::vector<std::pair<std::uint64_t, refusal_listener>> listeners_;  // guarded by listeners_mutex_
  std::uint64_t next_listener_ = 1;
};

}  // namespace tidegate::mock
