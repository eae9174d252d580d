#include "protocol/rpc/json_path.h"

#include <vector>

#include "protocol/json/json.h"

namespace tidegate::protocol::rpc {

void append_member(std::string& path, std::string_view name) {
  if (path.size() >= path_max) return;
  if (!path.empty()) path += '.';
  std::size_t end = name.size();
  if (end > path_name_max) {
    end = path_name_max;
    while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0U) == 0x80U) --end;
  }
  path += name.substr(0, end);
  if (end != name.size()) path += "...";
}

void append_index(std::string& path, std::size_t index) {
  if (path.size() >= path_max) return;
  path += '[' + std::to_string(index) + ']';
}

namespace {

struct frame {
  bool object = false;
  std::size_t index = 0;
  std::string_view key = {};  // of the member that has begun, between its quotes
};

// The index behind the string that begins at `at`, or the end of the text.
std::size_t behind_string(std::string_view text, std::size_t at) {
  for (std::size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      return i + 1;
    }
  }
  return text.size();
}

std::string path_of(const std::vector<frame>& open) {
  std::string path;
  for (const frame& f : open) {
    if (!f.object) {
      append_index(path, f.index);
    } else if (!f.key.empty()) {
      append_member(path, json::unescape(f.key));
    }
  }
  return path.empty() ? "$" : path;
}

}  // namespace

std::string path_at(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  std::vector<frame> open;
  std::string_view last_string;
  for (std::size_t i = 0; i < before.size();) {
    const char c = before[i];
    if (c == '"') {
      const std::size_t end = behind_string(before, i);
      last_string = end == before.size() && before.back() != '"' ? std::string_view{}
                                                                 : before.substr(i + 1, end - i - 2);
      i = end;
      continue;
    }
    ++i;
    if (c == '{' || c == '[') {
      open.push_back({.object = c == '{'});
    } else if (open.empty()) {
      continue;
    } else if (c == '}' || c == ']') {
      open.pop_back();
    } else if (c == ',') {
      ++open.back().index;
      open.back().key = {};
    } else if (c == ':') {
      open.back().key = last_string;
    }
  }
  return path_of(open);
}

}  // namespace tidegate::protocol::rpc
