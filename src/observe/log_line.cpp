#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "foundation/text.h"
#include "observe/log.h"

namespace tidegate::observe {

namespace {

constexpr std::string_view truncation = R"(,"truncated":true)";
constexpr std::string_view line_end = "}\n";
constexpr std::string_view replacement = "\xEF\xBF\xBD";

// A few lines may be in the making at once on a thread: an argument of one may write another.
constexpr std::uint32_t slots_per_thread = 4;
struct thread_buffers {
  std::array<std::array<char, log_line::line_max>, slots_per_thread> lines;
  std::uint32_t busy = 0;
  // The second that `stamp` shows.
  std::int64_t second = std::numeric_limits<std::int64_t>::min();
  std::array<char, 32> stamp;
  std::size_t stamp_size = 0;
};

constinit thread_local thread_buffers buffers{};

// "2026-11-23T09:13:34" of the current second, formatted once a second and thread.
std::string_view stamp_of(std::int64_t second) {
  thread_buffers& mine = buffers;
  if (mine.second != second) {
    const std::string text = foundation::to_rfc3339(foundation::wall_time{std::chrono::seconds{second}});
    mine.stamp_size = std::min(text.find('.'), mine.stamp.size());
    std::memcpy(mine.stamp.data(), text.data(), mine.stamp_size);
    mine.second = second;
  }
  return {mine.stamp.data(), mine.stamp_size};
}

std::array<char, 6> fraction_of(std::int64_t ms) {
  const auto digit = [](std::int64_t n) { return static_cast<char>('0' + n % 10); };
  return {'.', digit(ms / 100), digit(ms / 10), digit(ms), 'Z', '"'};
}

constexpr std::string_view opening_of(level l) {
  switch (l) {
    case level::debug:
      return R"(,"level":"debug","event":)";
    case level::info:
      return R"(,"level":"info","event":)";
    case level::warn:
      return R"(,"level":"warn","event":)";
    case level::error:
    case level::off:
      break;
  }
  return R"(,"level":"error","event":)";
}

// What a byte costs in a literal: 0 as it is, 'u' for \u00XX, 1 for the start of a longer sequence, else the
// letter behind the backslash.
constexpr std::array<char, 256> make_escapes() {
  std::array<char, 256> table{};
  for (std::size_t c = 0; c < 0x20; ++c) table[c] = 'u';
  for (std::size_t c = 0x80; c < 0x100; ++c) table[c] = 1;
  table['"'] = '"';
  table['\\'] = '\\';
  table['\b'] = 'b';
  table['\f'] = 'f';
  table['\n'] = 'n';
  table['\r'] = 'r';
  table['\t'] = 't';
  return table;
}
constexpr auto escapes = make_escapes();

// Whether any of 8 bytes needs care. Each subtraction sets the top bit of the bytes it looks for; borrows
// reach only bytes above one that was found anyway.
bool any_odd(const char* p) {
  constexpr std::uint64_t ones = 0x0101'0101'0101'0101;
  constexpr std::uint64_t highs = ones * 0x80;
  std::uint64_t x = 0;
  std::memcpy(&x, p, sizeof x);
  return ((x | (x - ones * 0x20) | ((x ^ ones * '"') - ones) | ((x ^ ones * '\\') - ones)) & highs) != 0;
}

constexpr char escape_of(char c) { return escapes[static_cast<unsigned char>(c)]; }

}  // namespace

std::string_view name_of(level l) {
  switch (l) {
    case level::debug:
      return "debug";
    case level::info:
      return "info";
    case level::warn:
      return "warn";
    case level::error:
      return "error";
    case level::off:
      break;
  }
  return "off";
}

std::optional<level> level_named(std::string_view name) {
  for (const level l : {level::debug, level::info, level::warn, level::error, level::off}) {
    if (name == name_of(l)) return l;
  }
  return std::nullopt;
}

log_line::log_line(log_sink& sink, const foundation::clock& clock, level l, std::string_view event) {
  thread_buffers& mine = buffers;
  while (slot_ < slots_per_thread && (mine.busy >> slot_ & 1U) != 0) ++slot_;
  if (slot_ == slots_per_thread) {
    sink.count_dropped();
    return;
  }
  mine.busy |= 1U << slot_;
  sink_ = &sink;
  begin_ = at_ = mine.lines[slot_].data();
  end_ = begin_ + line_max - truncation.size() - line_end.size();
  const std::int64_t wall = clock.wall().time_since_epoch().count();
  const std::int64_t ms = (wall % 1000 + 1000) % 1000;
  put(R"({"ts":")");
  put(stamp_of((wall - ms) / 1000));
  const auto fraction = fraction_of(ms);
  put({fraction.data(), fraction.size()});
  put(opening_of(l));
  char* const start = at_;
  if (put_quoted(event)) return;
  end_field(start, false);
  put(R"("")");
}

void log_line::finish() {
  end_ += truncation.size() + line_end.size();
  if (truncated_) put(truncation);
  put(line_end);
  sink_->append({begin_, static_cast<std::size_t>(at_ - begin_)});
  buffers.busy &= ~(1U << slot_);
}

bool log_line::put(std::string_view text) {
  if (static_cast<std::size_t>(end_ - at_) < text.size()) return false;
  std::memcpy(at_, text.data(), text.size());
  at_ += text.size();
  return true;
}

bool log_line::put_quoted(std::string_view text) {
  // Nothing longer can fit: no need to look at all of it.
  if (text.size() + 2 > static_cast<std::size_t>(end_ - at_)) return false;
  *at_++ = '"';
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p != end) {
    const char* const run = p;
    while (end - p >= 8 && !any_odd(p)) p += 8;
    while (p != end && escape_of(*p) == 0) ++p;
    if (!put({run, static_cast<std::size_t>(p - run)})) return false;
    if (p == end) break;
    const char escape = escape_of(*p);
    if (escape == 1) {
      const foundation::utf8_step step = foundation::step_utf8(p, end);
      if (!put(step.valid ? std::string_view{p, static_cast<std::size_t>(step.length)} : replacement))
        return false;
      p += step.length;
      continue;
    }
    constexpr std::string_view hex = "0123456789abcdef";
    const auto code = static_cast<unsigned char>(*p++);
    const std::array<char, 6> text_of{'\\', escape, '0', '0', hex[code >> 4], hex[code & 0xF]};
    if (!put({text_of.data(), escape == 'u' ? std::size_t{6} : std::size_t{2}})) return false;
  }
  return put("\"");
}

bool log_line::begin_field(std::string_view key) {
  if (static_cast<std::size_t>(end_ - at_) < key.size() + 4) return false;
  *at_++ = ',';
  *at_++ = '"';
  std::memcpy(at_, key.data(), key.size());
  at_ += key.size();
  *at_++ = '"';
  *at_++ = ':';
  return true;
}

log_line& log_line::end_field(char* start, bool fits) {
  if (!fits) {
    at_ = start;
    truncated_ = true;
  }
  return *this;
}

log_line& log_line::members(std::string_view json) {
  if (sink_ == nullptr || json.empty()) return *this;
  char* const start = at_;
  return end_field(start, put(",") && put(json));
}

log_line& log_line::string(std::string_view key, std::string_view text) {
  char* const start = at_;
  return end_field(start, begin_field(key) && put_quoted(text));
}

log_line& log_line::boolean(std::string_view key, bool flag) {
  char* const start = at_;
  return end_field(start, begin_field(key) && put(flag ? "true" : "false"));
}

template <typename Number>
log_line& log_line::number(std::string_view key, Number n) {
  char* const start = at_;
  if (!begin_field(key)) return end_field(start, false);
  const auto [behind, error] = std::to_chars(at_, end_, n);
  if (error == std::errc{}) at_ = behind;
  return end_field(start, error == std::errc{});
}

log_line& log_line::integer(std::string_view key, std::int64_t n) { return number(key, n); }
log_line& log_line::natural(std::string_view key, std::uint64_t n) { return number(key, n); }

log_line& log_line::real(std::string_view key, double n) {
  if (std::isfinite(n)) return number(key, n);
  char* const start = at_;
  return end_field(start, begin_field(key) && put("null"));
}

}  // namespace tidegate::observe
