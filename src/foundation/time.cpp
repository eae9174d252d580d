#include "foundation/time.h"

#include <cstdio>

namespace tidegate::foundation {

instant system_clock::now() const noexcept {
  return instant{std::chrono::steady_clock::now().time_since_epoch()};
}

wall_time system_clock::wall() const noexcept {
  return std::chrono::floor<milliseconds>(std::chrono::system_clock::now());
}

std::string to_rfc3339(wall_time t) {
  const auto day = std::chrono::floor<std::chrono::days>(t);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss<milliseconds> clock{t - day};
  char text[40];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02ld:%02ld:%02ld.%03ldZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<long>(clock.hours().count()), static_cast<long>(clock.minutes().count()),
                static_cast<long>(clock.seconds().count()), static_cast<long>(clock.subseconds().count()));
  return text;
}

}  // namespace tidegate::foundation
