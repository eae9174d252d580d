// Structured logs as JSON lines, cheap enough for the path of every request: a line is formatted on the
// caller's thread without allocating, handed over under a short lock, and written by a thread of the sink's
// own.
//
//   log.at(level::info, "ai_run_started").field("runId", id).field("stream", true).ms("timeoutMs", 30000);
//
// Callers pass redacted values (observe/redact.h): a logger knows no secrets and looks for none.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <concepts>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>

#include "foundation/time.h"

namespace tidegate::observe {

enum class level : std::uint8_t { debug, info, warn, error, off };

// "debug", "info", "warn", "error", "off".
std::string_view name_of(level l);
std::optional<level> level_named(std::string_view name);

// Where complete lines go (each ends with '\n'). Any thread may append; appending never waits for I/O.
class log_sink {
 public:
  virtual ~log_sink() = default;
  virtual void append(std::string_view line) noexcept = 0;
  // A line that never came to be; it is counted like one that found the buffer full.
  virtual void count_dropped() noexcept = 0;
  // Blocks until what was appended before is written or given up on, at most about a second. Not for an event
  // loop.
  virtual void flush() = 0;
};

// Owns a writer thread; writes to a descriptor it does not own. At most `pending_max` bytes wait: beyond that
// lines are dropped and their number is reported by a `log_lines_dropped` line once there is room again.
// A descriptor that is broken or stuck loses lines, never the process: the destructor waits about a second
// for a reader, then gives up.
class fd_sink final : public log_sink {
 public:
  static constexpr std::size_t pending_max_default = std::size_t{8} << 20;

  fd_sink(int fd, const foundation::clock& clock, std::size_t pending_max = pending_max_default);
  ~fd_sink() override;
  fd_sink(const fd_sink&) = delete;
  fd_sink& operator=(const fd_sink&) = delete;

  void append(std::string_view line) noexcept override;
  void count_dropped() noexcept override;
  void flush() override;
  // Lines lost since the start.
  std::uint64_t dropped() const;

 private:
  void run();
  bool write_all(std::string_view bytes);
  bool wait_writable();

  const int fd_;
  const foundation::clock& clock_;
  const std::size_t pending_max_;
  std::size_t chunk_max_;
  std::atomic<bool> stopping_ = false;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable flushed_;
  // Guarded by mutex_.
  std::string pending_;
  std::size_t in_flight_ = 0;
  std::uint64_t bytes_appended_ = 0;
  std::uint64_t bytes_settled_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint64_t dropped_reported_ = 0;
  int flush_waiters_ = 0;

  std::thread writer_;  // last: it starts when everything above stands
};

class logger;

// One line in the making; written when it goes out of scope. Keys are literals of ours and are not escaped.
// Lines are at most `line_max` bytes: fields that do not fit are left out and "truncated":true says so.
// Lives within one expression or scope of one thread, never across a suspension.
class log_line {
 public:
  static constexpr std::size_t line_max = 4096;

  ~log_line() {
    if (sink_ != nullptr) finish();
  }
  log_line(const log_line&) = delete;
  log_line& operator=(const log_line&) = delete;

  // Any bytes; ill-formed UTF-8 becomes U+FFFD.
  log_line& field(std::string_view key, std::string_view text) {
    return sink_ == nullptr ? *this : string(key, text);
  }
  log_line& field(std::string_view key, const char* text) { return field(key, std::string_view{text}); }
  log_line& field(std::string_view key, std::same_as<bool> auto flag) {
    return sink_ == nullptr ? *this : boolean(key, flag);
  }
  log_line& field(std::string_view key, std::floating_point auto n) {
    return sink_ == nullptr ? *this : real(key, static_cast<double>(n));
  }
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  log_line& field(std::string_view key, T n) {
    if (sink_ == nullptr) return *this;
    if constexpr (std::is_signed_v<T>) {
      return integer(key, n);
    } else {
      return natural(key, n);
    }
  }
  // Members of a JSON object as they stand between its braces: an event that is journalled too is written
  // once and used twice.
  log_line& members(std::string_view json);
  log_line& ms(std::string_view key, std::int64_t milliseconds) { return field(key, milliseconds); }
  log_line& ms(std::string_view key, foundation::duration d) { return field(key, foundation::to_ms(d)); }

 private:
  friend class logger;
  log_line() = default;  // a disabled line: every call is a branch
  log_line(log_sink& sink, const foundation::clock& clock, level l, std::string_view event);

  log_line& string(std::string_view key, std::string_view text);
  log_line& boolean(std::string_view key, bool flag);
  log_line& integer(std::string_view key, std::int64_t n);
  log_line& natural(std::string_view key, std::uint64_t n);
  log_line& real(std::string_view key, double n);

  template <typename Number>
  log_line& number(std::string_view key, Number n);
  bool begin_field(std::string_view key);
  bool put(std::string_view text);
  bool put_quoted(std::string_view text);
  log_line& end_field(char* start, bool fits);
  void finish();

  log_sink* sink_ = nullptr;
  char* begin_ = nullptr;
  char* at_ = nullptr;
  char* end_ = nullptr;
  std::uint32_t slot_ = 0;
  bool truncated_ = false;
};

// Cheap to pass by reference to everyone; the sink and the clock must outlive it. Thread safe.
class logger {
 public:
  logger(log_sink& sink, const foundation::clock& clock, level lowest = level::info)
      : sink_{sink}, clock_{clock}, lowest_{lowest} {}

  bool enabled(level l) const { return l >= lowest_.load(std::memory_order_relaxed); }
  void set_level(level lowest) { lowest_.store(lowest, std::memory_order_relaxed); }
  level lowest() const { return lowest_.load(std::memory_order_relaxed); }
  log_line at(level l, std::string_view event) const {
    if (!enabled(l)) return log_line{};
    return log_line{sink_, clock_, l, event};
  }
  void flush() { sink_.flush(); }

 private:
  log_sink& sink_;
  const foundation::clock& clock_;
  std::atomic<level> lowest_;
};

}  // namespace tidegate::observe
