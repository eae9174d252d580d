#include "journal/journal.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "journal/committer.h"
#include "journal/recovery.h"

namespace tidegate::journal {

namespace {

// Buffers kept for the next batches, and how large one may be to be kept.
constexpr std::size_t spare_max = 64;
constexpr std::size_t spare_bytes_max = std::size_t{256} << 10;

}  // namespace

// Hears of a stop first, so that whoever is told of a failure finds the journal stopped.
struct journal::parts final : observer {
  parts(settings c, const foundation::clock& t, observer* w, signing_key k)
      : config{std::move(c)}, time{t}, watcher{w}, key{std::move(k)} {}

  void records_written(std::uint64_t count) noexcept override {
    sequence.store(chain->sequence(), std::memory_order_relaxed);
    if (watcher != nullptr) watcher->records_written(count);
  }
  void synced(foundation::duration took) noexcept override {
    if (watcher != nullptr) watcher->synced(took);
  }
  void stopped(std::string_view why) noexcept override;
  void state_too_large(std::uint64_t bytes) noexcept override {
    if (watcher != nullptr) watcher->state_too_large(bytes);
  }

  void run();
  void take(std::unique_lock<std::mutex>& lock, std::vector<entry>& entries);
  void give_back(std::vector<entry>& entries);
  void sync_ended();

  const settings config;
  const foundation::clock& time;
  observer* const watcher;
  const signing_key key;
  recovery_report report;
  mutable std::mutex mutex;
  std::condition_variable wake;
  // Guarded by mutex.
  std::vector<entry> queue;
  std::size_t queued_bytes = 0;
  std::vector<batch> spare;
  std::string reason;
  bool idle = false;
  bool woken = false;  // a sync has ended
  bool closing = false;

  // Below what its thread touches, above what it syncs for.
  background_sync syncs{time, [this] { sync_ended(); }};
  std::unique_ptr<chain_writer> chain;
  std::unique_ptr<committer> commits;
  std::atomic<bool> has_stopped{false};
  std::atomic<std::uint64_t> sequence{0};

  std::thread writer;
};

std::expected<std::unique_ptr<journal>, std::string> journal::open(settings config, file_system& files,
                                                                   const foundation::clock& time, fold& sums,
                                                                   observe::logger& log, observer* watcher) {
  auto recovered = recover(config, files, time, sums, log);
  if (!recovered) return std::unexpected{recovered.error()};
  auto made = std::make_unique<parts>(std::move(config), time, watcher, std::move(recovered->key));
  made->report = recovered->report;
  made->sequence = recovered->report.records;
  auto chain = chain_writer::open(made->config, files, made->key, sums, time, made->syncs, made.get(),
                                  std::move(recovered->end));
  if (!chain) return std::unexpected{chain.error().what};
  made->chain = std::move(*chain);
  if (auto trimmed = made->chain->trim(); !trimmed) return std::unexpected{trimmed.error().what};
  made->commits = std::make_unique<committer>(*made->chain, made->config, time, log, made.get());
  std::unique_ptr<journal> opened{new journal{std::move(made)}};
  opened->parts_->writer = std::thread{[own = opened->parts_.get()] { own->run(); }};
  return opened;
}

journal::journal(std::unique_ptr<parts> made) : parts_{std::move(made)} {}

journal::~journal() { close(); }

void journal::append(batch& records, durability wanted, commit_listener* listener, std::uint64_t cookie) {
  std::unique_lock lock{parts_->mutex};
  if (parts_->closing) {
    lock.unlock();
    records.clear();
    if (listener != nullptr) listener->failed(cookie);
    return;
  }
  entry made;
  made.wanted = wanted;
  made.listener = listener;
  made.cookie = cookie;
  if (!parts_->spare.empty()) {
    made.records = std::move(parts_->spare.back());
    parts_->spare.pop_back();
  }
  made.refused = parts_->queued_bytes + records.size() > queue_bytes_max;
  if (made.refused) {
    records.clear();
  } else {
    std::swap(made.records, records);
    parts_->queued_bytes += made.records.size();
  }
  parts_->queue.push_back(std::move(made));
  const bool sleeps = std::exchange(parts_->idle, false);
  lock.unlock();
  if (sleeps) parts_->wake.notify_one();
}

bool journal::stopped() const noexcept { return parts_->has_stopped.load(std::memory_order_acquire); }

std::string journal::stop_reason() const {
  const std::scoped_lock lock{parts_->mutex};
  return parts_->reason;
}

const recovery_report& journal::recovered() const { return parts_->report; }

std::uint64_t journal::sequence() const noexcept { return parts_->sequence.load(std::memory_order_relaxed); }

std::array<std::byte, 32> journal::derive_key(std::string_view label) const {
  return parts_->key.derive(label);
}

void journal::close() {
  {
    const std::scoped_lock lock{parts_->mutex};
    parts_->closing = true;
    parts_->idle = false;
  }
  parts_->wake.notify_one();
  if (parts_->writer.joinable()) parts_->writer.join();
}

// --- the writer thread

void journal::parts::run() {
  std::vector<entry> entries;
  std::unique_lock lock{mutex};
  while (true) {
    take(lock, entries);
    const bool last = entries.empty() && closing;
    lock.unlock();
    commits->run(entries);
    if (last) commits->finish();
    sequence.store(chain->sequence(), std::memory_order_relaxed);
    lock.lock();
    give_back(entries);
    if (last) return;
  }
}

// Returns with what is there, when something is due, or when the end has come.
void journal::parts::take(std::unique_lock<std::mutex>& lock, std::vector<entry>& entries) {
  while (queue.empty() && !closing && !woken) {
    const foundation::instant due = commits->due();
    idle = true;
    if (due == foundation::never) {
      wake.wait(lock, [this] { return !idle; });
      continue;
    }
    const foundation::instant now = time.now();
    if (due <= now) break;
    if (!wake.wait_for(lock, due - now, [this] { return !idle; })) break;
  }
  idle = woken = false;
  entries.swap(queue);
  queued_bytes = 0;
}

void journal::parts::sync_ended() {
  bool sleeps = false;
  {
    const std::scoped_lock lock{mutex};
    woken = true;
    sleeps = std::exchange(idle, false);
  }
  if (sleeps) wake.notify_one();
}

void journal::parts::give_back(std::vector<entry>& entries) {
  for (entry& e : entries) {
    if (spare.size() >= spare_max || e.records.bytes().capacity() > spare_bytes_max) continue;
    e.records.clear();
    spare.push_back(std::move(e.records));
  }
  entries.clear();
}

void journal::parts::stopped(std::string_view why) noexcept {
  {
    const std::scoped_lock lock{mutex};
    reason = why;
  }
  has_stopped.store(true, std::memory_order_release);
  if (watcher != nullptr) watcher->stopped(why);
}

}  // namespace tidegate::journal
