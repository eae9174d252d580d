// Reads that may be long, on a connection and a thread of their own: no write waits behind them.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "foundation/time.h"
#include "storage/result.h"
#include "storage/sqlite/connection.h"
#include "storage/sqlite/job.h"
#include "storage/sqlite/worker.h"

namespace tidegate::storage::sqlite {

struct reader_settings {
  std::string path;
  // Accepted and not answered; beyond it a call is answered `overloaded` at once.
  std::size_t calls_max = 64;
  // From submit() on; then a read is answered `timed_out`, whether it runs or still waits.
  foundation::milliseconds patience{5'000};
  fault_hook fault;
};

// Connection and thread come with the first read. The connection is read-only and never runs a checkpoint:
// SQLite 3.40 can damage a file where two connections do ("WAL-reset").
class reader {
 public:
  // `writes` is only used by submit(), and may be made after it.
  reader(worker& writes, read_gate& gate, reader_settings settings);
  // Answers what was accepted.
  ~reader();
  reader(const reader&) = delete;
  reader& operator=(const reader&) = delete;

  // `work(connection&) -> result<T>` in one read transaction, which sees all that was submitted to `writes`
  // before it; then `answer`, on this reader's thread or the writer's. Any thread.
  template <typename T, typename Work>
  void submit(Work work, done<T> answer) {
    start(std::make_unique<typed_job<T, Work>>(std::move(work), std::move(answer)));
  }

 private:
  struct queued {
    std::unique_ptr<job> work;
    foundation::instant by;
  };
  void start(std::unique_ptr<job> work);
  void push(queued entry);
  void loop();
  // Nothing where the job has its own outcome.
  std::optional<store_failure> run(queued& entry);
  void ended();

  worker& writes_;
  read_gate& gate_;
  const reader_settings settings_;
  const foundation::system_clock time_;
  std::unique_ptr<connection> db_;  // the thread's
  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  std::deque<queued> queue_;
  std::size_t accepted_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace tidegate::storage::sqlite
