#include "gateway/trace_feed.h"

#include <string>
#include <string_view>
#include <utility>

#include "foundation/error.h"

namespace tidegate::gateway {

// Shared with the store's answer, which may come when the feed is gone.
struct trace_feed::parts {
  storage::trace_store& store;
  const observe::logger& log;
  std::mutex mutex;
  std::condition_variable idle;
  // Guarded by mutex.
  std::vector<storage::trace_record> pending;
  std::size_t pending_bytes = 0;
  bool busy = false;

  parts(storage::trace_store& to, const observe::logger& told) : store{to}, log{told} {}

  struct ids {
    std::string run_id;
    std::string trace_id;
  };
  void degraded(const ids& of, std::string_view cause, std::string_view message) const {
    log.at(observe::level::warn, "ai_trace_persistence_degraded")
        .field("code", foundation::name_of(foundation::error_code::trace_persistence_degraded))
        .field("runId", of.run_id)
        .field("traceId", of.trace_id)
        .field("causeCode", foundation::name_of(foundation::error_code::db_error))
        .field("cause", cause)
        .field("causeMessage", message);
  }
};

namespace {

std::size_t bytes_of(const storage::trace_record& t) {
  return (t.input_text ? t.input_text->size() : 0) + (t.output_text ? t.output_text->size() : 0);
}

}  // namespace

trace_feed::trace_feed(storage::trace_store& store, const observe::logger& log)
    : parts_{std::make_shared<parts>(store, log)} {}

void trace_feed::keep(storage::trace_record trace) {
  bool start = false;
  const std::size_t bytes = bytes_of(trace);
  {
    const std::lock_guard lock{parts_->mutex};
    if (parts_->pending.size() < pending_max && parts_->pending_bytes + bytes <= pending_bytes_max) {
      parts_->pending.push_back(std::move(trace));
      parts_->pending_bytes += bytes;
      start = !std::exchange(parts_->busy, true);
    } else {
      parts_->degraded({trace.run_id, trace.trace_id}, "overloaded", "too many traces wait for the store");
      return;
    }
  }
  if (start) hand_over(parts_);
}

// One batch at a time: while the store works on it, the next one gathers.
void trace_feed::hand_over(const std::shared_ptr<parts>& shared) {
  std::vector<storage::trace_record> batch;
  {
    const std::lock_guard lock{shared->mutex};
    if (shared->pending.empty()) {
      shared->busy = false;
      shared->idle.notify_all();
      return;
    }
    batch.swap(shared->pending);
    shared->pending_bytes = 0;
  }
  std::vector<parts::ids> ids;
  ids.reserve(batch.size());
  for (const storage::trace_record& t : batch) ids.push_back({t.run_id, t.trace_id});
  shared->store.put(std::move(batch), [shared, ids = std::move(ids)](storage::result<void> done) {
    if (!done) {
      for (const parts::ids& of : ids)
        shared->degraded(of, storage::name_of(done.error().problem), done.error().message);
    }
    hand_over(shared);
  });
}

void trace_feed::flush() {
  std::unique_lock lock{parts_->mutex};
  parts_->idle.wait(lock, [this] { return !parts_->busy; });
}

}  // namespace tidegate::gateway
