// Which part of a chat's history goes to the model (CHAT-7).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace tidegate::policy {

enum class chat_role : std::uint8_t { user, assistant };

struct history_message {
  chat_role role = chat_role::user;
  std::string_view text;
};

struct kept_history {
  // The messages from here on are sent, between the system text and the current one; history.size(): none is.
  std::size_t first = 0;
  // Estimate of system, kept history and current text (BUD-9), each message rounded up by itself.
  std::int64_t tokens = 0;
};

// The newest messages that fit into `budget` tokens together with `system` and `current`, which always stay
// (equality fits), without the assistant's messages that would then come first. `history` is in order of
// time. Estimates only as many messages as it keeps, and one more.
kept_history keep_history(std::string_view system, std::span<const history_message> history,
                          std::string_view current, std::int64_t budget);

}  // namespace tidegate::policy
