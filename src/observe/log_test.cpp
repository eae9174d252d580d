#include "observe/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "observe/captured_log.h"

namespace tidegate::observe {
namespace {

using foundation::manual_clock;
using foundation::wall_time;
using namespace std::chrono_literals;

const wall_time start{std::chrono::milliseconds{1'763'889'214'123}};

std::string only_line(const captured_log& sink) {
  const auto lines = sink.lines();
  EXPECT_EQ(lines.size(), 1U);
  return lines.empty() ? "" : lines.front();
}

TEST(log, line_is_json_with_time_level_event_and_fields_in_order) {
  manual_clock clock{start};
  captured_log sink;
  const logger log{sink, clock};
  log.at(level::info, "ai_run_started")
      .field("runId", "r-1")
      .field("stream", true)
      .field("attempt", 2)
      .field("bytes", std::uint64_t{18'446'744'073'709'551'615U})
      .field("balance", std::int64_t{-5})
      .field("ratio", 0.5)
      .field("odd", std::numeric_limits<double>::infinity())
      .ms("timeoutMs", 30'000)
      .ms("leftMs", 1'500'000us);
  EXPECT_EQ(only_line(sink),
            R"({"ts":"2025-11-23T09:13:34.123Z","level":"info","event":"ai_run_started","runId":"r-1",)"
            R"("stream":true,"attempt":2,"bytes":18446744073709551615,"balance":-5,"ratio":0.5,"odd":null,)"
            R"("timeoutMs":30000,"leftMs":1500})");
}

TEST(log, time_follows_the_clock_across_seconds) {
  manual_clock clock{start};
  captured_log sink;
  const logger log{sink, clock};
  log.at(level::warn, "a");
  clock.advance(876ms);
  log.at(level::warn, "b");
  clock.advance(1ms);
  log.at(level::error, "c");
  const auto lines = sink.lines();
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0], R"({"ts":"2025-11-23T09:13:34.123Z","level":"warn","event":"a"})");
  EXPECT_EQ(lines[1], R"({"ts":"2025-11-23T09:13:34.999Z","level":"warn","event":"b"})");
  EXPECT_EQ(lines[2], R"({"ts":"2025-11-23T09:13:35.000Z","level":"error","event":"c"})");
}

TEST(log, levels_below_the_lowest_write_nothing) {
  manual_clock clock{start};
  captured_log sink;
  logger log{sink, clock, level::warn};
  log.at(level::info, "quiet").field("a", 1);
  EXPECT_FALSE(log.enabled(level::info));
  log.set_level(level::debug);
  log.at(level::debug, "loud");
  log.set_level(level::off);
  log.at(level::error, "off");
  EXPECT_EQ(sink.lines().size(), 1U);
  EXPECT_EQ(sink.of("loud").size(), 1U);
  for (const level l : {level::debug, level::info, level::warn, level::error, level::off}) {
    EXPECT_EQ(level_named(name_of(l)), l);
  }
  EXPECT_FALSE(level_named("loud"));
}

TEST(log, values_are_escaped_and_ill_formed_text_is_repaired) {
  manual_clock clock{start};
  captured_log sink;
  const logger log{sink, clock};
  log.at(level::info, "e").field("v", "a\"b\\c\nd\x01 grün 😀 \xFF\xE2\x82 z");
  EXPECT_NE(only_line(sink).find(R"("v":"a\"b\\c\nd\u0001 grün 😀 )"
                                 "\uFFFD\uFFFD z\"}"),
            std::string::npos);
}

TEST(log, lines_are_bounded_and_say_what_they_lost) {
  manual_clock clock{start};
  captured_log sink;
  const logger log{sink, clock};
  const std::string big(log_line::line_max, 'x');
  const std::string swelling(log_line::line_max / 4, '\x01');
  log.at(level::info, "e")
      .field("kept", "yes")
      .field("big", big)
      .field("swelling", swelling)
      .field("after", 1);
  EXPECT_TRUE(only_line(sink).ends_with(R"("event":"e","kept":"yes","after":1,"truncated":true})"))
      << only_line(sink);
  sink.clear();
  {
    log_line line = log.at(level::info, "many");
    for (int i = 0; i < 1000; ++i) line.field("someKey", i);
  }
  EXPECT_LE(only_line(sink).size(), log_line::line_max);
  EXPECT_TRUE(only_line(sink).ends_with(R"(,"truncated":true})"));
}

TEST(log, lines_may_be_written_while_others_are_in_the_making) {
  manual_clock clock{start};
  captured_log sink;
  const logger log{sink, clock};
  {
    log_line outer = log.at(level::info, "outer");
    {
      log_line inner = log.at(level::info, "inner");
      inner.field("a", 1);
      outer.field("b", 2);
    }
    const log_line second = log.at(level::info, "second");
    const log_line third = log.at(level::info, "third");
    const log_line fourth = log.at(level::info, "fourth");
    const log_line fifth = log.at(level::info, "one too many");
  }
  EXPECT_EQ(sink.lines().size(), 5U);
  EXPECT_EQ(sink.dropped(), 1U);
  EXPECT_TRUE(sink.contains(R"("event":"outer","b":2})"));
  EXPECT_TRUE(sink.contains(R"("event":"inner","a":1})"));
}

class log_file : public testing::Test {
 protected:
  log_file() {
    path_ = testing::TempDir() + "tidegate_log_XXXXXX";
    fd_ = ::mkstemp(path_.data());
  }
  ~log_file() override {
    ::close(fd_);
    ::unlink(path_.c_str());
  }
  std::vector<std::string> lines() const {
    std::ifstream in{path_};
    std::vector<std::string> out;
    for (std::string line; std::getline(in, line);) out.push_back(line);
    return out;
  }
  std::string path_;
  int fd_ = -1;
  manual_clock clock_{start};
};

TEST_F(log_file, flush_makes_lines_visible) {
  fd_sink sink{fd_, clock_};
  logger log{sink, clock_};
  log.at(level::info, "first");
  log.flush();
  EXPECT_EQ(lines().size(), 1U);
  log.flush();
  log.at(level::info, "second");
  log.flush();
  EXPECT_EQ(lines().size(), 2U);
}

TEST_F(log_file, shutdown_writes_what_is_pending_and_lines_of_threads_never_mix) {
  constexpr int threads = 4;
  constexpr int each = 5000;
  {
    fd_sink sink{fd_, clock_};
    const logger log{sink, clock_};
    std::vector<std::jthread> producers;
    for (int t = 0; t < threads; ++t) {
      producers.emplace_back([&log, t] {
        for (int i = 0; i < each; ++i) log.at(level::info, "n").field("thread", t).field("i", i);
      });
    }
    producers.clear();
    EXPECT_EQ(sink.dropped(), 0U);
  }
  const auto written = lines();
  ASSERT_EQ(written.size(), static_cast<std::size_t>(threads * each));
  std::vector<int> next(threads, 0);
  for (const std::string& line : written) {
    const auto at = line.find("\"thread\":");
    ASSERT_NE(at, std::string::npos);
    const auto t = static_cast<std::size_t>(line[at + 9] - '0');
    ASSERT_TRUE(line.ends_with("\"i\":" + std::to_string(next[t]++) + '}')) << line;
  }
}

TEST_F(log_file, a_full_buffer_drops_lines_and_says_how_many) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  constexpr std::size_t pending_max = 4096;
  constexpr int offered = 5000;  // far beyond the pipe's 64 KiB and the buffer
  std::string text;
  std::uint64_t dropped = 0;
  {
    fd_sink sink{ends[1], clock_, pending_max};
    const logger log{sink, clock_};
    for (int i = 0; i < offered; ++i) log.at(level::info, "n").field("i", i);
    dropped = sink.dropped();
    EXPECT_GT(dropped, 0U);
    // Only now does the reader wake up.
    std::jthread reader{[&] {
      std::array<char, 4096> chunk;
      for (ssize_t n = 0; (n = ::read(ends[0], chunk.data(), chunk.size())) > 0;) {
        text.append(chunk.data(), static_cast<std::size_t>(n));
        if (text.find("\"last\"") != std::string::npos && text.ends_with('\n')) break;
      }
    }};
    sink.flush();
    log.at(level::info, "last");
    sink.flush();
  }
  ::close(ends[0]);
  ::close(ends[1]);
  const auto kept = static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
  std::uint64_t reported = 0;
  std::uint64_t reports = 0;
  constexpr std::string_view needle = R"("level":"warn","event":"log_lines_dropped","count":)";
  for (auto at = text.find(needle); at != std::string::npos; at = text.find(needle, at + 1)) {
    reported += std::stoull(text.substr(at + needle.size()));
    ++reports;
  }
  EXPECT_GE(reports, 1U);
  EXPECT_EQ(reported, dropped);
  EXPECT_EQ(kept - reports + dropped, static_cast<std::uint64_t>(offered) + 1);
}

TEST_F(log_file, a_reader_that_left_costs_lines_not_the_process) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  {
    fd_sink sink{ends[1], clock_};
    const logger log{sink, clock_};
    log.at(level::info, "lost");
    sink.flush();
    EXPECT_EQ(sink.dropped(), 1U);
    log.at(level::info, "lost too");
  }
  ::close(ends[1]);
}

}  // namespace
}  // namespace tidegate::observe
