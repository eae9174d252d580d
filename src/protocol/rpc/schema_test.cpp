#include "protocol/rpc/schema.h"

#include <gtest/gtest.h>

#include <array>

#include "protocol/rpc/contract.h"
#include "protocol/rpc/contract_names.h"
#include "protocol/rpc/envelope.h"
#include "protocol/rpc/schema_samples_for_test.h"

namespace tidegate::protocol::rpc {
namespace {

constexpr std::size_t variants_max = 3;

std::string told(const std::vector<issue>& issues) { return issues_json(issues); }

const shape& request_of(std::string_view name) { return *find_channel(name)->request; }

// RPC-3, T78: for every request, reply and push, each fault at each place is found where it is.
TEST(schema, every_fault_at_every_place_is_told_with_its_path) {
  std::size_t faults = 0;
  for (const named_shape& n : all_named_shapes(session_contract())) {
    for (sample_plan plan; plan.variant < variants_max; ++plan.variant) {
      for (const planted_fault& fault : fault_lister{plan}.list(*n.type)) {
        const std::string text = sample_of(*n.type, plan, fault);
        const reading got = read(*n.type, text);
        ASSERT_FALSE(got.ok()) << n.name << ' ' << fault.issue << ' ' << text.substr(0, 2000);
        // A tag that is none of the variants' own leaves nothing else to look at; the others tell one issue.
        EXPECT_EQ(got.issues.front().path, fault.issue) << n.name << ' ' << told(got.issues);
        EXPECT_EQ(got.issues.size(), 1U) << n.name << ' ' << told(got.issues);
        ++faults;
      }
      if (n.type->kind != shape_kind::one_of) break;
    }
  }
  std::cout << "schema faults: " << faults << " found\n";
  EXPECT_GT(faults, 2000U);
}

TEST(schema, good_samples_pass_with_and_without_optional_members) {
  for (const named_shape& n : all_named_shapes(session_contract())) {
    for (std::size_t variant = 0; variant < variants_max; ++variant) {
      for (const bool optional_members : {false, true}) {
        const std::string text = sample_of(*n.type, {optional_members, variant});
        const reading got = read(*n.type, text);
        EXPECT_TRUE(got.ok()) << n.name << ' ' << told(got.issues);
      }
    }
  }
}

TEST(schema, an_issue_says_what_was_expected_and_what_came) {
  const reading got =
      read(request_of("ai:skill:run"), R"({"skillId":"s","input":5,"maxTokens":"7","mode":"x"})");
  EXPECT_EQ(
      told(got.issues),
      R"([{"path":"input","message":"expected string","expected":"string","receivedType":"number"},)"
      R"({"path":"maxTokens","message":"expected integer","expected":"integer","receivedType":"string"},)"
      R"({"path":"mode","message":"expected one of agent, plan, ask","expected":"one of agent, plan, ask",)"
      R"("receivedType":"string"}])");
}

TEST(schema, missing_members_are_told_behind_what_is_there) {
  const reading got = read(request_of("ai:chat:send"), R"({"x":1,"message":null})");
  EXPECT_EQ(
      told(got.issues),
      R"([{"path":"x","message":"unknown field","expected":"no such field","receivedType":"number"},)"
      R"({"path":"message","message":"expected string","expected":"string","receivedType":"null"},)"
      R"({"path":"projectId","message":"field is missing","expected":"string","receivedType":"missing"}])");
}

// T78: NaN is no JSON, and still its place is told.
TEST(schema, bad_json_is_told_with_the_place) {
  struct example {
    std::string_view text;
    std::string_view path;
    std::string_view received;
  };
  const std::array examples{
      example{R"({"skillId":"a","input":"b","maxTokens":NaN})", "maxTokens", "NaN"},
      example{R"({"skillId":"a","input":"b","maxTokens":-Infinity})", "maxTokens", "-Infinity"},
      example{R"({"skillId":"a","context":{"text":"\"x","projectId":nope}})", "context.projectId", "invalid"},
      example{R"({"tools":[{},{"name":"a\u0062",]})", "tools[1]", "invalid"},
      example{R"({"skillId":"a)", "skillId", "invalid"},
      example{"", "$", "invalid"},
      example{"{} x", "$", "invalid"},
      example{"{\"a\":\"\xff\"}", "a", "invalid"},
      example{R"({"":NaN})", "$", "NaN"},
  };
  for (const example& e : examples) {
    const reading got = read(request_of("ai:skill:run"), e.text);
    ASSERT_EQ(got.issues.size(), 1U) << e.text;
    EXPECT_EQ(got.issues.front().path, e.path) << e.text;
    EXPECT_EQ(got.issues.front().received_type, e.received) << e.text;
  }
}

TEST(schema, nesting_over_the_limit_is_an_issue_and_the_limit_is_not) {
  const auto nested = [](std::size_t levels) {
    return R"({"skillId":"a","input":"b","tools":[{"name":"t","description":"","parameters":{"x":)" +
           std::string(levels, '[') + std::string(levels, ']') + "}}]}";
  };
  EXPECT_TRUE(read(request_of("ai:skill:run"), nested(60)).ok());
  const reading over = read(request_of("ai:skill:run"), nested(61));
  ASSERT_EQ(over.issues.size(), 1U);
  EXPECT_TRUE(over.issues.front().path.starts_with("tools[0].parameters.x[0][0]"))
      << over.issues.front().path;
  EXPECT_EQ(over.issues.front().expected, "at most 64 levels of nesting");
}

TEST(schema, issues_and_the_names_in_them_are_bounded) {
  std::string many = "{";
  for (int i = 0; i < 1000; ++i) {
    if (i != 0) many += ',';
    many += '"' + std::string(500, 'n') + std::to_string(i) + "\":1";
  }
  many += '}';
  const reading got = read(request_of("ai:chat:list"), many);
  ASSERT_EQ(got.issues.size(), issues_max);
  EXPECT_EQ(got.issues.front().path, std::string(path_name_max, 'n') + "...");

  std::string deep;
  for (int i = 0; i < 900; ++i) deep += "{\"" + std::string(60, 'k') + "\":";
  const reading broken = read(request_of("ai:chat:list"), deep, 1024);
  ASSERT_EQ(broken.issues.size(), 1U);
  EXPECT_LE(broken.issues.front().path.size(), path_max + path_name_max + 4);
}

TEST(schema, a_name_is_cut_between_code_points) {
  std::string path;
  append_member(path, std::string(path_name_max - 1, 'a') + "é and more");
  EXPECT_EQ(path, std::string(path_name_max - 1, 'a') + "...");
}

TEST(schema, escaped_names_and_words_are_what_they_say) {
  EXPECT_TRUE(read(request_of("ai:skill:run"), R"({"skill\u0049d":"a","input":"b","mode":"\u0061sk"})").ok());
  const reading twice = read(request_of("ai:chat:list"), R"({"projectId":"a","project\u0049d":"b"})");
  ASSERT_EQ(twice.issues.size(), 1U);
  EXPECT_EQ(twice.issues.front().message, "field is given twice");
}

// JSON Schema counts code points (maxLength); an escaped surrogate pair is one.
TEST(schema, lengths_count_code_points) {
  constexpr shape three{.kind = shape_kind::string, .size_max = 3};
  for (const std::string_view good : {R"("abc")", R"("äöü")", R"("😀😀😀")", R"("\ud83d\ude00\uD83D\uDE00a")",
                                      R"("\n\\\"")", R"("\u00e4\u00e4\u00e4")", R"("\ud83da\ude00")"}) {
    EXPECT_TRUE(read(three, good).ok()) << good;
  }
  for (const std::string_view bad :
       {R"("abcd")", R"("äöüß")", R"("😀😀😀😀")", R"("\ud83d\ude00\ud83d\ude00ab")", R"("\n\\\"x")",
        R"("\ud83d\ud83d\ud83d\ud83d")"}) {
    EXPECT_FALSE(read(three, bad).ok()) << bad;
  }
}

TEST(schema, integers_pass_with_a_zero_fraction_and_within_64_bits) {
  constexpr shape integer{.kind = shape_kind::integer};
  for (const std::string_view good : {"0", "-0", "5.0", "9223372036854775807", "-9223372036854775808"}) {
    EXPECT_TRUE(read(integer, good).ok()) << good;
  }
  for (const std::string_view bad : {"5.5", "9223372036854775808", "1e999", "true", "\"5\"", "null"}) {
    EXPECT_FALSE(read(integer, bad).ok()) << bad;
  }
}

TEST(schema, an_unknown_variant_is_told_at_the_tag) {
  const shape& tool_use = *find_push("skill:tool:use")->payload;
  const reading none = read(tool_use, "{}");
  ASSERT_EQ(none.issues.size(), 1U);
  EXPECT_EQ(none.issues.front().path, "type");
  EXPECT_EQ(none.issues.front().received_type, "missing");
  const reading other = read(tool_use, R"({"type":"chunk"})");
  ASSERT_EQ(other.issues.size(), 1U);
  EXPECT_EQ(other.issues.front().expected, "one of tool-use-started, tool-use-completed, tool-use-failed");
}

// RPC-5's table says what is optional; what a handler calls INVALID_ARGUMENT must come that far.
TEST(schema, what_a_handler_is_to_judge_passes) {
  struct example {
    std::string_view channel;
    std::string_view text;
  };
  const std::array examples{
      example{"ai:skill:run",
              R"({"skillId":"","input":"","candidateCount":1.5,"timeoutMs":-1,"maxTokens":4097})"},
      example{"ai:skill:run", R"({"skillId":"","input":"","candidateCount":0,"timeoutMs":1.5})"},
      example{"ai:skill:cancel", "{}"},
      example{"ai:skill:cancel", R"({"executionId":"","runId":" "})"},
      example{"ai:chat:send", R"({"message":" ","projectId":""})"},
      example{"ai:config:update", R"({"provider":"openai"})"},
      example{"cost:budget:update", R"({"policy":{"warningThreshold":-1,"hardStopLimit":0,"enabled":true}})"},
      example{"cost:usage:list", R"({"limit":0})"},
      example{"skill:registry:toggle", R"({"enabled":true})"},
      example{"judge:quality:evaluate", R"({"projectId":"","traceId":"","text":"","contextSummary":""})"},
  };
  for (const example& e : examples) {
    const reading got = read(request_of(e.channel), e.text);
    EXPECT_TRUE(got.ok()) << e.channel << ' ' << told(got.issues);
  }
}

}  // namespace
}  // namespace tidegate::protocol::rpc
