#include "session/live_runs.h"

#include <utility>
#include <vector>

namespace tidegate::session {

void live_runs::add(std::string execution_id, std::string key_id, runtime::loop& owner,
                    std::shared_ptr<live_run> run) {
  const std::lock_guard lock{mutex_};
  runs_.insert_or_assign(std::move(execution_id), entry{std::move(key_id), &owner, std::move(run)});
}

void live_runs::remove(std::string_view execution_id) {
  std::shared_ptr<live_run> last;  // goes behind the lock
  const std::lock_guard lock{mutex_};
  const auto at = runs_.find(execution_id);
  if (at == runs_.end()) return;
  last = std::move(at->second.run);
  runs_.erase(at);
}

live_runs::found live_runs::find(std::string_view execution_id, std::string_view key_id) const {
  const std::lock_guard lock{mutex_};
  const auto at = runs_.find(execution_id);
  if (at == runs_.end() || (!key_id.empty() && at->second.key_id != key_id)) return {};
  return {at->second.owner, at->second.run};
}

void live_runs::cancel(std::string_view execution_id, std::string_view key_id,
                       runtime::cancel_reason reason) const {
  found what = find(execution_id, key_id);
  if (what.run == nullptr) return;
  what.owner->post([run = std::move(what.run), reason] { run->cancel(reason); });
}

void live_runs::cancel_all(runtime::cancel_reason reason) const {
  std::vector<found> all;
  {
    const std::lock_guard lock{mutex_};
    for (const auto& [id, e] : runs_) all.push_back({e.owner, e.run});
  }
  for (found& f : all) f.owner->post([run = std::move(f.run), reason] { run->cancel(reason); });
}

}  // namespace tidegate::session
