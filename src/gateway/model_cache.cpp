#include "gateway/model_cache.h"

#include <algorithm>
#include <utility>

namespace tidegate::gateway {

model_cache::ids model_cache::find(const std::string& key, foundation::instant now) const {
  const std::lock_guard lock{mutex_};
  const auto at = entries_.find(key);
  return at != entries_.end() && now - at->second.asked < fresh_for ? at->second.answer : nullptr;
}

void model_cache::keep(const std::string& key, ids answer, foundation::instant now) {
  ids replaced;  // ends outside the lock
  const std::lock_guard lock{mutex_};
  entry& kept = entries_[key];
  replaced = std::exchange(kept.answer, std::move(answer));
  kept.asked = now;
  if (entries_.size() <= providers_max) return;
  entries_.erase(std::ranges::min_element(entries_, {}, [](const auto& e) { return e.second.asked; }));
}

}  // namespace tidegate::gateway
