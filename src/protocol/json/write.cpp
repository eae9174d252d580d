#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

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

// As memcpy, without a call for what is short.
char* copy(char* to, std::string_view text) {
  const char* const from = text.data();
  const std::size_t n = text.size();
  if (n > 64) {
    std::memcpy(to, from, n);
  } else if (n >= 16) {
    for (std::size_t i = 0; i < n - 16; i += 16) std::memcpy(to + i, from + i, 16);
    std::memcpy(to + n - 16, from + n - 16, 16);
  } else if (n >= 8) {
    std::memcpy(to, from, 8);
    std::memcpy(to + n - 8, from + n - 8, 8);
  } else if (n >= 4) {
    std::memcpy(to, from, 4);
    std::memcpy(to + n - 4, from + n - 4, 4);
  } else {
    for (std::size_t i = 0; i < n; ++i) to[i] = from[i];
  }
  return to + n;
}

char* copy_quoted(char* to, std::string_view text) {
  *to++ = '"';
  to = copy(to, text);
  *to++ = '"';
  return to;
}

// `size` more bytes, written by `write(char*)`.
template <typename Write>
void extend(std::string& out, std::size_t size, Write write) {
  const std::size_t old = out.size();
  out.resize_and_overwrite(old + size, [&](char* bytes, std::size_t) {
    write(bytes + old);
    return old + size;
  });
}

}  // namespace

void append_quoted(std::string& out, std::string_view text) {
  if (scan::is_plain(text)) return extend(out, text.size() + 2, [&](char* at) { copy_quoted(at, text); });
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

// Whether a comma is due.
bool writer::open_member() {
  const std::uint64_t bit = std::uint64_t{1} << depth_;
  TG_CHECK(depth_ > 0 && !after_key_ && (objects_ & bit) != 0);
  const bool comma = (open_ & bit) != 0;
  open_ |= bit;
  return comma;
}

writer& writer::key(std::string_view text) {
  if (open_member()) out_ += ',';
  append_quoted(out_, text);
  out_ += ':';
  after_key_ = true;
  return *this;
}

// Records are made of such members: where neither part needs care, they are written in one step.
writer& writer::member(std::string_view name, std::string_view text) {
  if (!scan::is_plain(name) || !scan::is_plain(text)) return key(name).string(text);
  const std::size_t comma = open_member() ? 1 : 0;
  extend(out_, comma + name.size() + text.size() + 5, [&](char* at) {
    *at = ',';
    at = copy_quoted(at + comma, name);
    *at++ = ':';
    copy_quoted(at, text);
  });
  return *this;
}

writer& writer::member(std::string_view name, std::int64_t n) {
  if (!scan::is_plain(name)) return key(name).number(n);
  std::array<char, 24> digits;
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), n);
  TG_CHECK(error == std::errc{});
  const std::string_view text{digits.data(), end};
  const std::size_t comma = open_member() ? 1 : 0;
  extend(out_, comma + name.size() + text.size() + 3, [&](char* at) {
    *at = ',';
    at = copy_quoted(at + comma, name);
    *at++ = ':';
    copy(at, text);
  });
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
