#include "session/place_returns.h"

namespace tidegate::session {

void place_returns::give_back(std::string project, std::string session, std::int64_t places) {
  auto refused = [self = shared_from_this(), of = place_of{project, session},
                  places](storage::result<void> given) mutable {
    if (given) return;
    self->log_.at(observe::level::warn, "chat_store_failed").field("message", given.error().message);
    const std::lock_guard lock{self->mutex_};
    self->owed_[std::move(of)] += places;
  };
  store_.return_places(std::move(project), std::move(session), places, std::move(refused));
}

void place_returns::retry() {
  std::map<place_of, std::int64_t> owed;
  {
    const std::lock_guard lock{mutex_};
    owed.swap(owed_);
  }
  for (const auto& [of, places] : owed) give_back(of.first, of.second, places);
}

}  // namespace tidegate::session
