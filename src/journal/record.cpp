#include "journal/record.h"

#include <bit>
#include <cstring>

#include "foundation/text.h"
#include "journal/crc32c.h"

namespace tidegate::journal {

namespace {

static_assert(std::endian::native == std::endian::little, "fields are copied as they lie in memory");

// Offsets of a record's fields.
constexpr std::size_t at_checksum = 0;
constexpr std::size_t at_length = 4;
constexpr std::size_t at_marker = 8;
constexpr std::size_t at_version = 10;
constexpr std::size_t at_type = 11;
constexpr std::size_t at_sequence = 12;
constexpr std::size_t at_time = 20;
constexpr std::size_t at_synced = 28;
constexpr std::size_t at_previous = 36;
static_assert(at_previous + sizeof(digest) == record_header_size);

// 0xF7 is in no UTF-8 text, so no payload holds it.
constexpr std::string_view marker{"\xF7T", 2};

// Offsets of a segment header's fields.
constexpr std::string_view segment_magic{"TGATSEG", 7};
constexpr std::size_t at_segment_version = 7;
constexpr std::size_t at_first = 8;
constexpr std::size_t at_created = 16;
constexpr std::size_t at_segment_previous = 24;
constexpr std::size_t at_zero = 56;
constexpr std::size_t at_segment_checksum = 60;
static_assert(at_segment_checksum + 4 == segment_header_size);

constexpr std::size_t name_digits = 20;

template <typename T>
T load(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

template <typename T>
void store(char* p, const T& value) {
  std::memcpy(p, &value, sizeof value);
}

foundation::wall_time load_time(const char* p) {
  return foundation::wall_time{foundation::milliseconds{load<std::int64_t>(p)}};
}

bool known(std::uint8_t type) { return type >= 1 && type <= 4; }

std::string numbered(std::uint64_t number, std::string_view ending) {
  std::string digits;
  foundation::append_number(digits, static_cast<std::int64_t>(number));
  std::string name(name_digits - digits.size(), '0');
  return name.append(digits).append(ending);
}

}  // namespace

std::string_view name_of(record_type type) {
  switch (type) {
    case record_type::event:
      return "event";
    case record_type::checkpoint:
      return "checkpoint";
    case record_type::state:
      return "state";
    case record_type::trim:
      return "trim";
  }
  return "unknown";
}

void append_unsealed(std::string& out, record_type type, foundation::wall_time time,
                     std::string_view payload) {
  char header[record_header_size] = {};
  store(header + at_length, static_cast<std::uint32_t>(record_header_size + payload.size()));
  std::memcpy(header + at_marker, marker.data(), marker.size());
  store(header + at_version, format_version);
  store(header + at_type, type);
  store(header + at_time, static_cast<std::int64_t>(time.time_since_epoch().count()));
  out.append(header, sizeof header);
  out.append(payload);
}

void seal_record(char* record, std::uint64_t sequence, std::uint64_t synced, const digest& previous) {
  store(record + at_sequence, sequence);
  store(record + at_synced, synced);
  store(record + at_previous, previous);
  const std::size_t length = record_length_at(record);
  store(record + at_checksum, crc32c({record + at_length, length - at_length}));
}

std::uint32_t record_length_at(const char* record) { return load<std::uint32_t>(record + at_length); }

record_view view_sealed(std::string_view bytes) {
  const char* p = bytes.data();
  return {load<std::uint64_t>(p + at_sequence), load_time(p + at_time), load<record_type>(p + at_type),
          bytes.substr(record_header_size, record_length_at(p) - record_header_size)};
}

std::expected<parsed_record, record_fault> parse_record(std::string_view bytes) {
  if (bytes.size() < record_header_size) return std::unexpected{record_fault::incomplete};
  const char* p = bytes.data();
  const std::size_t length = record_length_at(p);
  if (bytes.substr(at_marker, marker.size()) != marker || length < record_header_size ||
      length > record_size_max) {
    return std::unexpected{record_fault::damaged};
  }
  if (length > bytes.size()) return std::unexpected{record_fault::incomplete};
  if (load<std::uint32_t>(p + at_checksum) != crc32c(bytes.substr(at_length, length - at_length))) {
    return std::unexpected{record_fault::damaged};
  }
  const auto version = load<std::uint8_t>(p + at_version);
  if (version != format_version || !known(load<std::uint8_t>(p + at_type))) {
    return std::unexpected{record_fault::version};
  }
  const std::string_view whole = bytes.substr(0, length);
  return parsed_record{view_sealed(whole), load<std::uint64_t>(p + at_synced), load<digest>(p + at_previous),
                       whole};
}

std::size_t find_record(std::string_view bytes, std::size_t from) {
  const std::size_t found = bytes.find(marker, from + at_marker);
  return found == std::string_view::npos ? found : found - at_marker;
}

std::string to_bytes(const segment_header& header) {
  char bytes[segment_header_size] = {};
  std::memcpy(bytes, segment_magic.data(), segment_magic.size());
  store(bytes + at_segment_version, format_version);
  store(bytes + at_first, header.first);
  store(bytes + at_created, static_cast<std::int64_t>(header.created.time_since_epoch().count()));
  store(bytes + at_segment_previous, header.previous);
  store(bytes + at_segment_checksum, crc32c({bytes, at_segment_checksum}));
  return {bytes, sizeof bytes};
}

std::expected<segment_header, record_fault> parse_segment_header(std::string_view bytes) {
  if (bytes.size() < segment_header_size) return std::unexpected{record_fault::incomplete};
  const char* p = bytes.data();
  if (!bytes.starts_with(segment_magic) ||
      load<std::uint32_t>(p + at_segment_checksum) != crc32c(bytes.substr(0, at_segment_checksum))) {
    return std::unexpected{record_fault::damaged};
  }
  if (load<std::uint8_t>(p + at_segment_version) != format_version) {
    return std::unexpected{record_fault::version};
  }
  if (load<std::uint32_t>(p + at_zero) != 0) return std::unexpected{record_fault::damaged};
  return segment_header{load<std::uint64_t>(p + at_first), load_time(p + at_created),
                        load<digest>(p + at_segment_previous)};
}

std::string segment_name(std::uint64_t first) { return numbered(first, ".seg"); }
std::string state_name(std::uint64_t sequence) { return numbered(sequence, ".state"); }

std::optional<std::uint64_t> number_in_name(std::string_view name, std::string_view ending) {
  if (name.size() != name_digits + ending.size() || !name.ends_with(ending)) return std::nullopt;
  return foundation::parse_u64(name.substr(0, name_digits));
}

}  // namespace tidegate::journal
