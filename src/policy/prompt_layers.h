// The system prompt of a skill run (PRM-4): six layers in a fixed order, the blank ones left out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tidegate::policy {

enum class run_mode : std::uint8_t { ask, plan, agent };
// "ask", "plan", "agent", and back.
std::string_view name_of(run_mode mode);
std::optional<run_mode> run_mode_named(std::string_view name);
// What the mode adds to the prompt; empty for ask.
std::string_view mode_hint(run_mode mode);

struct prompt_layers {
  std::string_view identity = {};
  std::string_view user_rules = {};
  std::string_view skill = {};
  std::string_view mode_hint = {};
  std::string_view memory = {};
  std::string_view context = {};
};

// In the order of the members, each without blanks around it, one blank line between two. Empty where all are
// blank.
std::string assemble_prompt(const prompt_layers& layers);

// Whether an identity text holds the blocks <identity>, <writing_awareness>, <role_fluidity> (which names
// ghostwriter, muse, editor, actor and painter), <behavior> and <context_awareness>, each closed.
bool is_whole_identity(std::string_view text);

}  // namespace tidegate::policy
