// Reads the Markdown files of one directory of skills. Nothing outside of it is ever opened: symbolic links,
// directories and special files in it are passed over.
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <vector>

namespace tidegate::session {

struct folder_file {
  // "polish.md"
  std::string name;
  // Nothing where it could not be read; `fault` then says why.
  std::optional<std::string> text;
  std::string fault;
  bool too_large = false;
};

struct folder_content {
  // By name (bytewise).
  std::vector<folder_file> files;
  // There were more than `files_max`: which of them are missing is undefined.
  bool cut = false;
};

// Regular files "*.md" whose name does not begin with '.', of at most `bytes_max` bytes each. The error says
// for an operator why the directory could not be read.
std::expected<folder_content, std::string> read_skill_folder(const std::string& path, std::size_t files_max,
                                                             std::size_t bytes_max);

}  // namespace tidegate::session
