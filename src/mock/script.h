// Scripts as JSON (POST /_mock/behavior) and TOML (tidegate mock --script). Same names in both; a name nobody
// knows is an error, so that a misspelt fault never passes for a success.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mock/behavior.h"
#include "protocol/json/json.h"

namespace tidegate::mock {

namespace json = protocol::json;

struct path_part {
  std::string key;  // empty: an index
  std::size_t index = 0;
};

struct script_error {
  std::vector<path_part> path;
  std::string message;
  // "steps[1].status: must be ..."
  std::string text() const;
};

// The whole content of a file, or why it cannot be had.
using file_reader = std::function<std::expected<std::string, std::string>(const std::string& path)>;
std::expected<std::string, std::string> read_system_file(const std::string& path);
// Relative names are taken from the folder of `file`.
file_reader reader_beside(std::string_view file);

// {"steps":[…],"default":{…}} replaces what waits, {"append":[…]} adds to it, as does a single step by
// itself; an array of steps replaces.
std::expected<script_change, script_error> read_change(json::value body, const file_reader& read);

struct text_position {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};
struct script_file_error {
  text_position where;
  std::string message;
};

// [[step]] tables and [default].
std::expected<script_change, script_file_error> read_script(std::string_view toml, const file_reader& read);

// A behavior by the name that NFR-5 gives it: success, delay, timeout, upstream-error; paced like a person's
// provider, six characters every 40 ms.
std::optional<behavior> demo_behavior(std::string_view name);

}  // namespace tidegate::mock
