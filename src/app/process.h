// What the process was given: its environment and files. Everything else in app/ takes these as arguments.
#pragma once

#include <expected>
#include <string>

#include "app/configuration.h"

namespace tidegate::app {

environment current_environment();
// A file_reader: up to 4 MiB and one byte of a regular file or a pipe, so that callers can tell what is too
// long.
std::expected<std::string, std::string> read_system_file(const std::string& path);
// Whether to colour what goes to this descriptor: a terminal, and neither NO_COLOR nor TERM=dumb is set.
bool wants_colour(int descriptor, const environment& env);

}  // namespace tidegate::app
