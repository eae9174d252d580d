// JSON text (RFC 8259) as it stands: a strict validator, a cursor over validated text that allocates nothing
// and keeps every byte, a writer, and surgical edits of an object's top-level members. Duplicate keys are
// legal; the last one wins in look-ups and edits touch every occurrence, so no reader behind us sees another
// value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tidegate::protocol::json {

enum class kind : std::uint8_t { null, boolean, number, string, array, object };

struct syntax_error {
  std::size_t offset = 0;
  // Static text, fit for an error message: "expected ',' or '}'".
  std::string_view reason;
  bool too_deep = false;
};

inline constexpr std::size_t depth_max = 64;

// Whole text: grammar, UTF-8, escapes, nesting depth (arrays + objects; the limit itself passes, and 1024 is
// the most that can be asked for). Never recurses.
std::expected<void, syntax_error> validate(std::string_view text, std::size_t max_depth = depth_max);

class member_range;
class element_range;

// A value inside validated text. A view: the text must outlive it.
class value {
 public:
  value() = default;  // null
  // `raw` must be one validated value without blanks around it.
  explicit value(std::string_view raw) : raw_{raw} {}

  std::string_view raw() const { return raw_; }
  kind type() const;
  bool is_null() const { return type() == kind::null; }
  bool is_string() const { return type() == kind::string; }
  bool is_number() const { return type() == kind::number; }
  bool is_array() const { return type() == kind::array; }
  bool is_object() const { return type() == kind::object; }

  std::optional<bool> as_bool() const;
  // Only integers that fit, written without fraction and exponent, or with a zero fraction ("5", "5.0").
  std::optional<std::int64_t> as_int() const;
  std::optional<double> as_double() const;
  // Escapes decoded; a lone surrogate escape becomes U+FFFD.
  std::optional<std::string> as_string() const;
  // as_string without a copy where the text has no escapes; nothing otherwise.
  std::optional<std::string_view> as_plain_string() const;
  // True for a string equal to `text` after decoding.
  bool equals(std::string_view text) const;

  // Objects: the last member of that name. Nothing for a missing key or another kind. `key` is unescaped
  // text.
  std::optional<value> find(std::string_view key) const;
  // find(...) chains that shrug off missing steps: path({"usage", "prompt_tokens"}).
  std::optional<value> path(std::initializer_list<std::string_view> keys) const;
  std::string string_or(std::string_view key, std::string_view fallback) const;
  std::optional<std::int64_t> int_at(std::string_view key) const;

  // Empty ranges for other kinds.
  member_range members() const;
  element_range elements() const;

 private:
  std::string_view raw_ = "null";
};

// validate + the value of the whole text.
std::expected<value, syntax_error> parse(std::string_view text, std::size_t max_depth = depth_max);

struct member {
  // Between the quotes, still escaped.
  std::string_view raw_key;
  value content;
  bool key_is(std::string_view text) const;
  std::string key() const;
};

// Range-for over an object's members in order.
class member_range {
 public:
  class iterator {
   public:
    explicit iterator(std::string_view rest);  // rest: text from behind '{' or ','
    const member& operator*() const { return current_; }
    const member* operator->() const { return &current_; }
    iterator& operator++();
    bool operator==(const iterator& other) const { return done_ == other.done_; }
    iterator() : done_{true} {}

   private:
    void read();
    std::string_view rest_;
    member current_;
    bool done_ = false;
  };
  explicit member_range(std::string_view object) : object_{object} {}
  iterator begin() const;
  iterator end() const { return iterator{}; }

 private:
  std::string_view object_;
};

class element_range {
 public:
  class iterator {
   public:
    explicit iterator(std::string_view rest);
    const value& operator*() const { return current_; }
    const value* operator->() const { return &current_; }
    iterator& operator++();
    bool operator==(const iterator& other) const { return done_ == other.done_; }
    iterator() : done_{true} {}

   private:
    void read();
    std::string_view rest_;
    value current_;
    bool done_ = false;
  };
  explicit element_range(std::string_view array) : array_{array} {}
  iterator begin() const;
  iterator end() const { return iterator{}; }

 private:
  std::string_view array_;
};

// Compact JSON into a string; commas and quotes are its business, balance is the caller's (checked by
// TG_CHECK).
class writer {
 public:
  explicit writer(std::string& out) : out_{out} {}
  writer& begin_object();
  writer& end_object();
  writer& begin_array();
  writer& end_array();
  writer& key(std::string_view text);
  writer& string(std::string_view text);  // any bytes: invalid UTF-8 becomes U+FFFD
  writer& number(std::int64_t n);
  writer& number(double n);  // shortest text that reads back equal; NaN and infinities become null
  writer& boolean(bool b);
  writer& null();
  writer& raw(std::string_view json);  // one valid JSON value, as it is
  // key + value in one call.
  writer& member(std::string_view name, std::string_view text);
  writer& member(std::string_view name, const char* text) { return member(name, std::string_view{text}); }
  writer& member(std::string_view name, std::int64_t n);
  writer& member(std::string_view name, int n) { return member(name, static_cast<std::int64_t>(n)); }
  writer& member(std::string_view name, bool b) { return key(name).boolean(b); }
  writer& member(std::string_view name, double n) { return key(name).number(n); }

 private:
  void before_value();
  bool open_member();
  void begin(char bracket, bool object);
  void end(char bracket, bool object);
  std::string& out_;
  std::uint64_t open_ = 0;     // one bit a level: has the container an element yet
  std::uint64_t objects_ = 0;  // one bit a level: is it an object
  std::uint8_t depth_ = 0;     // at most 63 levels
  bool after_key_ = false;
};

// Appends `text` as a quoted JSON string.
void append_quoted(std::string& out, std::string_view text);
// Decodes the inside of a string literal (validated text, without quotes).
std::string unescape(std::string_view inside);

// One change to a top-level member of an object: replaced where present (every occurrence), appended where
// not; no `raw_value` removes it.
struct edit {
  std::string_view key;
  std::optional<std::string_view> raw_value;
};
// All other bytes of `object` (validated) stay as they were.
std::string apply(std::string_view object, std::span<const edit> edits);

}  // namespace tidegate::protocol::json
