#include "storage/sqlite/read_gate.h"

#include <algorithm>
#include <chrono>

namespace tidegate::storage::sqlite {

bool read_gate::enter(const foundation::clock& time, foundation::instant by) {
  std::unique_lock lock{mutex_};
  while (closed_) {
    const foundation::instant now = time.now();
    if (now >= by) return false;
    const bool alone = reading_ == 0;
    const auto wait = std::min<foundation::duration>(by - now, unattended);
    if (change_.wait_for(lock, wait) == std::cv_status::timeout && alone && reading_ == 0 && time.now() < by)
      break;
  }
  ++reading_;
  return true;
}

void read_gate::leave() {
  {
    const std::scoped_lock lock{mutex_};
    --reading_;
  }
  change_.notify_all();
}

bool read_gate::close(bool log_is_long) {
  const std::scoped_lock lock{mutex_};
  closed_ = closed_ || log_is_long;
  return closed_ && reading_ == 0;
}

void read_gate::open() {
  {
    const std::scoped_lock lock{mutex_};
    closed_ = false;
  }
  change_.notify_all();
}

}  // namespace tidegate::storage::sqlite
