// A line that was typed: a question, or one of the client's own commands.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tidegate::app::chat {

inline constexpr int candidates_max = 5;

enum class order : std::uint8_t {
  nothing,  // a blank line
  ask,
  help,
  fresh,  // /new
  history,
  archive,
  model,
  candidates,
  quit,
  wrong,  // `text` says what is wrong with it
};

struct input {
  order what = order::nothing;
  std::string text;  // the question or the model's name
  int count = 0;     // candidates; 0: tell how many are asked for
};

// A question that begins with a slash is typed with two of them.
input read_input(std::string_view line);
std::string_view help_text();

// "2" of 3 -> 2; a blank line is the first; 0 for anything else.
int read_choice(std::string_view line, int count);

}  // namespace tidegate::app::chat
