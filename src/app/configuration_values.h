// The texts of single settings: durations, sizes, addresses, and the step from a TOML value or an environment
// text into a row's slot, with the range checked.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "app/configuration_schema.h"
#include "protocol/toml/toml.h"

namespace tidegate::app {

// "250ms", "15m", "1h30m", "0"; units d h m s ms, whole numbers, each unit at most once and in this order.
// Nothing for anything else and beyond ten years.
std::optional<milliseconds> parse_duration(std::string_view text);
// The inverse, in one unit: "15m", "125s", "720h".
std::string format_duration(milliseconds value);

// "10MiB", "512B", "0"; units B KiB MiB GiB TiB, whole numbers.
std::optional<std::uint64_t> parse_size(std::string_view text);
std::string format_size(std::uint64_t bytes);

struct listen_address {
  // A name, an IPv4 or an IPv6 literal without brackets; empty for a Unix socket.
  std::string host;
  std::uint16_t port = 0;
  std::string unix_path;

  // Reachable from this machine only.
  bool is_loopback() const;
};

// "127.0.0.1:8787", "[::1]:0", "localhost:80", "unix:/run/tidegate.sock".
std::optional<listen_address> parse_listen(std::string_view text);

// "hmac-sha256:" and 32 bytes as 64 hex digits or 43 base64url characters.
bool is_key_hash(std::string_view text);
// 1 to 64 of A-Z a-z 0-9 . _ -, for names that stand in headers, metrics and file names.
bool is_name(std::string_view text);

// "2026-01-31", a day that exists.
bool is_date(std::string_view text);
// What a browser sends as Origin: scheme "://" authority, no path.
bool is_origin(std::string_view text);
bool has_control_bytes(std::string_view text);

struct value_error {
  protocol::toml::position where;
  std::string message;
};

// Stores a file's value in the slot. The slot is unchanged on error.
std::expected<void, value_error> assign(const key_row& row, slot target, const protocol::toml::node& value);
// The same from a text without quotes: "60", "true", "15m", bare numbers as milliseconds, lists by commas.
std::expected<void, std::string> assign_text(const key_row& row, slot target, std::string_view text);
// The value as TOML: `"15m"`, `60`, `["1s", "2s"]`. Nothing where no value is set.
std::string format_value(const key_row& row, slot source);

}  // namespace tidegate::app
