// Time as an argument. `instant` is a point on a monotonic line that a clock defines; policies take it as
// a parameter and never ask for it. `wall_time` is UTC in milliseconds, for records and dates.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace tidegate::foundation {

using duration = std::chrono::nanoseconds;
using milliseconds = std::chrono::milliseconds;

struct timeline {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<timeline>;
  static constexpr bool is_steady = true;
};

using instant = timeline::time_point;
using wall_time = std::chrono::sys_time<milliseconds>;

inline constexpr instant never = instant::max();

class clock {
 public:
  virtual ~clock() = default;
  virtual instant now() const noexcept = 0;
  virtual wall_time wall() const noexcept = 0;
};

// The operating system's monotonic and real-time clocks. Thread safe.
class system_clock final : public clock {
 public:
  instant now() const noexcept override;
  wall_time wall() const noexcept override;
};

// Stands still until told to move. Not thread safe.
class manual_clock final : public clock {
 public:
  explicit manual_clock(wall_time start = wall_time{milliseconds{1'700'000'000'000}}) : wall_{start} {}
  instant now() const noexcept override { return now_; }
  wall_time wall() const noexcept override { return wall_; }
  void advance(duration by) {
    now_ += by;
    wall_ += std::chrono::duration_cast<milliseconds>(by);
  }

 private:
  instant now_{std::chrono::hours{1}};
  wall_time wall_;
};

inline std::int64_t to_ms(duration d) { return std::chrono::duration_cast<milliseconds>(d).count(); }

// "2026-11-23T09:13:34.123Z" (RFC 3339, UTC, milliseconds).
std::string to_rfc3339(wall_time t);

}  // namespace tidegate::foundation
