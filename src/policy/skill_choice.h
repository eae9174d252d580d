// Which skill a run means, which class of model it wants and what it must be given (PRM-2, PRM-3, RTE-1).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate::policy {

// What a skill works on. `chat` alone reads and writes history (CHAT-4).
enum class skill_input : std::uint8_t { chat, selection, document };
std::string_view name_of(skill_input input);
std::optional<skill_input> skill_input_named(std::string_view name);

enum class model_class : std::uint8_t { primary, auxiliary };
std::string_view name_of(model_class value);
std::optional<model_class> model_class_named(std::string_view name);

// RTE-1: as the skill states; where it does not, by the words in its id.
model_class class_of_skill(std::string_view id, std::optional<model_class> stated);

// The text behind the last ':', or all of it.
std::string_view leaf_of(std::string_view skill_id);

// A skill that may be chosen by what a text says. Order is rank: the pack's first.
struct choosable_skill {
  std::string_view leaf;
  std::span<const std::string> keywords;
};

// PRM-3, for a run that names no skill: the leaf id of one. `text` is what the caller wrote, `has_selection`
// whether some text was selected with it. One pass over the text whatever its size.
std::string_view choose_skill(std::string_view text, bool has_selection,
                              std::span<const choosable_skill> skills);

// What was handed to a run, for PRM-2. Views into the request.
struct skill_material {
  std::string_view input = {};
  std::string_view selection = {};
  std::string_view project_id = {};
  std::string_view document_id = {};
};

enum class material_gap : std::uint8_t { none, blank_selection, no_document };
material_gap find_gap(skill_input wants, const skill_material& given);

// The text a skill works on: the selection where there is one, else the input. PRM-5 measures outputs by it.
std::string_view subject_of(const skill_material& given);
// The user message of the run: the input, the selection, or both, told apart by tags.
std::string user_message_of(const skill_material& given);

}  // namespace tidegate::policy
