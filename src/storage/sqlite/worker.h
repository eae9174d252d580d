// The thread that writes, and the queue in front of it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "storage/result.h"
#include "storage/sqlite/connection.h"
#include "storage/sqlite/job.h"
#include "storage/sqlite/read_gate.h"

namespace tidegate::storage::sqlite {

// What a job asks of its commit.
enum class durability : std::uint8_t {
  process,  // survives the end of the process
  power,    // survives a power loss
};

// Whether somebody waits for the answer. What can wait is committed in larger steps, which cost less a row:
// see worker::linger.
enum class urgency : std::uint8_t { now, later };

class worker {
 public:
  // Keeps the log within about `log_pages_max` pages, with the help of those who read through `readers`.
  worker(std::shared_ptr<connection> db, std::size_t calls_max, std::size_t bytes_max, read_gate& readers,
         int log_pages_max);
  // Runs what is queued first.
  ~worker();
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  // How long work that can wait does wait for company, at most.
  static constexpr std::chrono::milliseconds linger{10};

  // `work(connection&) -> result<T>` on the worker's thread, then `answer` with its result. `bytes` counts
  // against the queue's bound. Any thread.
  template <typename T, typename Work>
  void submit(durability need, std::size_t bytes, Work work, done<T> answer, urgency when = urgency::now) {
    auto made = std::make_unique<typed_job<T, Work>>(std::move(work), std::move(answer));
    if (auto refused = push({std::move(made), need, when, bytes})) {
      static const store_failure full{store_problem::overloaded, "the store's queue is full"};
      refused->answer(&full);
    }
  }

 private:
  struct queued {
    std::unique_ptr<job> work;
    durability need = durability::process;
    urgency when = urgency::now;
    std::size_t bytes = 0;
  };

  // Gives the job back where there is no room.
  std::unique_ptr<job> push(queued entry);
  void loop();
  std::deque<queued> take();
  result<void> run_all(std::deque<queued>& batch);
  result<void> run_one(job& work);

  // One transaction's: bounds how long the first of it waits for the last.
  static constexpr std::size_t batch_max = 512;
  const std::shared_ptr<connection> db_;
  const std::size_t calls_max_;
  const std::size_t bytes_max_;
  read_gate& readers_;
  const int log_pages_max_;
  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  std::deque<queued> queue_;
  std::size_t bytes_ = 0;
  std::size_t urgent_ = 0;  // of those in the queue
  bool stopping_ = false;
  std::thread thread_;  // last: it starts when everything above stands
};

}  // namespace tidegate::storage::sqlite
