#include "protocol/dialect/anthropic_tokens.h"

#include "protocol/dialect/anthropic_messages.h"

namespace tidegate::protocol::dialect {

std::expected<request, complaint> decode_count_tokens(json::value body) {
  return anthropic::decode_request(body);
}

std::string encode_token_count(std::int64_t input_tokens) {
  std::string out;
  json::writer{out}.begin_object().member("input_tokens", input_tokens).end_object();
  return out;
}

std::optional<std::int64_t> decode_token_count(json::value body) {
  const auto count = body.int_at("input_tokens");
  return count && *count >= 0 ? count : std::nullopt;
}

}  // namespace tidegate::protocol::dialect
