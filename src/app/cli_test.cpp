#include "app/cli.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidegate::app {
namespace {

using testing::HasSubstr;

template <typename Options>
Options parsed(std::vector<std::string> arguments) {
  auto line = parse_command_line(std::move(arguments));
  if (!line || !std::holds_alternative<Options>(*line)) {
    ADD_FAILURE() << (line ? "another command" : line.error().text);
    return {};
  }
  return std::get<Options>(std::move(*line));
}

int code_of(std::vector<std::string> arguments) {
  const auto line = parse_command_line(std::move(arguments));
  return line ? -1 : line.error().code;
}

TEST(cli, serve_takes_its_overrides) {
  const auto options =
      parsed<command::serve_options>({"serve", "--config", "c.toml", "--listen", "127.0.0.1:0",
                                      "--admin-listen", "", "--data", "/d", "--mock"});
  EXPECT_EQ(options.config, "c.toml");
  EXPECT_TRUE(options.mock);
  const auto overrides = options.overrides();
  ASSERT_EQ(overrides.size(), 3);
  EXPECT_EQ(overrides[0].flag, "--listen");
  EXPECT_EQ(overrides[1].value, "");
  const auto loaded = load({"t.toml", "", {}, overrides});
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->settings.server.listen, "127.0.0.1:0");
  EXPECT_EQ(loaded->settings.admin.listen, "");
  EXPECT_EQ(loaded->settings.storage.dir, "/d");
  EXPECT_TRUE(parsed<command::serve_options>({"serve"}).overrides().empty());
}

TEST(cli, init_check_and_mock) {
  EXPECT_EQ(parsed<command::init_options>({"init"}).dir, ".");
  EXPECT_EQ(parsed<command::init_options>({"init", "/etc/tidegate"}).dir, "/etc/tidegate");
  EXPECT_TRUE(parsed<command::init_options>({"init", "--markdown"}).markdown);
  EXPECT_TRUE(parsed<command::check_options>({"check", "--json"}).json);
  EXPECT_EQ(parsed<command::check_options>({"check", "--config", "c"}).config, "c");
  EXPECT_EQ(parsed<command::mock_options>({"mock", "--listen", "[::1]:0"}).listen, "[::1]:0");
  EXPECT_EQ(parsed<command::mock_options>({"mock", "--script", "s.toml"}).script, "s.toml");
}

TEST(cli, load_takes_rates_durations_and_sizes) {
  const auto open = parsed<command::load_options>({"load", "--url", "http://h/", "--rate", "250.5",
                                                   "--duration", "1m", "--body-bytes", "4KiB", "--stream"});
  EXPECT_EQ(open.rate, 250.5);
  EXPECT_EQ(open.duration, milliseconds{60'000});
  EXPECT_EQ(open.body_bytes, 4'096);
  EXPECT_TRUE(open.stream);
  const auto closed =
      parsed<command::load_options>({"load", "--url", "u", "--connections", "7", "--body-bytes", "9"});
  EXPECT_EQ(closed.connections, 7);
  EXPECT_EQ(closed.rate, std::nullopt);
  EXPECT_EQ(closed.body_bytes, 9);
}

TEST(cli, key_and_secret_take_their_actions_and_places) {
  using command::key_action;
  using command::secret_action;
  const auto create =
      parsed<command::key_options>({"key", "create", "--name", "ci", "--project", "a", "--project", "b",
                                    "--role", "admin", "--data", "d", "--json"});
  EXPECT_EQ(create.action, key_action::create);
  EXPECT_EQ(create.name, "ci");
  EXPECT_EQ(create.policy, "default");
  EXPECT_EQ(create.projects, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(create.role, "admin");
  EXPECT_EQ(create.place.data, "d");
  EXPECT_TRUE(create.json);
  const auto revoke = parsed<command::key_options>({"key", "revoke", "key_1", "--config", "c.toml"});
  EXPECT_EQ(revoke.action, key_action::revoke);
  EXPECT_EQ(revoke.id, "key_1");
  EXPECT_EQ(revoke.place.config, "c.toml");
  EXPECT_EQ(parsed<command::key_options>({"key", "rotate", "key_1"}).action, key_action::rotate);
  EXPECT_EQ(parsed<command::key_options>({"key", "list"}).action, key_action::list);
  const auto set = parsed<command::secret_options>({"secret", "set", "openai"});
  EXPECT_EQ(set.action, secret_action::set);
  EXPECT_EQ(set.name, "openai");
  EXPECT_TRUE(parsed<command::secret_options>({"secret", "list", "--json"}).json);
  EXPECT_EQ(parsed<command::secret_options>({"secret", "remove", "x"}).action, secret_action::remove);
}

TEST(cli, wrong_usage_exits_with_2) {
  EXPECT_EQ(code_of({}), 2);
  EXPECT_EQ(code_of({"sreve"}), 2);
  EXPECT_EQ(code_of({"serve", "--liste", "x"}), 2);
  EXPECT_EQ(code_of({"serve", "extra"}), 2);
  EXPECT_EQ(code_of({"serve", "--config"}), 2);
  EXPECT_EQ(code_of({"load"}), 2);
  EXPECT_EQ(code_of({"load", "--url", "u", "--rate", "0"}), 2);
  EXPECT_EQ(code_of({"load", "--url", "u", "--rate", "1", "--connections", "1"}), 2);
  EXPECT_EQ(code_of({"load", "--url", "u", "--duration", "0s"}), 2);
  EXPECT_EQ(code_of({"load", "--url", "u", "--duration", "5"}), 2);
  EXPECT_EQ(code_of({"load", "--url", "u", "--body-bytes", "1TiB"}), 2);
  EXPECT_EQ(code_of({"mock", "--listen", "nowhere"}), 2);
  EXPECT_EQ(code_of({"key"}), 2);
  EXPECT_EQ(code_of({"key", "create"}), 2);
  EXPECT_EQ(code_of({"key", "create", "--name", "ci", "--role", "root"}), 2);
  EXPECT_EQ(code_of({"key", "revoke"}), 2);
  EXPECT_EQ(code_of({"secret"}), 2);
  EXPECT_EQ(code_of({"secret", "set"}), 2);
  EXPECT_EQ(code_of({"secret", "set", "openai", "sk-on-the-command-line"}), 2);
}

TEST(cli, chat_options) {
  const auto chat =
      parsed<command::chat_options>({"chat", "--url", "http://h:1", "--key", "k", "--model", "m", "--session",
                                     "s", "--project", "p", "--candidates", "3", "--no-color"});
  EXPECT_EQ(chat.url, "http://h:1");
  EXPECT_EQ(chat.key, "k");
  EXPECT_EQ(chat.model + chat.session + chat.project, "msp");
  EXPECT_EQ(chat.candidates, 3);
  EXPECT_TRUE(chat.no_colour);
  EXPECT_EQ(parsed<command::chat_options>({"chat"}).project, "chat");
  EXPECT_FALSE(parse_command_line({"chat", "--candidates", "6"}));
}

TEST(cli, help_and_version_exit_with_0) {
  const auto help = parse_command_line({"--help"});
  ASSERT_FALSE(help);
  EXPECT_EQ(help.error().code, 0);
  for (const char* command : {"serve", "init", "check", "mock", "load", "key", "secret"}) {
    EXPECT_THAT(help.error().text, HasSubstr(command));
    EXPECT_EQ(code_of({command, "--help"}), 0) << command;
  }
  const auto version = parse_command_line({"--version"});
  ASSERT_FALSE(version);
  EXPECT_EQ(version.error().code, 0);
  EXPECT_THAT(version.error().text, HasSubstr("tidegate "));
}

}  // namespace
}  // namespace tidegate::app
