#include "policy/prompt_layers.h"

#include <algorithm>
#include <array>

#include "policy/characters.h"

namespace tidegate::policy {
namespace {

constexpr std::string_view plan_hint =
    "Mode: plan.\n"
    "Do not carry the task out yet. Answer with a short numbered plan: what you would do, in which order, "
    "and "
    "what you would leave as it is. Name what you are unsure of as questions at the end. Wait for the "
    "writer's "
    "word before you write the text itself.";

constexpr std::string_view agent_hint =
    "Mode: agent.\n"
    "Carry the task through to its end by yourself. Use the tools you are given where they help, one step "
    "after "
    "the other, and look at each result before the next step. When a tool fails, try another way or say what "
    "is "
    "missing. Stop as soon as the task is done and give the result, not a report of the steps.";

constexpr std::array<std::string_view, 5> roles{"ghostwriter", "muse", "editor", "actor", "painter"};

// What stands between <name> and </name>; nothing where either is missing.
std::optional<std::string_view> block(std::string_view text, std::string_view name) {
  const std::string open = '<' + std::string{name} + '>';
  const std::string close = "</" + std::string{name} + '>';
  const std::size_t from = text.find(open);
  if (from == std::string_view::npos) return std::nullopt;
  const std::size_t to = text.find(close, from + open.size());
  if (to == std::string_view::npos) return std::nullopt;
  return text.substr(from + open.size(), to - from - open.size());
}

}  // namespace

std::string_view name_of(run_mode mode) {
  constexpr std::array<std::string_view, 3> names{"ask", "plan", "agent"};
  return names[static_cast<std::size_t>(mode)];
}

std::optional<run_mode> run_mode_named(std::string_view name) {
  for (const auto mode : {run_mode::ask, run_mode::plan, run_mode::agent}) {
    if (name == name_of(mode)) return mode;
  }
  return std::nullopt;
}

std::string_view mode_hint(run_mode mode) {
  switch (mode) {
    case run_mode::plan:
      return plan_hint;
    case run_mode::agent:
      return agent_hint;
    case run_mode::ask:
      break;
  }
  return {};
}

std::string assemble_prompt(const prompt_layers& layers) {
  std::string prompt;
  for (const std::string_view layer :
       {layers.identity, layers.user_rules, layers.skill, layers.mode_hint, layers.memory, layers.context}) {
    const std::string_view text = trim_blanks(layer);
    if (text.empty()) continue;
    if (!prompt.empty()) prompt += "\n\n";
    prompt += text;
  }
  return prompt;
}

bool is_whole_identity(std::string_view text) {
  for (const std::string_view name :
       {"identity", "writing_awareness", "role_fluidity", "behavior", "context_awareness"}) {
    const auto inside = block(text, name);
    if (!inside || is_blank_text(*inside)) return false;
    const auto names_role = [&](std::string_view role) {
      return inside->find(role) != std::string_view::npos;
    };
    if (name == "role_fluidity" && !std::ranges::all_of(roles, names_role)) return false;
  }
  return true;
}

}  // namespace tidegate::policy
