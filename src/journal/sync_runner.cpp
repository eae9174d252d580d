#include "journal/sync_runner.h"

#include <array>
#include <string_view>
#include <utility>

#include "foundation/check.h"

namespace tidegate::journal {

using foundation::duration;

io<duration> run(const sync_job& job, const foundation::clock& time) {
  const foundation::instant before = time.now();
  if (auto done = job.records->sync(); !done) return std::unexpected{done.error()};
  const duration took = time.now() - before;
  if (job.line.empty()) return took;
  const std::array pieces{std::string_view{job.line}};
  if (auto done = job.lines->write(job.line_at, pieces); !done) return std::unexpected{done.error()};
  if (auto done = job.lines->sync(); !done) return std::unexpected{done.error()};
  return took;
}

std::optional<io<duration>> inline_sync::poll() { return std::exchange(result_, std::nullopt); }

background_sync::background_sync(const foundation::clock& time, std::function<void()> ended)
    : time_{time}, ended_{std::move(ended)}, thread_{[this] { loop(); }} {}

background_sync::~background_sync() {
  {
    const std::scoped_lock lock{mutex_};
    stopping_ = true;
  }
  change_.notify_all();
  thread_.join();
}

void background_sync::start(sync_job job) {
  {
    const std::scoped_lock lock{mutex_};
    TG_CHECK(!job_ && !result_);
    job_ = std::move(job);
  }
  change_.notify_all();
}

std::optional<io<duration>> background_sync::poll() {
  const std::scoped_lock lock{mutex_};
  return std::exchange(result_, std::nullopt);
}

io<duration> background_sync::wait() {
  std::unique_lock lock{mutex_};
  change_.wait(lock, [this] { return result_.has_value(); });
  return *std::exchange(result_, std::nullopt);
}

void background_sync::loop() {
  std::unique_lock lock{mutex_};
  while (true) {
    change_.wait(lock, [this] { return stopping_ || job_; });
    if (!job_) return;
    const sync_job job = std::move(*job_);
    lock.unlock();
    auto result = run(job, time_);
    lock.lock();
    job_.reset();
    result_ = std::move(result);
    change_.notify_all();
    lock.unlock();
    ended_();
    lock.lock();
  }
}

}  // namespace tidegate::journal
