// What the chat client shows, as text: pure functions, no terminal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tidegate::app::chat {

// Fit for a terminal: without C0, DEL and C1 control characters, line ends and tabs apart; what is not UTF-8
// becomes U+FFFD. Everything that came from outside passes through here before it is shown.
std::string plain(std::string_view text);
// The same on one line: line ends and tabs become blanks.
std::string plain_line(std::string_view text);

// 1234567 -> "1,234,567"
std::string grouped(std::int64_t n);
// Cents, half up: "$0.01"; "<$0.01" for what is less than half a cent and not nothing.
std::string dollars(double usd);
// "3 s", "1.5 s", "2 min", rounded up.
std::string waiting_time(std::int64_t ms);

struct usage {
  std::int64_t prompt = 0;
  std::int64_t output = 0;
  std::int64_t cached = 0;
  // Of the conversation.
  std::optional<std::int64_t> session{};
  std::optional<double> cost_usd{};
};

// "Prompt: 2,100 | Output: 450 | Session: 5,230 tokens | $0.01"; what is not known is left out.
std::string usage_line(const usage& used);

}  // namespace tidegate::app::chat
