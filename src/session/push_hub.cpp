#include "session/push_hub.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <utility>

#include "foundation/check.h"
#include "foundation/random.h"
#include "foundation/text.h"
#include "policy/push_window.h"
#include "protocol/json/json.h"
#include "protocol/sse/sse.h"

namespace tidegate::session {
namespace {

using foundation::error_code;
using foundation::failure;
using foundation::instant;

// Control pushes may wait for this many times the buffer before a reader is cut off.
constexpr std::size_t control_factor = 4;
// Positions of the ring that a replay looks at under one lock.
constexpr std::size_t scan_max = 2'048;

failure too_many(std::size_t limit) {
  failure f;
  f.code = error_code::ipc_subscription_limit_exceeded;
  f.message = "too many subscriptions of this key";
  protocol::json::writer{f.details}
      .begin_object()
      .key("limit")
      .number(static_cast<std::int64_t>(limit))
      .end_object();
  return f;
}

failure draining() {
  failure f;
  f.code = error_code::server_overloaded;
  f.message = "the server is shutting down";
  f.details = R"({"reason":"draining"})";
  return f;
}

}  // namespace

std::string push_id(std::string_view execution_id, std::uint32_t attempt, std::uint64_t seq) {
  std::string id{execution_id};
  id += ':';
  foundation::append_number(id, attempt);
  id += ':';
  foundation::append_number(id, static_cast<std::int64_t>(seq));
  return id;
}

void append_event(std::string& out, const push& p) {
  out.append("id: ").append(p.id).append(1, '\n');
  protocol::sse::append_event(out, p.name, p.payload);
}

struct push_hub::event {
  explicit event(push p) : about{std::move(p)} {
    text.reserve(about.id.size() + about.name.size() + about.payload.size() + 24);
    append_event(text, about);
    about.payload = {};
  }
  push about;        // without the payload
  std::string text;  // as it is sent
};

struct push_hub::inbox {
  inbox(push_hub& h, runtime::loop& l, push_filter f, std::uint64_t n, std::uint32_t chunks)
      : hub{h}, loop{l}, filter{std::move(f)}, number{n}, window{chunks} {}

  bool wants(const push& p) const {
    if (!filter.execution_id.empty() && filter.execution_id != p.execution_id) return false;
    if (!p.of_whole_key) {
      if (!filter.project.empty() && filter.project != p.project) return false;
      if (!filter.session.empty() && filter.session != p.session_id && filter.session != p.session_key)
        return false;
    }
    if (filter.who.role == policy::caller_role::admin) return true;
    return p.project.empty() ? p.key_id == filter.who.id : policy::may_use_project(filter.who, p.project);
  }

  push_hub& hub;
  runtime::loop& loop;
  const push_filter filter;
  const std::uint64_t number;
  inbox_wait* waiter = nullptr;  // loop's thread only
  // Guarded by the hub's mutex, all below.
  policy::push_window window;
  std::deque<std::shared_ptr<const event>> queue;  // live pushes
  std::size_t chunk_bytes = 0;                     // of those in the queue
  std::size_t control_bytes = 0;
  std::size_t control_events = 0;
  std::optional<std::uint64_t> replay_at;  // set while it reads the ring; nothing is queued then
  bool waiting = false;
  std::optional<push_batch::state> end;
};

// Until the inbox is told of something, an instant, or a cancellation.
class push_hub::inbox_wait {
 public:
  inbox_wait(inbox& in, instant until, runtime::cancel_source& cancel) noexcept
      : inbox_{in}, until_{until}, cancel_{cancel}, hook_{*this}, timer_{*this, in.loop} {}
  inbox_wait(const inbox_wait&) = delete;
  inbox_wait& operator=(const inbox_wait&) = delete;
  ~inbox_wait() {
    if (inbox_.waiter == this) inbox_.waiter = nullptr;
  }
  bool await_ready() const noexcept { return cancel_.fired(); }
  void await_suspend(std::coroutine_handle<> waiter) {
    TG_CHECK(inbox_.waiter == nullptr);
    inbox_.waiter = this;
    waiter_ = waiter;
    cancel_.attach(hook_);
    timer_.arm(until_);
  }
  void await_resume() const noexcept {}
  void finish() {
    inbox_.waiter = nullptr;
    hook_.detach();
    timer_.disarm();
    inbox_.loop.schedule(waiter_);
  }

 private:
  struct hook_type : runtime::cancel_hook {
    explicit hook_type(inbox_wait& w)
        : cancel_hook{[](cancel_hook& h) { static_cast<hook_type&>(h).wait.finish(); }}, wait{w} {}
    inbox_wait& wait;
  };
  struct timer_type : runtime::timer {
    timer_type(inbox_wait& w, runtime::loop& l)
        : timer{l, [](timer& t) { static_cast<timer_type&>(t).wait.finish(); }}, wait{w} {}
    inbox_wait& wait;
  };
  inbox& inbox_;
  instant until_;
  runtime::cancel_source& cancel_;
  std::coroutine_handle<> waiter_;
  hook_type hook_;
  timer_type timer_;
};

push_hub::push_hub(const push_settings& settings, const foundation::clock& time, observe::logger& log)
    : time_{time},
      log_{log},
      hash_{foundation::system_seed()},
      settings_{settings},
      by_execution_{0, hash_},
      of_key_{0, hash_} {}

push_hub::~push_hub() { TG_CHECK(count_ == 0); }

std::expected<push_hub::subscription, failure> push_hub::subscribe(runtime::loop& loop, push_filter filter) {
  const std::lock_guard lock{mutex_};
  if (closed_) return std::unexpected(draining());
  if (filter.counted) {
    const std::size_t limit = std::max<std::size_t>(settings_.max_subscriptions, 1);
    auto place = of_key_.find(filter.who.id);
    if (place == of_key_.end()) place = of_key_.emplace(filter.who.id, 0).first;
    if (place->second >= limit) return std::unexpected(too_many(limit));
    ++place->second;
  }
  const auto in = std::make_shared<inbox>(*this, loop, std::move(filter), ++last_subscriber_,
                                          settings_.chunks_per_second);
  if (const auto position = position_of(in->filter.last_event_id)) in->replay_at = *position + 1;
  const std::string& execution = in->filter.execution_id;
  (execution.empty() ? general_ : by_execution_[execution]).push_back(in);
  ++count_;
  return subscription{in};
}

void push_hub::leave(const std::shared_ptr<inbox>& in) {
  const auto erase = [&in](audience& from) {
    const auto place = std::ranges::find(from, in);
    TG_CHECK(place != from.end());
    std::swap(*place, from.back());
    from.pop_back();
  };
  const std::lock_guard lock{mutex_};
  if (in->filter.execution_id.empty()) {
    erase(general_);
  } else {
    const auto place = by_execution_.find(in->filter.execution_id);
    erase(place->second);
    if (place->second.empty()) by_execution_.erase(place);
  }
  if (in->filter.counted) {
    const auto place = of_key_.find(in->filter.who.id);
    if (--place->second == 0) of_key_.erase(place);
  }
  --count_;
}

std::optional<std::uint64_t> push_hub::position_of(std::string_view id) const {
  if (id.empty()) return std::nullopt;
  const std::size_t hash = hash_(id);
  // A reader that comes back was here a moment ago.
  for (std::size_t back = 1; back <= ring_.size(); ++back) {
    const kept& k = ring_[ring_.size() - back];
    if (k.id_hash == hash && k.what->about.id == id) return next_ - back;
  }
  return std::nullopt;
}

void push_hub::keep(std::shared_ptr<const event> e) {
  ++next_;
  ring_bytes_ += e->text.size();
  const std::size_t hash = hash_(e->about.id);
  ring_.push_back({hash, std::move(e)});
  trim();
}

void push_hub::trim() {
  while (ring_.size() > settings_.event_replay || (ring_bytes_ > settings_.replay_bytes && !ring_.empty())) {
    ring_bytes_ -= ring_.front().what->text.size();
    ring_.pop_front();
  }
}

void push_hub::ready(const std::shared_ptr<inbox>& in, audience& woken) {
  if (std::exchange(in->waiting, false)) woken.push_back(in);
}

void push_hub::cut_off(const std::shared_ptr<inbox>& in, audience& woken) {
  in->queue.clear();
  in->end = push_batch::state::cut_off;
  ready(in, woken);
}

void push_hub::offer(const std::shared_ptr<inbox>& to, const std::shared_ptr<const event>& e, instant now,
                     audience& woken, std::vector<drop_report>& drops) {
  inbox& in = *to;
  if (in.end.has_value() || !in.wants(e->about)) return;
  if (in.replay_at.has_value()) {
    ready(to, woken);  // it finds the push in the ring
    return;
  }
  const std::size_t bytes = e->text.size();
  if (e->about.droppable) {
    const bool full = in.chunk_bytes > 0 && in.chunk_bytes + bytes > settings_.buffer;
    const auto verdict =
        full ? policy::push_window::verdict{false, in.window.drop(now)} : in.window.offer(now);
    if (verdict.report.has_value()) drops.push_back({in.number, *verdict.report, in.window.limit()});
    if (!verdict.admitted) return;
    in.chunk_bytes += bytes;
  } else {
    const bool full = in.control_events > 0 && in.control_bytes + bytes > control_factor * settings_.buffer;
    if (full || in.control_events >= control_events_max) {
      cut_off(to, woken);
      return;
    }
    in.control_bytes += bytes;
    ++in.control_events;
  }
  in.queue.push_back(e);
  ready(to, woken);
}

void push_hub::publish(push p) {
  const auto e = std::make_shared<const event>(std::move(p));
  audience woken;
  std::vector<drop_report> drops;
  {
    const std::lock_guard lock{mutex_};
    keep(e);
    if (count_ > 0) {
      const instant now = time_.now();
      for (const auto& in : general_) offer(in, e, now, woken, drops);
      if (const auto found = by_execution_.find(e->about.execution_id); found != by_execution_.end()) {
        for (const auto& in : found->second) offer(in, e, now, woken, drops);
      }
    }
  }
  wake(std::move(woken));
  report(e->about.name, drops);
}

void push_hub::replay(inbox& in, instant now, taken& out) {
  const std::uint64_t first = next_ - ring_.size();
  if (*in.replay_at < first) {
    in.end = out.end = push_batch::state::cut_off;
    return;
  }
  std::size_t bytes = 0;
  for (std::size_t looked = 0; *in.replay_at < next_; ++*in.replay_at, ++looked) {
    if (looked >= scan_max || bytes >= batch_bytes) return;
    const auto& e = ring_[static_cast<std::size_t>(*in.replay_at - first)].what;
    if (!in.wants(e->about)) continue;
    if (e->about.droppable && !in.window.take(now)) {
      out.again = in.window.free_at(now);
      return;
    }
    bytes += e->text.size();
    out.events.push_back(e);
  }
  in.replay_at.reset();
}

push_hub::taken push_hub::take(inbox& in) {
  taken out;
  if (in.replay_at.has_value() && in.end != push_batch::state::cut_off) {
    replay(in, time_.now(), out);
    // A slice in which nothing was of interest: the rest of the ring follows at once.
    if (out.events.empty() && in.replay_at.has_value() && out.again == foundation::never)
      out.again = instant{};
  }
  std::size_t bytes = 0;
  while (!in.replay_at.has_value() && !in.queue.empty() && bytes < batch_bytes) {
    const auto e = std::move(in.queue.front());
    in.queue.pop_front();
    bytes += e->text.size();
    if (e->about.droppable) {
      in.chunk_bytes -= e->text.size();
    } else {
      in.control_bytes -= e->text.size();
      --in.control_events;
    }
    out.events.push_back(e);
  }
  if (out.events.empty() && out.again == foundation::never) out.end = in.end;
  return out;
}

runtime::task<push_batch> push_hub::subscription::next(runtime::cancel_source& cancel, instant until) {
  const std::shared_ptr<inbox> in = inbox_;
  push_hub& hub = in->hub;
  for (;;) {
    taken got;
    {
      const std::lock_guard lock{hub.mutex_};
      got = hub.take(*in);
      in->waiting = got.events.empty();
    }
    if (!got.events.empty()) {
      push_batch batch;
      for (const auto& e : got.events) batch.text += e->text;
      co_return batch;
    }
    if (got.end.has_value()) co_return push_batch{*got.end, {}};
    if (cancel.fired()) co_return push_batch{push_batch::state::canceled, {}};
    if (in->loop.time().now() >= until) co_return push_batch{push_batch::state::idle, {}};
    co_await inbox_wait{*in, std::min(until, got.again), cancel};
  }
}

void push_hub::subscription::end() noexcept {
  if (const auto held = std::exchange(inbox_, nullptr)) held->hub.leave(held);
}

push_hub::subscription& push_hub::subscription::operator=(subscription&& other) noexcept {
  if (this != &other) {
    end();
    inbox_ = std::move(other.inbox_);
  }
  return *this;
}

// One hand-over a loop, however many of its readers are concerned.
void push_hub::wake(audience woken) {
  std::ranges::sort(woken, std::less<>{}, [](const auto& in) { return &in->loop; });
  for (auto first = woken.begin(); first != woken.end();) {
    runtime::loop& loop = (*first)->loop;
    const auto last =
        std::find_if(first, woken.end(), [&loop](const auto& in) { return &in->loop != &loop; });
    loop.post([mine = audience{std::make_move_iterator(first), std::make_move_iterator(last)}] {
      for (const auto& in : mine) {
        if (in->waiter != nullptr) in->waiter->finish();
      }
    });
    first = last;
  }
}

void push_hub::report(std::string_view channel, const std::vector<drop_report>& drops) {
  for (const drop_report& d : drops) {
    log_.at(observe::level::warn, "ipc_push_backpressure_triggered")
        .field("subscriber", d.subscriber)
        .field("channel", channel)
        .field("timestamp", time_.wall().time_since_epoch().count())
        .field("droppedInWindow", d.dropped)
        .field("limitPerSecond", d.limit);
  }
}

void push_hub::cut(std::string_view key_id) {
  audience woken;
  {
    const std::lock_guard lock{mutex_};
    const auto look = [&](const audience& all) {
      for (const auto& in : all) {
        if (in->filter.who.id == key_id) cut_off(in, woken);
      }
    };
    look(general_);
    for (const auto& [execution, all] : by_execution_) look(all);
  }
  wake(std::move(woken));
}

void push_hub::close() {
  audience woken;
  {
    const std::lock_guard lock{mutex_};
    closed_ = true;
    const auto look = [&](const audience& all) {
      for (const auto& in : all) {
        if (!in->end.has_value()) in->end = push_batch::state::closed;
        ready(in, woken);
      }
    };
    look(general_);
    for (const auto& [execution, all] : by_execution_) look(all);
  }
  wake(std::move(woken));
}

void push_hub::configure(const push_settings& settings) {
  const std::lock_guard lock{mutex_};
  settings_ = settings;
  trim();
}

std::size_t push_hub::subscriptions() const {
  const std::lock_guard lock{mutex_};
  return count_;
}

}  // namespace tidegate::session
