#include "app/errands.h"

#include <utility>

namespace tidegate::app {

errands::errands() : thread_{[this] { loop(); }} {}

void errands::stop() {
  {
    const std::lock_guard lock{mutex_};
    ending_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void errands::run(std::move_only_function<void()> what) {
  {
    std::unique_lock lock{mutex_};
    if (!ending_) {
      waiting_.push_back(std::move(what));
      lock.unlock();
      wake_.notify_one();
      return;
    }
  }
  what();
}

void errands::loop() {
  for (;;) {
    std::move_only_function<void()> next;
    {
      std::unique_lock lock{mutex_};
      wake_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      next = std::move(waiting_.front());
      waiting_.pop_front();
    }
    next();
  }
}

}  // namespace tidegate::app
