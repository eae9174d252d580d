// ai:skill:feedback (TRC-6).
#include "session/feedback_channels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kit/channel_world.h"
#include "storage/memory/memory_stores.h"

namespace tidegate::session {
namespace {

using kit::channel_request;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct world : kit::channel_world {
  world() { bind(handlers.bindings()); }
  void keep(std::string run, std::string project = {}, std::string group = {}, std::string key = {}) {
    storage::trace_record t;
    t.run_id = t.execution_id = std::move(run);
    t.trace_id = std::string(32, 'b');
    if (!project.empty()) t.project_id = std::move(project);
    if (!key.empty()) t.key_id = std::move(key);
    if (!group.empty()) t.candidate_group = std::move(group);
    t.completed_at = t.created_at = t.started_at = clock.wall();
    ASSERT_TRUE(
        storage::wait_for<void>([&](auto done) { store->traces().put({std::move(t)}, std::move(done)); }));
  }
  std::vector<storage::stored_feedback> stored(const std::string& run) {
    return storage::wait_for<std::vector<storage::stored_feedback>>(
               [&](auto done) { store->traces().feedback_of(run, std::move(done)); })
        .value();
  }
  const channel_request& send(std::string_view run, std::string_view action = "accept",
                              std::string evidence = "note-1",
                              policy::principal who = policy::local_principal()) {
    std::string body;
    json::writer{body}
        .begin_object()
        .member("runId", run)
        .member("action", action)
        .member("evidenceRef", evidence)
        .end_object();
    return call("ai:skill:feedback", body, std::move(who));
  }
  bool broken = false;
  std::unique_ptr<storage::stores> store = storage::memory::make(nullptr, {}, [this] { return broken; });
  feedback_channels handlers{shared, store->traces()};
};

// T73
TEST(feedback_channels, T73_an_unknown_run_is_not_found_a_known_one_keeps_it_with_its_trace) {
  world w;
  EXPECT_EQ(w.send("nobody").code(), "NOT_FOUND");
  w.keep("run-1");
  const channel_request& r = w.send(" run-1 ", "partial", "paragraph 2");
  EXPECT_EQ(r.code(), "OK");
  EXPECT_EQ(r.data(), R"({"recorded":true})");
  const auto kept = w.stored("run-1");
  ASSERT_EQ(kept.size(), 1U);
  EXPECT_EQ(kept[0].trace_id, std::string(32, 'b'));
  EXPECT_EQ(kept[0].action, storage::feedback_action::partial);
  EXPECT_EQ(kept[0].evidence_ref, "paragraph 2");
  ASSERT_EQ(w.journal.of("ai_feedback_received").size(), 1U);
  EXPECT_THAT(w.journal.of("ai_feedback_received").front(),
              HasSubstr(R"("runId":"run-1","traceId":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","action":"partial",)"
                        R"("evidenceRefLen":11)"));
  EXPECT_FALSE(w.lines.contains("paragraph 2"));
}

TEST(feedback_channels, what_makes_no_sense_is_refused) {
  world w;
  w.keep("run-1");
  EXPECT_EQ(w.send("  ").code(), "INVALID_ARGUMENT");
  EXPECT_EQ(w.send("run-1", "accept", std::string(storage::evidence_ref_max, 'e')).code(), "OK");
  EXPECT_EQ(w.send("run-1", "accept", std::string(storage::evidence_ref_max + 1, 'e')).code(),
            "INVALID_ARGUMENT");
}

TEST(feedback_channels, a_store_that_cannot_write_is_told_and_logged) {
  world w;
  w.keep("run-1");
  w.broken = true;
  EXPECT_EQ(w.send("run-1").code(), "DB_ERROR");
  EXPECT_THAT(w.fields("trace_store_feedback_failed", "runId"), ElementsAre("run-1"));
  EXPECT_THAT(w.fields("ai_trace_feedback_persist_failed", "code"), ElementsAre("DB_ERROR"));
  EXPECT_THAT(w.journal.of("ai_feedback_received"), IsEmpty());
}

TEST(feedback_channels, runs_of_projects_that_are_not_granted_do_not_exist) {
  world w;
  w.keep("run-a", "A");
  w.keep("run-b", "B");
  w.keep("run-0", {}, {}, "bound");
  policy::principal who;
  who.id = "bound";
  who.projects = {"A"};
  EXPECT_EQ(w.send("run-a", "accept", "", who).code(), "OK");
  EXPECT_EQ(w.send("run-0", "accept", "", who).code(), "OK");
  EXPECT_EQ(w.send("run-b", "accept", "", who).code(), "NOT_FOUND");
  EXPECT_THAT(w.stored("run-b"), IsEmpty());
}

TEST(feedback_channels, a_run_of_no_project_is_its_callers_own) {
  world w;
  w.keep("run-1", {}, {}, "mine");
  w.keep("run-2");  // of before callers were kept
  policy::principal who;
  who.id = "other";
  who.projects = {"*"};
  EXPECT_EQ(w.send("run-1", "reject", "", who).code(), "NOT_FOUND");
  EXPECT_EQ(w.send("run-2", "reject", "", who).code(), "NOT_FOUND");
  EXPECT_THAT(w.stored("run-1"), IsEmpty());
  who.id = "mine";
  EXPECT_EQ(w.send("run-1", "accept", "", who).code(), "OK");
  who.id = "operator";
  who.role = policy::caller_role::admin;
  EXPECT_EQ(w.send("run-1", "accept", "", who).code(), "OK");
  EXPECT_EQ(w.send("run-2", "accept", "", who).code(), "OK");
}

TEST(feedback_channels, rejecting_every_candidate_is_a_strong_negative) {
  world w;
  w.keep("c1", {}, "group");
  w.keep("c2", {}, "group");
  EXPECT_EQ(w.send("c1", "reject").code(), "OK");
  EXPECT_THAT(w.journal.of("ai_feedback_received").back(), Not(HasSubstr("strongNegative")));
  EXPECT_EQ(w.send("c2", "reject").code(), "OK");
  EXPECT_THAT(w.journal.of("ai_feedback_received").back(), HasSubstr(R"("strongNegative":true)"));
}

}  // namespace
}  // namespace tidegate::session
