#include "session/summary_cache.h"

#include <utility>

namespace tidegate::session {

// Needs mutex_.
summary_cache::key summary_cache::key_of(std::string_view text) { return hash_(text); }

bool summary_cache::knows(std::string_view text) {
  const std::scoped_lock lock{mutex_};
  return kept_.contains(key_of(text));
}

summary_cache::role summary_cache::ask(std::string_view text, waiter tell) {
  std::string summary;
  {
    const std::scoped_lock lock{mutex_};
    const key wanted = key_of(text);
    const auto found = kept_.find(wanted);
    if (found == kept_.end()) {
      const auto [open, first] = open_.try_emplace(wanted);
      open->second.push_back(std::move(tell));
      return first ? role::settles : role::waits;
    }
    used_.splice(used_.end(), used_, found->second.place);
    summary = found->second.summary;
  }
  tell(std::move(summary));
  return role::told;
}

void summary_cache::settle(std::string_view text, const answer& what) {
  std::vector<waiter> waiting;
  {
    const std::scoped_lock lock{mutex_};
    const key done = key_of(text);
    if (auto open = open_.extract(done)) waiting = std::move(open.mapped());
    if (what && !kept_.contains(done)) {
      kept_.emplace(done, entry{*what, used_.insert(used_.end(), done)});
      if (kept_.size() > kept_max_) {
        kept_.erase(used_.front());
        used_.pop_front();
      }
    }
  }
  for (waiter& tell : waiting) tell(what);
}

std::size_t summary_cache::size() const {
  const std::scoped_lock lock{mutex_};
  return kept_.size();
}

}  // namespace tidegate::session
