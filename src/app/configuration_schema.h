// One row a key: name, kind, range, requirement and words, bound to the field that holds it. The reader, the
// environment, `tidegate init`, docs/CONFIGURATION.md and the tests all walk this table, so they cannot
// drift.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <variant>

#include "app/configuration.h"

namespace tidegate::app {

enum class value_kind : std::uint8_t {
  text,
  path,
  model,             // a model name or glob, not blank
  name,              // 1 to 64 of A-Z a-z 0-9 . _ -
  address,           // host:port or unix:/path
  optional_address,  // or "" for none
  base_url,
  credential,
  key_hash,
  date,  // YYYY-MM-DD or ""
  flag,
  count,
  size,
  duration,
  optional_duration,  // or "" for none
  number,
  optional_number,
  number_or_omit,
  choice,
  text_list,
  origin_list,
  duration_list,
  target_list,
};

// What a row belongs to.
using record = std::variant<configuration*, policy_settings*, model_price*, provider_settings*,
                            route_settings*, key_settings*>;

// An enumerator by its place in key_row::choices.
struct choice_slot {
  std::uint8_t* index;
};

// Where a row's value lives.
using slot =
    std::variant<std::string*, bool*, std::uint64_t*, milliseconds*, std::optional<milliseconds>*, double*,
                 std::optional<double>*, std::vector<std::string>*, std::vector<milliseconds>*,
                 std::vector<target_settings>*, credential_reference*, choice_slot>;

inline constexpr std::uint64_t unbounded = std::numeric_limits<std::uint64_t>::max();
// Counts and sizes stay exact in JSON (RFC 8259 section 6).
inline constexpr std::uint64_t count_max = (1ULL << 53) - 1;
// Ten years: far from the end of a 64-bit nanosecond line.
inline constexpr std::uint64_t duration_ms_max = 87'600ULL * 3'600'000;

struct key_row {
  std::string_view key;
  value_kind kind;
  slot (*bind)(record);
  // Counts, bytes, milliseconds or plain numbers, by kind; both inclusive.
  std::uint64_t at_least = 0;
  std::uint64_t at_most = unbounded;
  std::span<const std::string_view> choices = {};
  bool required = false;
  // In place of or behind the default in prose: "one per core".
  std::string_view note = {};
  std::string_view requirement = {};
  std::string_view summary = {};
};

enum class section_shape : std::uint8_t {
  table,            // [server]
  named_tables,     // [policy.<name>]
  array_of_tables,  // [[provider]]
};

struct section_row {
  std::string_view name;  // "server", "policy", "pricing.models", "provider"
  section_shape shape;
  std::string_view summary;
  std::span<const key_row> keys;
  // A record full of defaults.
  record (*defaults)();
  // What `tidegate init` shows for sections that have no defaults to show, each line commented out.
  std::string_view example = {};
};

// In the order in which `tidegate init` writes them. pricing.models stands behind pricing.
std::span<const section_row> schema();
// Null for an unknown name.
const section_row* find_section(std::string_view name);
const key_row* find_key(const section_row& section, std::string_view key);

// "1–64", "≥1ms", "reject, clamp": the range as an operator reads it; empty where anything goes.
std::string range_text(const key_row& row);
// The candidate closest to `word` if close enough to be a slip of the hand, else empty.
std::string_view closest(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace tidegate::app
