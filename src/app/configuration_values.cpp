#include "app/configuration_values.h"

#include <arpa/inet.h>

#include <algorithm>
#include <chrono>
#include <span>

#include "foundation/text.h"

namespace tidegate::app {

namespace {

struct unit {
  std::string_view name;
  std::uint64_t scale;
};

constexpr unit duration_units[] = {
    {"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}};
constexpr unit size_units[] = {
    {"TiB", 1ULL << 40}, {"GiB", 1ULL << 30}, {"MiB", mebibyte}, {"KiB", kibibyte}, {"B", 1}};

constexpr std::string_view digits = "0123456789";
bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// A sum of "<count><unit>" parts, units in falling order, each at most once. Nothing past `limit`.
std::optional<std::uint64_t> parse_measure(std::string_view text, std::span<const unit> units,
                                           std::uint64_t limit) {
  if (text == "0") return 0;
  if (text.empty()) return std::nullopt;
  std::uint64_t sum = 0;
  auto from = units.begin();
  while (!text.empty()) {
    const std::size_t count_size = std::min(text.find_first_not_of(digits), text.size());
    const auto count = foundation::parse_u64(text.substr(0, count_size));
    text.remove_prefix(count_size);
    const std::string_view name = text.substr(0, text.find_first_of(digits));
    text.remove_prefix(name.size());
    const auto found = std::find_if(from, units.end(), [&](const unit& u) { return u.name == name; });
    if (!count || found == units.end() || *count > (limit - sum) / found->scale) return std::nullopt;
    sum += *count * found->scale;
    from = found + 1;
  }
  return sum;
}

bool is_host(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  const std::string text{host};
  in_addr v4{};
  // What looks like an IPv4 address has to be one: "10.0.0.256" is no host name.
  if (host.find_first_not_of("0123456789.") == std::string_view::npos)
    return inet_pton(AF_INET, text.c_str(), &v4) == 1;
  return std::ranges::all_of(host, [](char c) { return is_alnum(c) || c == '-' || c == '.' || c == '_'; });
}

}  // namespace

std::optional<milliseconds> parse_duration(std::string_view text) {
  const auto total = parse_measure(text, duration_units, duration_ms_max);
  if (!total) return std::nullopt;
  return milliseconds{static_cast<std::int64_t>(*total)};
}

std::string format_duration(milliseconds value) {
  const std::int64_t count = value.count();
  if (count == 0) return "0s";
  // "60s" and "24h" read better than "1m" and "1d".
  if (count % 3'600'000 == 0 && count > 3'600'000) return std::to_string(count / 3'600'000) + "h";
  if (count % 60'000 == 0 && count > 60'000) return std::to_string(count / 60'000) + "m";
  if (count % 1'000 == 0) return std::to_string(count / 1'000) + "s";
  return std::to_string(count) + "ms";
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  return parse_measure(text, size_units, count_max);
}

std::string format_size(std::uint64_t bytes) {
  for (const unit& u : size_units) {
    if (bytes >= u.scale && bytes % u.scale == 0)
      return std::to_string(bytes / u.scale) + std::string{u.name};
  }
  return "0B";
}

bool listen_address::is_loopback() const {
  if (!unix_path.empty()) return true;
  if (foundation::iequals(host, "localhost")) return true;
  in_addr v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  if (inet_pton(AF_INET6, host.c_str(), &v6) != 1) return false;
  const bool mapped = IN6_IS_ADDR_V4MAPPED(&v6) != 0;
  return IN6_IS_ADDR_LOOPBACK(&v6) != 0 || (mapped && v6.s6_addr[12] == 127);
}

std::optional<listen_address> parse_listen(std::string_view text) {
  text = foundation::trim(text);
  if (text.starts_with("unix:")) {
    const std::string_view path = text.substr(5);
    // sun_path holds 108 bytes with its terminator (unix(7)).
    if (!path.starts_with('/') || path.size() > 107 || has_control_bytes(path)) return std::nullopt;
    return listen_address{{}, 0, std::string{path}};
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = foundation::parse_u64(text.substr(colon + 1));
  if (!port || *port > 65'535) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']') && host.size() > 2) {
    host = host.substr(1, host.size() - 2);
    in6_addr v6{};
    if (inet_pton(AF_INET6, std::string{host}.c_str(), &v6) != 1) return std::nullopt;
  } else if (!is_host(host)) {
    return std::nullopt;
  }
  return listen_address{std::string{host}, static_cast<std::uint16_t>(*port), {}};
}

bool is_key_hash(std::string_view text) {
  constexpr std::string_view prefix = "hmac-sha256:";
  if (!text.starts_with(prefix)) return false;
  const std::string_view code = text.substr(prefix.size());
  if (code.size() == 64) return code.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
  return code.size() == 43 &&
         std::ranges::all_of(code, [](char c) { return is_alnum(c) || c == '-' || c == '_'; });
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         std::ranges::all_of(text, [](char c) { return is_alnum(c) || c == '.' || c == '_' || c == '-'; });
}

bool has_control_bytes(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

bool is_date(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  const auto year = foundation::parse_u64(text.substr(0, 4));
  const auto month = foundation::parse_u64(text.substr(5, 2));
  const auto day = foundation::parse_u64(text.substr(8, 2));
  if (!year || !month || !day) return false;
  return std::chrono::year_month_day{std::chrono::year{static_cast<int>(*year)},
                                     std::chrono::month{static_cast<unsigned>(*month)},
                                     std::chrono::day{static_cast<unsigned>(*day)}}
      .ok();
}

bool is_origin(std::string_view text) {
  const auto scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos || scheme_end == 0) return false;
  const std::string_view scheme = text.substr(0, scheme_end);
  const std::string_view authority = text.substr(scheme_end + 3);
  const bool scheme_fits =
      std::ranges::all_of(scheme, [](char c) { return is_alnum(c) || c == '+' || c == '-' || c == '.'; });
  return scheme_fits && !authority.empty() && authority.find_first_of("/?#@* ") == std::string_view::npos;
}

}  // namespace tidegate::app
