#include "foundation/ids.h"

#include <algorithm>
#include <cstdint>

namespace tidegate::foundation {
namespace {

constexpr char digits[] = "0123456789abcdef";

void put_hex(char* out, std::uint64_t value, int count) {
  for (int i = count - 1; i >= 0; --i) {
    out[i] = digits[value & 15U];
    value >>= 4;
  }
}

bool is_lower_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool all_zero(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c == '0'; });
}

}  // namespace

std::string make_run_id(wall_time now, random_source& random) {
  const auto ms = static_cast<std::uint64_t>(now.time_since_epoch().count());
  const std::uint64_t a = random.next();
  const std::uint64_t b = random.next();
  std::string id(36, '-');
  put_hex(id.data(), ms >> 16, 8);
  put_hex(id.data() + 9, ms & 0xffffU, 4);
  put_hex(id.data() + 14, 0x7000U | (a & 0x0fffU), 4);
  put_hex(id.data() + 19, 0x8000U | ((a >> 12) & 0x3fffU), 4);
  put_hex(id.data() + 24, b & 0xffffffffffffULL, 12);
  return id;
}

std::string make_trace_id(random_source& random) {
  std::string id(32, '0');
  put_hex(id.data(), random.next() | 1U, 16);
  put_hex(id.data() + 16, random.next(), 16);
  return id;
}

std::optional<std::string> trace_id_of(std::string_view traceparent) {
  // version "-" trace-id "-" parent-id "-" flags; later versions may append "-..." (W3C Trace Context 3.2.2).
  if (traceparent.size() < 55) return std::nullopt;
  const std::string_view version = traceparent.substr(0, 2);
  const std::string_view trace = traceparent.substr(3, 32);
  const std::string_view parent = traceparent.substr(36, 16);
  const std::string_view flags = traceparent.substr(53, 2);
  if (traceparent[2] != '-' || traceparent[35] != '-' || traceparent[52] != '-') return std::nullopt;
  if (!is_lower_hex(version) || version == "ff" || !is_lower_hex(trace) || !is_lower_hex(parent) ||
      !is_lower_hex(flags)) {
    return std::nullopt;
  }
  if (version == "00" && traceparent.size() != 55) return std::nullopt;
  if (traceparent.size() > 55 && traceparent[55] != '-') return std::nullopt;
  if (all_zero(trace) || all_zero(parent)) return std::nullopt;
  return std::string{trace};
}

}  // namespace tidegate::foundation
