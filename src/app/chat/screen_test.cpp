#include "app/chat/screen.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace tidegate::app::chat {
namespace {

using testing::HasSubstr;
using testing::Not;

struct shown {
  std::ostringstream answers;
  std::ostringstream notes;
  screen plain_screen{answers, notes, {}};
  screen terminal{answers, answers, {.live = true, .colour = false}};
};

push chunk(std::string text) {
  push p;
  p.kind = push_kind::chunk;
  p.text = std::move(text);
  return p;
}
push done(std::string text, std::string terminal = "completed") {
  push p;
  p.kind = push_kind::done;
  p.text = std::move(text);
  p.terminal = std::move(terminal);
  return p;
}
push queued(std::int64_t position, std::int64_t of) {
  push p;
  p.kind = push_kind::queue;
  p.status = "queued";
  p.position = position;
  p.queued = of;
  return p;
}

TEST(chat_screen, an_answer_is_shown_as_it_comes_and_ends_its_line) {
  shown s;
  s.plain_screen.begin();
  s.plain_screen.take(chunk("Hello "));
  EXPECT_EQ(s.answers.str(), "Hello ");
  s.plain_screen.take(chunk("there"));
  s.plain_screen.take(done("Hello there"));
  EXPECT_EQ(s.answers.str(), "Hello there\n");
  EXPECT_EQ(s.notes.str(), "");
}

// STR-11: done repairs what a slow reader missed.
TEST(chat_screen, done_brings_what_was_dropped) {
  shown s;
  s.plain_screen.begin();
  s.plain_screen.take(chunk("one "));
  s.plain_screen.take(done("one two"));
  EXPECT_EQ(s.answers.str(), "one two\n");
  s.plain_screen.begin();
  s.plain_screen.take(chunk("two"));
  s.plain_screen.take(done("one two"));
  EXPECT_THAT(s.answers.str(), HasSubstr("two\none two\n"));
  EXPECT_THAT(s.notes.str(), HasSubstr("all of it"));
}

// STR-8.
TEST(chat_screen, a_replay_begins_the_answer_anew) {
  shown s;
  s.plain_screen.begin();
  s.plain_screen.take(chunk("half an ans"));
  push reset;
  reset.kind = push_kind::reset;
  s.plain_screen.take(reset);
  s.plain_screen.take(chunk("whole"));
  s.plain_screen.take(done("whole"));
  EXPECT_EQ(s.answers.str(), "half an ans\nwhole\n");
  EXPECT_THAT(s.notes.str(), HasSubstr("begins anew"));
}

TEST(chat_screen, the_place_in_the_queue_is_one_line_on_a_terminal) {
  shown s;
  s.terminal.begin();
  s.terminal.take(queued(0, 0));
  s.terminal.take(queued(2, 2));
  s.terminal.take(queued(2, 2));
  s.terminal.take(queued(1, 1));
  s.terminal.take(chunk("x"));
  EXPECT_EQ(s.answers.str(), "Waiting: position 2 of 2\r\x1b[KWaiting: position 1 of 1\r\x1b[Kx");
}

TEST(chat_screen, without_a_terminal_each_place_is_a_line) {
  shown s;
  s.plain_screen.begin();
  s.plain_screen.take(queued(2, 3));
  s.plain_screen.take(queued(1, 2));
  EXPECT_EQ(s.notes.str(), "Waiting: position 2 of 3\nWaiting: position 1 of 2\n");
  EXPECT_EQ(s.answers.str(), "");
}

TEST(chat_screen, a_failover_says_from_where_to_where_and_why) {
  shown s;
  push p;
  p.kind = push_kind::failover;
  p.from = "openai";
  p.to = "anthropic\x1b[0m";
  p.reason = "primary_unavailable";
  s.plain_screen.take(p);
  EXPECT_EQ(s.notes.str(), "Failover: openai -> anthropic[0m (primary unavailable)\n");
}

TEST(chat_screen, a_cancelled_answer_keeps_its_text_and_says_so) {
  shown s;
  s.plain_screen.begin();
  s.plain_screen.take(chunk("so f"));
  push p = done("so f", "cancelled");
  p.error = problem{.code = "CANCELED", .message = "the run was cancelled"};
  s.plain_screen.take(p);
  EXPECT_EQ(s.answers.str(), "so f\n");
  EXPECT_EQ(s.notes.str(), "Cancelled.\n");
}

TEST(chat_screen, a_problem_is_told_with_code_trace_and_what_to_do) {
  shown s;
  s.plain_screen.show(problem{.code = "AI_RATE_LIMITED",
                              .message = "slow\ndown",
                              .trace_id = "abc",
                              .retryable = true,
                              .retry_after_ms = 7'000});
  EXPECT_EQ(s.notes.str(), "AI_RATE_LIMITED: slow down\nTrace abc\nTrying again makes sense in 7 s.\n");
}

// CHAT-2, CHAT-3.
TEST(chat_screen, a_full_or_archived_conversation_says_how_to_go_on) {
  EXPECT_THAT(advice({.code = "CONFLICT", .reason = "capacity"}), HasSubstr("/archive"));
  EXPECT_THAT(advice({.code = "CONFLICT", .reason = "capacity"}), HasSubstr("/new"));
  EXPECT_THAT(advice({.code = "CONFLICT", .reason = "archived"}), HasSubstr("/new"));
  EXPECT_EQ(advice({.code = "CONFLICT"}), "Trying again will not help as it is.");
  EXPECT_THAT(advice({.code = "AI_AUTH_FAILED", .source = "local"}), HasSubstr("TIDEGATE_KEY"));
  EXPECT_THAT(advice({.code = "AI_AUTH_FAILED", .source = "upstream"}), Not(HasSubstr("TIDEGATE_KEY")));
}

TEST(chat_screen, candidates_are_numbered_and_failed_ones_named) {
  shown s;
  answer a;
  a.text = "one";
  a.candidates = {{"candidate-1", "r1", "one"}, {"candidate-3", "r3", "three\n"}};
  a.failed = {{"candidate-2", {.code = "SKILL_TIMEOUT", .message = "late"}}};
  s.plain_screen.begin();
  s.plain_screen.show(a);
  EXPECT_EQ(s.answers.str(), "[1]\none\n[2]\nthree\n");
  EXPECT_EQ(s.notes.str(), "candidate-2 failed: SKILL_TIMEOUT: late\n");
}

TEST(chat_screen, colours_are_ours_alone) {
  std::ostringstream out;
  screen coloured{out, out, {.live = true, .colour = true}};
  coloured.note("a\x1b[31mb");
  EXPECT_EQ(out.str(), "\x1b[2ma[31mb\x1b[0m\n");
}

}  // namespace
}  // namespace tidegate::app::chat
