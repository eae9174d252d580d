// What a leg sends: the output bound in the caller's own words (BUD-3, BUD-4), and what everything sent
// counts as (BUD-9).
#include "gateway/leg_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>

#include "policy/routing.h"

namespace tidegate::gateway {
namespace {

namespace json = protocol::json;
using dialect::dialect_id;
using testing::HasSubstr;

constexpr output_cap v1_reject{.max = 4096, .clamp = false, .fallback = {}};
constexpr output_cap v1_clamp{.max = 4096, .clamp = true, .fallback = {}};
constexpr output_cap session{.max = 4096, .clamp = false, .fallback = 1024};

struct asked_call {
  call request;
  read_request read;
};

// On the heap: the parts that were read point into the body.
std::unique_ptr<asked_call> ask(dialect_id speaks, std::string body) {
  auto made = std::make_unique<asked_call>();
  made->request.dialect = speaks;
  made->request.body = std::move(body);
  const auto parsed = json::parse(made->request.body);
  EXPECT_TRUE(parsed.has_value()) << made->request.body;
  made->read.body = *parsed;
  auto summary = dialect::get(speaks).summarize(*parsed);
  EXPECT_TRUE(summary.has_value()) << made->request.body;
  if (summary) made->read.summary = std::move(*summary);
  return made;
}

provider provider_of(policy::provider_kind kind, std::string field = "max_tokens") {
  provider p;
  p.name = "p";
  p.kind = kind;
  p.url = policy::parse_base_url("https://a.example").value();
  p.max_tokens_field = std::move(field);
  return p;
}

constexpr std::string_view chat_head = R"({"model":"m","messages":[{"role":"user","content":"hi"}])";
constexpr std::string_view messages_head = R"({"model":"m","messages":[{"role":"user","content":"hi"}])";
constexpr std::string_view responses_head = R"({"model":"m","input":"hi")";

std::string with(std::string_view head, std::string_view members) {
  return std::string{head} + std::string{members} + "}";
}

// The body that is sent to a target of the caller's own dialect or another one.
std::string sent(dialect_id speaks, std::string body, const output_cap& cap,
                 const provider& to = provider_of(policy::provider_kind::openai_compatible)) {
  auto asked = ask(speaks, std::move(body));
  const auto bound = effective_max_tokens(asked->read.summary, cap);
  if (!bound) return "refused: " + bound.error().message;
  const auto leg = make_leg_request(asked->request, asked->read, to, "m", *bound);
  return leg ? std::string{leg->body()} : "refused: " + leg.error().message;
}

// T126.
TEST(leg_request, t126_one_above_the_cap_is_refused_clamped_or_filled_in) {
  const std::string above = with(chat_head, R"(,"max_tokens":4097)");
  const auto refused = effective_max_tokens(ask(dialect_id::openai_chat, above)->read.summary, v1_reject);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, foundation::error_code::invalid_argument);
  EXPECT_EQ(refused.error().http_status(), 400);
  EXPECT_EQ(refused.error().param, "max_tokens");
  EXPECT_THAT(refused.error().message, HasSubstr("4097"));
  EXPECT_THAT(refused.error().message, HasSubstr("4096"));

  const std::string legal = with(chat_head, R"(,"max_tokens":4096)");
  EXPECT_EQ(sent(dialect_id::openai_chat, legal, v1_reject), legal);
  EXPECT_EQ(sent(dialect_id::openai_chat, above, v1_clamp), legal);
  EXPECT_EQ(sent(dialect_id::openai_chat, with(chat_head, ""), v1_reject), legal);
  EXPECT_EQ(sent(dialect_id::openai_chat, with(chat_head, ""), session),
            with(chat_head, R"(,"max_tokens":1024)"));
}

TEST(leg_request, each_dialect_has_its_own_name_for_the_bound) {
  EXPECT_EQ(sent(dialect_id::openai_responses, with(responses_head, ""), v1_reject,
                 provider_of(policy::provider_kind::openai)),
            with(responses_head, R"(,"max_output_tokens":4096)"));
  EXPECT_EQ(sent(dialect_id::anthropic_messages, with(messages_head, ""), v1_reject,
                 provider_of(policy::provider_kind::anthropic)),
            with(messages_head, R"(,"max_tokens":4096)"));
  EXPECT_EQ(sent(dialect_id::openai_chat, with(chat_head, ""), v1_reject,
                 provider_of(policy::provider_kind::openai, "max_completion_tokens")),
            with(chat_head, R"(,"max_completion_tokens":4096)"));
}

TEST(leg_request, the_field_that_the_caller_used_is_kept) {
  const provider compatible = provider_of(policy::provider_kind::openai_compatible, "max_tokens");
  EXPECT_EQ(sent(dialect_id::openai_chat, with(chat_head, R"(,"max_completion_tokens":9000)"), v1_clamp,
                 compatible),
            with(chat_head, R"(,"max_completion_tokens":4096)"));
}

TEST(leg_request, both_of_chats_names_obey) {
  EXPECT_EQ(sent(dialect_id::openai_chat,
                 with(chat_head, R"(,"max_tokens":9000,"max_completion_tokens":8000)"), v1_clamp),
            with(chat_head, R"(,"max_tokens":4096,"max_completion_tokens":4096)"));
  EXPECT_EQ(sent(dialect_id::openai_chat,
                 with(chat_head, R"(,"max_completion_tokens":100,"max_tokens":9000)"), v1_clamp),
            with(chat_head, R"(,"max_completion_tokens":100,"max_tokens":4096)"));
  const std::string legal = with(chat_head, R"(,"max_completion_tokens":100,"max_tokens":200)");
  EXPECT_EQ(sent(dialect_id::openai_chat, legal, v1_reject), legal);
  const auto asked =
      ask(dialect_id::openai_chat, with(chat_head, R"(,"max_completion_tokens":100,"max_tokens":9000)"));
  const auto refused = effective_max_tokens(asked->read.summary, v1_reject);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().param, "max_tokens");
}

TEST(leg_request, a_translated_leg_carries_the_bound) {
  EXPECT_THAT(sent(dialect_id::openai_chat, with(chat_head, ""), v1_reject,
                   provider_of(policy::provider_kind::anthropic)),
              HasSubstr(R"("max_tokens":4096)"));
  EXPECT_THAT(sent(dialect_id::anthropic_messages, with(messages_head, R"(,"max_tokens":9000)"), v1_clamp,
                   provider_of(policy::provider_kind::openai, "max_completion_tokens")),
              HasSubstr(R"("max_completion_tokens":4096)"));
}

TEST(leg_request, without_a_cap_the_callers_words_stay) {
  constexpr output_cap none;
  const std::string body = with(chat_head, R"(,"max_tokens":1000000)");
  EXPECT_EQ(sent(dialect_id::openai_chat, body, none), body);
  EXPECT_EQ(sent(dialect_id::openai_chat, with(chat_head, ""), none), with(chat_head, ""));
  EXPECT_EQ(effective_max_tokens(ask(dialect_id::openai_chat, with(chat_head, ""))->read.summary, none), 0);
  EXPECT_EQ(effective_max_tokens(ask(dialect_id::openai_chat, with(chat_head, ""))->read.summary,
                                 {.max = 0, .clamp = false, .fallback = 1024}),
            1024);
}

TEST(leg_request, a_fallback_never_exceeds_the_cap) {
  EXPECT_EQ(effective_max_tokens({}, {.max = 100, .clamp = false, .fallback = 1024}), 100);
}

TEST(leg_request, senseless_bounds_are_refused_by_name) {
  struct row {
    dialect_id speaks;
    std::string_view head;
    std::string_view member;
    std::string_view field;
  };
  constexpr row rows[] = {
      {dialect_id::openai_chat, chat_head, R"(,"max_tokens":0)", "max_tokens"},
      {dialect_id::openai_chat, chat_head, R"(,"max_completion_tokens":-1)", "max_completion_tokens"},
      {dialect_id::openai_chat, chat_head, R"(,"max_completion_tokens":10,"max_tokens":0)", "max_tokens"},
      {dialect_id::openai_chat, chat_head, R"(,"max_tokens":1.5)", "max_tokens"},
      {dialect_id::openai_chat, chat_head, R"(,"max_tokens":"9")", "max_tokens"},
      {dialect_id::openai_chat, chat_head, R"(,"max_tokens":99999999999999999999)", "max_tokens"},
      {dialect_id::openai_chat, chat_head, R"(,"n":0)", "n"},
      {dialect_id::openai_chat, chat_head, R"(,"n":"2")", "n"},
      {dialect_id::openai_responses, responses_head, R"(,"max_output_tokens":0)", "max_output_tokens"},
      {dialect_id::openai_responses, responses_head, R"(,"max_output_tokens":[])", "max_output_tokens"},
      {dialect_id::anthropic_messages, messages_head, R"(,"max_tokens":0)", "max_tokens"},
      {dialect_id::anthropic_messages, messages_head, R"(,"max_tokens":-7)", "max_tokens"},
      {dialect_id::anthropic_messages, messages_head, R"(,"max_tokens":2.5)", "max_tokens"},
  };
  for (const row& r : rows) {
    const std::string body = with(r.head, r.member);
    const auto summary = dialect::get(r.speaks).summarize(*json::parse(body));
    ASSERT_FALSE(summary.has_value()) << body;
    EXPECT_EQ(summary.error().param, r.field) << body;
    EXPECT_THAT(summary.error().message, HasSubstr(r.field));
  }
}

TEST(leg_request, a_null_bound_is_none) {
  EXPECT_EQ(sent(dialect_id::openai_chat, with(chat_head, R"(,"max_tokens":null)"), v1_reject),
            with(chat_head, R"(,"max_tokens":4096)"));
}

TEST(leg_request, every_choice_may_use_up_the_bound) {
  const auto asked = ask(dialect_id::openai_chat, with(chat_head, R"(,"n":3)"));
  EXPECT_EQ(projected_output(asked->read.summary, 4096), 3 * 4096);
  dialect::request_summary many;
  many.choices = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(projected_output(many, 4096), std::int64_t{1} << 60);
  EXPECT_EQ(projected_output({}, 4096), 4096);
  EXPECT_EQ(projected_output({}, 0), 0);
}

TEST(leg_request, a_clamp_that_would_break_the_thinking_budget_is_refused) {
  const auto bound_of = [](std::string_view members, const output_cap& cap) {
    return effective_max_tokens(
        ask(dialect_id::anthropic_messages, with(messages_head, members))->read.summary, cap);
  };
  const auto broken =
      bound_of(R"(,"max_tokens":16000,"thinking":{"type":"enabled","budget_tokens":8000})", v1_clamp);
  ASSERT_FALSE(broken.has_value());
  EXPECT_EQ(broken.error().http_status(), 400);
  EXPECT_EQ(broken.error().param, "thinking.budget_tokens");
  EXPECT_THAT(broken.error().message, HasSubstr("8000"));
  EXPECT_THAT(broken.error().message, HasSubstr("4096"));
  EXPECT_EQ(bound_of(R"(,"max_tokens":16000,"thinking":{"type":"enabled","budget_tokens":2000})", v1_clamp),
            4096);
  EXPECT_EQ(bound_of(R"(,"max_tokens":16000,"thinking":{"type":"disabled"})", v1_clamp), 4096);
  EXPECT_FALSE(bound_of(R"(,"thinking":{"type":"enabled","budget_tokens":2000})", session).has_value());
  // Legal with interleaved thinking; where it is not, the vendor says so.
  EXPECT_EQ(bound_of(R"(,"max_tokens":2000,"thinking":{"type":"enabled","budget_tokens":3000})", v1_reject),
            2000);
}

std::int64_t estimate(dialect_id speaks, std::string body, endpoint what = endpoint::generate) {
  auto asked = std::make_unique<asked_call>();
  asked->request.dialect = speaks;
  asked->request.what = what;
  asked->request.body = std::move(body);
  asked->read.body = *json::parse(asked->request.body);
  return estimate_prompt(asked->request, asked->read);
}

// BUD-9's vectors, through a body. Quarters are summed over all texts before they are rounded up.
TEST(estimate_prompt, bud_9_vectors) {
  struct row {
    std::string_view text;
    std::int64_t tokens;
  };
  constexpr row rows[] = {{"hello world", 3}, {"你好世界", 6}, {"hello 你好", 5}, {"a", 1},
                          {"中", 2},          {"あいう", 5},   {"안녕", 3},       {"", 0}};
  for (const row& r : rows) {
    EXPECT_EQ(estimate(dialect_id::openai_chat,
                       R"({"messages":[{"role":"user","content":")" + std::string{r.text} + "\"}]}"),
              r.tokens);
    EXPECT_EQ(estimate(dialect_id::openai_responses, R"({"input":")" + std::string{r.text} + "\"}"),
              r.tokens);
    EXPECT_EQ(estimate(dialect_id::openai_chat, R"({"input":")" + std::string{r.text} + "\"}",
                       endpoint::embeddings),
              r.tokens);
  }
  EXPECT_EQ(estimate(dialect_id::openai_chat, R"({"messages":[{"role":"user","content":"\u4f60\u597d"}]})"),
            3);
  EXPECT_EQ(estimate(dialect_id::openai_chat,
                     R"({"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]})"),
            1);
}

TEST(estimate_prompt, media_count_by_kind_and_size) {
  const auto piece = [](std::string_view json) {
    return estimate(dialect_id::openai_chat,
                    R"({"messages":[{"role":"user","content":[)" + std::string{json} + "]}]}");
  };
  EXPECT_EQ(piece(R"({"type":"image_url","image_url":{"url":"https://a.example/very/long/path.png"}})"),
            1600);
  EXPECT_EQ(piece(R"({"type":"file","file":{"file_id":"file-1"}})"), 3000);
  const std::string data(4 * 64 * 1024, 'A');  // 192 KiB
  EXPECT_EQ(piece(R"({"type":"file","file":{"file_data":"data:application/pdf;base64,)" + data + "\"}}"),
            3 * 3000);
  EXPECT_EQ(piece(R"({"type":"input_audio","input_audio":{"format":"mp3","data":")" +
                  std::string(4'000'000, 'A') + "\"}}"),
            6000);
  EXPECT_EQ(estimate(dialect_id::openai_chat, R"({"input":[1,2,3,4]})", endpoint::embeddings), 4);
}

}  // namespace
}  // namespace tidegate::gateway
