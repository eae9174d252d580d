// Which messages of a chat that outgrew its budget are replaced by summaries instead of being dropped
// (CHAT-8).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "policy/history.h"

namespace tidegate::policy {

// ceil(0.3 x tokens): what a summary may take of the place of a text.
constexpr std::int64_t summary_tokens_max(std::int64_t tokens) { return (tokens * 3 + 9) / 10; }

// A shorter message says as little as its summary would.
inline constexpr std::int64_t compaction_tokens_min = 32;

struct compaction_plan {
  // Messages before this one are not sent, not even as summaries.
  std::size_t first = 0;
  // Messages to be replaced, in this order: oldest turn first, in a turn the longest first. A turn is a
  // user's message and the assistant's behind it.
  std::vector<std::size_t> replace;
};

// Sends as many messages as fit into `budget` together with `system` and `current` when summaries take their
// full measure, and as many of those whole as then fit. At most `asked_max` summaries that `is_known` does
// not have already; that is asked for messages of at least compaction_tokens_min tokens only. What CHAT-7
// would send whole is replaced only where that lets an older message in.
compaction_plan plan_compaction(std::string_view system, std::span<const history_message> history,
                                std::string_view current, std::int64_t budget, std::size_t asked_max,
                                const std::function<bool(std::size_t)>& is_known);

}  // namespace tidegate::policy
