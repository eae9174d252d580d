// Who waits for the disk while records go on being written. One sync is under way at a time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "foundation/time.h"
#include "journal/files.h"

namespace tidegate::journal {

// Makes the records written so far durable and then, where one waits, appends a checkpoint's line and makes
// that durable: a line claims that its record is. The files must outlive it.
struct sync_job {
  file* records = nullptr;
  // The last record that is durable afterwards.
  std::uint64_t sequence = 0;
  file* lines = nullptr;
  std::uint64_t line_at = 0;
  // With its line end; empty: none.
  std::string line{};
};

// How long the records' sync took.
io<foundation::duration> run(const sync_job& job, const foundation::clock& time);

class sync_runner {
 public:
  virtual ~sync_runner() = default;
  virtual void start(sync_job job) = 0;
  // What became of what was started, once; nothing while it is under way.
  virtual std::optional<io<foundation::duration>> poll() = 0;
  // The same, waiting for it.
  virtual io<foundation::duration> wait() = 0;
};

// Within the call: for one thread and a clock that stands still.
class inline_sync final : public sync_runner {
 public:
  explicit inline_sync(const foundation::clock& time) : time_{time} {}
  void start(sync_job job) override { result_ = run(job, time_); }
  std::optional<io<foundation::duration>> poll() override;
  io<foundation::duration> wait() override { return *poll(); }

 private:
  const foundation::clock& time_;
  std::optional<io<foundation::duration>> result_;
};

// On a thread of its own.
class background_sync final : public sync_runner {
 public:
  // `ended` is called on that thread when a result can be polled; it must not block.
  background_sync(const foundation::clock& time, std::function<void()> ended);
  // Waits for what is under way.
  ~background_sync() override;
  void start(sync_job job) override;
  std::optional<io<foundation::duration>> poll() override;
  io<foundation::duration> wait() override;

 private:
  void loop();

  const foundation::clock& time_;
  const std::function<void()> ended_;
  std::mutex mutex_;
  std::condition_variable change_;
  // Guarded by mutex_.
  std::optional<sync_job> job_;
  std::optional<io<foundation::duration>> result_;
  bool stopping_ = false;
  std::thread thread_;  // last: it starts when everything above stands
};

}  // namespace tidegate::journal
