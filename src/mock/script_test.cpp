// Scripts in both forms: what they mean, and that every mistake is named with its place.
#include "mock/script.h"

#include <gtest/gtest.h>

namespace tidegate::mock {
namespace {

std::expected<std::string, std::string> no_file(const std::string& path) {
  return std::unexpected{"no " + path};
}
std::expected<std::string, std::string> one_file(const std::string&) {
  return R"({"response":{"status":200,"headers":[["content-type","text/event-stream"]],"body":"data: 1\n\n"}})";
}

std::string error_of(std::string_view text) {
  const auto change = read_change(*json::parse(text), no_file);
  return change ? std::string{} : change.error().text();
}

std::string toml_error_of(std::string_view text) {
  const auto change = read_script(text, no_file);
  if (change) return {};
  return std::to_string(change.error().where.line) + ":" + std::to_string(change.error().where.column) +
         ": " + change.error().message;
}

TEST(script, says_which_field_is_wrong) {
  EXPECT_EQ(error_of(R"({"steps":[{"behavior":"nap"}]})").substr(0, 33), "steps[0].behavior: must be one of");
  EXPECT_EQ(error_of(R"({"steps":[{}]})"), "steps[0]: needs a \"behavior\"");
  EXPECT_EQ(error_of(R"({"behavior":"status","status":700})"),
            "status: must be a whole number from 0 to 599");
  EXPECT_EQ(error_of(R"({"behavior":"ok","headers":{"a\r\nb":"c"}})"), "headers.a\r\nb: is no header");
  EXPECT_EQ(error_of(R"({"behavior":"ok","headers":{"Content-Length":"1"}})").substr(0, 23),
            "headers.Content-Length:");
  EXPECT_EQ(error_of(R"({"behavior":"slow"})"), "slow needs bytes_per_second");
  EXPECT_EQ(error_of(R"({"behavior":"replay","file":"x"})"), "file: cannot be read: no x");
  EXPECT_EQ(error_of(R"({"behavior":"replay"})"), "replay needs a file");
  EXPECT_EQ(error_of(R"({"behavior":"ok","events":1000000,"chunk_bytes":1000000})"),
            "asks for more than 256 MiB");
  EXPECT_EQ(error_of(R"({"default":{"behavior":"refuse"}})"), "default: refuse cannot be the default");
  EXPECT_EQ(error_of(R"({"behavior":"ok","match":{"colour":"red"}})"), "match.colour: is not known here");
  EXPECT_EQ(error_of(R"({"behavior":"ok","tool_calls":[{"arguments":{}}]})"), "tool_calls[0]: needs a name");
  EXPECT_EQ(error_of("3"), "must be an object");
}

TEST(script, toml_and_json_mean_the_same) {
  constexpr std::string_view toml = R"(
[[step]]
behavior = "status"
status = 503
count = 2
headers = { retry-after = "7" }

[[step]]
behavior = "replay"
file = "a.json"
split = "byte"
match = { model = "m", header = { x = "y" } }

[default]
behavior = "delay"
delay_ms = 20
)";
  const auto change = read_script(toml, one_file);
  ASSERT_TRUE(change.has_value()) << change.error().message;
  EXPECT_TRUE(change->replace_steps);
  ASSERT_EQ(change->steps.size(), 2U);
  EXPECT_EQ(change->steps[0].does->status, 503);
  EXPECT_EQ(change->steps[0].count, 2U);
  EXPECT_EQ(change->steps[0].does->headers.at(0).value, "7");
  EXPECT_EQ(change->steps[1].does->split, split_mode::byte);
  EXPECT_TRUE(change->steps[1].does->replay->event_stream);
  EXPECT_EQ(change->steps[1].match.model, "m");
  EXPECT_EQ(change->steps[1].match.headers.at(0).name, "x");
  ASSERT_NE(change->fallback, nullptr);
  EXPECT_EQ(change->fallback->delay, milliseconds{20});
}

TEST(script, toml_mistakes_have_a_line_and_a_column) {
  EXPECT_EQ(toml_error_of("[[step]]\nbehavior = \"ok\"\n[[step]]\nbehavior = \"status\"\n  status = 1000\n"),
            "5:3: step[1].status: must be a whole number from 0 to 599");
  EXPECT_EQ(toml_error_of("[default]\nbehavior = \"ok\"\nnap = 1\n"), "3:1: default.nap: is not known here");
  EXPECT_EQ(toml_error_of("[default\n").substr(0, 2), "1:");
  EXPECT_EQ(toml_error_of("[[step]]\nbehavior = 1979-05-27\n").substr(0, 4), "1:1:");
}

TEST(script, demo_behaviors_have_the_names_of_nfr_5) {
  EXPECT_EQ(demo_behavior("success")->kind, behavior_kind::ok);
  EXPECT_EQ(demo_behavior("delay")->delay, milliseconds{600});
  EXPECT_EQ(demo_behavior("timeout")->kind, behavior_kind::hang);
  EXPECT_EQ(demo_behavior("upstream-error")->status, 502);
  EXPECT_EQ(demo_behavior("success")->interval, milliseconds{40});
  EXPECT_FALSE(demo_behavior("").has_value());
}

}  // namespace
}  // namespace tidegate::mock
