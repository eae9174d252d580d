#include "storage/sqlite/reader.h"

namespace tidegate::storage::sqlite {

reader::reader(worker& writes, read_gate& gate, reader_settings settings)
    : writes_{writes}, gate_{gate}, settings_{std::move(settings)} {}

reader::~reader() {
  {
    const std::scoped_lock lock{mutex_};
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void reader::start(std::unique_ptr<job> work) {
  bool room = false;
  {
    const std::scoped_lock lock{mutex_};
    room = accepted_ < settings_.calls_max;
    if (room) ++accepted_;
  }
  if (!room) {
    static const store_failure full{store_problem::overloaded, "too many long reads are under way"};
    work->answer(&full);
    return;
  }
  // Past the writer first: who has sent a write and then asks sees it, answered or not.
  const foundation::instant by = time_.now() + settings_.patience;
  writes_.submit<void>(
      durability::process, 0, [](connection&) -> result<void> { return {}; },
      [this, by, work = std::move(work)](result<void> passed) mutable {
        // A commit that failed leaves less to be seen, and nothing that a read would need.
        if (!passed && passed.error().problem == store_problem::overloaded) {
          work->answer(&passed.error());
          return ended();
        }
        push({std::move(work), by});
      });
}

void reader::push(queued entry) {
  {
    const std::scoped_lock lock{mutex_};
    queue_.push_back(std::move(entry));
    if (!thread_.joinable()) thread_ = std::thread{[this] { loop(); }};
  }
  wake_.notify_one();
}

void reader::ended() {
  const std::scoped_lock lock{mutex_};
  --accepted_;
}

void reader::loop() {
  for (;;) {
    queued next;
    {
      std::unique_lock lock{mutex_};
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      next = std::move(queue_.front());
      queue_.pop_front();
    }
    const auto failed = run(next);
    next.work->answer(failed ? &*failed : nullptr);
    next.work.reset();  // what an answer holds, it holds no longer than it must
    ended();
  }
}

std::optional<store_failure> reader::run(queued& entry) {
  if (time_.now() >= entry.by) return store_failure{store_problem::timed_out, "the read waited too long"};
  if (db_ == nullptr) {
    auto opened = connection::open_to_read(settings_.path, settings_.fault);
    if (!opened) return store_failure{store_problem::unavailable, std::move(opened.error())};
    db_ = std::move(*opened);
  }
  if (!gate_.enter(time_, entry.by))
    return store_failure{store_problem::timed_out, "the read waited too long"};
  const std::unique_ptr<read_gate, decltype([](read_gate* g) { g->leave(); })> inside{&gate_};
  if (auto begun = query{*db_, "BEGIN"}.run(); !begun) return std::move(begun.error());
  {
    const time_limit limit{*db_, time_, entry.by};
    static_cast<void>(entry.work->run(*db_));
  }
  // It changed nothing: how it ends is no matter, but that it ends is.
  if (db_->in_transaction() && !query{*db_, "ROLLBACK"}.run()) db_.reset();
  return std::nullopt;
}

}  // namespace tidegate::storage::sqlite
