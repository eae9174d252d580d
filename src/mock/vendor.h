// The small shapes around a vendor's generating endpoints: errors, model lists, embeddings, token counts.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "protocol/dialect/dialect.h"
#include "protocol/json/json.h"

namespace tidegate::mock {

enum class vendor : std::uint8_t { openai, anthropic };

struct vendor_error {
  int status = 500;
  std::string message;  // empty: the vendor's usual words
  std::string param;
  std::string code;  // OpenAI's; empty: the one that goes with the status
};
// The error body as the vendor writes it.
std::string error_body(vendor shape, const vendor_error& e, std::uint64_t call_number);

// "overloaded", "rate-limit", "invalid", "api" in the vendor's words.
struct named_error {
  int status = 500;
  std::string_view type;
  std::string_view code;
  std::string_view message;
};
named_error error_named(vendor shape, std::string_view name);

std::string models_body(vendor shape);
// Nothing for "no-such-model".
std::expected<std::string, vendor_error> model_body(vendor shape, std::string_view id);
inline constexpr std::string_view unknown_model = "no-such-model";
vendor_error unknown_model_error(vendor shape, std::string_view id);

// Unit vectors made of each input's bytes; `dimensions` (1 to 4096) honoured, `encoding_format` float or
// base64.
std::expected<std::string, vendor_error> embeddings_body(protocol::json::value body);

}  // namespace tidegate::mock
