#include "gateway/journal_link.h"

#include <algorithm>
#include <utility>

#include "foundation/check.h"

namespace tidegate::gateway {
namespace {

// The lowest bit of a cookie tells the line.
constexpr std::uint64_t start_tag = 0;
constexpr std::uint64_t end_tag = 1;

}  // namespace

// Until the journal has answered for the line's last batch.
class journal_link::commit_wait {
 public:
  explicit commit_wait(line& l) noexcept : line_{l} {}
  bool await_ready() {
    if (!line_.open.empty() && line_.open.back().cookie == line_.sent) return false;
    taken_ = std::ranges::find(line_.refused, line_.sent) == line_.refused.end();
    return true;
  }
  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    line_.open.back().waiting.push_back(this);
  }
  bool await_resume() const noexcept { return taken_; }
  void answer(runtime::loop& loop, bool taken) {
    taken_ = taken;
    loop.schedule(waiter_);
  }

 private:
  line& line_;
  bool taken_ = false;
  std::coroutine_handle<> waiter_;
};

journal_link::journal_link(runtime::loop& loop, journal::journal& to, stage_durability wanted)
    : loop_{loop}, journal_{to} {
  start_.wanted = wanted.start;
  end_.wanted = wanted.end;
}

void journal_link::append(stage s, std::string_view payload) {
  // What callers can put into a record is bounded where it is read.
  const bool fits = line_of(s).pending.add(loop_.wall(), payload);
  TG_CHECK(fits);
}

runtime::task<bool> journal_link::durable(stage s) {
  if (journal_.stopped()) co_return false;
  co_await loop_.round_end();
  hand_over();
  line& l = line_of(s);
  if (s == stage::note || l.wanted == journal::durability::none) co_return !journal_.stopped();
  const std::uint64_t before = start_.sent;
  if (!co_await commit_wait{l}) co_return false;
  // An end stands behind what the other line carried of the same run: that was answered first.
  co_return s == stage::start || std::ranges::find(start_.refused, before) == start_.refused.end();
}

void journal_link::hand_over() {
  // In this order: a run's start precedes its end.
  hand_over(start_, start_tag);
  hand_over(end_, end_tag);
}

void journal_link::hand_over(line& l, std::uint64_t tag) {
  if (l.pending.count() == 0) return;
  l.open.push_back({++l.sent, {}});
  journal_.append(l.pending, l.wanted, this, l.sent << 1 | tag);
}

void journal_link::tell(news told) noexcept {
  bool first = false;
  {
    const std::lock_guard lock{mutex_};
    first = told_.empty();
    told_.push_back(told);
  }
  if (!first) return;  // whoever told the first one has called the loop
  loop_.post([this] {
    std::vector<news> all;
    {
      const std::lock_guard lock{mutex_};
      all.swap(told_);
    }
    for (const news& n : all) hear(n);
  });
}

void journal_link::hear(const news& told) {
  line& l = (told.cookie & 1) == end_tag ? end_ : start_;
  const std::uint64_t cookie = told.cookie >> 1;
  const auto batch = std::ranges::find(l.open, cookie, &sent_batch::cookie);
  TG_CHECK(batch != l.open.end());
  if (!told.taken) {
    l.refused.push_back(cookie);
    if (l.refused.size() > refused_max) l.refused.pop_front();
  }
  for (commit_wait* w : batch->waiting) w->answer(loop_, told.taken);
  l.open.erase(batch);
}

}  // namespace tidegate::gateway
