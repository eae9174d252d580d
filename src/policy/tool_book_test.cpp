#include "policy/tool_book.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace tidegate::policy {
namespace {

using namespace std::chrono_literals;
using refusal = tool_book_refusal;

constexpr foundation::instant start{std::chrono::hours{1}};

open_round round_of(int number, std::string transcript = "[]") {
  open_round round;
  round.number = number;
  round.transcript = std::move(transcript);
  return round;
}

TEST(tool_book, T133_results_go_on_with_the_request_and_its_id_is_used_once) {
  tool_book book{{}};
  ASSERT_TRUE(book.begin("k/1", start));
  book.open("k/1", round_of(1, "[1]"), start);
  const auto round = book.resume("k/1", start + 1s);
  ASSERT_TRUE(round);
  EXPECT_EQ(round->number, 1);
  EXPECT_EQ(round->transcript, "[1]");
  book.end("k/1", start + 2s);
  EXPECT_EQ(book.begin("k/1", start + 3s).error(), refusal::conflict);
  EXPECT_EQ(book.resume("k/1", start + 3s).error(), refusal::conflict) << "no calls are open";
  EXPECT_TRUE(book.begin("k/2", start + 3s));
}

TEST(tool_book, TOOL_2_calls_stay_open_for_600000_and_not_a_millisecond_more) {
  tool_book book{{}};
  ASSERT_TRUE(book.begin("a", start));
  ASSERT_TRUE(book.begin("b", start));
  book.open("a", round_of(1), start);
  book.open("b", round_of(1), start);
  EXPECT_TRUE(book.resume("a", start + 599'999ms));
  EXPECT_EQ(book.resume("b", start + 600'000ms).error(), refusal::not_found);
  EXPECT_EQ(book.begin("b", start + 600'001ms).error(), refusal::conflict) << "its id stays used";
  EXPECT_EQ(book.resume("never", start).error(), refusal::not_found);
  EXPECT_EQ(book.bytes(), 0U);
}

TEST(tool_book, a_running_request_is_in_use) {
  tool_book book{{}};
  ASSERT_TRUE(book.begin("a", start));
  EXPECT_EQ(book.begin("a", start).error(), refusal::conflict);
  EXPECT_EQ(book.resume("a", start).error(), refusal::conflict);
  book.open("a", round_of(1), start);
  EXPECT_EQ(book.begin("a", start).error(), refusal::conflict) << "results are awaited";
  ASSERT_TRUE(book.resume("a", start));
  EXPECT_EQ(book.resume("a", start).error(), refusal::conflict) << "twice at once";
}

TEST(tool_book, a_refused_run_leaves_no_trace) {
  tool_book book{{}};
  ASSERT_TRUE(book.begin("a", start));
  book.forget("a");
  EXPECT_EQ(book.size(), 0U);
  ASSERT_TRUE(book.begin("a", start));
  book.open("a", round_of(1), start);
  auto round = book.resume("a", start + 5min);
  ASSERT_TRUE(round);
  book.give_back("a", *std::move(round), start + 6min);
  EXPECT_TRUE(book.resume("a", start + 10min - 1ms)) << "the results may be sent again";
}

TEST(tool_book, giving_a_round_back_does_not_prolong_it) {
  tool_book book{{}};
  ASSERT_TRUE(book.begin("a", start));
  book.open("a", round_of(1), start);
  ASSERT_TRUE(book.begin("younger", start + 2min));
  book.open("younger", round_of(1), start + 2min);
  auto round = book.resume("a", start + 5min);
  ASSERT_TRUE(round);
  book.give_back("a", *std::move(round), start + 9min);
  EXPECT_EQ(book.resume("a", start + 10min).error(), refusal::not_found);
  EXPECT_TRUE(book.resume("younger", start + 10min));
}

TEST(tool_book, ended_requests_are_known_for_a_day) {
  tool_book book{{}};
  ASSERT_TRUE(book.begin("a", start));
  book.end("a", start);
  EXPECT_EQ(book.begin("a", start + 24h - 1ms).error(), refusal::conflict);
  EXPECT_TRUE(book.begin("a", start + 24h));
}

TEST(tool_book, requests_and_bytes_are_bounded_and_the_oldest_go_first) {
  tool_book book{{.requests_max = 3, .bytes_max = 10'000}};
  for (const char* key : {"a", "b", "c", "d"}) {
    ASSERT_TRUE(book.begin(key, start));
    book.end(key, start);
  }
  EXPECT_EQ(book.size(), 3U);
  EXPECT_TRUE(book.begin("a", start)) << "forgotten";
  book.open("a", round_of(1, std::string(6'000, 'x')), start);
  ASSERT_TRUE(book.begin("e", start));
  book.open("e", round_of(1, std::string(6'000, 'x')), start);
  EXPECT_LE(book.bytes(), 10'000U);
  EXPECT_EQ(book.resume("a", start).error(), refusal::not_found);
  EXPECT_TRUE(book.resume("e", start));
  EXPECT_EQ(book.bytes(), 0U);
}

// Against a plain map of the same rules, without bounds.
TEST(tool_book, agrees_with_a_plain_model_on_random_histories) {
  enum class is : std::uint8_t { running, open, ended };
  struct known {
    is state = is::running;
    foundation::instant opened{};
    int number = 0;
  };
  std::mt19937_64 random{133};
  for (int history = 0; history < 200; ++history) {
    tool_book book{{.known_for = 1000h}};
    std::map<std::string, known> model;
    std::map<std::string, open_round> held;
    auto now = start;
    for (int step = 0; step < 200; ++step) {
      now += std::chrono::milliseconds{random() % 60'000};
      const std::string key(1, static_cast<char>('a' + random() % 4));
      const auto at = model.find(key);
      const bool running = at != model.end() && at->second.state == is::running;
      if (!running && random() % 2 == 0) {
        const auto begun = book.begin(key, now);
        ASSERT_EQ(begun.has_value(), at == model.end());
        if (begun) model[key] = {};
      } else if (!running) {
        const auto round = book.resume(key, now);
        const bool fresh =
            at != model.end() && at->second.state == is::open && now - at->second.opened < 10min;
        ASSERT_EQ(round.has_value(), fresh);
        if (at != model.end() && !round) {
          ASSERT_EQ(round.error(), at->second.state == is::ended ? refusal::conflict : refusal::not_found);
        }
        if (round) {
          ASSERT_EQ(round->number, at->second.number);
          at->second.state = is::running;
          held[key] = *round;
        }
      } else if (random() % 3 == 0) {
        book.end(key, now);
        at->second.state = is::ended;
      } else if (held.contains(key) && random() % 2 == 0) {
        book.give_back(key, held[key], now);
        at->second.state = is::open;
      } else {
        at->second = {is::open, now, step};
        book.open(key, round_of(step), now);
      }
      if (model.contains(key) && model[key].state != is::running) held.erase(key);
      ASSERT_EQ(book.size(), model.size());
    }
  }
}

}  // namespace
}  // namespace tidegate::policy
