#include "session/skill_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <utility>

#include "foundation/text.h"
#include "policy/characters.h"
#include "protocol/toml/toml.h"

namespace tidegate::session {
namespace {

namespace toml = protocol::toml;

constexpr std::string_view fence = "+++";
constexpr std::size_t list_entries_max = 64;
constexpr std::size_t word_characters_max = 100;
constexpr std::size_t description_characters_max = 1'000;

struct complaint {
  std::uint32_t line = 1;
  std::string what;
};

// The two halves of a file. Lines of the front matter are counted from the file's second.
struct halves {
  std::string_view front;
  std::string_view body;
};

// Takes a line off `rest`, without its end.
std::string_view take_line(std::string_view& rest) {
  const std::size_t end = std::min(rest.find('\n'), rest.size());
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::expected<halves, complaint> split(std::string_view text) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  std::string_view rest = text;
  if (foundation::trim(take_line(rest)) != fence) {
    return std::unexpected{complaint{1, "a skill file begins with a line +++"}};
  }
  const std::string_view front = rest;
  while (!rest.empty()) {
    const std::string_view before = rest;
    if (foundation::trim(take_line(rest)) == fence) {
      return halves{front.substr(0, front.size() - before.size()), rest};
    }
  }
  return std::unexpected{complaint{1, "no second line +++ closes the front matter"}};
}

// "90s", "2 m", "1500ms", "1500" (milliseconds); nothing for other texts and for what no integer holds.
std::optional<std::chrono::milliseconds> duration_of(std::string_view text) {
  text = foundation::trim(text);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto digits = static_cast<std::size_t>(std::ranges::find_if_not(text, is_digit) - text.begin());
  const auto count = foundation::parse_u64(text.substr(0, digits));
  constexpr std::uint64_t count_max = 1'000'000'000;
  if (!count || *count > count_max) return std::nullopt;
  const std::string_view unit = foundation::trim(text.substr(digits));
  const auto n = static_cast<std::int64_t>(*count);
  if (unit.empty() || unit == "ms") return std::chrono::milliseconds{n};
  if (unit == "s") return std::chrono::seconds{n};
  if (unit == "m") return std::chrono::minutes{n};
  return std::nullopt;
}

// Reads the front matter's tree; keeps the first complaint.
class front_matter {
 public:
  std::expected<skill_definition, complaint> read(const toml::table& entries) {
    for (const toml::entry& each : entries) {
      const auto key = std::ranges::find(keys, std::string_view{each.key}, &known_key::name);
      if (key != keys.end()) (this->*key->read)(each.content);
      if (complaint_) return std::unexpected{*std::move(complaint_)};
    }
    if (skill_.name.empty()) return std::unexpected{complaint{1, "name is missing"}};
    return std::move(skill_);
  }

 private:
  using reader = void (front_matter::*)(const toml::node&);
  struct known_key {
    std::string_view name;
    reader read;
  };

  void complain(const toml::node& at, std::string what) {
    if (!complaint_) complaint_ = complaint{at.where.line + 1, std::move(what)};
  }

  // Trimmed; nothing, and a complaint, for what is no text or too long.
  std::optional<std::string> text(const toml::node& node, std::string_view key, std::size_t characters_max) {
    const auto* const value = std::get_if<std::string>(&node.value);
    if (value == nullptr) {
      complain(node, std::string{key} + " is a string, not " + std::string{toml::kind_name(node)});
      return std::nullopt;
    }
    const std::string_view trimmed = policy::trim_blanks(*value);
    if (policy::first_characters(trimmed, characters_max).size() != trimmed.size()) {
      complain(node, std::string{key} + " is longer than " + std::to_string(characters_max) + " characters");
      return std::nullopt;
    }
    return std::string{trimmed};
  }

  // Without blank entries and duplicates.
  std::vector<std::string> words(const toml::node& node, std::string_view key) {
    std::vector<std::string> all;
    const auto* const list = std::get_if<toml::array>(&node.value);
    if (list == nullptr || list->size() > list_entries_max) {
      complain(node,
               std::string{key} + " is an array of at most " + std::to_string(list_entries_max) + " strings");
      return all;
    }
    for (const toml::node& each : *list) {
      auto word = text(each, key, word_characters_max);
      if (word && !word->empty() && std::ranges::find(all, *word) == all.end())
        all.push_back(*std::move(word));
    }
    return all;
  }

  void read_name(const toml::node& node) {
    skill_.name = text(node, "name", word_characters_max).value_or("");
    if (skill_.name.empty()) complain(node, "name is blank");
  }
  void read_description(const toml::node& node) {
    skill_.description = text(node, "description", description_characters_max).value_or("");
  }
  void read_version(const toml::node& node) {
    skill_.version = text(node, "version", word_characters_max).value_or("");
  }
  void read_input(const toml::node& node) {
    const auto input = policy::skill_input_named(text(node, "input", word_characters_max).value_or(""));
    if (!input) return complain(node, "input is chat, selection or document");
    skill_.input = *input;
  }
  void read_model_class(const toml::node& node) {
    skill_.model = policy::model_class_named(text(node, "model_class", word_characters_max).value_or(""));
    if (!skill_.model) complain(node, "model_class is primary or auxiliary");
  }
  void read_timeout(const toml::node& node) {
    std::optional<std::chrono::milliseconds> timeout;
    if (const auto* const number = std::get_if<std::int64_t>(&node.value)) {
      timeout = std::chrono::milliseconds{*number};
    } else if (const auto* const words = std::get_if<std::string>(&node.value)) {
      timeout = duration_of(*words);
    }
    if (!timeout || timeout->count() <= 0) {
      return complain(node, "timeout is a duration such as \"60s\", or milliseconds, above 0");
    }
    if (*timeout > skill_timeout_max) return complain(node, "timeout is over 120,000 ms");
    skill_.timeout = timeout;
  }
  void read_depends_on(const toml::node& node) { skill_.depends_on = words(node, "dependsOn"); }
  void read_keywords(const toml::node& node) { skill_.keywords = words(node, "keywords"); }
  void read_max_ratio(const toml::node& node) {
    const auto* const whole = std::get_if<std::int64_t>(&node.value);
    const auto* const real = std::get_if<double>(&node.value);
    const double ratio = whole != nullptr ? static_cast<double>(*whole) : real != nullptr ? *real : 0;
    if (!(ratio > 0) || !std::isfinite(ratio)) return complain(node, "max_ratio is a number above 0");
    skill_.output.max_ratio = ratio;
  }
  void read_forbid(const toml::node& node) {
    for (std::string& each : words(node, "forbid")) {
      if (each == "code_fence") {
        skill_.output.forbid_code_fence = true;
      } else if (each == "html_tag") {
        skill_.output.forbid_html_tag = true;
      } else {
        skill_.output.forbidden_texts.push_back(std::move(each));
      }
    }
  }
  void read_output(const toml::node& node) {
    const auto* const rules = std::get_if<toml::table>(&node.value);
    if (rules == nullptr) return complain(node, "output is a table of max_ratio and forbid");
    for (const toml::entry& each : *rules) {
      if (each.key == "max_ratio") read_max_ratio(each.content);
      if (each.key == "forbid") read_forbid(each.content);
    }
  }

  static constexpr auto keys = std::to_array<known_key>({
      {"name", &front_matter::read_name},
      {"description", &front_matter::read_description},
      {"version", &front_matter::read_version},
      {"input", &front_matter::read_input},
      {"input_kind", &front_matter::read_input},
      {"model_class", &front_matter::read_model_class},
      {"timeout", &front_matter::read_timeout},
      {"dependsOn", &front_matter::read_depends_on},
      {"depends_on", &front_matter::read_depends_on},
      {"keywords", &front_matter::read_keywords},
      {"output", &front_matter::read_output},
      {"output_rules", &front_matter::read_output},
      {"max_ratio", &front_matter::read_max_ratio},
      {"forbid", &front_matter::read_forbid},
  });

  skill_definition skill_;
  std::optional<complaint> complaint_;
};

std::expected<skill_definition, complaint> parse(std::string_view text) {
  if (text.size() > skill_file_bytes_max) {
    return std::unexpected{
        complaint{1, "the file is larger than " + std::to_string(skill_file_bytes_max) + " bytes"}};
  }
  if (!foundation::is_utf8(text)) return std::unexpected{complaint{1, "the file is no UTF-8 text"}};
  const auto parts = split(text);
  if (!parts) return std::unexpected{parts.error()};
  const auto tree = toml::parse(parts->front);
  if (!tree) return std::unexpected{complaint{tree.error().where.line + 1, tree.error().message}};
  auto skill = front_matter{}.read(std::get<toml::table>(tree->value));
  if (!skill) return skill;
  skill->prompt = policy::trim_blanks(parts->body);
  if (skill->prompt.empty()) {
    const auto lines = std::ranges::count(text.substr(0, text.size() - parts->body.size()), '\n');
    return std::unexpected{
        complaint{static_cast<std::uint32_t>(lines) + 1, "no prompt stands below the front matter"}};
  }
  return skill;
}

}  // namespace

std::expected<skill_definition, std::string> parse_skill_file(std::string_view text,
                                                              std::string_view shown_name) {
  auto skill = parse(text);
  if (skill) return *std::move(skill);
  const complaint& what = skill.error();
  return std::unexpected{std::string{shown_name} + ':' + std::to_string(what.line) + ": " + what.what};
}

}  // namespace tidegate::session
