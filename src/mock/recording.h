// Recorded exchanges: {"response":{"status","headers":[[name,value]…],"body" | "body_base64"}}.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mock/behavior.h"

namespace tidegate::mock {

// Headers that describe the recorder's connection (framing, coding, cookies) are left out.
std::expected<recording, std::string> parse_recording(std::string_view file);
// The lengths of the pieces in which a body goes out. `seed` steers `random`.
std::vector<std::size_t> split_body(std::string_view body, split_mode mode, std::uint64_t seed);

// RFC 4648 4, with padding.
std::optional<std::string> decode_base64(std::string_view text);
std::string encode_base64(std::string_view bytes);

}  // namespace tidegate::mock
