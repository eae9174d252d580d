// One function a command: options in, exit code out (0 done, 1 failed, 2 wrong usage or configuration).
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "app/configuration.h"

namespace tidegate::protocol::rpc {
struct contract;
}

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

enum class key_action : std::uint8_t { create, list, revoke, rotate };

// Where a command on keys or secrets finds what it changes, as serve does.
struct desk_place {
  std::optional<std::string> config;
  std::optional<std::string> data;
};

struct key_options {
  key_action action = key_action::list;
  desk_place place;
  // create
  std::string name;
  std::string policy = "default";
  std::string role = "client";
  std::vector<std::string> projects;  // none: all
  std::vector<std::string> channels;  // none: all
  // revoke, rotate
  std::string id;
  bool json = false;
};

struct status_options {
  desk_place place;
  bool watch = false;  // again every second, until the command is ended
  bool json = false;
};

enum class secret_action : std::uint8_t { set, list, remove };

struct secret_options {
  secret_action action = secret_action::list;
  desk_place place;
  std::string name;
  bool json = false;
};

enum class audit_act : std::uint8_t { verify, show, tail, export_records };

struct audit_options {
  audit_act act = audit_act::verify;
  desk_place place;
  bool json = false;
  // verify: a shipped checkpoints file, or one line of it.
  std::optional<std::string> checkpoint;
  // show: a trace id or a run id.
  std::string id;
  // tail
  std::uint64_t count = 10;
  bool follow = false;
  // export: RFC 3339 time, date, or how long ago.
  std::optional<std::string> since;
};

enum class contract_act : std::uint8_t { generate, check };

struct contract_options {
  contract_act act = contract_act::check;
  std::string dir = "contract";
};

struct chat_options {
  std::optional<std::string> config;
  // Where the gateway is; else where the configuration has it listen.
  std::optional<std::string> url;
  std::optional<std::string> key;  // else $TIDEGATE_KEY
  std::string model;               // blank: the gateway's choice
  std::string session;             // blank: the project's current conversation
  std::string project = "chat";
  int candidates = 1;
  bool no_colour = false;
};

// The secret's text: one line from a terminal, typed without echo, or all of standard input.
using secret_source = std::function<std::expected<std::string, std::string>()>;
std::expected<std::string, std::string> read_secret_from_input();

int run_serve(const serve_options& options);
int run_mock(const mock_options& options);
int run_load(const load_options& options);
int run_init(const init_options& options, console& terminal);
int run_check(const check_options& options, console& terminal);
int run_key(const key_options& options, console& terminal);
// 1 where no gateway runs on that data directory.
int run_status(const status_options& options, console& terminal);
// From standard input to standard output; 1 where the last line of a pipe came to nothing.
int run_chat(const chat_options& options, console& terminal);
int run_audit(const audit_options& options, console& terminal);
// 1 with the first difference, or with the contract's own faults.
int run_contract(const contract_options& options, console& terminal);
int run_contract(const contract_options& options, console& terminal, const protocol::rpc::contract& source);
int run_secret(const secret_options& options, console& terminal, const secret_source& read);

}  // namespace tidegate::app::command
