#include <algorithm>
#include <cstring>

#include "foundation/text.h"
#include "protocol/json/json.h"
#include "protocol/json/scan.h"

namespace tidegate::protocol::json {

namespace {

// The deepest nesting any caller may ask for: one bit a level on the stack.
constexpr std::size_t depth_limit = 1024;

class container_stack {
 public:
  std::size_t depth() const { return depth_; }
  bool top_is_object() const { return (bits_[(depth_ - 1) / 64] >> ((depth_ - 1) % 64) & 1U) != 0; }
  void push(bool object) {
    const std::uint64_t bit = std::uint64_t{1} << (depth_ % 64);
    std::uint64_t& word = bits_[depth_ / 64];
    word = object ? word | bit : word & ~bit;
    ++depth_;
  }
  void pop() { --depth_; }

 private:
  std::array<std::uint64_t, depth_limit / 64> bits_{};
  std::size_t depth_ = 0;
};

class checker {
 public:
  checker(std::string_view text, std::size_t max_depth)
      : begin_{text.data()},
        p_{begin_},
        end_{begin_ + text.size()},
        max_depth_{std::min(max_depth, depth_limit)} {}

  std::expected<void, syntax_error> run() {
    if (!document()) return std::unexpected{error_};
    return {};
  }

 private:
  enum class step : std::uint8_t { failed, value_next, value_done };

  bool fail(std::string_view reason) {
    error_ = {static_cast<std::size_t>(p_ - begin_), reason, false};
    return false;
  }
  step fail_step(std::string_view reason) {
    fail(reason);
    return step::failed;
  }
  void skip_blanks() { p_ = scan::skip_blanks(p_, end_); }
  bool at(char c) const { return p_ != end_ && *p_ == c; }

  // A flat alternation of "begin a value" and "go on behind a value"; nesting lives in stack_, not in calls.
  bool document() {
    while (true) {
      step next = begin_value();
      while (next == step::value_done) {
        if (stack_.depth() == 0) {
          skip_blanks();
          return p_ == end_ || fail("text behind the value");
        }
        next = behind_value();
      }
      if (next == step::failed) return false;
    }
  }

  step begin_value() {
    skip_blanks();
    if (p_ == end_) return fail_step("expected a value");
    switch (*p_) {
      case '"':
        return done_if(string());
      case '{':
        return open(true);
      case '[':
        return open(false);
      case 't':
        return done_if(literal("true"));
      case 'f':
        return done_if(literal("false"));
      case 'n':
        return done_if(literal("null"));
      default:
        return done_if(number());
    }
  }

  static step done_if(bool ok) { return ok ? step::value_done : step::failed; }

  step open(bool object) {
    if (stack_.depth() >= max_depth_) {
      fail("nested too deep");
      error_.too_deep = true;
      return step::failed;
    }
    stack_.push(object);
    ++p_;
    skip_blanks();
    if (at(object ? '}' : ']')) return close();
    return object ? key() : step::value_next;
  }

  step close() {
    ++p_;
    stack_.pop();
    return step::value_done;
  }

  step behind_value() {
    const bool object = stack_.top_is_object();
    skip_blanks();
    if (at(',')) {
      ++p_;
      if (!object) return step::value_next;
      skip_blanks();
      return key();
    }
    if (at(object ? '}' : ']')) return close();
    return fail_step(object ? "expected ',' or '}'" : "expected ',' or ']'");
  }

  step key() {
    if (!at('"')) return fail_step("expected a member name");
    if (!string()) return step::failed;
    skip_blanks();
    if (!at(':')) return fail_step("expected ':'");
    ++p_;
    return step::value_next;
  }

  bool string() {
    ++p_;
    while (true) {
      p_ = scan::find_string_run_end(p_, end_);
      if (p_ == end_) return fail("string is not closed");
      if (*p_ == '"') {
        ++p_;
        return true;
      }
      if (*p_ != '\\') return fail("control byte in a string");
      if (!escape()) return false;
    }
  }

  bool escape() {
    if (end_ - p_ < 2) return fail("string is not closed");
    switch (p_[1]) {
      case '"':
      case '\\':
      case '/':
      case 'b':
      case 'f':
      case 'n':
      case 'r':
      case 't':
        p_ += 2;
        return true;
      case 'u':
        break;
      default:
        return fail("unknown escape");
    }
    if (end_ - p_ < 6) return fail("\\u needs four hex digits");
    for (int i = 2; i < 6; ++i) {
      if (scan::hex_value(p_[i]) < 0) return fail("\\u needs four hex digits");
    }
    p_ += 6;
    return true;
  }

  bool literal(std::string_view word) {
    if (static_cast<std::size_t>(end_ - p_) < word.size() || std::memcmp(p_, word.data(), word.size()) != 0) {
      return fail("expected a value");
    }
    p_ += word.size();
    return true;
  }

  bool digits() {
    if (p_ == end_ || !scan::is_digit(*p_)) return fail("expected a digit");
    while (p_ != end_ && scan::is_digit(*p_)) ++p_;
    return true;
  }

  bool number() {
    if (*p_ != '-' && !scan::is_digit(*p_)) return fail("expected a value");
    if (*p_ == '-') ++p_;
    if (at('0')) {
      ++p_;
      if (p_ != end_ && scan::is_digit(*p_)) return fail("number with a leading zero");
    } else if (!digits()) {
      return false;
    }
    if (at('.')) {
      ++p_;
      if (!digits()) return false;
    }
    if (!at('e') && !at('E')) return true;
    ++p_;
    if (at('+') || at('-')) ++p_;
    return digits();
  }

  const char* begin_;
  const char* p_;
  const char* end_;
  std::size_t max_depth_;
  container_stack stack_;
  syntax_error error_;
};

std::size_t first_ill_formed(std::string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p != end) {
    const foundation::utf8_step step = foundation::step_utf8(p, end);
    if (!step.valid) break;
    p += step.length;
  }
  return static_cast<std::size_t>(p - text.data());
}

}  // namespace

std::expected<void, syntax_error> validate(std::string_view text, std::size_t max_depth) {
  // A pass of its own over all bytes: it is several times faster than the grammar.
  if (!scan::is_utf8(text)) return std::unexpected{syntax_error{first_ill_formed(text), "not UTF-8", false}};
  return checker{text, max_depth}.run();
}

std::expected<value, syntax_error> parse(std::string_view text, std::size_t max_depth) {
  if (auto ok = validate(text, max_depth); !ok) return std::unexpected{ok.error()};
  while (scan::is_blank(text.front())) text.remove_prefix(1);
  while (scan::is_blank(text.back())) text.remove_suffix(1);
  return value{text};
}

}  // namespace tidegate::protocol::json
