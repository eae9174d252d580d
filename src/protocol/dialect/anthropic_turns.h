// A canonical conversation as the Messages API takes it: turns that alternate, and thinking only where it is
// allowed.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/dialect/anthropic_messages.h"

namespace tidegate::protocol::dialect::anthropic {

// A turn as Anthropic wants it: one a role in a row, tool results before all else (RTE-3).
struct turn {
  role from = role::user;
  std::vector<const part*> results;
  std::vector<const part*> rest;
};

struct thinking_plan {
  enum class mode : std::uint8_t { unset, disabled, adaptive, budget } how = mode::unset;
  std::int64_t budget_tokens = 0;
  std::string effort;  // output_config.effort
};

bool is_blank(std::string_view text);
// The API refuses blank text blocks and unsigned thinking; neither carries anything it would read.
bool is_sent(const part& p);
// Pointers into `messages`; no turn is empty, and there is at least one.
std::expected<std::vector<turn>, complaint> turns_of(const std::vector<message>& messages);
thinking_plan plan_thinking(const request& r, const std::vector<turn>& turns);

}  // namespace tidegate::protocol::dialect::anthropic
