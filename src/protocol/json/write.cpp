#include <array>
#include <charconv>
#include <cmath>

#include "foundation/check.h"
#include "foundation/text.h"
#include "protocol/json/json.h"
#include "protocol/json/scan.h"

namespace tidegate::protocol::json {

namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";
constexpr std::uint8_t writer_depth_max = 63;

void append_escape(std::string& out, char c) {
  constexpr std::string_view hex = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += "\\u00";
      out += hex[scan::byte(c) >> 4];
      out += hex[scan::byte(c) & 0xF];
  }
}

void append_utf8(std::string& out, const char* p, const char* end) {
  while (true) {
    const char* const stop = scan::find_string_run_end(p, end);
    out.append(p, stop);
    if (stop == end) return;
    append_escape(out, *stop);
    p = stop + 1;
  }
}

void append_repaired(std::string& out, const char* p, const char* end) {
  while (p != end) {
    if (scan::byte(*p) < 0x80) {
      if (scan::ends_string_run(*p)) {
        append_escape(out, *p);
      } else {
        out += *p;
      }
      ++p;
      continue;
    }
    const foundation::utf8_step step = foundation::step_utf8(p, end);
    out.append(step.valid ? std::string_view{p, static_cast<std::size_t>(step.length)} : replacement);
    p += step.length;
  }
}

template <typename T>
void append_chars(std::string& out, T n) {
  std::array<char, 32> text;
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), n);
  TG_CHECK(error == std::errc{});
  out.append(text.data(), end);
}

}  // namespace

void append_quoted(std::string& out, std::string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
  out += '"';
  while (p != end) {
    const char* const stop = scan::find_care(p, end);
    out.append(p, stop);
    p = stop;
    if (p == end) break;
    if (scan::byte(*p) >= 0x80) {
      // From the first byte that is not ASCII on, one fast check says which of two loops will do.
      const bool sound = scan::is_utf8({p, static_cast<std::size_t>(end - p)});
      sound ? append_utf8(out, p, end) : append_repaired(out, p, end);
      break;
    }
    append_escape(out, *p++);
  }
  out += '"';
}

void writer::before_value() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (depth_ == 0) return;
  const std::uint64_t bit = std::uint64_t{1} << depth_;
  TG_CHECK((objects_ & bit) == 0);  // an object's value needs its key first
  if ((open_ & bit) != 0) out_ += ',';
  open_ |= bit;
}

void writer::begin(char bracket, bool object) {
  before_value();
  TG_CHECK(depth_ < writer_depth_max);
  ++depth_;
  const std::uint64_t bit = std::uint64_t{1} << depth_;
  open_ &= ~bit;
  objects_ = object ? objects_ | bit : objects_ & ~bit;
  out_ += bracket;
}

void writer::end(char bracket, bool object) {
  TG_CHECK(depth_ > 0 && !after_key_);
  TG_CHECK(((objects_ >> depth_ & 1U) != 0) == object);
  --depth_;
  out_ += bracket;
}

writer& writer::begin_object() {
  begin('{', true);
  return *this;
}

writer& writer::end_object() {
  end('}', true);
  return *this;
}

writer& writer::begin_array() {
  begin('[', false);
  return *this;
}

writer& writer::end_array() {
  end(']', false);
  return *this;
}

writer& writer::key(std::string_view text) {
  const std::uint64_t bit = std::uint64_t{1} << depth_;
  TG_CHECK(depth_ > 0 && !after_key_ && (objects_ & bit) != 0);
  if ((open_ & bit) != 0) out_ += ',';
  open_ |= bit;
  append_quoted(out_, text);
  out_ += ':';
  after_key_ = true;
  return *this;
}

writer& writer::string(std::string_view text) {
  before_value();
  append_quoted(out_, text);
  return *this;
}

writer& writer::number(std::int64_t n) {
  before_value();
  append_chars(out_, n);
  return *this;
}

writer& writer::number(double n) {
  if (!std::isfinite(n)) return null();
  before_value();
  // The shortest form is legal JSON as it stands: digits on both sides of a point, "e+22" for exponents.
  append_chars(out_, n);
  return *this;
}

writer& writer::boolean(bool b) {
  before_value();
  out_ += b ? "true" : "false";
  return *this;
}

writer& writer::null() {
  before_value();
  out_ += "null";
  return *this;
}

writer& writer::raw(std::string_view json) {
  before_value();
  out_ += json;
  return *this;
}

}  // namespace tidegate::protocol::json
