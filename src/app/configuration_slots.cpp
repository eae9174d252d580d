// From a TOML value or an environment text to the slot of a row, and back to TOML.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <utility>

#include "app/configuration_values.h"
#include "foundation/check.h"
#include "foundation/text.h"
#include "policy/routing.h"

namespace tidegate::app {

namespace {

using protocol::toml::node;
using protocol::toml::position;
using kind = value_kind;

constexpr std::size_t list_items_max = 1'000;
constexpr std::size_t backoff_items_max = 16;
constexpr std::size_t text_bytes_max = 4'096;

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04X", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

// --- from a value to the slot

using outcome = std::expected<void, value_error>;

struct assignment {
  const key_row& row;
  slot target;
  const node& value;

  std::unexpected<value_error> fail(std::string message) const {
    return fail_at(value.where, std::move(message));
  }
  std::unexpected<value_error> fail_at(position where, std::string message) const {
    return std::unexpected{value_error{where, std::move(message)}};
  }
  std::unexpected<value_error> wrong_kind(std::string_view expected) const {
    return fail("expected " + std::string{expected} + ", found " + std::string{kind_name(value)});
  }
  std::unexpected<value_error> out_of_range(position where) const {
    return fail_at(where, "out of range, expected " + limits());
  }
  std::string limits() const {
    key_row bounded = row;
    if (row.kind == kind::duration_list) bounded.kind = kind::duration;
    if (row.kind == kind::number_or_omit) bounded.kind = kind::number;
    return range_text(bounded);
  }
  bool in_range(std::uint64_t amount, std::uint64_t ceiling) const {
    return amount >= row.at_least && amount <= std::min(row.at_most, ceiling);
  }
};

constexpr std::string_view duration_words = "a duration such as \"250ms\" or \"15m\"";

// The first fault of a text, judged by the row's kind; empty when it fits.
std::string text_fault(value_kind row_kind, std::string_view text) {
  if (text.size() > text_bytes_max) return "longer than 4096 bytes";
  if (has_control_bytes(text)) return "control characters are not allowed";
  switch (row_kind) {
    case kind::name:
      return is_name(text) ? "" : "expected 1 to 64 of the characters A-Z a-z 0-9 . _ -";
    case kind::model:
      return foundation::trim(text).empty() ? "must not be blank" : "";
    case kind::optional_address:
      if (text.empty()) return {};
      [[fallthrough]];
    case kind::address:
      return parse_listen(text) ? "" : "expected host:port or unix:/path";
    case kind::key_hash:
      return is_key_hash(text) ? ""
                               : "expected \"hmac-sha256:\" and 64 hex digits or 43 base64url characters";
    case kind::date:
      return text.empty() || is_date(text) ? "" : "expected a date such as \"2026-01-31\"";
    case kind::base_url: {
      if (foundation::trim(text).empty()) return {};
      const auto url = policy::parse_base_url(text);
      return url ? "" : "base URL " + std::string{policy::describe(url.error())};
    }
    default:
      return {};
  }
}

outcome assign_string(const assignment& a) {
  const auto* text = std::get_if<std::string>(&a.value.value);
  const auto* date = std::get_if<protocol::toml::date_time>(&a.value.value);
  if (date != nullptr && a.row.kind == kind::date) text = &date->text;
  if (text == nullptr) return a.wrong_kind("a string");
  if (std::string fault = text_fault(a.row.kind, *text); !fault.empty()) return a.fail(std::move(fault));
  if (a.row.required && foundation::trim(*text).empty()) return a.fail("must not be blank");
  *std::get<std::string*>(a.target) = std::string{foundation::trim(*text)};
  return {};
}

outcome assign_credential(const assignment& a) {
  const auto* text = std::get_if<std::string>(&a.value.value);
  if (text == nullptr) return a.wrong_kind("a string");
  auto reference = parse_credential(*text);
  if (!reference) return a.fail(std::move(reference.error()));
  *std::get<credential_reference*>(a.target) = std::move(*reference);
  return {};
}

outcome assign_flag(const assignment& a) {
  const auto* flag = std::get_if<bool>(&a.value.value);
  if (flag == nullptr) return a.wrong_kind("true or false");
  *std::get<bool*>(a.target) = *flag;
  return {};
}

outcome assign_count(const assignment& a) {
  const auto* count = std::get_if<std::int64_t>(&a.value.value);
  if (count == nullptr) return a.wrong_kind("an integer");
  if (*count < 0 || !a.in_range(static_cast<std::uint64_t>(*count), count_max))
    return a.out_of_range(a.value.where);
  *std::get<std::uint64_t*>(a.target) = static_cast<std::uint64_t>(*count);
  return {};
}

outcome assign_size(const assignment& a) {
  constexpr std::string_view words = "a size such as \"64KiB\" or \"10MiB\"";
  const auto* text = std::get_if<std::string>(&a.value.value);
  if (text == nullptr) return a.wrong_kind(words);
  const auto size = parse_size(*text);
  if (!size) return a.fail("expected " + std::string{words});
  if (!a.in_range(*size, count_max)) return a.out_of_range(a.value.where);
  *std::get<std::uint64_t*>(a.target) = *size;
  return {};
}

std::expected<milliseconds, value_error> duration_of(const assignment& a, const node& item) {
  const auto* text = std::get_if<std::string>(&item.value);
  if (text == nullptr) {
    return a.fail_at(item.where,
                     "expected " + std::string{duration_words} + ", found " + std::string{kind_name(item)});
  }
  const auto duration = parse_duration(*text);
  if (!duration) return a.fail_at(item.where, "expected " + std::string{duration_words});
  if (!a.in_range(static_cast<std::uint64_t>(duration->count()), duration_ms_max))
    return a.out_of_range(item.where);
  return *duration;
}

outcome assign_duration(const assignment& a) {
  const auto duration = duration_of(a, a.value);
  if (!duration) return std::unexpected{duration.error()};
  *std::get<milliseconds*>(a.target) = *duration;
  return {};
}

outcome assign_optional_duration(const assignment& a) {
  auto& field = *std::get<std::optional<milliseconds>*>(a.target);
  const auto* text = std::get_if<std::string>(&a.value.value);
  if (text != nullptr && text->empty()) {
    field.reset();
    return {};
  }
  const auto duration = duration_of(a, a.value);
  if (!duration) return std::unexpected{duration.error()};
  field = *duration;
  return {};
}

std::expected<double, value_error> number_of(const assignment& a) {
  double number = 0;
  if (const auto* integer = std::get_if<std::int64_t>(&a.value.value)) {
    number = static_cast<double>(*integer);
  } else if (const auto* real = std::get_if<double>(&a.value.value)) {
    number = *real;
  } else {
    return a.wrong_kind("a number");
  }
  const double ceiling = static_cast<double>(std::min(a.row.at_most, count_max));
  // Written so that NaN fails it too.
  if (!(number >= static_cast<double>(a.row.at_least) && number <= ceiling))
    return a.out_of_range(a.value.where);
  return number;
}

outcome assign_number(const assignment& a) {
  const auto* text = std::get_if<std::string>(&a.value.value);
  if (a.row.kind == kind::number_or_omit && text != nullptr) {
    if (*text != "omit") return a.fail("expected a number or \"omit\"");
    std::get<std::optional<double>*>(a.target)->reset();
    return {};
  }
  const auto number = number_of(a);
  if (!number) return std::unexpected{number.error()};
  if (a.row.kind == kind::number) {
    *std::get<double*>(a.target) = *number;
  } else {
    *std::get<std::optional<double>*>(a.target) = *number;
  }
  return {};
}

outcome assign_choice(const assignment& a) {
  const auto* text = std::get_if<std::string>(&a.value.value);
  if (text == nullptr) return a.wrong_kind("a string");
  const auto found = std::ranges::find(a.row.choices, std::string_view{*text});
  if (found == a.row.choices.end()) {
    const std::string_view close = closest(*text, a.row.choices);
    std::string message = "expected one of " + range_text(a.row);
    if (!close.empty()) message += "; did you mean \"" + std::string{close} + "\"?";
    return a.fail(std::move(message));
  }
  *std::get<choice_slot>(a.target).index = static_cast<std::uint8_t>(found - a.row.choices.begin());
  return {};
}

outcome assign_text_list(const assignment& a) {
  const auto* list = std::get_if<protocol::toml::array>(&a.value.value);
  if (list == nullptr) return a.wrong_kind("an array of strings");
  if (list->size() > list_items_max) return a.fail("more than 1000 values");
  std::vector<std::string> items;
  for (const node& item : *list) {
    const auto* text = std::get_if<std::string>(&item.value);
    if (text == nullptr)
      return a.fail_at(item.where, "expected a string, found " + std::string{kind_name(item)});
    std::string fault = text_fault(kind::model, *text);
    if (fault.empty() && a.row.kind == kind::origin_list && !is_origin(*text)) {
      fault = "expected an origin such as \"https://app.example.com\"";
    }
    if (!fault.empty()) return a.fail_at(item.where, std::move(fault));
    items.emplace_back(foundation::trim(*text));
  }
  *std::get<std::vector<std::string>*>(a.target) = std::move(items);
  return {};
}

// "7,11": whole milliseconds between commas and nothing else (RET-3).
std::optional<std::vector<milliseconds>> parse_backoff_list(std::string_view text) {
  std::vector<milliseconds> waits;
  while (true) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const auto wait = foundation::parse_u64(text.substr(0, comma));
    if (!wait || *wait == 0 || *wait > duration_ms_max || waits.size() == backoff_items_max)
      return std::nullopt;
    waits.emplace_back(static_cast<std::int64_t>(*wait));
    if (comma == text.size()) return waits;
    text.remove_prefix(comma + 1);
  }
}

outcome assign_duration_list(const assignment& a) {
  std::vector<milliseconds> waits;
  if (const auto* text = std::get_if<std::string>(&a.value.value)) {
    auto parsed = parse_backoff_list(*text);
    if (!parsed) return a.fail("expected an array of durations, or milliseconds such as \"7,11\"");
    waits = std::move(*parsed);
  } else if (const auto* list = std::get_if<protocol::toml::array>(&a.value.value)) {
    if (list->size() > backoff_items_max) return a.fail("more than 16 waits");
    for (const node& item : *list) {
      const auto wait = duration_of(a, item);
      if (!wait) return std::unexpected{wait.error()};
      waits.push_back(*wait);
    }
  } else {
    return a.wrong_kind("an array of durations");
  }
  *std::get<std::vector<milliseconds>*>(a.target) = std::move(waits);
  return {};
}

// --- from a slot to TOML

std::string format_number(double number) {
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, number);
  TG_CHECK(error == std::errc{});
  std::string out{text, end};
  // TOML tells 1 from 1.0.
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

struct value_formatter {
  const key_row& row;

  std::string operator()(const std::string* text) const { return quoted(*text); }
  std::string operator()(const bool* flag) const { return *flag ? "true" : "false"; }
  std::string operator()(const std::uint64_t* count) const {
    return row.kind == kind::size ? quoted(format_size(*count)) : std::to_string(*count);
  }
  std::string operator()(const milliseconds* duration) const { return quoted(format_duration(*duration)); }
  std::string operator()(const std::optional<milliseconds>* duration) const {
    return *duration ? quoted(format_duration(**duration)) : "\"\"";
  }
  std::string operator()(const double* number) const { return format_number(*number); }
  std::string operator()(const std::optional<double>* number) const {
    if (*number) return format_number(**number);
    return row.kind == kind::number_or_omit ? "\"omit\"" : std::string{};
  }
  std::string operator()(const std::vector<std::string>* list) const {
    return join(*list, [](const std::string& item) { return quoted(item); });
  }
  std::string operator()(const std::vector<milliseconds>* list) const {
    return join(*list, [](milliseconds item) { return quoted(format_duration(item)); });
  }
  std::string operator()(const std::vector<target_settings>* list) const {
    return join(*list, [](const target_settings& target) {
      return "{ provider = " + quoted(target.provider) + ", model = " + quoted(target.model) + " }";
    });
  }
  std::string operator()(const credential_reference* reference) const { return quoted(to_text(*reference)); }
  std::string operator()(const choice_slot& choice) const { return quoted(row.choices[*choice.index]); }

  template <typename List, typename Format>
  static std::string join(const List& list, Format format) {
    std::string out = "[";
    for (const auto& item : list) {
      if (out.size() > 1) out += ", ";
      out += format(item);
    }
    return out + "]";
  }
};

// --- from an environment text to a value

node list_of(std::string_view text) {
  protocol::toml::array items;
  while (!foundation::trim(text).empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    items.push_back({{}, std::string{foundation::trim(text.substr(0, comma))}});
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return {{}, std::move(items)};
}

node flag_of(std::string_view text) {
  if (text == "1" || foundation::iequals(text, "true")) return {{}, true};
  if (text == "0" || foundation::iequals(text, "false")) return {{}, false};
  return {{}, std::string{text}};
}

node number_node_of(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && end == text.data() + text.size()) return {{}, number};
  return {{}, std::string{text}};
}

// The TOML value that the text would be if it stood in the file.
node node_of(const key_row& row, std::string_view text) {
  const auto integer = foundation::parse_u64(text);
  switch (row.kind) {
    case kind::flag:
      return flag_of(text);
    case kind::count:
      if (integer && *integer <= count_max) return {{}, static_cast<std::int64_t>(*integer)};
      break;
    case kind::size:
      if (integer) return {{}, std::string{text} + "B"};
      break;
    case kind::duration:
    case kind::optional_duration:
      if (integer) return {{}, std::string{text} + "ms"};
      break;
    case kind::number:
    case kind::optional_number:
    case kind::number_or_omit:
      return number_node_of(text);
    case kind::text_list:
    case kind::origin_list:
      return list_of(text);
    default:
      break;
  }
  return {{}, std::string{text}};
}

}  // namespace

std::expected<void, value_error> assign(const key_row& row, slot target, const node& value) {
  const assignment a{row, target, value};
  switch (row.kind) {
    case kind::text:
    case kind::path:
    case kind::model:
    case kind::name:
    case kind::address:
    case kind::optional_address:
    case kind::base_url:
    case kind::key_hash:
    case kind::date:
      return assign_string(a);
    case kind::credential:
      return assign_credential(a);
    case kind::flag:
      return assign_flag(a);
    case kind::count:
      return assign_count(a);
    case kind::size:
      return assign_size(a);
    case kind::duration:
      return assign_duration(a);
    case kind::optional_duration:
      return assign_optional_duration(a);
    case kind::number:
    case kind::optional_number:
    case kind::number_or_omit:
      return assign_number(a);
    case kind::choice:
      return assign_choice(a);
    case kind::text_list:
    case kind::origin_list:
      return assign_text_list(a);
    case kind::duration_list:
      return assign_duration_list(a);
    case kind::target_list:
      break;
  }
  TG_CHECK(row.kind != kind::target_list);  // tables of their own: the reader's business
  return {};
}

std::expected<void, std::string> assign_text(const key_row& row, slot target, std::string_view text) {
  // RET-3 counts a blank inside the list as a fault, so nothing is trimmed there.
  const node value = node_of(row, row.kind == kind::duration_list ? text : foundation::trim(text));
  const auto result = assign(row, target, value);
  if (!result) return std::unexpected{result.error().message};
  return {};
}

std::string format_value(const key_row& row, slot source) { return std::visit(value_formatter{row}, source); }

}  // namespace tidegate::app
