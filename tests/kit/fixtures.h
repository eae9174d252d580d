// Finding and reading the shared corpus of real inputs. Header only; tests that use it still run cases of
// their own where the corpus is missing.
#pragma once

#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate::kit {

// The corpus folder: $TIDEGATE_FIXTURES, else ../shared/fixtures beside the source tree; nothing where it is
// missing.
inline std::optional<std::filesystem::path> fixtures_root() {
  std::filesystem::path root;
  if (const char* set = std::getenv("TIDEGATE_FIXTURES"); set != nullptr && *set != '\0') {
    root = set;
  } else {
#ifdef TIDEGATE_SOURCE_DIR
    root = std::filesystem::path{TIDEGATE_SOURCE_DIR}.parent_path() / "shared" / "fixtures";
#endif
  }
  std::error_code ignored;
  if (root.empty() || !std::filesystem::is_directory(root, ignored)) return std::nullopt;
  return root;
}

inline std::optional<std::string> read_file(const std::filesystem::path& path) {
  std::ifstream in{path, std::ios::binary};
  if (!in) return std::nullopt;
  return std::string{std::istreambuf_iterator<char>{in}, std::istreambuf_iterator<char>{}};
}

// A corpus file by its path below the corpus folder.
inline std::optional<std::string> read_fixture(std::string_view relative) {
  const std::optional<std::filesystem::path> root = fixtures_root();
  return root ? read_file(*root / relative) : std::nullopt;
}

// Regular files below a corpus folder, sorted, optionally of one extension (".json").
inline std::vector<std::filesystem::path> list_fixtures(std::string_view folder,
                                                        std::string_view extension = {}) {
  std::vector<std::filesystem::path> found;
  const std::optional<std::filesystem::path> root = fixtures_root();
  std::error_code ignored;
  if (!root || !std::filesystem::is_directory(*root / folder, ignored)) return found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator{*root / folder}) {
    if (entry.is_regular_file() && (extension.empty() || entry.path().extension() == extension)) {
      found.push_back(entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

// RFC 4648 4 with padding; nothing for anything else.
inline std::optional<std::string> decode_base64(std::string_view text) {
  static constexpr std::string_view alphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && text.ends_with('=')) {
    text.remove_suffix(1);
    ++padding;
  }
  std::string out;
  std::uint32_t bits = 0;
  unsigned int held = 0;
  for (const char c : text) {
    const std::size_t value = alphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      out += static_cast<char>(bits >> held & 0xffU);
    }
  }
  return out;
}

// One document of a JSON or JSONL file; the parser behind it lives as long as the holder.
class json_lines {
 public:
  explicit json_lines(std::string_view text) {
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      const std::string_view line = text.substr(0, end);
      if (line.find_first_not_of(" \t\r") != std::string_view::npos) lines_.emplace_back(line);
      if (end == std::string_view::npos) break;
      text.remove_prefix(end + 1);
    }
  }

  std::size_t size() const { return lines_.size(); }

  // Calls each(element) for every line that parses; returns how many did not.
  template <class Each>
  std::size_t for_each(Each&& each) {
    std::size_t bad = 0;
    simdjson::dom::parser parser;
    for (const std::string& line : lines_) {
      simdjson::dom::element element;
      if (parser.parse(line).get(element) != simdjson::SUCCESS) {
        ++bad;
        continue;
      }
      each(element);
    }
    return bad;
  }

 private:
  std::vector<std::string> lines_;
};

// A string member, empty where it is missing or of another kind.
inline std::string text_of(simdjson::dom::element element, std::string_view key) {
  std::string_view value;
  if (element[key].get(value) != simdjson::SUCCESS) return {};
  return std::string{value};
}

// A member in base64, decoded; empty where it is missing or malformed.
inline std::string bytes_of(simdjson::dom::element element, std::string_view key) {
  return decode_base64(text_of(element, key)).value_or(std::string{});
}

// "name: passed/total", one line a corpus, for the record of a run.
inline void report(std::string_view name, std::size_t passed, std::size_t total) {
  std::printf("%.*s: %zu/%zu\n", static_cast<int>(name.size()), name.data(), passed, total);
}

}  // namespace tidegate::kit
