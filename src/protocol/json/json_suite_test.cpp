// Nicolas Seriot's JSONTestSuite: y_ must be accepted, n_ refused, i_ may be either and never crash.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "protocol/json/json.h"

namespace tidegate::protocol::json {
namespace {

namespace fs = std::filesystem;

fs::path fixtures() {
  if (const char* dir = std::getenv("TIDEGATE_FIXTURES"); dir != nullptr) return dir;
  return fs::path{TIDEGATE_SOURCE_DIR} / ".." / "shared" / "fixtures";
}

std::string read_all(const fs::path& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

std::vector<fs::path> suite_files() {
  std::vector<fs::path> files;
  const fs::path dir = fixtures() / "json_suite" / "test_parsing";
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator{dir, missing}) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  return files;
}

TEST(json_suite, verdicts_match_the_public_suite) {
  const auto files = suite_files();
  if (files.empty()) GTEST_SKIP() << "no json_suite fixtures";
  std::size_t right = 0;
  std::size_t judged = 0;
  std::string free_choice;
  for (const fs::path& file : files) {
    const std::string name = file.filename().string();
    const bool accepted = validate(read_all(file)).has_value();
    if (name.starts_with("i_")) {
      free_choice += "  " + name + (accepted ? " accepted\n" : " refused\n");
      continue;
    }
    ++judged;
    const bool expected = name.starts_with("y_");
    EXPECT_EQ(accepted, expected) << name;
    if (accepted == expected) ++right;
  }
  std::printf("json_suite: %zu/%zu, free choice:\n%s", right, judged, free_choice.c_str());
}

TEST(json_suite, own_verdicts_without_fixtures) {
  using namespace std::string_view_literals;
  const std::vector<std::string_view> good{"null",
                                           " true ",
                                           "\n[]\t",
                                           "{}",
                                           "0",
                                           "-0",
                                           "-0.0e-0",
                                           "1E+2",
                                           "\"\"",
                                           "\"\\u0000\\ud800\"",
                                           "[[],{},\"\",0]",
                                           R"({"":0,"":1})",
                                           "\"\x7F\"",
                                           "\"\xF4\x8F\xBF\xBF\""};
  const std::vector<std::string_view> bad{"",
                                          " ",
                                          "nul",
                                          "nulll",
                                          "True",
                                          "[",
                                          "]",
                                          "[1,]",
                                          "[,1]",
                                          "[1 2]",
                                          "[1}",
                                          "{]",
                                          "{\"a\"}",
                                          "{\"a\":}",
                                          "{\"a\":1,}",
                                          "{a:1}",
                                          "{1:1}",
                                          "{,}",
                                          "01",
                                          "-",
                                          "-01",
                                          "+1",
                                          ".5",
                                          "1.",
                                          "1.e1",
                                          "1e",
                                          "1e+",
                                          "0x1",
                                          "1_0",
                                          "NaN",
                                          "Infinity",
                                          "-Infinity",
                                          "\"",
                                          "\"\\\"",
                                          "\"\\x\"",
                                          "\"\\u12\"",
                                          "\"\\u12G4\"",
                                          "\"\n\"",
                                          "\"\0\""sv,
                                          "1\0"sv,
                                          "1 2",
                                          "{} {}",
                                          "\xEF\xBB\xBF{}",
                                          "\"\x80\"",
                                          "\"\xC0\x80\"",
                                          "\"\xED\xA0\x80\"",
                                          "\"\xF4\x90\x80\x80\"",
                                          "\"\xE2\x82\"",
                                          "'a'",
                                          "[1]//",
                                          "/**/1",
                                          "\v1",
                                          "\xC2\xA0"
                                          "1"};
  for (const auto text : good) EXPECT_TRUE(validate(text)) << text;
  for (const auto text : bad) EXPECT_FALSE(validate(text)) << text;
}

}  // namespace
}  // namespace tidegate::protocol::json
