#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>

#include "observe/log.h"

namespace tidegate::observe {

namespace {

using namespace std::chrono_literals;

// A first line waits this long for company, so that busy times cost one wake-up and one write for many lines.
constexpr auto linger = 5ms;
constexpr std::size_t batch_size = std::size_t{64} << 10;
// A burst's buffer is not kept for ever.
constexpr std::size_t buffer_kept = std::size_t{1} << 20;
constexpr auto poll_step = 100ms;
constexpr int patience_steps = 10;
constexpr auto flush_patience = 1s;

// Pipes, sockets and terminals that report room may still block on more than PIPE_BUF bytes.
std::size_t chunk_for(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) return batch_size;
  return PIPE_BUF;
}

std::uint64_t line_count(std::string_view bytes) {
  return static_cast<std::uint64_t>(std::count(bytes.begin(), bytes.end(), '\n'));
}

// A reader that went away is an error code to this thread, not a signal to the process.
void block_sigpipe() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

}  // namespace

fd_sink::fd_sink(int fd, const foundation::clock& clock, std::size_t pending_max)
    : fd_{fd}, clock_{clock}, pending_max_{pending_max}, chunk_max_{chunk_for(fd)} {
  pending_.reserve(std::min(pending_max_, batch_size));
  writer_ = std::thread{&fd_sink::run, this};
}

fd_sink::~fd_sink() {
  {
    const std::scoped_lock lock{mutex_};
    stopping_ = true;
  }
  wake_.notify_one();
  writer_.join();
}

void fd_sink::append(std::string_view line) noexcept {
  bool wake = false;
  {
    const std::scoped_lock lock{mutex_};
    if (pending_.size() + in_flight_ + line.size() > pending_max_) {
      ++dropped_;
      return;
    }
    const std::size_t before = pending_.size();
    pending_.append(line);
    bytes_appended_ += line.size();
    wake = before == 0 || (before < batch_size && pending_.size() >= batch_size);
  }
  if (wake) wake_.notify_one();
}

void fd_sink::count_dropped() noexcept {
  const std::scoped_lock lock{mutex_};
  ++dropped_;
}

void fd_sink::flush() {
  std::unique_lock lock{mutex_};
  const std::uint64_t goal = bytes_appended_;
  ++flush_waiters_;
  wake_.notify_one();
  flushed_.wait_for(lock, flush_patience, [&] { return bytes_settled_ >= goal; });
  --flush_waiters_;
}

std::uint64_t fd_sink::dropped() const {
  const std::scoped_lock lock{mutex_};
  return dropped_;
}

void fd_sink::run() {
  block_sigpipe();
  std::string batch;
  std::unique_lock lock{mutex_};
  while (true) {
    wake_.wait(lock, [&] { return stopping_ || !pending_.empty(); });
    const auto urgent = [&] { return stopping_ || flush_waiters_ > 0 || pending_.size() >= batch_size; };
    wake_.wait_for(lock, linger, urgent);
    std::swap(batch, pending_);
    const std::uint64_t lost = dropped_ - dropped_reported_;
    dropped_reported_ = dropped_;
    if (batch.empty() && lost == 0) return;  // stopping, and nothing is left to say
    in_flight_ = batch.size();
    lock.unlock();
    bool written = write_all(batch);
    if (written && lost > 0) {
      const std::string ts = foundation::to_rfc3339(clock_.wall());
      written = write_all(R"({"ts":")" + ts + R"(","level":"warn","event":"log_lines_dropped","count":)" +
                          std::to_string(lost) + "}\n");
    }
    const std::uint64_t unwritten = written ? 0 : line_count(batch);
    if (batch.capacity() > buffer_kept) batch = {};
    batch.clear();
    lock.lock();
    dropped_ += unwritten;
    if (!written) dropped_reported_ -= lost;
    bytes_settled_ += in_flight_;
    in_flight_ = 0;
    flushed_.notify_all();
    if (stopping_ && !written) return;
  }
}

bool fd_sink::write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    if (!wait_writable()) return false;
    const ssize_t n = ::write(fd_, bytes.data(), std::min(bytes.size(), chunk_max_));
    if (n >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno != EINTR && errno != EAGAIN) {
      return false;
    }
  }
  return true;
}

// While the process runs a stuck reader is waited for (the buffer bounds what that costs); at the end not for
// long.
bool fd_sink::wait_writable() {
  int patience = patience_steps;
  while (true) {
    struct pollfd watched{fd_, POLLOUT, 0};
    const int ready = ::poll(&watched, 1, static_cast<int>(poll_step.count()));
    if (ready > 0) return (watched.revents & POLLOUT) != 0;
    if (ready < 0 && errno != EINTR) return false;
    if (stopping_ && --patience <= 0) return false;
  }
}

}  // namespace tidegate::observe
