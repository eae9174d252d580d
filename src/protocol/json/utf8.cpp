#include <simdjson.h>

#include "protocol/json/scan.h"

namespace tidegate::protocol::json::scan {

namespace {

constexpr char narrow(std::uint32_t bits) { return static_cast<char>(static_cast<unsigned char>(bits)); }

decoded_char encode(std::uint32_t code) {
  if (code < 0x80) return {{narrow(code)}, 1};
  if (code < 0x800) return {{narrow(0xC0 | code >> 6), narrow(0x80 | (code & 0x3F))}, 2};
  if (code < 0x10000) {
    return {{narrow(0xE0 | code >> 12), narrow(0x80 | (code >> 6 & 0x3F)), narrow(0x80 | (code & 0x3F))}, 3};
  }
  return {{narrow(0xF0 | code >> 18), narrow(0x80 | (code >> 12 & 0x3F)), narrow(0x80 | (code >> 6 & 0x3F)),
           narrow(0x80 | (code & 0x3F))},
          4};
}

constexpr std::uint32_t replacement = 0xFFFD;
constexpr std::uint32_t no_unit = 0xFFFFFFFF;

// The code unit of a \uXXXX at `p`, or no_unit.
std::uint32_t read_unit(const char* p, const char* end) {
  if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return no_unit;
  std::uint32_t unit = 0;
  for (int i = 2; i < 6; ++i) {
    const int digit = hex_value(p[i]);
    if (digit < 0) return no_unit;
    unit = unit << 4 | static_cast<std::uint32_t>(digit);
  }
  return unit;
}

constexpr char plain_escape(char c) {
  switch (c) {
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return c;
  }
}

}  // namespace

bool is_utf8(std::string_view text) {
  return text.empty() || simdjson::validate_utf8(text.data(), text.size());
}

decoded_char decode_escape(const char*& p, const char* end) {
  const std::uint32_t unit = read_unit(p, end);
  if (unit == no_unit) {
    const char c = end - p >= 2 ? plain_escape(p[1]) : *p;
    p = end - p >= 2 ? p + 2 : end;
    return {{c}, 1};
  }
  p += 6;
  if (unit < 0xD800 || unit > 0xDFFF) return encode(unit);
  if (unit > 0xDBFF) return encode(replacement);
  const std::uint32_t low = read_unit(p, end);
  if (low == no_unit || low < 0xDC00 || low > 0xDFFF) return encode(replacement);
  p += 6;
  return encode(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
}

}  // namespace tidegate::protocol::json::scan
