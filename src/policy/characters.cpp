#include "policy/characters.h"

namespace tidegate::policy {
namespace {

constexpr std::size_t summary_characters_max = 120;
constexpr std::string_view ellipsis = "...";

// Bytes of the last character of `text`, which is not empty; a stray byte is one by itself.
std::size_t last_character_bytes(std::string_view text) {
  const std::size_t reach = text.size() < 4 ? text.size() : 4;
  for (std::size_t length = 1; length <= reach; ++length) {
    const char* const p = text.data() + text.size() - length;
    if ((static_cast<unsigned char>(*p) & 0xC0U) == 0x80U) continue;
    const auto step = foundation::step_utf8(p, text.data() + text.size());
    return step.valid && static_cast<std::size_t>(step.length) == length ? length : 1;
  }
  return 1;
}

}  // namespace

std::int64_t count_characters(std::string_view text) {
  std::int64_t count = 0;
  while (!text.empty()) {
    take_character(text);
    ++count;
  }
  return count;
}

std::string_view trim_blanks(std::string_view text) {
  while (!text.empty()) {
    std::string_view rest = text;
    if (!is_blank_character(take_character(rest))) break;
    text = rest;
  }
  while (!text.empty()) {
    const std::size_t length = last_character_bytes(text);
    std::string_view last = text.substr(text.size() - length);
    if (!is_blank_character(take_character(last))) break;
    text.remove_suffix(length);
  }
  return text;
}

bool is_blank_text(std::string_view text) {
  while (!text.empty()) {
    if (!is_blank_character(take_character(text))) return false;
  }
  return true;
}

std::string_view first_characters(std::string_view text, std::size_t count) {
  std::string_view rest = text;
  for (; count > 0 && !rest.empty(); --count) take_character(rest);
  return text.substr(0, text.size() - rest.size());
}

std::string candidate_summary(std::string_view text) {
  std::string summary;
  std::size_t characters = 0;
  std::size_t cut = 0;  // bytes of what stays when the text proves too long
  bool gap = false;
  const auto put = [&](std::string_view bytes) {
    summary += bytes;
    if (++characters == summary_characters_max - ellipsis.size()) cut = summary.size();
  };
  while (!text.empty()) {
    std::string_view rest = text;
    if (is_blank_character(take_character(rest))) {
      gap = !summary.empty();
    } else {
      if (gap) put(" ");
      gap = false;
      put(text.substr(0, text.size() - rest.size()));
      if (characters > summary_characters_max) return summary.substr(0, cut).append(ellipsis);
    }
    text = rest;
  }
  return summary;
}

}  // namespace tidegate::policy
