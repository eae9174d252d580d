#include "protocol/dialect/anthropic_turns.h"

#include <algorithm>

#include "foundation/text.h"

namespace tidegate::protocol::dialect::anthropic {
namespace {

// OpenAI's encrypted reasoning travels in the same field of the canonical form; Anthropic would refuse it as
// forged.
bool is_own_signature(std::string_view signature) {
  return !signature.empty() && !signature.starts_with("gAAAA");
}

bool is_allowed(const part& p, role from) {
  switch (p.kind) {
    case part_kind::text:
    case part_kind::refusal:
      return true;
    case part_kind::image:
    case part_kind::file:
    case part_kind::tool_result:
      return from == role::user;
    case part_kind::thinking:
    case part_kind::redacted_thinking:
    case part_kind::tool_call:
      return from == role::assistant;
  }
  return false;
}

// In the middle of a tool loop the API wants the assistant's turn to begin with its signed thinking; a caller
// of another dialect has lost it, and thinking must then stay off until the next question.
bool is_open_loop_without_thinking(const std::vector<turn>& turns) {
  if (turns.size() < 2 || turns.back().results.empty()) return false;
  const turn& calling = turns[turns.size() - 2];
  if (calling.rest.empty()) return true;
  const part& first = *calling.rest.front();
  return first.kind != part_kind::thinking && first.kind != part_kind::redacted_thinking;
}

}  // namespace

bool is_blank(std::string_view text) { return foundation::trim(text).empty(); }

bool is_sent(const part& p) {
  switch (p.kind) {
    case part_kind::text:
    case part_kind::refusal:
      return !is_blank(p.text);
    case part_kind::thinking:
      return is_own_signature(p.signature);
    case part_kind::redacted_thinking:
      return is_own_signature(p.data);
    default:
      return true;
  }
}

std::expected<std::vector<turn>, complaint> turns_of(const std::vector<message>& messages) {
  std::vector<turn> turns;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const message& m = messages[i];
    for (const part& p : m.parts) {
      if (!is_allowed(p, m.from)) {
        return std::unexpected{complaint{"this content cannot be sent to an Anthropic model in this role",
                                         "messages[" + std::to_string(i) + "].content"}};
      }
      if (!is_sent(p)) continue;
      if (turns.empty() || turns.back().from != m.from) turns.emplace_back().from = m.from;
      turn& t = turns.back();
      (p.kind == part_kind::tool_result ? t.results : t.rest).push_back(&p);
    }
  }
  if (turns.empty())
    return std::unexpected{complaint{"at least one message with content is required", "messages"}};
  return turns;
}

thinking_plan plan_thinking(const request& r, const std::vector<turn>& turns) {
  using mode = thinking_plan::mode;
  if (!r.thinking) return {};
  const reasoning& asked = *r.thinking;
  thinking_plan plan;
  if (asked.adaptive) plan.effort = asked.effort;
  if (asked.enabled == false) {
    plan.how = mode::disabled;
    return plan;
  }
  const bool tool_forced =
      r.tool_choice == tool_choice_mode::required || r.tool_choice == tool_choice_mode::named;
  if (tool_forced || is_open_loop_without_thinking(turns)) return plan;
  if (asked.adaptive) {
    plan.how = asked.enabled == true ? mode::adaptive : mode::unset;
    return plan;
  }
  const std::int64_t wanted = asked.budget_tokens.value_or(budget_of_effort(asked.effort).value_or(0));
  std::int64_t budget = std::clamp(wanted, std::int64_t{0}, budget_tokens_max);
  // A level is a hint: under a lower bound half of it goes to thinking, as long as that is a legal budget.
  if (r.max_tokens && budget >= *r.max_tokens) {
    budget = *r.max_tokens / 2 >= budget_tokens_min ? *r.max_tokens / 2 : 0;
  }
  if (budget == 0) return plan;
  plan.how = mode::budget;
  plan.budget_tokens = std::max(budget, budget_tokens_min);
  return plan;
}

}  // namespace tidegate::protocol::dialect::anthropic
