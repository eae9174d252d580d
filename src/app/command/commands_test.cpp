#include "app/command/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <sstream>

#include "app/command/table.h"
#include "app/configuration_text.h"
#include "app/process.h"
#include "protocol/json/json.h"

namespace tidegate::app::command {
namespace {

using testing::HasSubstr;
using testing::Not;

struct captured {
  int code = 0;
  std::string out;
  std::string err;
};

template <typename Run>
captured capture(Run run, environment env = {}) {
  std::ostringstream out;
  std::ostringstream err;
  console terminal{out, err, false, std::move(env), read_system_file};
  const int code = run(terminal);
  return {code, out.str(), err.str()};
}

captured check(std::string text, bool json = false, environment env = {}) {
  std::ostringstream out;
  std::ostringstream err;
  const file_reader read = [&](const std::string& path) -> std::expected<std::string, std::string> {
    if (path == "c.toml") return text;
    return std::unexpected{std::string{file_not_found}};
  };
  console terminal{out, err, false, std::move(env), read};
  const int code = run_check({"c.toml", json}, terminal);
  return {code, out.str(), err.str()};
}

class temporary_folder {
 public:
  temporary_folder() : path_{testing::TempDir() + "tidegate-init-XXXXXX"} {
    if (::mkdtemp(path_.data()) == nullptr) ADD_FAILURE() << "no temporary folder";
  }
  ~temporary_folder() { std::filesystem::remove_all(path_); }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

constexpr const char* example = R"(
[[provider]]
name = "openai"
kind = "openai"
api_key = "env:OPENAI_API_KEY"
[[provider]]
name = "local"
kind = "openai-compatible"
base_url = "http://127.0.0.1:9"
[[route]]
model = "gpt-*"
targets = [{ provider = "openai" }, { provider = "local", model = "llama" }]
[policy.bulk]
requests_per_minute = 7
)";

TEST(init_command, writes_a_configuration_that_loads) {
  const temporary_folder folder;
  const std::string dir = folder.path() + "/new/place";
  const auto first = capture([&](console& terminal) { return run_init({dir, false}, terminal); });
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(first.out, "wrote " + dir + "/tidegate.toml\n");
  const auto written = read_system_file(dir + "/tidegate.toml");
  ASSERT_TRUE(written);
  EXPECT_EQ(*written, sample_configuration());
  const auto checked =
      capture([&](console& terminal) { return run_check({dir + "/tidegate.toml", false}, terminal); });
  EXPECT_EQ(checked.code, 0) << checked.err;
}

TEST(init_command, never_overwrites) {
  const temporary_folder folder;
  const auto run = [&](console& terminal) { return run_init({folder.path(), false}, terminal); };
  EXPECT_EQ(capture(run).code, 0);
  const auto second = capture(run);
  EXPECT_EQ(second.code, 1);
  EXPECT_THAT(second.err, HasSubstr("exists already"));
  const auto blocked = capture(
      [&](console& terminal) { return run_init({folder.path() + "/tidegate.toml/x", false}, terminal); });
  EXPECT_EQ(blocked.code, 1);
}

TEST(init_command, prints_the_reference) {
  const auto printed = capture([](console& terminal) { return run_init({".", true}, terminal); });
  EXPECT_EQ(printed.code, 0);
  EXPECT_EQ(printed.out, configuration_reference());
}

TEST(check_command, shows_what_a_configuration_means) {
  const auto shown = check(example, false, {{"OPENAI_API_KEY", "sk-verysecret"}});
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("configuration: c.toml\n"));
  EXPECT_THAT(shown.out, HasSubstr("https://api.openai.com  env:OPENAI_API_KEY (set)"));
  EXPECT_THAT(shown.out, HasSubstr("openai (caller's model), then local llama"));
  EXPECT_THAT(shown.out,
              HasSubstr("SETTING                bulk      default\n  requests_per_minute    7         60\n"));
  EXPECT_THAT(shown.out, HasSubstr("warnings\n  none\n"));
  EXPECT_THAT(shown.out, Not(HasSubstr("verysecret")));
  EXPECT_THAT(shown.out, Not(HasSubstr("\033")));
}

TEST(check_command, prints_valid_json) {
  const auto shown = check(example, true);
  EXPECT_EQ(shown.code, 0);
  const auto json = protocol::json::parse(shown.out);  // a view of it
  ASSERT_TRUE(json) << shown.out;
  EXPECT_EQ(json->find("ok")->as_bool(), true);
  EXPECT_EQ(json->path({"policies", "bulk", "requests_per_minute"})->as_int(), 7);
  EXPECT_THAT(json->find("warnings")->raw(), HasSubstr("ai_credential_absent"));
  EXPECT_THAT(json->find("providers")->raw(), HasSubstr(R"("credential":"not set")"));
  EXPECT_THAT(json->find("routes")->raw(), HasSubstr(R"("targets":[{"provider":"openai","model":"*"})"));
}

TEST(check_command, errors_go_to_standard_error_with_code_2) {
  const auto shown = check("[server]\nthreads = 999\nzebra = 1\n");
  EXPECT_EQ(shown.code, 2);
  EXPECT_EQ(shown.out, "");
  EXPECT_EQ(shown.err,
            "c.toml:2:11: threads: out of range, expected 0–256\n"
            "c.toml:3:1: unknown key \"zebra\"\n");
  const auto json = check("[server]\nthreads = 999\n", true);
  EXPECT_EQ(json.code, 2);
  EXPECT_THAT(json.out, HasSubstr(R"({"ok":false,"errors":[{"file":"c.toml","line":2,"column":11,)"));
}

TEST(check_command, a_missing_file_is_named) {
  const auto shown =
      capture([](console& terminal) { return run_check({"/nonexistent/t.toml", false}, terminal); });
  EXPECT_EQ(shown.code, 2);
  EXPECT_EQ(shown.err, "/nonexistent/t.toml: no such file\n");
}

TEST(check_command, warns_about_what_only_serve_would_refuse) {
  const auto shown = check("[server]\nlisten = \"0.0.0.0:8787\"\n");
  EXPECT_EQ(shown.code, 0);
  EXPECT_THAT(shown.out, HasSubstr("listener_needs_key"));
  EXPECT_THAT(shown.out, HasSubstr("ai_not_configured"));
}

TEST(terminal, names_that_callers_chose_do_not_move_it) {
  std::ostringstream out;
  print_table(out, {{"BUDGET", "SETTLED"},
                    {"session:k/\x1b[2J\xc2\x9bx\x1f"
                     "y",
                     "1"}});
  EXPECT_THAT(out.str(), Not(HasSubstr("\x1b")));
  EXPECT_THAT(out.str(), Not(HasSubstr("\xc2\x9b")));
  EXPECT_THAT(out.str(), Not(HasSubstr("\x1f")));
  EXPECT_THAT(out.str(), HasSubstr("session:k/"));
}

TEST(terminal, colours_are_for_terminals) {
  EXPECT_FALSE(wants_colour(-1, {}));
  EXPECT_FALSE(wants_colour(1, {{"NO_COLOR", "1"}}));
}

}  // namespace
}  // namespace tidegate::app::command
