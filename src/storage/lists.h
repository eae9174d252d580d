// Lists of names as one text: separated by line feeds, which no name holds.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tidegate::storage {

inline std::string join_names(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) (text += name) += '\n';
  return text;
}

inline std::vector<std::string> split_names(std::string_view text) {
  std::vector<std::string> names;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    names.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return names;
}

}  // namespace tidegate::storage
