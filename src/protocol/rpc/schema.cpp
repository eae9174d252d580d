#include "protocol/rpc/schema.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "foundation/error.h"
#include "protocol/rpc/json_path.h"

namespace tidegate::protocol::rpc {

std::string_view type_name(json::kind kind) {
  switch (kind) {
    case json::kind::null:
      return "null";
    case json::kind::boolean:
      return "boolean";
    case json::kind::number:
      return "number";
    case json::kind::string:
      return "string";
    case json::kind::array:
      return "array";
    case json::kind::object:
      return "object";
  }
  return "invalid";
}

namespace {

std::string joined(std::span<const std::string_view> words) {
  std::string out;
  for (const std::string_view word : words) {
    if (!out.empty()) out += ", ";
    out += word;
  }
  return out;
}

std::string expected_text(const shape& wanted) {
  switch (wanted.kind) {
    case shape_kind::object:
    case shape_kind::map:
    case shape_kind::any_object:
    case shape_kind::one_of:
      return "object";
    case shape_kind::array:
      return "array";
    case shape_kind::string:
      return wanted.words.empty() ? "string" : "one of " + joined(wanted.words);
    case shape_kind::integer:
      return "integer";
    case shape_kind::number:
      return "number";
    case shape_kind::boolean:
      return "boolean";
    case shape_kind::truth:
      return "true";
    case shape_kind::error_code:
      return "error code";
    case shape_kind::any_value:
      return "JSON value";
  }
  return {};
}

// Code points of the inside of a validated string literal; an escaped surrogate pair counts as one.
std::size_t code_points_of(std::string_view literal) {
  const auto hex_lead = [&](std::size_t at, char lead_low, char lead_high) {
    if (at + 3 >= literal.size() || literal[at] != '\\' || literal[at + 1] != 'u') return false;
    const char first = literal[at + 2];
    const char second =
        static_cast<char>(literal[at + 3] | 0x20);  // digits keep their value, letters turn lower
    return (first == 'd' || first == 'D') && second >= lead_low && second <= lead_high;
  };
  std::size_t count = 0;
  for (std::size_t i = 1; i + 1 < literal.size(); ++count) {
    if (literal[i] == '\\') {
      const bool pair = (hex_lead(i, '8', '9') || hex_lead(i, 'a', 'b')) && (hex_lead(i + 6, 'c', 'f'));
      i += pair ? 12 : literal[i + 1] == 'u' ? 6 : 2;
      continue;
    }
    ++i;
    while (i + 1 < literal.size() && (static_cast<unsigned char>(literal[i]) & 0xC0U) == 0x80U) ++i;
  }
  return count;
}

bool is_error_code(const json::value& given) {
  return std::ranges::any_of(foundation::all_error_codes(), [&](foundation::error_code code) {
    return given.equals(foundation::name_of(code));
  });
}

// One check of one value. The path is one string that grows and shrinks with the walk.
class checker {
 public:
  void check(const shape& wanted, const json::value& given) {
    switch (wanted.kind) {
      case shape_kind::object:
        return check_object(wanted, given);
      case shape_kind::map:
        return check_map(wanted, given);
      case shape_kind::array:
        return check_array(wanted, given);
      case shape_kind::string:
        return check_string(wanted, given);
      case shape_kind::one_of:
        return check_one_of(wanted, given);
      case shape_kind::integer:
        return check_integer(wanted, given);
      case shape_kind::number:
        return check_number(wanted, given);
      case shape_kind::boolean:
        return demand(given.type() == json::kind::boolean, wanted, given);
      case shape_kind::truth:
        return demand(given.as_bool() == true, wanted, given);
      case shape_kind::error_code:
        return demand(is_error_code(given), wanted, given);
      case shape_kind::any_object:
        return demand(given.is_object(), wanted, given);
      case shape_kind::any_value:
        return;
    }
  }

  std::vector<issue> take() { return std::move(found_); }

 private:
  bool full() const { return found_.size() >= issues_max; }

  void report(std::string message, std::string expected, std::string_view received) {
    if (full()) return;
    found_.push_back({.path = path_.empty() ? "$" : path_,
                      .message = std::move(message),
                      .expected = std::move(expected),
                      .received_type = std::string{received}});
  }

  void demand(bool holds, const shape& wanted, const json::value& given) {
    if (holds) return;
    std::string expected = expected_text(wanted);
    std::string message = "expected " + expected;
    report(std::move(message), std::move(expected), type_name(given.type()));
  }

  // Runs `step` with the path extended.
  template <class Step>
  void below(std::string_view name, Step step) {
    const std::size_t length = path_.size();
    append_member(path_, name);
    step();
    path_.resize(length);
  }
  template <class Step>
  void at_index(std::size_t index, Step step) {
    const std::size_t length = path_.size();
    append_index(path_, index);
    step();
    path_.resize(length);
  }

  void check_object(const shape& wanted, const json::value& given) {
    if (!given.is_object()) return demand(false, wanted, given);
    std::uint64_t seen = 0;  // one bit a field; check_rules bounds their number
    for (const json::member& m : given.members()) {
      if (full()) return;
      const auto at = std::ranges::find_if(wanted.fields, [&](const field& f) { return m.key_is(f.name); });
      if (at == wanted.fields.end()) {
        below(m.key(), [&] { report("unknown field", "no such field", type_name(m.content.type())); });
        continue;
      }
      const std::uint64_t bit = std::uint64_t{1} << static_cast<unsigned>(at - wanted.fields.begin());
      below(at->name, [&] {
        if ((seen & bit) != 0) {
          report("field is given twice", "one such field", type_name(m.content.type()));
        } else {
          check(*at->type, m.content);
        }
      });
      seen |= bit;
    }
    std::uint64_t bit = 1;
    for (const field& f : wanted.fields) {
      if (f.required && (seen & bit) == 0) {
        below(f.name, [&] { report("field is missing", expected_text(*f.type), "missing"); });
      }
      bit <<= 1U;
    }
  }

  void check_map(const shape& wanted, const json::value& given) {
    if (!given.is_object()) return demand(false, wanted, given);
    std::size_t count = 0;
    for (const json::member& m : given.members()) {
      if (full()) return;
      if (over(wanted, ++count, "members", given)) return;
      below(m.key(), [&] { check(*wanted.element, m.content); });
    }
  }

  void check_array(const shape& wanted, const json::value& given) {
    if (!given.is_array()) return demand(false, wanted, given);
    std::size_t count = 0;
    for (const json::value& element : given.elements()) {
      if (full()) return;
      if (over(wanted, ++count, "elements", given)) return;
      at_index(count - 1, [&] { check(*wanted.element, element); });
    }
  }

  void check_string(const shape& wanted, const json::value& given) {
    if (!given.is_string()) return demand(false, wanted, given);
    if (!wanted.words.empty()) {
      const bool known =
          std::ranges::any_of(wanted.words, [&](std::string_view word) { return given.equals(word); });
      return demand(known, wanted, given);
    }
    // A code point takes at least a byte, so most strings need no count.
    if (wanted.size_max == 0 || given.raw().size() <= wanted.size_max + 2) return;
    (void)over(wanted, code_points_of(given.raw()), "characters", given);
  }

  void check_integer(const shape& wanted, const json::value& given) {
    if (!given.is_number()) return demand(false, wanted, given);
    if (given.as_int()) return;
    report("expected integer within 64 bits", "integer", "number");
  }

  void check_number(const shape& wanted, const json::value& given) {
    const std::optional<double> number = given.as_double();
    if (!given.is_number() || !number) return demand(false, wanted, given);
    if (!std::isfinite(*number)) report("number is out of range", "finite number", "number");
  }

  void check_one_of(const shape& wanted, const json::value& given) {
    if (!given.is_object()) return demand(false, wanted, given);
    const std::optional<json::value> tag = given.find(wanted.tag);
    std::string words;
    for (const shape* variant : wanted.variants) {
      const auto at = std::ranges::find(variant->fields, wanted.tag, &field::name);
      if (at == variant->fields.end()) continue;
      const bool fits = tag && std::ranges::any_of(at->type->words,
                                                   [&](std::string_view word) { return tag->equals(word); });
      if (fits) return check_object(*variant, given);
      if (!words.empty()) words += ", ";
      words += joined(at->type->words);
    }
    below(wanted.tag, [&] {
      if (!tag) return report("field is missing", "one of " + words, "missing");
      report("expected one of " + words, "one of " + words, type_name(tag->type()));
    });
  }

  bool over(const shape& wanted, std::size_t size, std::string_view unit, const json::value& given) {
    if (wanted.size_max == 0 || size <= wanted.size_max) return false;
    const std::string limit = "at most " + std::to_string(wanted.size_max) + ' ' + std::string{unit};
    report("expected " + limit, limit, type_name(given.type()));
    return true;
  }

  std::string path_;
  std::vector<issue> found_;
};

}  // namespace

std::vector<issue> validate(const shape& wanted, json::value given) {
  checker one;
  one.check(wanted, given);
  return one.take();
}

std::string issues_json(std::span<const issue> issues) {
  std::string out;
  json::writer w{out};
  w.begin_array();
  for (const issue& i : issues) {
    w.begin_object();
    w.member("path", i.path).member("message", i.message);
    w.member("expected", i.expected).member("receivedType", i.received_type);
    w.end_object();
  }
  w.end_array();
  return out;
}

}  // namespace tidegate::protocol::rpc
