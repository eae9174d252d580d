// Where in a request something is wrong, as people write it: "context.userRules", "tools[0].name".
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tidegate::protocol::rpc {

// Names can be the caller's own: longer ones are cut between code points and marked "...".
inline constexpr std::size_t path_name_max = 64;
// Paths end growing here, however deep the text is.
inline constexpr std::size_t path_max = 1024;

void append_member(std::string& path, std::string_view name);
void append_index(std::string& path, std::size_t index);

// The path of the value that begins at or contains `offset`; "$" outside of any container. `text` need not be
// valid JSON behind `offset`; linear, and bounded by the depth that the text's reader allows.
std::string path_at(std::string_view text, std::size_t offset);

}  // namespace tidegate::protocol::rpc
