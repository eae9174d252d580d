#include "gateway/journal_link.h"

#include <algorithm>

namespace tidegate::gateway {
namespace {

// The lowest bit of a cookie tells the line.
constexpr std::uint64_t start_tag = 0;
constexpr std::uint64_t end_tag = 1;

}  // namespace

class journal_link::commit_wait {
 public:
  commit_wait(const journal_link& owner, line& l) noexcept : owner_{owner}, line_{l}, cookie_{l.sent} {}
  bool await_ready() const noexcept {
    return owner_.failed_.load(std::memory_order_acquire) ||
           line_.done.load(std::memory_order_acquire) >= cookie_;
  }
  void await_suspend(std::coroutine_handle<> waiter) { line_.waiting.push_back({cookie_, waiter}); }
  bool await_resume() const noexcept { return line_.done.load(std::memory_order_acquire) >= cookie_; }

 private:
  const journal_link& owner_;
  line& line_;
  std::uint64_t cookie_;
};

journal_link::journal_link(runtime::loop& loop, journal::journal& to, stage_durability wanted)
    : loop_{loop}, journal_{to} {
  start_.wanted = wanted.start;
  end_.wanted = wanted.end;
}

void journal_link::append(stage s, std::string_view payload) {
  line_of(s).pending.add(loop_.wall(), payload);
}

runtime::task<bool> journal_link::durable(stage s) {
  if (journal_.stopped()) co_return false;
  co_await loop_.round_end();
  hand_over();
  line& l = line_of(s);
  if (s == stage::note || l.wanted == journal::durability::none) co_return !journal_.stopped();
  co_return co_await commit_wait{*this, l};
}

void journal_link::hand_over() {
  // In this order: a run's start precedes its end.
  hand_over(start_, start_tag);
  hand_over(end_, end_tag);
}

void journal_link::hand_over(line& l, std::uint64_t tag) {
  if (l.pending.count() == 0) return;
  ++l.sent;
  journal_.append(l.pending, l.wanted, this, l.sent << 1 | tag);
}

void journal_link::committed(std::uint64_t cookie) noexcept {
  line& l = (cookie & 1) == end_tag ? end_ : start_;
  l.done.store(cookie >> 1, std::memory_order_release);
  wake_loop();
}

void journal_link::failed(std::uint64_t) noexcept {
  failed_.store(true, std::memory_order_release);
  wake_loop();
}

void journal_link::wake_loop() noexcept {
  if (posted_.exchange(true, std::memory_order_acq_rel)) return;
  loop_.post([this] {
    posted_.store(false, std::memory_order_release);
    resume_committed();
  });
}

void journal_link::resume_committed() {
  resume_committed(start_);
  resume_committed(end_);
}

void journal_link::resume_committed(line& l) {
  const std::uint64_t done =
      failed_.load(std::memory_order_acquire) ? ~std::uint64_t{0} : l.done.load(std::memory_order_acquire);
  const auto behind =
      std::ranges::find_if(l.waiting, [done](const line::waiter& w) { return w.cookie > done; });
  for (auto w = l.waiting.begin(); w != behind; ++w) loop_.schedule(w->handle);
  l.waiting.erase(l.waiting.begin(), behind);
}

}  // namespace tidegate::gateway
