#include <unistd.h>

#include <csignal>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "app/cli.h"
#include "app/process.h"

namespace {

using namespace tidegate::app;

struct dispatcher {
  command::console& terminal;

  int operator()(const command::serve_options& options) const { return command::run_serve(options); }
  int operator()(const command::mock_options& options) const { return command::run_mock(options); }
  int operator()(const command::load_options& options) const { return command::run_load(options); }
  int operator()(const command::init_options& options) const { return command::run_init(options, terminal); }
  int operator()(const command::check_options& options) const {
    return command::run_check(options, terminal);
  }
  int operator()(const command::status_options& options) const {
    return command::run_status(options, terminal);
  }
  int operator()(const command::chat_options& options) const { return command::run_chat(options, terminal); }
  int operator()(const command::key_options& options) const { return command::run_key(options, terminal); }
  int operator()(const command::audit_options& options) const {
    return command::run_audit(options, terminal);
  }
  int operator()(const command::contract_options& options) const {
    return command::run_contract(options, terminal);
  }
  int operator()(const command::secret_options& options) const {
    return command::run_secret(options, terminal, command::read_secret_from_input);
  }
};

int run(std::vector<std::string> arguments) {
  const auto parsed = parse_command_line(std::move(arguments));
  if (!parsed) {
    (parsed.error().code == 0 ? std::cout : std::cerr) << parsed.error().text << std::flush;
    return parsed.error().code;
  }
  environment env = current_environment();
  const bool colour = wants_colour(STDOUT_FILENO, env);
  command::console terminal{std::cout, std::cerr, colour, std::move(env), read_system_file};
  const int code = std::visit(dispatcher{terminal}, *parsed);
  std::cout.flush();
  return code == 0 && !std::cout ? 1 : code;
}

}  // namespace

int main(int argc, char** argv) {
  // A peer or a pipe that closes is an error of that write, not the end of the process.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return run({argv + (argc > 0 ? 1 : 0), argv + argc});
  } catch (const std::exception& problem) {
    std::cerr << "tidegate: " << problem.what() << '\n';
    return 1;
  }
}
