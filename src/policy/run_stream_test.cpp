#include "policy/run_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include "foundation/random.h"

namespace tidegate::policy {
namespace {

using namespace std::chrono_literals;
using foundation::instant;
using kind = stream_output::kind;

const instant start{1h};

foundation::failure broken() {
  foundation::failure why;
  why.code = foundation::error_code::llm_api_error;
  why.details = R"({"reason":"STREAM_DISCONNECTED"})";
  return why;
}

struct world {
  explicit world(const stream_settings& settings = {}) : stream{settings} {}
  void delta(std::string_view text) { stream.delta(text, now, out); }
  void advance(foundation::duration by) {
    now += by;
    stream.tick(now, out);
  }
  // "1:Hello 2: World done"
  std::string told() const {
    std::string text;
    for (const stream_output& o : out) {
      if (!text.empty()) text += '|';
      if (o.what == kind::chunk) text += std::to_string(o.seq) + ':' + o.text;
      if (o.what == kind::reset) text += "reset" + std::to_string(o.attempt);
      if (o.what == kind::done) text += "done" + std::to_string(o.seq);
    }
    return text;
  }
  run_stream stream;
  std::vector<stream_output> out;
  instant now = start;
};

// T40
TEST(run_stream, chunks_are_numbered_from_one_and_one_done_follows) {
  world w;
  w.delta("Hello ");
  w.advance(20ms);
  w.delta("World");
  w.advance(20ms);
  w.stream.upstream_ended(w.now);
  w.advance(20ms);
  EXPECT_EQ(w.told(), "1:Hello |2:World|done3");
  EXPECT_EQ(w.stream.terminal(), stream_terminal::completed);
  EXPECT_EQ(w.stream.output(), "Hello World");
  EXPECT_EQ(w.stream.due(), foundation::never);
  w.advance(1s);
  EXPECT_EQ(w.out.size(), 3U);
}

// T41, STR-3
TEST(run_stream, four_deltas_or_twenty_milliseconds_make_a_chunk) {
  world w;
  for (const char* d : {"A", "B", "C", "D", "E", "F"}) w.delta(d);
  EXPECT_EQ(w.told(), "1:ABCD") << "without waiting";
  EXPECT_EQ(w.stream.due(), start + 20ms);
  w.advance(20ms - 1ns);
  EXPECT_EQ(w.told(), "1:ABCD");
  w.advance(1ns);
  EXPECT_EQ(w.told(), "1:ABCD|2:EF");
  w.stream.upstream_ended(w.now);
  w.delta("late");
  w.advance(20ms);
  EXPECT_EQ(w.stream.output(), "ABCDEF");
}

TEST(run_stream, empty_deltas_make_no_chunk) {
  world w;
  for (int i = 0; i < 8; ++i) w.delta("");
  w.advance(1s);
  EXPECT_TRUE(w.out.empty());
  w.stream.upstream_ended(w.now);
  w.advance(20ms);
  EXPECT_EQ(w.told(), "done1");
}

// STR-3: flush before completed
TEST(run_stream, what_is_pending_goes_out_before_completed) {
  world w{{.batch = {.deltas = 100, .window = 10s}}};
  w.delta("text");
  w.stream.upstream_ended(w.now);
  w.advance(20ms);
  EXPECT_EQ(w.told(), "1:text|done2");
}

// T47
TEST(run_stream, a_cancel_within_the_grace_wins_and_drops_what_is_pending) {
  world w;
  w.delta("text");
  w.stream.upstream_ended(w.now);
  w.advance(5ms);
  EXPECT_TRUE(w.stream.cancel());
  w.advance(0ms);
  EXPECT_EQ(w.told(), "done1");
  EXPECT_EQ(w.stream.terminal(), stream_terminal::cancelled);
  EXPECT_EQ(w.stream.output(), "");
}

// T48
TEST(run_stream, a_cancel_in_the_tick_in_which_completion_is_due_wins) {
  world w;
  w.delta("text");
  w.stream.upstream_ended(w.now);
  w.now += 20ms;
  EXPECT_EQ(w.stream.due(), w.now);
  EXPECT_TRUE(w.stream.cancel());
  w.stream.tick(w.now, w.out);
  EXPECT_EQ(w.told(), "done1");
  EXPECT_EQ(w.stream.terminal(), stream_terminal::cancelled);
}

TEST(run_stream, a_cancel_wins_over_a_failure_of_the_same_tick_and_is_too_late_behind_its_end) {
  world w;
  w.stream.failed(broken());
  EXPECT_LT(w.stream.due(), w.now) << "there is something to decide";
  EXPECT_TRUE(w.stream.cancel());
  w.advance(0ms);
  EXPECT_EQ(w.stream.terminal(), stream_terminal::cancelled);
  EXPECT_FALSE(w.stream.failure().has_value());
  EXPECT_TRUE(w.stream.cancel()) << "it is cancelled";

  world late;
  late.stream.failed(broken());
  late.advance(0ms);
  EXPECT_FALSE(late.stream.cancel());
  EXPECT_EQ(late.stream.terminal(), stream_terminal::error);
}

// T45, T94
TEST(run_stream, a_replay_resets_and_doubles_no_text) {
  world w;
  w.delta("Hel");
  w.advance(20ms);
  w.delta("lo");
  w.advance(20ms);
  w.delta("pending");
  EXPECT_TRUE(w.stream.reset(w.out));
  for (const char* d : {"He", "ll", "o ", "you"}) w.delta(d);
  w.stream.upstream_ended(w.now);
  w.advance(20ms);
  EXPECT_EQ(w.told(), "1:Hel|2:lo|reset2|1:Hello you|done2");
  EXPECT_EQ(w.stream.output(), "Hello you");
  EXPECT_EQ(w.out.back().attempt, 2U);
  EXPECT_EQ(w.stream.chars(), 9U);
}

// T46
TEST(run_stream, a_second_break_ends_with_the_partial_text_of_the_last_attempt) {
  world w;
  w.delta("one");
  w.advance(20ms);
  w.stream.reset(w.out);
  w.delta("two");
  w.advance(20ms);
  w.delta(" unsent");
  w.stream.failed(broken());
  w.advance(0ms);
  EXPECT_EQ(w.told(), "1:one|reset2|1:two|done2");
  EXPECT_EQ(w.stream.terminal(), stream_terminal::error);
  EXPECT_EQ(w.stream.output(), "two");
  EXPECT_EQ(w.stream.failure()->code, foundation::error_code::llm_api_error);
}

// T50, STR-7
TEST(run_stream, output_above_the_limit_in_code_points_ends_as_too_large) {
  world equal{{.output_max_chars = 4}};
  equal.delta("\xe4\xbd");  // a code point split between two deltas
  equal.delta("\xa0 ab");
  EXPECT_FALSE(equal.stream.ending());
  equal.stream.upstream_ended(equal.now);
  equal.advance(20ms);
  EXPECT_EQ(equal.stream.terminal(), stream_terminal::completed);

  world over{{.output_max_chars = 4}};
  over.delta("\xe4\xbd\xa0 ab");
  over.delta("cd");
  EXPECT_TRUE(over.stream.ending()) << "upstream is to be aborted";
  over.advance(0ms);
  EXPECT_EQ(over.stream.failure()->code, foundation::error_code::ipc_payload_too_large);
  EXPECT_EQ(over.stream.failure()->details, R"({"maxChars":4,"actualChars":6})");
  EXPECT_EQ(over.told(), "done1");
}

TEST(run_stream, a_run_that_is_not_streamed_gives_its_text_and_its_end_only) {
  world w{{.chunks = false}};
  for (const char* d : {"a", "b", "c", "d", "e"}) w.delta(d);
  w.stream.reset(w.out);
  for (const char* d : {"a", "b", "c", "d", "e"}) w.delta(d);
  w.stream.upstream_ended(w.now);
  w.advance(20ms);
  ASSERT_EQ(w.out.size(), 1U);
  EXPECT_EQ(w.stream.output(), "abcde");
}

// --- C3: every order of what may happen ---------------------------------------------------------------

enum class input : std::uint8_t { delta, upstream_end, cut, time_out, cancel };
struct tick_inputs {
  foundation::duration after{};
  std::vector<input> inputs;
};

std::vector<tick_inputs> any_script(foundation::random_source& random) {
  std::vector<tick_inputs> script(3 + random.below(12));
  for (tick_inputs& t : script) {
    t.after = static_cast<int>(random.below(4)) * 5ms;
    for (auto n = random.below(4); n > 0; --n) {
      const auto dice = random.below(20);
      t.inputs.push_back(dice < 12   ? input::delta
                         : dice < 15 ? input::upstream_end
                         : dice < 17 ? input::cut
                         : dice < 18 ? input::time_out
                                     : input::cancel);
    }
  }
  // Whatever happens, the run's deadline ends it.
  script.push_back({.after = 100ms, .inputs = {input::time_out}});
  return script;
}

struct played {
  std::size_t end = 0;  // tick of the done
  stream_terminal terminal{};
  std::size_t dones = 0;
  bool gapless = true;
  bool quiet_after_end = true;
  bool quiet_after_cancel = true;
  bool whole = true;  // the output is the chunks' text, and all that came when completed
};

played play(const std::vector<tick_inputs>& script, bool with_cancel) {
  run_stream stream{stream_settings{}};
  std::vector<stream_output> out;
  played result;
  instant now = start;
  std::string given;
  std::string chunks;
  std::uint64_t seq = 0;
  bool canceled = false;
  bool replayed = false;
  std::size_t letter = 0;
  const auto look = [&](std::size_t tick) {
    for (const stream_output& o : out) {
      if (result.dones > 0) result.quiet_after_end = false;
      if (canceled && o.what != kind::done) result.quiet_after_cancel = false;
      if (o.what == kind::reset) {
        seq = 0;
        chunks.clear();
      } else {
        result.gapless &= o.seq == ++seq;
        chunks += o.text;
      }
      if (o.what == kind::done) {
        ++result.dones;
        result.end = tick;
      }
    }
    out.clear();
  };
  for (std::size_t i = 0; i < script.size(); ++i) {
    now += script[i].after;
    for (const input in : script[i].inputs) {
      const bool open = !stream.done() && !stream.ending();
      switch (in) {
        case input::delta: {
          const std::string text(1, static_cast<char>('a' + letter++ % 26));
          stream.delta(text, now, out);
          given += text;
          break;
        }
        case input::upstream_end:
          stream.upstream_ended(now);
          break;
        case input::cut:  // the driver replays once, then gives up
          if (open && !replayed && stream.reset(out)) {
            replayed = true;
            given.clear();
          } else {
            stream.failed(broken());
          }
          break;
        case input::time_out:
          stream.failed(broken());
          break;
        case input::cancel:
          if (!with_cancel) break;
          look(i);
          canceled |= stream.cancel();
          break;
      }
      look(i);
    }
    stream.tick(now, out);
    look(i);
  }
  if (!stream.done()) return result;
  result.terminal = *stream.terminal();
  result.whole = stream.output() == chunks && given.starts_with(chunks);
  return result;
}

TEST(run_stream, cancel_completion_cut_and_time_out_in_every_order_end_once) {
  constexpr std::uint64_t seeds = 100'000;
  std::size_t cancels = 0;
  std::size_t same_tick = 0;
  std::size_t completed = 0;
  std::size_t wrong = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    foundation::random_source random{seed};
    const auto script = any_script(random);
    const played without = play(script, false);
    const played with = play(script, true);
    const auto first = std::ranges::find_if(script, [](const tick_inputs& t) {
      return std::ranges::find(t.inputs, input::cancel) != t.inputs.end();
    });
    const auto canceled_at = static_cast<std::size_t>(first - script.begin());
    bool right = true;
    for (const played& p : {without, with}) {
      right &= p.dones == 1 && p.gapless && p.quiet_after_end && p.quiet_after_cancel && p.whole;
    }
    if (canceled_at <= without.end && first != script.end()) {
      ++cancels;
      same_tick += canceled_at == without.end ? 1U : 0U;
      right &= with.terminal == stream_terminal::cancelled && with.end == canceled_at;
    } else {
      right &= with.terminal == without.terminal && with.end == without.end;
      completed += with.terminal == stream_terminal::completed ? 1U : 0U;
    }
    wrong += right ? 0U : 1U;
    ASSERT_TRUE(right) << "seed " << seed;
  }
  std::cout << "run_stream: " << seeds << " seeds, " << cancels << " cancelled (" << same_tick
            << " in the very tick of another end), " << completed << " completed, " << wrong << " wrong\n";
  EXPECT_GT(same_tick, 1'000U);
  EXPECT_GT(completed, 1'000U);
}

}  // namespace
}  // namespace tidegate::policy
