#include "storage/sqlite/worker.h"

#include <algorithm>

namespace tidegate::storage::sqlite {

worker::worker(std::shared_ptr<connection> db, std::size_t calls_max, std::size_t bytes_max,
               read_gate& readers, int log_pages_max)
    : db_{std::move(db)},
      calls_max_{calls_max},
      bytes_max_{bytes_max},
      readers_{readers},
      log_pages_max_{log_pages_max},
      thread_{[this] { loop(); }} {}

worker::~worker() {
  {
    const std::scoped_lock lock{mutex_};
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
  readers_.open();
}

std::unique_ptr<job> worker::push(queued entry) {
  bool wakes = entry.when == urgency::now;
  {
    const std::scoped_lock lock{mutex_};
    // One call of any size may wait in an empty queue.
    const bool room = queue_.size() < calls_max_ && (queue_.empty() || bytes_ + entry.bytes <= bytes_max_);
    if (stopping_ || !room) return std::move(entry.work);
    wakes = wakes || queue_.empty();
    bytes_ += entry.bytes;
    if (entry.when == urgency::now) ++urgent_;
    queue_.push_back(std::move(entry));
  }
  if (wakes) wake_.notify_one();
  return nullptr;
}

std::deque<worker::queued> worker::take() {
  std::unique_lock lock{mutex_};
  wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
  wake_.wait_for(lock, linger, [this] { return stopping_ || urgent_ != 0; });
  std::deque<queued> batch;
  while (!queue_.empty() && batch.size() < batch_max) {
    bytes_ -= queue_.front().bytes;
    if (queue_.front().when == urgency::now) --urgent_;
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return batch;
}

void worker::loop() {
  db_->watch_log();
  for (;;) {
    auto batch = take();
    if (batch.empty()) return;
    const auto committed = run_all(batch);
    if (!committed && db_->in_transaction()) static_cast<void>(db_->execute("ROLLBACK"));
    for (queued& entry : batch) {
      entry.work->answer(committed ? nullptr : &committed.error());
      entry.work.reset();  // what an answer holds, it holds no longer than it must
    }
    if (readers_.close(db_->log_pages() > log_pages_max_)) {
      db_->begin_log_anew();
      readers_.open();
    }
  }
}

result<void> worker::run_all(std::deque<queued>& batch) {
  const bool power =
      std::ranges::any_of(batch, [](const queued& entry) { return entry.need == durability::power; });
  if (auto set = db_->set_full_sync(power); !set) return set;
  if (auto begun = query{*db_, "BEGIN IMMEDIATE"}.run(); !begun) return begun;
  for (queued& entry : batch) {
    if (auto ran = run_one(*entry.work); !ran) return ran;
  }
  return query{*db_, "COMMIT"}.run();
}

result<void> worker::run_one(job& work) {
  if (auto marked = query{*db_, "SAVEPOINT call"}.run(); !marked) return marked;
  if (!work.run(*db_)) {
    // Some failures (a full disk, for one) roll the whole transaction back by themselves.
    if (!db_->in_transaction()) return fail(store_problem::unavailable, "the transaction was rolled back");
    if (auto undone = query{*db_, "ROLLBACK TO call"}.run(); !undone) return undone;
  }
  return query{*db_, "RELEASE call"}.run();
}

}  // namespace tidegate::storage::sqlite
