#include "app/credential.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidegate::app {
namespace {

using testing::HasSubstr;
using testing::Not;

std::expected<std::string, std::string> files(const std::string& path) {
  if (path == "/run/key") return "  sk-from-file\n";
  if (path == "/run/blank") return " \n";
  if (path == "/run/huge") return std::string(70'000, 'x');
  return std::unexpected{std::string{file_not_found}};
}

std::expected<std::string, credential_failure> resolve(std::string_view text) {
  const auto reference = parse_credential(text);
  if (!reference) return std::unexpected{credential_failure{{}, reference.error()}};
  return resolve_credential(*reference, {{"KEY", "sk-from-env"}, {"BLANK", " "}}, files);
}

TEST(credential, three_forms_and_none) {
  EXPECT_EQ(parse_credential("env:A")->source, credential_source::environment);
  EXPECT_EQ(parse_credential("file:/a b")->name, "/a b");
  EXPECT_EQ(parse_credential("secret:openai")->source, credential_source::secret);
  EXPECT_FALSE(parse_credential("")->configured());
  for (const char* text : {"env:A", "file:/a", "secret:s", ""})
    EXPECT_EQ(to_text(*parse_credential(text)), text);
}

// CFG-4
TEST(credential, a_literal_is_refused_and_never_repeated) {
  for (const char* text : {"sk-verysecret", "verysecret", "ENV:verysecret", " env:verysecret"}) {
    const auto reference = parse_credential(text);
    ASSERT_FALSE(reference) << text;
    EXPECT_THAT(reference.error(), Not(HasSubstr("verysecret")));
  }
  for (const char* text : {"env:", "file: ", "secret:", "env:A\nB"})
    EXPECT_FALSE(parse_credential(text)) << text;
}

TEST(credential, resolves_from_variable_and_file) {
  EXPECT_EQ(*resolve("env:KEY"), "sk-from-env");
  EXPECT_EQ(*resolve("file:/run/key"), "sk-from-file");
}

TEST(credential, absence_says_what_is_absent) {
  EXPECT_EQ(resolve("").error().problem, credential_problem::not_configured);
  EXPECT_EQ(resolve("env:NONE").error().problem, credential_problem::blank);
  EXPECT_EQ(resolve("env:NONE").error().message, "env:NONE is not set");
  EXPECT_EQ(resolve("env:BLANK").error().problem, credential_problem::blank);
  EXPECT_EQ(resolve("file:/run/blank").error().problem, credential_problem::blank);
  EXPECT_EQ(resolve("file:/run/none").error().problem, credential_problem::unreadable);
  EXPECT_EQ(resolve("file:/run/none").error().message, "file:/run/none: no such file");
  EXPECT_EQ(resolve("file:/run/huge").error().problem, credential_problem::unreadable);
  EXPECT_EQ(resolve("secret:openai").error().problem, credential_problem::no_store);
}

}  // namespace
}  // namespace tidegate::app
