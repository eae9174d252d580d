// Validated JSON read forward, once: for walks that go into most of what they meet, where json::value would
// first look for the end of every container that it hands out.
#pragma once

#include <cstddef>
#include <cstring>
#include <string_view>

#include "foundation/text.h"
#include "protocol/json/json.h"

namespace tidegate::protocol::dialect {

// A string without its quotes, escapes and all.
inline std::string_view inside_of(std::string_view literal) { return literal.substr(1, literal.size() - 2); }

// Past the end it stays at the end.
class cursor {
 public:
  explicit cursor(std::string_view text) : first_{text.data()}, p_{first_}, end_{first_ + text.size()} {}

  // The first byte that is no blank, NUL at the end; stays on it.
  char next() {
    while (p_ != end_ && (*p_ == ' ' || *p_ == '\n' || *p_ == '\r' || *p_ == '\t')) ++p_;
    return p_ != end_ ? *p_ : '\0';
  }
  void step() { p_ += p_ != end_ ? 1 : 0; }
  std::string_view rest() const { return {p_, static_cast<std::size_t>(end_ - p_)}; }

  // The inside of the string that begins here; moves behind it.
  std::string_view string() {
    step();
    const char* const begin = p_;
    for (;;) {
      const auto* const quote = static_cast<const char*>(std::memchr(p_, '"', rest().size()));
      if (quote == nullptr) {
        p_ = end_;
        return between(begin, end_);
      }
      const char* run = quote;
      while (run != begin && run[-1] == '\\') --run;
      p_ = quote + 1;
      if ((quote - run) % 2 == 0) return between(begin, quote);
    }
  }

  // The JSON of the value that begins here; moves behind it.
  std::string_view value() {
    const char first = next();
    const char* const begin = p_;
    if (first == '"') {
      string();
    } else if ((first == '{' || first == '[') && begin != first_) {
      // Of a list that begins a byte earlier this is the first element.
      p_ += (*json::element_range{between(begin - 1, end_)}.begin()).raw().size();
    } else if (first == '{' || first == '[') {
      p_ = end_;
    } else {
      do step();
      while (p_ != end_ && *p_ != ',' && *p_ != ']' && *p_ != '}');
    }
    return foundation::trim(between(begin, p_));
  }

  // Calls read(key), which moves behind the value.
  template <class Read>
  void members(Read&& read) {
    step();
    for (;;) {
      const char c = next();
      if (c == '"') {
        const std::string_view key = string();
        if (next() == ':') step();
        read(key);
      } else {
        step();
        if (c == '}' || c == '\0') return;
      }
    }
  }

  // Calls read() at every element.
  template <class Read>
  void elements(Read&& read) {
    step();
    for (;;) {
      const char c = next();
      if (c == ',' || c == ']' || c == '\0') {
        step();
        if (c != ',') return;
      } else {
        read();
      }
    }
  }

 private:
  static std::string_view between(const char* first, const char* last) {
    return {first, static_cast<std::size_t>(last - first)};
  }

  const char* first_;
  const char* p_;
  const char* end_;
};

}  // namespace tidegate::protocol::dialect
