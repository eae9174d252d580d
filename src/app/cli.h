// The command line as values. Parsing decides nothing else and runs nothing.
#pragma once

#include <expected>
#include <string>
#include <variant>
#include <vector>

#include "app/command/commands.h"

namespace tidegate::app {

using command_line =
    std::variant<command::serve_options, command::init_options, command::check_options, command::mock_options,
                 command::load_options, command::key_options, command::secret_options, command::audit_options,
                 command::status_options, command::contract_options, command::chat_options>;

// Nothing to run: help or version was asked for (code 0), or the usage was wrong (code 2).
struct cli_exit {
  int code = 0;
  // For standard output when code is 0, for standard error otherwise.
  std::string text;
};

// `arguments` without the program's name.
std::expected<command_line, cli_exit> parse_command_line(std::vector<std::string> arguments);

}  // namespace tidegate::app
