#include "app/chat/input.h"

#include <algorithm>
#include <utility>

#include "foundation/text.h"

namespace tidegate::app::chat {
namespace {

std::string number_wanted() {
  return "/candidates takes a number from 1 to " + std::to_string(candidates_max);
}

input read_candidates(std::string_view rest) {
  if (rest.empty()) return {order::candidates, {}, 0};
  const auto n = foundation::parse_u64(rest);
  if (!n || *n < 1 || *n > candidates_max) return {order::wrong, number_wanted(), 0};
  return {order::candidates, {}, static_cast<int>(*n)};
}

}  // namespace

input read_input(std::string_view line) {
  line = foundation::trim(line);
  if (line.empty()) return {};
  if (!line.starts_with('/')) return {order::ask, std::string{line}, 0};
  if (line.starts_with("//")) return {order::ask, std::string{line.substr(1)}, 0};
  const std::size_t blank = std::min(line.find_first_of(" \t"), line.size());
  const std::string_view word = line.substr(0, blank);
  const std::string_view rest = foundation::trim(line.substr(blank));
  if (word == "/model") return {order::model, std::string{rest}, 0};
  if (word == "/candidates") return read_candidates(rest);
  for (const auto& [name, what] : {std::pair{"/help", order::help}, std::pair{"/new", order::fresh},
                                   std::pair{"/history", order::history},
                                   std::pair{"/archive", order::archive}, std::pair{"/quit", order::quit}}) {
    if (word == name && rest.empty()) return {what, {}, 0};
    if (word == name) return {order::wrong, std::string{name} + " takes nothing behind it", 0};
  }
  return {order::wrong, std::string{word} + " is no command; /help shows them all", 0};
}

std::string_view help_text() {
  return "/new            begin another conversation\n"
         "/history        show this conversation\n"
         "/archive        close this conversation; the next question begins another\n"
         "/model M        ask model M from now on; without M, the gateway chooses\n"
         "/candidates N   ask for N answers, 1 to 5, to choose from\n"
         "/quit           leave; so does Ctrl-D\n"
         "//text          a question that begins with a slash\n"
         "Ctrl-C          cancel the answer that is being given\n";
}

int read_choice(std::string_view line, int count) {
  line = foundation::trim(line);
  if (line.empty()) return 1;
  const auto n = foundation::parse_u64(line);
  return n && *n >= 1 && *n <= static_cast<std::uint64_t>(count) ? static_cast<int>(*n) : 0;
}

}  // namespace tidegate::app::chat
