#include "policy/retry.h"

#include <algorithm>
#include <cmath>

#include "foundation/text.h"

namespace tidegate::policy {

using foundation::duration;
using foundation::instant;
using foundation::milliseconds;
using foundation::wall_time;

namespace {

constexpr std::array<milliseconds, 3> backoff_list{milliseconds{1'000}, milliseconds{2'000},
                                                   milliseconds{4'000}};
constexpr std::uint64_t wait_ms_max = 86'400'000;
constexpr std::uint64_t retry_after_seconds_max = 366ULL * 86'400;

duration jittered(milliseconds wait, unsigned percent, foundation::random_source& random) {
  if (percent == 0) return wait;
  const double spread = (2.0 * random.unit() - 1.0) * static_cast<double>(percent) / 100.0;
  const double nanoseconds = static_cast<double>(duration{wait}.count()) * (1.0 + spread);
  return duration{std::llround(nanoseconds)};
}

std::optional<duration> if_in_time(duration wait, instant deadline, instant now) {
  if (deadline <= now || wait >= deadline - now) return std::nullopt;
  return wait;
}

}  // namespace

std::span<const milliseconds> default_backoff() { return backoff_list; }

std::optional<std::vector<milliseconds>> parse_backoff(std::string_view text) {
  std::vector<milliseconds> waits;
  for (;;) {
    const std::size_t comma = text.find(',');
    const auto value = foundation::parse_u64(text.substr(0, comma));
    if (!value || *value == 0 || *value > wait_ms_max) return std::nullopt;
    waits.emplace_back(*value);
    if (comma == std::string_view::npos) return waits;
    text.remove_prefix(comma + 1);
  }
}

std::vector<milliseconds> backoff_or_default(std::string_view text) {
  if (auto waits = parse_backoff(text)) return *std::move(waits);
  return {backoff_list.begin(), backoff_list.end()};
}

std::optional<duration> next_wait(const retry_settings& settings, std::size_t made, instant deadline,
                                  instant now, foundation::random_source& random) {
  if (made >= retries_max || made >= settings.backoff.size()) return std::nullopt;
  return if_in_time(jittered(settings.backoff[made], settings.jitter_percent, random), deadline, now);
}

std::optional<duration> next_status_wait(const retry_settings& settings, int status, std::size_t made,
                                         std::optional<duration> retry_after, instant deadline, instant now,
                                         foundation::random_source& random) {
  const bool worth_it = status == 429 || (status >= 500 && status < 600);
  if (!settings.retry_on_status || !worth_it || made >= retries_max) return std::nullopt;
  if (retry_after) return if_in_time(*retry_after, deadline, now);
  return next_wait(settings, made, deadline, now, random);
}

std::optional<duration> parse_retry_after(std::string_view value, wall_time wall) {
  constexpr duration longest = std::chrono::seconds{retry_after_seconds_max};
  value = foundation::trim(value);
  if (value.empty()) return std::nullopt;
  if (std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; })) {
    // More digits than 64 bits hold is still a number, only a very long wait.
    const std::uint64_t seconds = foundation::parse_u64(value).value_or(retry_after_seconds_max);
    return std::chrono::seconds{std::min(seconds, retry_after_seconds_max)};
  }
  const auto date = parse_http_date(value);
  if (!date) return std::nullopt;
  if (*date <= wall) return duration::zero();
  if (*date - wall >= std::chrono::duration_cast<milliseconds>(longest)) return longest;
  return *date - wall;
}

namespace {

std::optional<unsigned> digits_at(std::string_view text, std::size_t at, std::size_t count) {
  const auto value = foundation::parse_u64(text.substr(at, count));
  if (!value) return std::nullopt;
  return static_cast<unsigned>(*value);
}

std::optional<unsigned> index_of(std::string_view word, std::string_view names) {
  const std::size_t at = names.find(word);
  if (at == std::string_view::npos || at % 3 != 0) return std::nullopt;
  return static_cast<unsigned>(at / 3);
}

}  // namespace

std::optional<wall_time> parse_http_date(std::string_view text) {
  // Punctuation and letters of the fixed form; '0' stands for a digit, 'a' for a name's letter.
  constexpr std::string_view form = "aaa, 00 aaa 0000 00:00:00 GMT";
  if (text.size() != form.size()) return std::nullopt;
  for (std::size_t i = 0; i < form.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (form[i] == '0' ? !digit : form[i] != 'a' && text[i] != form[i]) return std::nullopt;
  }
  const auto weekday = index_of(text.substr(0, 3), "SunMonTueWedThuFriSat");
  const auto month = index_of(text.substr(8, 3), "JanFebMarAprMayJunJulAugSepOctNovDec");
  const auto day = digits_at(text, 5, 2);
  const auto year = digits_at(text, 12, 4);
  const auto hour = digits_at(text, 17, 2);
  const auto minute = digits_at(text, 20, 2);
  const auto second = digits_at(text, 23, 2);
  if (!weekday || !month || !day || !year || !hour || !minute || !second) return std::nullopt;
  // 60 is a leap second.
  if (*hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{static_cast<int>(*year)},
                                         std::chrono::month{*month + 1}, std::chrono::day{*day}};
  if (!date.ok()) return std::nullopt;
  return wall_time{std::chrono::sys_days{date}} + std::chrono::hours{*hour} + std::chrono::minutes{*minute} +
         std::chrono::seconds{*second};
}

}  // namespace tidegate::policy
