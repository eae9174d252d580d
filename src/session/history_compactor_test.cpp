#include "session/history_compactor.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "foundation/time.h"
#include "policy/tokens.h"
#include "session/channels.h"

namespace tidegate::session {
namespace {

using enum policy::chat_role;
using foundation::failure;
using lines = std::vector<chat_line>;
using summary = std::expected<std::string, failure>;

// Answers with `says` for each text once `open` is set; before that, summaries wait.
class scripted_summarizer final : public summarizer {
 public:
  explicit scripted_summarizer(runtime::loop& loop) : loop_{loop} {}

  runtime::task<summary> summarize(std::string text, std::int64_t tokens_max) override {
    asked.emplace_back(text.front(), tokens_max);
    while (!open) co_await loop_.sleep_until(loop_.now(), nullptr);
    if (std::exchange(first_fails, false)) co_return std::unexpected{failure{}};
    if (breaks) throw std::runtime_error{"broken"};
    if (says) co_return *says;
    co_return std::string(1, text.front()) + "!";
  }

  std::vector<std::pair<char, std::int64_t>> asked;
  bool open = true;
  bool breaks = false;
  bool first_fails = false;
  std::optional<summary> says;

 private:
  runtime::loop& loop_;
};

struct world {
  foundation::system_clock time;
  runtime::loop loop{time};
  summary_cache summaries;
  scripted_summarizer model{loop};
  runtime::cancel_source gone;
  foundation::instant deadline = foundation::never;

  static runtime::detached keep(runtime::task<lines> work, std::optional<lines>& into) {
    into = co_await std::move(work);
  }
  void start(lines history, std::int64_t budget, std::optional<lines>& into, compaction_bounds bounds = {}) {
    keep(
        compact_history(loop, summaries, model, "", std::move(history), "", budget, {gone, deadline}, bounds),
        into);
  }
  lines compacted(lines history, std::int64_t budget, compaction_bounds bounds = {}) {
    std::optional<lines> result;
    start(std::move(history), budget, result, bounds);
    for (int i = 0; i < 1'000 && !result; ++i) loop.turn(std::chrono::milliseconds{1});
    EXPECT_TRUE(result);
    return result.value_or(lines{});
  }
};

std::string text(char letter, std::size_t tokens) { return std::string(tokens * 4, letter); }

TEST(history_compactor, what_fits_needs_no_call) {
  world w;
  const lines chat{{user, text('a', 100)}, {assistant, text('b', 100)}};
  EXPECT_EQ(w.compacted(chat, 200), chat);
  EXPECT_TRUE(w.model.asked.empty());
}

TEST(history_compactor, CHAT_8_summaries_take_the_place_of_what_would_be_dropped) {
  world w;
  const lines chat{{user, text('a', 100)}, {assistant, text('b', 200)}, {user, text('c', 100)}};
  EXPECT_EQ(w.compacted(chat, 300),
            (lines{{user, text('a', 100)}, {assistant, "b!"}, {user, text('c', 100)}}));
  ASSERT_EQ(w.model.asked.size(), 1U);
  EXPECT_EQ(w.model.asked[0], (std::pair<char, std::int64_t>{'b', 60})) << "three tenths";
  EXPECT_EQ(w.compacted(chat, 300).size(), 3U);
  EXPECT_EQ(w.model.asked.size(), 1U) << "known by now";
}

TEST(history_compactor, a_summary_is_cut_to_three_tenths) {
  world w;
  w.model.says = " " + text('z', 500) + " ";
  const auto sent = w.compacted({{user, text('a', 100)}, {user, text('c', 100)}}, 150);
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(sent[0].text, text('z', 30));
}

TEST(history_compactor, without_a_summary_the_oldest_are_dropped) {
  const lines chat{{user, text('a', 100)}, {assistant, text('b', 100)}, {user, text('c', 100)}};
  for (const bool breaks : {false, true}) {
    world w;
    w.model.breaks = breaks;
    w.model.says = breaks ? summary{"unused"} : summary{std::unexpected{failure{}}};
    EXPECT_EQ(w.compacted(chat, 250), (lines{{user, text('c', 100)}}));
    EXPECT_EQ(w.summaries.size(), 0U);
  }
  world blank;
  blank.model.says = " \n";
  EXPECT_EQ(blank.compacted(chat, 250), (lines{{user, text('c', 100)}}));
}

TEST(history_compactor, calls_for_one_run_are_bounded) {
  world w;
  lines chat;
  for (char letter = 'a'; letter <= 'j'; ++letter) chat.push_back({user, text(letter, 100)});
  const auto sent = w.compacted(chat, 400, {.asked_max = 2});
  EXPECT_EQ(w.model.asked.size(), 2U);
  EXPECT_EQ(sent.size(), 5U);
  EXPECT_EQ(sent.front().text, "f!");
}

TEST(history_compactor, CHAT_8_two_runs_share_the_work_in_flight) {
  world w;
  w.model.open = false;
  const lines chat{{user, text('a', 100)}, {user, text('c', 100)}};
  std::optional<lines> first;
  std::optional<lines> second;
  w.start(chat, 150, first);
  w.start(chat, 150, second);
  w.loop.turn({});
  EXPECT_FALSE(first || second);
  w.model.open = true;
  for (int i = 0; i < 1'000 && !(first && second); ++i) w.loop.turn(std::chrono::milliseconds{1});
  EXPECT_EQ(first, (lines{{user, "a!"}, {user, text('c', 100)}}));
  EXPECT_EQ(second, first);
  EXPECT_EQ(w.model.asked.size(), 1U);
}

TEST(history_compactor, who_waited_for_anothers_summary_asks_itself_when_that_one_fails) {
  world w;
  w.model.open = false;
  w.model.first_fails = true;
  const lines chat{{user, text('a', 100)}, {user, text('c', 100)}};
  std::optional<lines> first;
  std::optional<lines> second;
  std::optional<lines> third;
  for (auto* const each : {&first, &second, &third}) w.start(chat, 150, *each);
  w.loop.turn({});
  w.model.open = true;
  for (int i = 0; i < 1'000 && !(first && second && third); ++i) w.loop.turn(std::chrono::milliseconds{1});
  EXPECT_EQ(first, (lines{{user, text('c', 100)}})) << "the call was its own";
  EXPECT_EQ(second, (lines{{user, "a!"}, {user, text('c', 100)}}));
  EXPECT_EQ(third, second);
  EXPECT_EQ(w.model.asked.size(), 2U) << "and the work is shared again";
}

// TMO-1
TEST(history_compactor, a_run_waits_for_another_ones_summary_no_longer_than_it_may) {
  world w;
  w.model.open = false;
  const lines chat{{user, text('a', 100)}, {user, text('c', 100)}};
  std::optional<lines> owner;
  w.start(chat, 150, owner);
  std::optional<lines> late;
  w.deadline = w.loop.fresh_now() + std::chrono::milliseconds{5};
  w.start(chat, 150, late);
  runtime::cancel_source leaves;
  std::optional<lines> left;
  w.keep(compact_history(w.loop, w.summaries, w.model, "", chat, "", 150, {leaves, foundation::never}), left);
  w.loop.turn({});
  EXPECT_FALSE(late || left);
  leaves.fire(runtime::cancel_reason::requested);
  for (const auto end = w.deadline + std::chrono::minutes{1}; w.loop.now() < end && !(late && left);)
    w.loop.turn(std::chrono::milliseconds{1});
  EXPECT_EQ(late, (lines{{user, text('c', 100)}}));
  EXPECT_EQ(left, late);
  EXPECT_FALSE(owner) << "its own time is not over";
  w.model.open = true;
  for (int i = 0; i < 1'000 && !owner; ++i) w.loop.turn(std::chrono::milliseconds{1});
  EXPECT_EQ(owner, (lines{{user, "a!"}, {user, text('c', 100)}}));
}

// TMO-1
TEST(history_compactor, nothing_is_asked_for_a_run_that_is_over) {
  const lines chat{{user, text('a', 100)}, {user, text('c', 100)}};
  world late;
  late.deadline = late.loop.fresh_now();
  EXPECT_EQ(late.compacted(chat, 150), (lines{{user, text('c', 100)}}));
  EXPECT_TRUE(late.model.asked.empty());
  world left;
  left.gone.fire(runtime::cancel_reason::requested);
  EXPECT_EQ(left.compacted(chat, 150), (lines{{user, text('c', 100)}}));
  EXPECT_TRUE(left.model.asked.empty());
}

}  // namespace
}  // namespace tidegate::session
