// The bytes of records and segment headers (docs/JOURNAL.md). Little-endian throughout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "foundation/time.h"
#include "journal/digest.h"

namespace tidegate::journal {

inline constexpr std::uint8_t format_version = 1;
inline constexpr std::size_t record_header_size = 68;
inline constexpr std::size_t segment_header_size = 64;
inline constexpr std::size_t payload_max = std::size_t{1} << 20;
inline constexpr std::size_t record_size_max = record_header_size + payload_max;

enum class record_type : std::uint8_t {
  event = 1,       // what the gateway did; folded
  checkpoint = 2,  // a signature over everything before it
  state = 3,       // the fold was saved beside the segments
  trim = 4,        // old segments were given up
};
// "event", "checkpoint", "state", "trim".
std::string_view name_of(record_type type);

struct record_view {
  std::uint64_t sequence = 0;
  foundation::wall_time time;
  record_type type = record_type::event;
  std::string_view payload;
};

// A whole record as it was read. Views into the caller's bytes.
struct parsed_record {
  record_view view;
  // The highest sequence that was known to be durable when this record was written; 0 in checkpoints.
  std::uint64_t synced = 0;
  // The previous record's hash, or that of the segment's header.
  digest previous;
  std::string_view bytes;
};

enum class record_fault : std::uint8_t {
  incomplete,  // more bytes are needed than there are
  damaged,     // lengths, marker or checksum do not hold
  version,     // a sound record of a format this code does not know
};

// Appends a record whose sequence, synced, previous hash and checksum are still zero.
void append_unsealed(std::string& out, record_type type, foundation::wall_time time,
                     std::string_view payload);
// Fills in what append_unsealed left open. `record` is exactly one record's bytes.
void seal_record(char* record, std::uint64_t sequence, std::uint64_t synced, const digest& previous);
// Length of the record that starts here, from its length field alone; needs record_header_size bytes.
std::uint32_t record_length_at(const char* record);
// The first record in `bytes`.
std::expected<parsed_record, record_fault> parse_record(std::string_view bytes);
// The record at the front of `bytes`, its checksum and marker taken for granted: only for what seal_record
// made.
record_view view_sealed(std::string_view bytes);
// What a reader that lost its place looks for: where the next record may start in bytes[from, ...), or npos.
std::size_t find_record(std::string_view bytes, std::size_t from);

struct segment_header {
  std::uint64_t first = 0;
  foundation::wall_time created;
  // Hash of the record before the first one; zero in front of record 1.
  digest previous{};
};

std::string to_bytes(const segment_header& header);
std::expected<segment_header, record_fault> parse_segment_header(std::string_view bytes);

// "00000000000000000001.seg"
std::string segment_name(std::uint64_t first);
// "00000000000000000001.state"
std::string state_name(std::uint64_t sequence);
// The number in such a name with that ending; nothing for any other name.
std::optional<std::uint64_t> number_in_name(std::string_view name, std::string_view ending);

}  // namespace tidegate::journal
