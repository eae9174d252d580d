// Room in chats on its way back to the store (CHAT-2). What the store refuses to take back is kept and
// offered again before anything else is asked of it, so that no run's room stays taken. Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "observe/log.h"
#include "storage/chat_store.h"

namespace tidegate::session {

class place_returns : public std::enable_shared_from_this<place_returns> {
 public:
  // Both must outlive the store's answers.
  place_returns(storage::chat_store& store, observe::logger& log) : store_{store}, log_{log} {}

  void give_back(std::string project, std::string session, std::int64_t places);
  // Before a call that counts places: the store answers in order.
  void retry();

 private:
  using place_of = std::pair<std::string, std::string>;  // project, session

  storage::chat_store& store_;
  observe::logger& log_;
  std::mutex mutex_;
  std::map<place_of, std::int64_t> owed_;  // guarded by mutex_; never more than were taken
};

}  // namespace tidegate::session
