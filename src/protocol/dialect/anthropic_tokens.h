// POST /v1/messages/count_tokens: the request in canonical form, for an estimate where the target is no
// Anthropic provider, and the reply's one number.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>

#include "protocol/dialect/dialect.h"

namespace tidegate::protocol::dialect {

// Reads a count_tokens body: a Messages body without max_tokens and stream. Server-side tools are complaints,
// as there.
std::expected<request, complaint> decode_count_tokens(json::value body);
// {"input_tokens":N}
std::string encode_token_count(std::int64_t input_tokens);
// The number of a provider's reply; nothing where there is none, or a negative one.
std::optional<std::int64_t> decode_token_count(json::value body);

}  // namespace tidegate::protocol::dialect
