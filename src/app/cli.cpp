#include "app/cli.h"

#include <algorithm>
#include <sstream>
#include <tuple>
#include <utility>

#include <CLI/CLI.hpp>

#include "app/configuration_values.h"

namespace tidegate::app {

namespace {

std::string check_listen(const std::string& text) {
  return parse_listen(text) ? std::string{} : "expected host:port or unix:/path";
}

void add_config_option(CLI::App& app, std::optional<std::string>& config) {
  app.add_option("--config", config, "Configuration file; else $TIDEGATE_CONFIG, else ./tidegate.toml")
      ->type_name("FILE");
}

void add_serve(CLI::App& app, command::serve_options& options) {
  CLI::App* serve = app.add_subcommand("serve", "Run the gateway until SIGTERM or SIGINT, then drain");
  add_config_option(*serve, options.config);
  serve->add_option("--listen", options.listen, "Data listener")->type_name("ADDR:PORT");
  serve->add_option("--admin-listen", options.admin_listen, "Admin listener; \"\" turns it off")
      ->type_name("ADDR:PORT");
  serve->add_option("--data", options.data, "Data directory")->type_name("DIR");
  serve->add_flag("--mock", options.mock, "Serve every model from the built-in scripted provider");
}

void add_init(CLI::App& app, command::init_options& options) {
  CLI::App* init = app.add_subcommand("init", "Write a commented tidegate.toml");
  init->add_option("dir", options.dir, "Directory, made if it is missing")
      ->type_name("DIR")
      ->capture_default_str();
  // For the maintainers of docs/CONFIGURATION.md; an empty group keeps it out of the help.
  init->add_flag("--markdown", options.markdown, "Print the configuration reference")->group("");
}

void add_check(CLI::App& app, command::check_options& options) {
  CLI::App* check = app.add_subcommand("check", "Validate the configuration and show what it means");
  add_config_option(*check, options.config);
  check->add_flag("--json", options.json, "Print JSON");
}

void add_mock(CLI::App& app, command::mock_options& options) {
  CLI::App* mock = app.add_subcommand("mock", "Run a scripted provider that speaks OpenAI and Anthropic");
  mock->add_option("--listen", options.listen, "Where to listen")
      ->type_name("ADDR:PORT")
      ->capture_default_str()
      ->check(check_listen);
  mock->add_option("--script", options.script, "TOML file with what the next calls do")->type_name("FILE");
}

struct load_texts {
  std::string duration = "10s";
  std::string body_bytes = "1KiB";
};

void add_load(CLI::App& app, command::load_options& options, load_texts& texts) {
  CLI::App* load = app.add_subcommand("load", "Put load on a gateway and report latencies");
  load->add_option("--url", options.url, "Where to send, e.g. http://127.0.0.1:8787/v1/chat/completions")
      ->required()
      ->type_name("URL");
  CLI::Option* rate =
      load->add_option("--rate", options.rate, "Calls per second, sent whether or not answers come")
          ->type_name("R")
          ->check(CLI::Range(0.001, 1e6));
  load->add_option("--connections", options.connections, "Callers that each wait for their answer")
      ->type_name("C")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000))
      ->excludes(rate);
  load->add_option("--duration", texts.duration, "How long")->type_name("D")->capture_default_str();
  load->add_flag("--stream", options.stream, "Ask for streamed answers");
  load->add_option("--body-bytes", texts.body_bytes, "Size of each request body")
      ->type_name("B")
      ->capture_default_str();
  load->add_option("--model", options.model, "Model to ask for")->type_name("M")->capture_default_str();
  CLI::Option* trace = load->add_option("--trace", options.trace,
                                        "Replay arrivals: TIMESTAMP,ContextTokens,GeneratedTokens a line")
                           ->type_name("FILE")
                           ->excludes(rate);
  load->add_option("--speed", options.speed, "Replay so many times as fast")
      ->type_name("X")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 1e6))
      ->needs(trace);
  load->add_flag("--json", options.json, "Print JSON");
}

void add_place(CLI::App& app, command::desk_place& place) {
  add_config_option(app, place.config);
  app.add_option("--data", place.data, "Data directory")->type_name("DIR");
}

CLI::App* add_key_action(CLI::App& keys, command::key_options& options, command::key_action action,
                         const char* name, const char* help) {
  CLI::App* sub = keys.add_subcommand(name, help);
  add_place(*sub, options.place);
  sub->add_flag("--json", options.json, "Print JSON");
  sub->callback([&options, action] { options.action = action; });
  return sub;
}

void add_key(CLI::App& app, command::key_options& options) {
  using command::key_action;
  CLI::App* keys = app.add_subcommand("key", "Make, list, revoke and rotate client keys");
  keys->require_subcommand(1);
  CLI::App* create = add_key_action(*keys, options, key_action::create, "create",
                                    "Make a client key and print it, this once");
  create->add_option("--name", options.name, "What the key is called")->required()->type_name("N");
  create->add_option("--policy", options.policy, "Its limits and budgets")
      ->type_name("P")
      ->capture_default_str();
  create->add_option("--project", options.projects, "A project it may use; all where none is named")
      ->type_name("X")
      ->allow_extra_args(false);
  create->add_option("--channel", options.channels, "A channel it may call; all where none is named")
      ->type_name("C")
      ->allow_extra_args(false);
  create->add_option("--role", options.role, "What it may do")
      ->type_name("ROLE")
      ->capture_default_str()
      ->check(CLI::IsMember({"client", "admin"}));
  add_key_action(*keys, options, key_action::list, "list", "Show all client keys");
  add_key_action(*keys, options, key_action::revoke, "revoke", "End a client key for good")
      ->add_option("id", options.id, "The key's id")
      ->required()
      ->type_name("ID");
  add_key_action(*keys, options, key_action::rotate, "rotate",
                 "Give a client a new key under the same id; the old one ends at once")
      ->add_option("id", options.id, "The key's id")
      ->required()
      ->type_name("ID");
}

CLI::App* add_secret_action(CLI::App& secrets, command::secret_options& options,
                            command::secret_action action, const char* name, const char* help) {
  CLI::App* sub = secrets.add_subcommand(name, help);
  add_place(*sub, options.place);
  sub->callback([&options, action] { options.action = action; });
  return sub;
}

void add_secret(CLI::App& app, command::secret_options& options) {
  using command::secret_action;
  CLI::App* secrets = app.add_subcommand("secret", "Keep provider credentials, sealed");
  secrets->require_subcommand(1);
  add_secret_action(
      *secrets, options, secret_action::set, "set",
      "Read a credential from the terminal or standard input and seal it; an empty one removes it")
      ->add_option("name", options.name, "The name behind secret: in the configuration")
      ->required()
      ->type_name("NAME");
  add_secret_action(*secrets, options, secret_action::list, "list", "Show the names of all secrets")
      ->add_flag("--json", options.json, "Print JSON");
  add_secret_action(*secrets, options, secret_action::remove, "remove", "Remove a secret")
      ->add_option("name", options.name, "Which")
      ->required()
      ->type_name("NAME");
}

CLI::App* add_audit_act(CLI::App& audit, command::audit_options& options, command::audit_act act,
                        const char* name, const char* help) {
  CLI::App* sub = audit.add_subcommand(name, help);
  add_place(*sub, options.place);
  sub->callback([&options, act] { options.act = act; });
  return sub;
}

void add_audit(CLI::App& app, command::audit_options& options, std::string& format) {
  using command::audit_act;
  constexpr const char* json_help = "Print JSON";
  CLI::App* audit = app.add_subcommand("audit", "Verify and read the journal");
  audit->require_subcommand(1);
  CLI::App* verify =
      add_audit_act(*audit, options, audit_act::verify, "verify", "Check every link, signature and count");
  verify->add_option("--checkpoint", options.checkpoint, "Checkpoints kept elsewhere, one a line")
      ->type_name("FILE");
  verify->add_flag("--json", options.json, json_help);
  CLI::App* show = add_audit_act(*audit, options, audit_act::show, "show", "Show the records of one run");
  show->add_option("id", options.id, "Trace id or run id")->required()->type_name("TRACE");
  show->add_flag("--json", options.json, json_help);
  CLI::App* tail = add_audit_act(*audit, options, audit_act::tail, "tail", "Show the newest records");
  tail->add_option("-n", options.count, "How many")->type_name("N")->capture_default_str();
  tail->add_flag("-f,--follow", options.follow, "Go on with what is written from now on");
  tail->add_flag("--json", options.json, json_help);
  CLI::App* all =
      add_audit_act(*audit, options, audit_act::export_records, "export", "Print all records as JSON lines");
  all->add_option("--since", options.since, "RFC 3339 time, date, or how long ago (\"24h\")")->type_name("T");
  all->add_option("--format", format, "Output format")
      ->type_name("FORMAT")
      ->capture_default_str()
      ->check(CLI::IsMember({"jsonl"}));
}

void add_contract(CLI::App& app, command::contract_options& options) {
  using command::contract_act;
  CLI::App* contract =
      app.add_subcommand("contract", "The session surface as OpenAPI, JSON Schemas and a TypeScript client");
  contract->require_subcommand(1);
  for (const auto& [act, name, help] :
       {std::tuple{contract_act::generate, "generate", "Write the contract's folder"},
        std::tuple{contract_act::check, "check", "Compare the folder with what would be written"}}) {
    CLI::App* sub = contract->add_subcommand(name, help);
    sub->add_option("--dir", options.dir, "The folder")->type_name("DIR")->capture_default_str();
    sub->callback([&options, chosen = act] { options.act = chosen; });
  }
}

void add_status(CLI::App& app, command::status_options& options) {
  CLI::App* status = app.add_subcommand("status", "Show a running gateway's providers, budgets and rates");
  add_place(*status, options.place);
  status->add_flag("--watch", options.watch, "Again every second");
  status->add_flag("--json", options.json, "Print JSON");
}

void add_chat(CLI::App& app, command::chat_options& options) {
  CLI::App* chat = app.add_subcommand("chat", "Talk through a running gateway");
  add_config_option(*chat, options.config);
  chat->add_option("--url", options.url, "The gateway; else the configuration's listener")->type_name("URL");
  chat->add_option("--key", options.key, "Client key; else $TIDEGATE_KEY")->type_name("KEY");
  chat->add_option("--model", options.model, "Model to ask; else the gateway chooses")->type_name("M");
  chat->add_option("--session", options.session, "Conversation to go on with; else the project's current one")
      ->type_name("S");
  chat->add_option("--project", options.project, "Where conversations are kept")
      ->type_name("P")
      ->capture_default_str();
  chat->add_option("--candidates", options.candidates, "Answers to choose from")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::Range(1, 5));
  chat->add_flag("--no-color", options.no_colour, "Without colours");
}

std::unexpected<cli_exit> wrong_usage(std::string text) {
  return std::unexpected{cli_exit{2, std::move(text) + "\nRun with --help for more information.\n"}};
}

// What CLI11 has no types for.
std::expected<command_line, cli_exit> finish_load(command::load_options options, const load_texts& texts) {
  const auto duration = parse_duration(texts.duration);
  if (!duration || duration->count() == 0)
    return wrong_usage("--duration: expected a duration such as \"30s\"");
  options.duration = *duration;
  const bool plain = texts.body_bytes.find_first_not_of("0123456789") == std::string::npos;
  const auto bytes = parse_size(plain ? texts.body_bytes + "B" : texts.body_bytes);
  if (!bytes || *bytes > 256 * mebibyte) {
    return wrong_usage("--body-bytes: expected a size up to \"256MiB\" such as \"4KiB\"");
  }
  options.body_bytes = *bytes;
  return command_line{std::move(options)};
}

}  // namespace

std::expected<command_line, cli_exit> parse_command_line(std::vector<std::string> arguments) {
  CLI::App app{"A crash-safe gateway to LLM providers", "tidegate"};
  app.set_version_flag("--version", "tidegate " TIDEGATE_VERSION);
  app.require_subcommand(1);
  command::serve_options serve;
  command::init_options init;
  command::check_options check;
  command::mock_options mock;
  command::load_options load;
  command::key_options key;
  command::secret_options secret;
  command::audit_options audit;
  command::status_options status;
  command::contract_options contract;
  command::chat_options chat;
  std::string format = "jsonl";
  load_texts texts;
  add_serve(app, serve);
  add_init(app, init);
  add_check(app, check);
  add_mock(app, mock);
  add_load(app, load, texts);
  add_key(app, key);
  add_secret(app, secret);
  add_audit(app, audit, format);
  add_status(app, status);
  add_contract(app, contract);
  add_chat(app, chat);
  // CLI11 takes its arguments last first.
  std::ranges::reverse(arguments);
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& stopped) {
    std::ostringstream out;
    std::ostringstream err;
    const int code = app.exit(stopped, out, err);
    return std::unexpected{code == 0 ? cli_exit{0, out.str()} : cli_exit{2, err.str()}};
  }
  if (app.got_subcommand("serve")) return command_line{std::move(serve)};
  if (app.got_subcommand("init")) return command_line{std::move(init)};
  if (app.got_subcommand("check")) return command_line{std::move(check)};
  if (app.got_subcommand("mock")) return command_line{std::move(mock)};
  if (app.got_subcommand("key")) return command_line{std::move(key)};
  if (app.got_subcommand("secret")) return command_line{std::move(secret)};
  if (app.got_subcommand("status")) return command_line{std::move(status)};
  if (app.got_subcommand("contract")) return command_line{std::move(contract)};
  if (app.got_subcommand("chat")) return command_line{std::move(chat)};
  if (app.got_subcommand("audit")) return command_line{std::move(audit)};
  return finish_load(std::move(load), texts);
}

}  // namespace tidegate::app
