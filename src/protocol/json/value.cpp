#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <utility>

#include "protocol/json/json.h"
#include "protocol/json/scan.h"

namespace tidegate::protocol::json {

namespace {

std::string_view between(const char* first, const char* last) {
  return {first, static_cast<std::size_t>(last - first)};
}

// Finds the bracket that closes a container, 64 bytes at a time and without a branch per string: quotes that
// no backslash escapes mark the strings, and brackets inside strings do not count. The method, not the code,
// is that of Langdale and Lemire, "Parsing Gigabytes of JSON per Second" (2019).
class bracket_matcher {
 public:
  static constexpr std::size_t block = 64;
  static constexpr std::size_t open = block + 1;

  // The offset behind the closing bracket, or `open`.
  std::size_t feed(const char* p) {
    const scan::block_masks seen = scan::classify(p);
    const std::uint64_t strings = string_mask(seen.quote & ~escaped_mask(seen.backslash));
    in_long_string_ = ~strings == 0;
    const std::uint64_t opens = seen.open & ~strings;
    const std::uint64_t closes = seen.close & ~strings;
    if (closes == 0 || static_cast<std::size_t>(std::popcount(closes)) < depth_) {
      depth_ += static_cast<std::size_t>(std::popcount(opens));
      depth_ -= static_cast<std::size_t>(std::popcount(closes));
      return open;
    }
    for (std::uint64_t left = opens | closes; left != 0; left &= left - 1) {
      const std::uint64_t bit = left & (~left + 1);
      depth_ = (opens & bit) != 0 ? depth_ + 1 : depth_ - 1;
      if (depth_ == 0) return static_cast<std::size_t>(std::countr_zero(left)) + 1;
    }
    return open;
  }

  // The last block lay inside one string.
  bool in_long_string() const { return in_long_string_; }
  // Behind that string. Prompts are such strings: looking for their end alone is several times as fast as
  // classifying every byte of them. Each backslash is looked at once, for the quote behind it.
  const char* leave_string(const char* p, const char* end) {
    string_carry_ = 0;
    if (std::exchange(escape_carry_, 0) != 0 && p != end) ++p;
    for (const char* from = p; p != end;) {
      const auto* quote = static_cast<const char*>(std::memchr(p, '"', static_cast<std::size_t>(end - p)));
      if (quote == nullptr) return end;
      const char* run = quote;
      while (run != from && run[-1] == '\\') --run;
      p = from = quote + 1;
      if ((quote - run) % 2 == 0) break;
    }
    return p;
  }

 private:
  // Bytes behind an odd run of backslashes.
  std::uint64_t escaped_mask(std::uint64_t backslash) {
    if (backslash == 0) return std::exchange(escape_carry_, 0);
    constexpr std::uint64_t even = 0x5555'5555'5555'5555;
    backslash &= ~escape_carry_;
    const std::uint64_t follows = backslash << 1 | escape_carry_;
    const std::uint64_t odd_starts = backslash & ~even & ~follows;
    // Adding a run's start to the run carries out behind its end: there its parity can be read.
    const std::uint64_t ends = odd_starts + backslash;
    escape_carry_ = ends < backslash ? 1 : 0;
    return (even ^ (ends << 1)) & follows;
  }

  // From each opening quote up to its closing one: a running exclusive or.
  std::uint64_t string_mask(std::uint64_t quotes) {
    std::uint64_t inside = quotes;
    for (unsigned shift = 1; shift < 64; shift *= 2) inside ^= inside << shift;
    inside ^= string_carry_;
    string_carry_ = (inside >> 63) != 0 ? ~std::uint64_t{0} : 0;
    return inside;
  }

  std::size_t depth_ = 1;
  std::uint64_t escape_carry_ = 0;
  std::uint64_t string_carry_ = 0;
  bool in_long_string_ = false;
};

const char* skip_container(const char* p, const char* end) {
  bracket_matcher matcher;
  ++p;
  while (static_cast<std::size_t>(end - p) >= bracket_matcher::block) {
    if (const std::size_t stop = matcher.feed(p); stop != bracket_matcher::open) return p + stop;
    p += bracket_matcher::block;
    if (matcher.in_long_string()) p = matcher.leave_string(p, end);
  }
  std::array<char, bracket_matcher::block> padded;
  padded.fill(' ');
  std::copy(p, end, padded.begin());
  const std::size_t stop = matcher.feed(padded.data());
  return stop != bracket_matcher::open ? p + stop : end;
}

// Behind the value that starts at `p`.
const char* skip_value(const char* p, const char* end) {
  if (p == end) return end;
  if (*p == '"') return scan::skip_string(p + 1, end);
  if (*p == '{' || *p == '[') return skip_container(p, end);
  while (p != end && *p != ',' && *p != '}' && *p != ']' && !scan::is_blank(*p)) ++p;
  return p;
}

std::string_view inside_of(std::string_view literal) {
  return literal.size() < 2 ? std::string_view{} : literal.substr(1, literal.size() - 2);
}

bool has_escape(std::string_view inside) { return inside.find('\\') != std::string_view::npos; }

bool decodes_to(std::string_view inside, std::string_view text) {
  const char* p = inside.data();
  const char* const end = p + inside.size();
  while (p != end) {
    if (*p != '\\') {
      const std::size_t run = std::min(static_cast<std::size_t>(end - p), between(p, end).find('\\'));
      if (!text.starts_with(between(p, p + run))) return false;
      text.remove_prefix(run);
      p += run;
      continue;
    }
    const scan::decoded_char c = scan::decode_escape(p, end);
    if (!text.starts_with(c.view())) return false;
    text.remove_prefix(c.size);
  }
  return text.empty();
}

// Decoding an escape always shortens, so the sizes settle nearly every comparison.
bool inside_equals(std::string_view inside, std::string_view text) {
  if (inside.size() < text.size()) return false;
  if (inside.size() == text.size()) return inside == text && !has_escape(inside);
  return has_escape(inside) && decodes_to(inside, text);
}

}  // namespace

std::string unescape(std::string_view inside) {
  std::string out;
  out.reserve(inside.size());
  const char* p = inside.data();
  const char* const end = p + inside.size();
  while (p != end) {
    const std::size_t run = std::min(static_cast<std::size_t>(end - p), between(p, end).find('\\'));
    out.append(p, run);
    p += run;
    if (p != end) out.append(scan::decode_escape(p, end).view());
  }
  return out;
}

kind value::type() const {
  switch (raw_.empty() ? 'n' : raw_.front()) {
    case '"':
      return kind::string;
    case '{':
      return kind::object;
    case '[':
      return kind::array;
    case 't':
    case 'f':
      return kind::boolean;
    case 'n':
      return kind::null;
    default:
      return kind::number;
  }
}

std::optional<bool> value::as_bool() const {
  if (type() != kind::boolean) return std::nullopt;
  return raw_.front() == 't';
}

std::optional<std::int64_t> value::as_int() const {
  if (!is_number()) return std::nullopt;
  const char* const end = raw_.data() + raw_.size();
  std::int64_t n = 0;
  const auto [rest, error] = std::from_chars(raw_.data(), end, n);
  if (error != std::errc{}) return std::nullopt;
  if (rest == end) return n;
  const std::string_view fraction = between(rest, end);
  if (fraction.size() < 2 || fraction.front() != '.') return std::nullopt;
  if (fraction.find_first_not_of('0', 1) != std::string_view::npos) return std::nullopt;
  return n;
}

std::optional<double> value::as_double() const {
  if (!is_number()) return std::nullopt;
  double n = 0;
  const auto [rest, error] = std::from_chars(raw_.data(), raw_.data() + raw_.size(), n);
  // Out of a double's range (1e999) is nothing: an infinity would not survive being written again.
  if (error != std::errc{} || !std::isfinite(n)) return std::nullopt;
  return n;
}

std::optional<std::string> value::as_string() const {
  if (!is_string()) return std::nullopt;
  return unescape(inside_of(raw_));
}

std::optional<std::string_view> value::as_plain_string() const {
  if (!is_string() || has_escape(raw_)) return std::nullopt;
  return inside_of(raw_);
}

bool value::equals(std::string_view text) const {
  return is_string() && inside_equals(inside_of(raw_), text);
}

std::optional<value> value::find(std::string_view key) const {
  std::optional<value> found;
  for (const member& m : members()) {
    if (m.key_is(key)) found = m.content;
  }
  return found;
}

std::optional<value> value::path(std::initializer_list<std::string_view> keys) const {
  std::optional<value> at = *this;
  for (const std::string_view key : keys) {
    at = at->find(key);
    if (!at) return std::nullopt;
  }
  return at;
}

std::string value::string_or(std::string_view key, std::string_view fallback) const {
  const std::optional<value> found = find(key);
  std::optional<std::string> text = found ? found->as_string() : std::nullopt;
  return text ? *std::move(text) : std::string{fallback};
}

std::optional<std::int64_t> value::int_at(std::string_view key) const {
  const std::optional<value> found = find(key);
  return found ? found->as_int() : std::nullopt;
}

member_range value::members() const { return member_range{is_object() ? raw_ : std::string_view{}}; }
element_range value::elements() const { return element_range{is_array() ? raw_ : std::string_view{}}; }

bool member::key_is(std::string_view text) const { return inside_equals(raw_key, text); }
std::string member::key() const { return unescape(raw_key); }

member_range::iterator member_range::begin() const {
  return object_.empty() ? iterator{} : iterator{object_.substr(1)};
}
member_range::iterator::iterator(std::string_view rest) : rest_{rest} { read(); }

void member_range::iterator::read() {
  const char* const end = rest_.data() + rest_.size();
  const char* p = scan::skip_blanks(rest_.data(), end);
  if (p == end || *p != '"') {
    done_ = true;
    return;
  }
  const char* const key = p;
  p = scan::skip_string(p + 1, end);
  current_.raw_key = inside_of(between(key, p));
  p = scan::skip_blanks(p, end);
  if (p != end) ++p;  // ':'
  p = scan::skip_blanks(p, end);
  const char* const behind = skip_value(p, end);
  current_.content = value{between(p, behind)};
  rest_ = between(behind, end);
}

member_range::iterator& member_range::iterator::operator++() {
  const char* const end = rest_.data() + rest_.size();
  const char* const p = scan::skip_blanks(rest_.data(), end);
  if (p == end || *p != ',') {
    done_ = true;
    return *this;
  }
  rest_ = between(p + 1, end);
  read();
  return *this;
}

element_range::iterator element_range::begin() const {
  return array_.empty() ? iterator{} : iterator{array_.substr(1)};
}
element_range::iterator::iterator(std::string_view rest) : rest_{rest} { read(); }

void element_range::iterator::read() {
  const char* const end = rest_.data() + rest_.size();
  const char* const p = scan::skip_blanks(rest_.data(), end);
  if (p == end || *p == ']') {
    done_ = true;
    return;
  }
  const char* const behind = skip_value(p, end);
  current_ = value{between(p, behind)};
  rest_ = between(behind, end);
}

element_range::iterator& element_range::iterator::operator++() {
  const char* const end = rest_.data() + rest_.size();
  const char* const p = scan::skip_blanks(rest_.data(), end);
  if (p == end || *p != ',') {
    done_ = true;
    return *this;
  }
  rest_ = between(p + 1, end);
  read();
  return *this;
}

}  // namespace tidegate::protocol::json
