#include "policy/history.h"

#include "policy/tokens.h"

namespace tidegate::policy {

kept_history keep_history(std::string_view system, std::span<const history_message> history,
                          std::string_view current, std::int64_t budget) {
  kept_history kept{history.size(), estimate_tokens(system) + estimate_tokens(current)};
  // An assistant's message is kept only together with the user's before it; until that one is seen to fit,
  // what stands between is on trial.
  std::int64_t tokens = kept.tokens;
  for (std::size_t i = history.size(); i-- > 0;) {
    tokens += estimate_tokens(history[i].text);
    if (tokens > budget) break;
    if (history[i].role == chat_role::user) kept = {i, tokens};
  }
  return kept;
}

}  // namespace tidegate::policy
