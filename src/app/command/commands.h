// One function a command: options in, exit code out (0 done, 1 failed, 2 wrong usage or configuration).
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "app/configuration.h"

namespace tidegate::app::command {

// Where a command that only prints gets its input and leaves its output.
struct console {
  std::ostream& out;
  std::ostream& err;
  bool colour = false;
  environment env;
  file_reader read;
};

struct serve_options {
  std::optional<std::string> config;
  std::optional<std::string> listen;
  std::optional<std::string> admin_listen;
  std::optional<std::string> data;
  // Start the built-in scripted provider and route every model to it.
  bool mock = false;

  // What the command line changes, for `load_found`; the same again at every reload.
  std::vector<configuration_override> overrides() const;
};

struct init_options {
  std::string dir = ".";
  // Print docs/CONFIGURATION.md instead.
  bool markdown = false;
};

struct check_options {
  std::optional<std::string> config;
  bool json = false;
};

struct mock_options {
  std::string listen = "127.0.0.1:8789";
  std::optional<std::string> script;
};

struct load_options {
  std::string url;
  // Calls per second in an open loop; else `connections` callers in a closed one.
  std::optional<double> rate;
  std::uint64_t connections = 16;
  // Open loop: the most connections at a time.
  std::uint64_t connections_max = 4096;
  milliseconds duration{10'000};
  bool stream = false;
  std::uint64_t body_bytes = 1024;
  // CSV file of arrivals to replay (TIMESTAMP,ContextTokens,GeneratedTokens), `speed` times as fast.
  std::optional<std::string> trace;
  double speed = 1.0;
  std::string model = "gpt-bench";
  bool json = false;
};

int run_serve(const serve_options& options);
int run_mock(const mock_options& options);
int run_load(const load_options& options);
int run_init(const init_options& options, console& terminal);
int run_check(const check_options& options, console& terminal);

}  // namespace tidegate::app::command
