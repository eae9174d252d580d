// A thread for work that waits for files, the store or the journal, where a loop or the store's own thread
// must not: one after the other, in the order they were given.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace tidegate::app {

class errands {
 public:
  errands();
  ~errands() { stop(); }
  errands(const errands&) = delete;
  errands& operator=(const errands&) = delete;

  // Any thread. Bounded by its callers: each gives one at a time and waits for its end.
  void run(std::move_only_function<void()> what);
  // Runs what was given before; what comes later runs on its caller's thread.
  void stop();

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  std::deque<std::move_only_function<void()>> waiting_;
  bool ending_ = false;
  std::thread thread_;  // last: it starts when everything above stands
};

}  // namespace tidegate::app
