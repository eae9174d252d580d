#include "app/chat/text.h"

#include <gtest/gtest.h>

namespace tidegate::app::chat {
namespace {

TEST(chat_text, controls_that_a_model_sent_never_reach_the_terminal) {
  EXPECT_EQ(plain("a\x1b[2Jb\a\b\r\x7f\nc\td"), "a[2Jb\nc\td");
  // CSI and OSC as single C1 characters.
  EXPECT_EQ(plain("a\xc2\x9b"
                  "2Jb\xc2\x80\xc2\x9d\xc2\xa0z"),
            "a2Jb\xc2\xa0z");
  EXPECT_EQ(plain(std::string_view{"a\0b", 3}), "ab");
  EXPECT_EQ(plain_line("one\ntwo\tthree"), "one two three");
}

TEST(chat_text, characters_beyond_ascii_stay_whole_and_broken_ones_are_replaced) {
  EXPECT_EQ(plain("h\xc3\xa4ls \xe6\xbd\xae \xf0\x9f\x8c\x8a"), "h\xc3\xa4ls \xe6\xbd\xae \xf0\x9f\x8c\x8a");
  EXPECT_EQ(plain("a\xff"
                  "b\xe6\xbd"),
            "a\xef\xbf\xbd"
            "b\xef\xbf\xbd");
  // A byte that would be C1 by itself is no character.
  EXPECT_EQ(plain("\x9b"), "\xef\xbf\xbd");
}

TEST(chat_text, numbers_are_grouped_by_thousands) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1'000), "1,000");
  EXPECT_EQ(grouped(1'234'567), "1,234,567");
  EXPECT_EQ(grouped(-1'234), "-1,234");
  EXPECT_EQ(grouped(-999), "-999");
}

TEST(chat_text, dollars_are_told_in_cents_half_up) {
  EXPECT_EQ(dollars(0), "$0.00");
  EXPECT_EQ(dollars(0.000001), "<$0.01");
  EXPECT_EQ(dollars(0.004999), "<$0.01");
  EXPECT_EQ(dollars(0.005), "$0.01");
  EXPECT_EQ(dollars(0.014999), "$0.01");
  EXPECT_EQ(dollars(1.005), "$1.01");
  EXPECT_EQ(dollars(0.995), "$1.00");
  EXPECT_EQ(dollars(12345.6), "$12,345.60");
  EXPECT_EQ(dollars(-1), "$0.00");
  EXPECT_EQ(dollars(1e300), dollars(1e200));
}

TEST(chat_text, the_usage_line_tells_what_is_known) {
  EXPECT_EQ(usage_line({.prompt = 2'100, .output = 450, .session = 5'230, .cost_usd = 0.0098}),
            "Prompt: 2,100 | Output: 450 | Session: 5,230 tokens | $0.01");
  EXPECT_EQ(usage_line({.prompt = 2'100, .output = 450, .cached = 1'024, .session = 5'230}),
            "Prompt: 2,100 (1,024 cached) | Output: 450 | Session: 5,230 tokens");
  EXPECT_EQ(usage_line({.prompt = 1, .output = 2}), "Prompt: 1 | Output: 2 tokens");
}

TEST(chat_text, waits_are_rounded_up) {
  EXPECT_EQ(waiting_time(1), "0.1 s");
  EXPECT_EQ(waiting_time(1'500), "1.5 s");
  EXPECT_EQ(waiting_time(3'000), "3 s");
  EXPECT_EQ(waiting_time(120'001), "3 min");
  EXPECT_EQ(waiting_time(-5), "0 s");
}

}  // namespace
}  // namespace tidegate::app::chat
