// GET /v1/models and /v1/models/{id} in the caller's dialect (interface section 5).
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "protocol/dialect/canonical.h"

namespace tidegate::protocol::dialect {

struct model_entry {
  std::string id;
  std::string owned_by;
  std::int64_t created = 0;  // Unix seconds; 0: unknown, as both vendors allow
};

// OpenAI's list for both of its dialects, Anthropic's for its own; everything is on one page.
std::string encode_model_list(dialect_id shape, std::span<const model_entry> models);
std::string encode_model(dialect_id shape, const model_entry& model);

}  // namespace tidegate::protocol::dialect
