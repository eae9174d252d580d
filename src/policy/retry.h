// Retries inside one leg (RET-1 to RET-4): how often, after which wait, and when not to begin one.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "foundation/random.h"
#include "foundation/time.h"

namespace tidegate::policy {

// No leg makes more retries than this, however long the list (RET-1).
inline constexpr std::size_t retries_max = 3;

// 1 s, 2 s, 4 s.
std::span<const foundation::milliseconds> default_backoff();

// "7,11" -> 7 ms, 11 ms. Digits and commas only, every number in [1, 86'400'000]; nothing for anything else
// (RET-3).
std::optional<std::vector<foundation::milliseconds>> parse_backoff(std::string_view text);
// The same, with the default list for what cannot be read.
std::vector<foundation::milliseconds> backoff_or_default(std::string_view text);

struct retry_settings {
  std::vector<foundation::milliseconds> backoff{default_backoff().begin(), default_backoff().end()};
  unsigned jitter_percent = 10;  // 0 to 50: each wait is stretched or shrunk by at most that
  bool retry_on_status = false;
};

// The wait before retry number `made` + 1 of a transport fault, jittered; nothing = stop: the list is used
// up, or the wait would leave no time before `deadline`.
std::optional<foundation::duration> next_wait(const retry_settings& settings, std::size_t made,
                                              foundation::instant deadline, foundation::instant now,
                                              foundation::random_source& random);

// The same for an HTTP status (RET-4): only with retry_on_status, only 429 and 5xx. Retry-After is kept as it
// is, without jitter, in place of the list's wait.
std::optional<foundation::duration> next_status_wait(const retry_settings& settings, int status,
                                                     std::size_t made,
                                                     std::optional<foundation::duration> retry_after,
                                                     foundation::instant deadline, foundation::instant now,
                                                     foundation::random_source& random);

// Retry-After (RFC 9110, 10.2.3): seconds or IMF-fixdate, blanks around it allowed; at most a year, a date in
// the past is zero. Nothing when it is neither.
std::optional<foundation::duration> parse_retry_after(std::string_view value, foundation::wall_time wall);

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7, IMF-fixdate only). The day name is not compared with the
// date.
std::optional<foundation::wall_time> parse_http_date(std::string_view text);

}  // namespace tidegate::policy
