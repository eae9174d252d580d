#include "load/trace.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>

#include "foundation/text.h"

namespace tidegate::load {
namespace {

using foundation::duration;
using foundation::parse_u64;

std::optional<unsigned> digits(std::string_view text, std::size_t at, std::size_t length, unsigned max) {
  if (text.size() < at + length) return std::nullopt;
  const auto number = parse_u64(text.substr(at, length));
  if (!number || *number > max) return std::nullopt;
  return static_cast<unsigned>(*number);
}

// ".9799600" as nanoseconds; UTC may be spelt out behind it.
std::optional<duration> parse_fraction(std::string_view text) {
  for (const std::string_view zone : {"+00:00", "Z"}) {
    if (text.ends_with(zone)) {
      text.remove_suffix(zone.size());
      break;
    }
  }
  if (text.empty()) return duration::zero();
  if (text.front() != '.' || text.size() < 2 || text.size() > 10) return std::nullopt;
  const auto number = parse_u64(text.substr(1));
  if (!number) return std::nullopt;
  auto ns = static_cast<std::int64_t>(*number);
  for (std::size_t i = text.size() - 1; i < 9; ++i) ns *= 10;
  return duration{ns};
}

// "2023-11-16 18:17:03.9799600", as nanoseconds of the Unix epoch.
std::optional<duration> parse_timestamp(std::string_view text) {
  constexpr std::string_view shape = "0000-00-00 00:00:00";
  if (text.size() < shape.size()) return std::nullopt;
  for (const std::size_t i : {4U, 7U, 10U, 13U, 16U}) {
    if (text[i] != shape[i] && !(i == 10 && text[i] == 'T')) return std::nullopt;
  }
  const auto year = digits(text, 0, 4, 2200);
  const auto month = digits(text, 5, 2, 12);
  const auto day = digits(text, 8, 2, 31);
  const auto hour = digits(text, 11, 2, 23);
  const auto minute = digits(text, 14, 2, 59);
  const auto second = digits(text, 17, 2, 60);
  const auto fraction = parse_fraction(text.substr(shape.size()));
  if (!year || *year < 1700 || !month || !day || !hour || !minute || !second || !fraction)
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{static_cast<int>(*year)},
                                         std::chrono::month{*month}, std::chrono::day{*day}};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days{date}.time_since_epoch() + std::chrono::hours{*hour} +
         std::chrono::minutes{*minute} + std::chrono::seconds{*second} + *fraction;
}

std::optional<trace_call> parse_call(std::string_view line) {
  const std::size_t first = line.find(',');
  if (first == std::string_view::npos) return std::nullopt;
  const std::size_t second = line.find(',', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto at = parse_timestamp(foundation::trim(line.substr(0, first)));
  const auto context = parse_u64(foundation::trim(line.substr(first + 1, second - first - 1)));
  const auto generated = parse_u64(foundation::trim(line.substr(second + 1)));
  if (!at || !context || !generated) return std::nullopt;
  if (*context > trace_llm_tokens_max || *generated > trace_llm_tokens_max) return std::nullopt;
  return trace_call{*at, static_cast<std::uint32_t>(*context), static_cast<std::uint32_t>(*generated)};
}

}  // namespace

std::expected<std::vector<trace_call>, std::string> parse_trace(std::string_view csv) {
  std::vector<trace_call> calls;
  for (std::size_t number = 1; !csv.empty(); ++number) {
    const std::size_t end = std::min(csv.find('\n'), csv.size());
    const std::string_view line = foundation::trim(csv.substr(0, end));
    csv.remove_prefix(std::min(end + 1, csv.size()));
    if (line.empty() || (number == 1 && foundation::istarts_with(line, "timestamp,"))) continue;
    const auto call = parse_call(line);
    if (!call) {
      return std::unexpected{"line " + std::to_string(number) +
                             ": expected TIMESTAMP,ContextTokens,GeneratedTokens"};
    }
    if (calls.size() == trace_calls_max) return std::unexpected{std::string{"too many calls"}};
    calls.push_back(*call);
  }
  if (calls.empty()) return std::unexpected{std::string{"no calls in it"}};
  std::ranges::sort(calls, {}, &trace_call::at);
  const duration start = calls.front().at;
  for (trace_call& call : calls) call.at -= start;
  return calls;
}

}  // namespace tidegate::load
