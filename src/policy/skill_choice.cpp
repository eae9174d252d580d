#include "policy/skill_choice.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "foundation/text.h"
#include "policy/characters.h"

namespace tidegate::policy {
namespace {

constexpr std::int64_t short_text_characters = 20;

template <typename Value, std::size_t Count>
std::optional<Value> value_named(const std::array<std::string_view, Count>& names, std::string_view name) {
  const auto at = std::ranges::find(names, name);
  if (at == names.end()) return std::nullopt;
  return static_cast<Value>(at - names.begin());
}

constexpr std::array<std::string_view, 3> input_names{"chat", "selection", "document"};
constexpr std::array<std::string_view, 2> class_names{"primary", "auxiliary"};
// RTE-1.
constexpr std::array<std::string_view, 8> auxiliary_words{
    "summary", "summarize", "classification", "classify", "extract", "judge", "tag", "rewrite-title"};

constexpr std::array<std::string_view, 5> negations{"not", "no", "don't", "don\u2019t", "never"};
constexpr std::array<std::string_view, 3> negations_zh{"不", "别", "勿"};

bool ends_clause(char32_t c) {
  constexpr std::u32string_view ends = U".,;:!?\n。，；：！？…";
  return ends.contains(c);
}

// Letters and digits of scripts that put blanks between words; below U+0800 lie Latin, Greek, Cyrillic, ...
bool is_word_character(char32_t c) {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  return c >= 0xC0 && c < 0x0800;
}

// Letter case of ASCII aside. A word that ends in an ASCII letter ends where the text's word does; one in a
// script without blanks ends anywhere.
bool starts_with_word(std::string_view text, std::string_view word) {
  if (!foundation::istarts_with(text, word)) return false;
  if (!is_word_character(static_cast<unsigned char>(word.back()))) return true;
  std::string_view rest = text.substr(word.size());
  return rest.empty() || !is_word_character(take_character(rest));
}

// Walks a text once and tells for each skill whether one of its keywords stands in it unnegated.
class keyword_scan {
 public:
  explicit keyword_scan(std::span<const choosable_skill> skills) : found_(skills.size(), false) {
    for (std::size_t rank = 0; rank < skills.size(); ++rank) {
      for (const std::string& word : skills[rank].keywords) {
        if (!word.empty()) by_first_[first_byte(word)].push_back({word, rank});
      }
    }
  }

  void run(std::string_view text) {
    bool inside_word = false;
    while (!text.empty()) {
      std::string_view rest = text;
      const char32_t c = take_character(rest);
      if (ends_clause(c)) negations_ = 0;
      const bool word_character = is_word_character(c);
      if (!(inside_word && word_character)) look(text);
      inside_word = word_character;
      text = rest;
    }
  }
  const std::vector<bool>& found() const { return found_; }

 private:
  struct keyword {
    std::string_view word;
    std::size_t rank;
  };
  static std::size_t first_byte(std::string_view text) {
    return static_cast<unsigned char>(foundation::lower(text.front()));
  }

  // `text` begins where a word may begin.
  void look(std::string_view text) {
    if (negations_ % 2 == 0) {
      for (const keyword& each : by_first_[first_byte(text)]) {
        if (!found_[each.rank] && starts_with_word(text, each.word)) found_[each.rank] = true;
      }
    }
    const auto opens = [text](std::string_view word) { return starts_with_word(text, word); };
    if (opens("but") || text.starts_with("但")) negations_ = 0;
    if (std::ranges::any_of(negations, opens) || std::ranges::any_of(negations_zh, opens)) ++negations_;
  }

  std::array<std::vector<keyword>, 256> by_first_;
  std::vector<bool> found_;
  std::size_t negations_ = 0;  // before here, in this clause
};

}  // namespace

std::string_view name_of(skill_input input) { return input_names[static_cast<std::size_t>(input)]; }

std::optional<skill_input> skill_input_named(std::string_view name) {
  return value_named<skill_input>(input_names, name);
}

std::string_view name_of(model_class value) { return class_names[static_cast<std::size_t>(value)]; }

std::optional<model_class> model_class_named(std::string_view name) {
  return value_named<model_class>(class_names, name);
}

model_class class_of_skill(std::string_view id, std::optional<model_class> stated) {
  if (stated) return *stated;
  const std::string lower = foundation::to_lower(id);
  const auto holds = [&lower](std::string_view word) { return lower.contains(word); };
  return std::ranges::any_of(auxiliary_words, holds) ? model_class::auxiliary : model_class::primary;
}

std::string_view leaf_of(std::string_view skill_id) {
  const std::size_t colon = skill_id.rfind(':');
  return colon == std::string_view::npos ? skill_id : skill_id.substr(colon + 1);
}

std::string_view choose_skill(std::string_view text, bool has_selection,
                              std::span<const choosable_skill> skills) {
  text = trim_blanks(text);
  if (text.empty()) return has_selection ? "polish" : "chat";
  keyword_scan scan{skills};
  scan.run(text);
  const std::vector<bool>& found = scan.found();
  if (has_selection &&
      count_characters(first_characters(text, short_text_characters)) < short_text_characters) {
    for (std::size_t rank = 0; rank < skills.size(); ++rank) {
      if (found[rank] && skills[rank].leaf == "rewrite") return skills[rank].leaf;
    }
  }
  const auto first = std::ranges::find(found, true);
  return first == found.end() ? "chat" : skills[static_cast<std::size_t>(first - found.begin())].leaf;
}

material_gap find_gap(skill_input wants, const skill_material& given) {
  if (wants == skill_input::selection && is_blank_text(subject_of(given)))
    return material_gap::blank_selection;
  if (wants == skill_input::document &&
      (is_blank_text(given.project_id) || is_blank_text(given.document_id))) {
    return material_gap::no_document;
  }
  return material_gap::none;
}

std::string_view subject_of(const skill_material& given) {
  return is_blank_text(given.selection) ? given.input : given.selection;
}

std::string user_message_of(const skill_material& given) {
  if (is_blank_text(given.selection) || given.selection == given.input) return std::string{given.input};
  if (is_blank_text(given.input)) return std::string{given.selection};
  std::string message = "<instruction>\n";
  message.append(given.input)
      .append("\n</instruction>\n\n<text>\n")
      .append(given.selection)
      .append("\n</text>");
  return message;
}

}  // namespace tidegate::policy
