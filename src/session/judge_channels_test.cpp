// judge:model:getstate, ensure, judge:quality:evaluate (JDG-2 to JDG-5, T63 to T67).
#include "session/judge_channels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "kit/channel_world.h"

namespace tidegate::session {
namespace {

using namespace std::chrono_literals;
using foundation::error_code;
using kit::channel_request;
using runtime::task;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using answer = std::expected<std::string, foundation::failure>;

// Answers with what it was given; hangs where it was given nothing.
class scripted_model final : public model_call {
 public:
  task<answer> ask(model_question question, request_context& context,
                   runtime::cancel_source& cancel) override {
    questions.push_back(std::move(question));
    if (throws) throw std::runtime_error{"a defect"};
    if (!next) {
      static_cast<void>(co_await context.services.loop.sleep_until(foundation::never, &cancel));
      foundation::failure f;
      f.code = error_code::canceled;
      co_return std::unexpected{f};
    }
    co_return *next;
  }
  void fails(error_code code) {
    foundation::failure f;
    f.code = code;
    f.message = "scripted";
    next = std::unexpected{f};
  }
  std::vector<model_question> questions;
  std::optional<answer> next;
  bool throws = false;
};

struct world : kit::channel_world {
  explicit world(kit::setup s = {}) : channel_world{std::move(s)} { bind(handlers.bindings()); }
  const channel_request& evaluate(std::string_view text, std::string_view summary) {
    std::string body;
    json::writer{body}
        .begin_object()
        .member("projectId", "p1")
        .member("traceId", "t1")
        .member("text", text)
        .member("contextSummary", summary)
        .end_object();
    return call("judge:quality:evaluate", body);
  }
  std::string state() { return call("judge:model:getstate", "{}").text({"state", "status"}); }

  scripted_model model;
  std::vector<push> pushes;
  bool refuses = false;
  judge critic{shared, model, [this](push p) {
                 if (refuses) return false;
                 pushes.push_back(std::move(p));
                 return true;
               }};
  judge_channels handlers{shared, critic};
};

// T63
TEST(judge_channels, T63_a_broken_point_of_view_is_high_and_pushed_once) {
  world w;
  w.model.next = "[]";
  const channel_request& r = w.evaluate("他推开门。", "第一人称叙述");
  ASSERT_EQ(r.code(), "OK");
  EXPECT_EQ(r.text({"accepted"}), "true");
  EXPECT_EQ(r.text({"result", "severity"}), "high");
  EXPECT_EQ(r.text({"result", "labels"}), R"(["pov_inconsistent"])");
  ASSERT_THAT(w.pushes, SizeIs(1));
  EXPECT_EQ(w.pushes[0].name, "judge:quality:result");
  EXPECT_TRUE(w.pushes[0].id.starts_with("judge-"))
      << "of our own making, whatever the caller's traceId holds";
  EXPECT_EQ(w.pushes[0].project, "p1");
  EXPECT_EQ(w.pushes[0].key_id, "local");
  EXPECT_EQ(w.pushes[0].payload, r.text({"result"})) << "result = push payload";
}

// T64, JDG-3
TEST(judge_channels, T64_a_clean_text_passes_and_the_model_is_asked_as_configured) {
  world w;
  w.model.next = "no array at all";
  const channel_request& r = w.evaluate("She opened the door. It was cold.", "third person");
  EXPECT_EQ(r.text({"result", "severity"}), "low");
  EXPECT_EQ(r.text({"result", "labels"}), "[]");
  EXPECT_EQ(r.text({"result", "partialChecksSkipped"}), "false");
  ASSERT_THAT(w.model.questions, SizeIs(1));
  const model_question& q = w.model.questions.front();
  EXPECT_EQ(q.model, "gpt-4o-mini");
  EXPECT_EQ(q.temperature, 0.1);
  EXPECT_EQ(q.timeout, 30s);
  EXPECT_EQ(q.project, "p1");
  EXPECT_THAT(q.user, HasSubstr("She opened the door."));
}

// T65
TEST(judge_channels, T65_a_failing_model_leaves_the_rules) {
  world w;
  w.model.fails(error_code::ai_provider_unavailable);
  const channel_request& r = w.evaluate("The rain fell。The rain fell。", "x");
  EXPECT_EQ(r.text({"result", "severity"}), "low");
  EXPECT_EQ(r.text({"result", "labels"}), R"(["repetition"])");
  EXPECT_EQ(r.text({"result", "partialChecksSkipped"}), "true");
  EXPECT_THAT(w.fields("judge_advanced_check_failed", "message"), ElementsAre("scripted"));
  w.model.throws = true;
  EXPECT_EQ(w.evaluate("clean enough", "x").text({"result", "partialChecksSkipped"}), "true");
}

// T66
TEST(judge_channels, T66_findings_of_the_model_come_behind_the_rules) {
  world w;
  w.model.next = R"(Here: [{"severity":"critical","label":"x"},{"severity":"medium","label":""},
                    {"severity":"medium","label":"flat voice"}])";
  const channel_request& r = w.evaluate("他推开门。", "第一人称");
  EXPECT_EQ(r.text({"result", "labels"}), R"(["pov_inconsistent","flat voice"])");
}

TEST(judge_channels, an_advanced_check_that_hangs_is_given_up_after_its_time) {
  world w;
  const channel_request& r = w.evaluate("clean enough", "x");
  EXPECT_EQ(r.code(), "OK");
  EXPECT_EQ(r.text({"result", "partialChecksSkipped"}), "true");
  EXPECT_EQ(w.clock.wall().time_since_epoch().count(), 1'700'000'030'000);
}

TEST(judge_channels, the_advanced_check_can_be_switched_off) {
  kit::setup s;
  s.adjust = [](gateway::snapshot& served) {
    served.judge.advanced = false;
    served.judge.locale = policy::judge_locale::zh;
  };
  world w{std::move(s)};
  const channel_request& r = w.evaluate("他推开门。", "第一人称");
  EXPECT_EQ(r.text({"result", "partialChecksSkipped"}), "false");
  EXPECT_EQ(r.text({"result", "summary"}),
            policy::label_text(policy::label_pov_inconsistent, policy::judge_locale::zh));
  EXPECT_THAT(w.model.questions, IsEmpty());
}

// T67
TEST(judge_channels, T67_a_hub_that_refuses_is_a_fault_and_nobody_listening_is_none) {
  world w;
  w.model.next = "[]";
  EXPECT_EQ(w.evaluate("clean", "x").code(), "OK");
  w.refuses = true;
  EXPECT_EQ(w.evaluate("clean", "x").code(), "INTERNAL_ERROR");
  EXPECT_EQ(w.count("judge_result_push_failed"), 1U);
}

// JDG-2
TEST(judge_channels, blank_fields_are_refused_and_nothing_is_pushed) {
  world w;
  for (const char* blank : {"projectId", "traceId", "text", "contextSummary"}) {
    std::string body;
    json::writer out{body};
    out.begin_object();
    for (const char* field : {"projectId", "traceId", "text", "contextSummary"})
      out.member(field, std::string_view{field} == blank ? " \n" : "x");
    out.end_object();
    const channel_request& r = w.call("judge:quality:evaluate", body);
    EXPECT_EQ(r.code(), "INVALID_ARGUMENT") << blank;
    EXPECT_THAT(r.details(), HasSubstr(blank));
  }
  EXPECT_THAT(w.pushes, IsEmpty());
  EXPECT_THAT(w.model.questions, IsEmpty());
}

TEST(judge_channels, who_has_left_is_pushed_nothing) {
  world w;
  channel_request& r =
      w.begin("judge:quality:evaluate", R"({"projectId":"p","traceId":"t","text":"x","contextSummary":"c"})");
  r.gone.fire(runtime::cancel_reason::client_left);
  w.wait_for(r);
  EXPECT_THAT(w.pushes, IsEmpty());
}

// JDG-5
TEST(judge_channels, concurrent_ensures_share_one_attempt) {
  world w;
  EXPECT_EQ(w.state(), "not_ready");
  channel_request& first = w.begin("judge:model:ensure", "{}");
  const channel_request& second = w.begin("judge:model:ensure", "{}");
  EXPECT_EQ(w.state(), "downloading");
  EXPECT_THAT(w.model.questions, SizeIs(1));
  // Who began it leaves; the other one still gets its answer.
  first.gone.fire(runtime::cancel_reason::client_left);
  w.settle();
  EXPECT_FALSE(second.done);
  w.advance(15s);
  w.wait_for(first);
  w.wait_for(second);
  EXPECT_EQ(second.code(), "TIMEOUT");
  EXPECT_EQ(w.state(), "error");
  w.model.next = "OK";
  const channel_request& third = w.call("judge:model:ensure", "{}");
  EXPECT_EQ(third.text({"state", "status"}), "ready");
  EXPECT_EQ(w.state(), "ready");
  EXPECT_EQ(w.count("judge_ensure_started"), 2U);
  EXPECT_EQ(w.count("judge_ensure_succeeded"), 1U);
  EXPECT_THAT(w.fields("judge_state", "status"), ElementsAre("error", "ready"));
}

// JDG-5
TEST(judge_channels, who_joins_an_attempt_waits_for_its_own_time_only_and_the_attempt_goes_on) {
  world w;
  const channel_request& first = w.begin("judge:model:ensure", "{}");
  const channel_request& brief = w.begin("judge:model:ensure", R"({"timeoutMs":500})");
  channel_request& leaving = w.begin("judge:model:ensure", "{}");
  w.advance(499ms);
  EXPECT_FALSE(brief.done);
  w.advance(1ms);
  EXPECT_EQ(brief.code(), "TIMEOUT");
  leaving.gone.fire(runtime::cancel_reason::client_left);
  w.settle();
  EXPECT_EQ(leaving.code(), "CANCELED");
  EXPECT_FALSE(first.done);
  EXPECT_EQ(w.state(), "downloading");
  EXPECT_THAT(w.model.questions, SizeIs(1));
  w.advance(14'500ms);
  EXPECT_EQ(first.code(), "TIMEOUT");
  EXPECT_EQ(w.state(), "error");
}

// JDG-5
TEST(judge_channels, ensure_ends_at_15_000_or_when_it_was_told) {
  world w;
  const channel_request& r = w.begin("judge:model:ensure", "{}");
  w.advance(14'999ms);
  EXPECT_FALSE(r.done);
  w.advance(1ms);
  EXPECT_EQ(r.code(), "TIMEOUT");
  const channel_request& brief = w.begin("judge:model:ensure", R"({"timeoutMs":500})");
  w.advance(500ms);
  EXPECT_EQ(brief.code(), "TIMEOUT");
  const channel_request& odd = w.begin("judge:model:ensure", R"({"timeoutMs":1.5})");
  w.advance(14'999ms);
  EXPECT_FALSE(odd.done) << "what is no positive integer does not count";
  w.advance(1ms);
  EXPECT_TRUE(odd.done);
  const channel_request& shown = w.call("judge:model:getstate", "{}");
  EXPECT_EQ(shown.text({"state", "error", "code"}), "TIMEOUT");
}

TEST(judge_channels, an_attempt_never_leaves_downloading_behind) {
  world w;
  w.model.fails(error_code::ai_not_configured);
  EXPECT_EQ(w.call("judge:model:ensure", "{}").code(), "AI_NOT_CONFIGURED");
  EXPECT_EQ(w.state(), "error");
  w.model.throws = true;
  EXPECT_EQ(w.call("judge:model:ensure", "{}").code(), "INTERNAL_ERROR");
  EXPECT_EQ(w.state(), "error");
  w.model.throws = false;
  w.model.next.reset();
  channel_request& stopped = w.begin("judge:model:ensure", "{}");
  stopped.gone.fire(runtime::cancel_reason::shutdown);
  w.wait_for(stopped);
  EXPECT_EQ(w.state(), "error");
}

}  // namespace
}  // namespace tidegate::session
