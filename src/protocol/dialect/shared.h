// What the dialects have in common: reading fields with a named complaint, data URLs, tool arguments, token
// counts, reasoning effort, error types by status.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/error.h"
#include "protocol/dialect/canonical.h"
#include "protocol/dialect/dialect.h"
#include "protocol/json/json.h"

namespace tidegate::protocol::dialect {

// --- where a value stands in the body

// A step list that costs nothing until a complaint needs its text. Lives on the stack beside the reading
// loop.
struct field_path {
  const field_path* parent = nullptr;
  std::string_view key;
  std::optional<std::size_t> index;

  // A member below this place; `name` must outlive the result.
  field_path member(std::string_view name) const { return {this, name, std::nullopt}; }
  field_path element(std::size_t at) const { return {this, {}, at}; }
  // "messages[2].content"
  std::string text() const;
};

// Messages, pieces of content, calls, tools and stop sequences one request may hold. Each costs some hundred
// bytes of memory however few it takes in the body.
inline constexpr std::size_t items_max = 65'536;

// Keeps the first thing that was wrong, so that readers stay straight and the check stands once at the end.
struct findings {
  std::optional<complaint> first;
  std::size_t items = 0;

  // Counts one item; false, with a finding, for one too many.
  bool admit(const field_path& where);

  void report(const field_path& where, std::string_view message);
  // "messages[0].role must be a string"
  void wrong_type(const field_path& where, std::string_view expected);
  bool clean() const { return !first.has_value(); }
};

// --- reading members. A missing or null member is no value; another type is a finding and no value.

// Picks the named members of an object in one pass (the last of equal keys wins). Memory is bound by the
// names.
class fields {
 public:
  // The names must outlive this; at most 48.
  fields(json::value object, std::span<const std::string_view> names);
  // Nothing for a missing or null member. `name` must be one of the names given.
  std::optional<json::value> operator[](std::string_view name) const;

 private:
  std::span<const std::string_view> names_;
  std::array<std::optional<json::value>, 48> found_;
};

std::optional<json::value> member_of(json::value object, std::string_view name);
std::optional<std::string> read_string(std::optional<json::value> v, const field_path& where,
                                       findings& found);
std::optional<bool> read_bool(std::optional<json::value> v, const field_path& where, findings& found);
std::optional<std::int64_t> read_int(std::optional<json::value> v, const field_path& where, findings& found);
std::optional<double> read_number(std::optional<json::value> v, const field_path& where, findings& found);
std::optional<json::value> read_object(std::optional<json::value> v, const field_path& where,
                                       findings& found);
std::optional<json::value> read_array(std::optional<json::value> v, const field_path& where, findings& found);
// A token bound such as max_tokens: an integer of at least 1.
std::optional<std::int64_t> read_token_bound(std::optional<json::value> v, const field_path& where,
                                             findings& found);
// A string or an array of strings (stop sequences).
std::vector<std::string> read_strings(std::optional<json::value> v, const field_path& where, findings& found);

// --- base64 data URLs (RFC 2397)

struct data_url {
  std::string_view media_type;  // "image/png", without parameters; "text/plain" where the URL names none
  std::string_view data;        // base64 text, as it stands
};
// Nothing for other URLs and for data URLs that are not base64.
std::optional<data_url> parse_data_url(std::string_view url);
std::string make_data_url(std::string_view media_type, std::string_view data);
// Sets `url`, or `media_type` and `data` where the URL is a base64 data URL.
void set_source(part& target, std::string_view url);

// --- tool calls

// Arguments for a dialect that keeps them as text: the model's own text, "{}" for blank ones.
std::string_view arguments_as_text(std::string_view arguments);
// Arguments for a dialect that wants an object: the model's text where it is a JSON object, {} for blank
// ones,
// {"_raw": "<text>"} for everything else, so that nothing the model wrote is lost and the object is valid.
std::string arguments_as_object(std::string_view arguments);
// What a provider sent as arguments: the text of a string, the JSON of anything else; empty for null.
std::string arguments_of(std::optional<json::value> v);
// TOOL-1: the id of a call whose provider gave none.
std::string default_call_id(std::size_t index);

// --- text

// The text of all parts of one kind, one after another.
std::string joined_text(std::span<const part> parts, part_kind kind, std::string_view between = {});
bool has_kind(std::span<const part> parts, part_kind kind);

// --- usage (USE-2)

// No count of one exchange comes near this; it keeps sums and prices of untrusted numbers from overflowing.
inline constexpr std::int64_t token_count_max = 1'000'000'000'000;
// A count as reported: 0 for what is no finite, positive number; at most token_count_max.
std::int64_t token_count(std::optional<json::value> v);
// The first of `names` that is present and not null; an explicit 0 counts.
std::optional<std::int64_t> first_count(json::value object, std::initializer_list<std::string_view> names);
// Usage as OpenAI's two dialects and their imitators write it: prompt_tokens|input_tokens, the details
// objects, and the cached counts of DeepSeek, Together, OpenRouter and Anthropic-like gateways. `known` is
// false where no count is there.
usage read_openai_usage(std::optional<json::value> v);
bool same_usage(const usage& a, const usage& b);

// --- reasoning effort. OpenAI names a level, Anthropic a budget: low <= 2048 < medium <= 8192 < high;
// the other way minimal and low are 1024 (Anthropic's least), medium 4096, high 16384, xhigh and max 32768.
std::string_view effort_of_budget(std::int64_t budget_tokens);
// Nothing for "none" and unknown words.
std::optional<std::int64_t> budget_of_effort(std::string_view effort);

// --- errors

// The `type` of an OpenAI error body for an HTTP status.
std::string_view openai_error_type(int http_status);
// The `type` of an Anthropic error body; AI_PROVIDER_UNAVAILABLE and SERVER_OVERLOADED are overloaded_error.
std::string_view anthropic_error_type(const foundation::failure& f);
// {"error":{message,type,param,code,trace_id,run_id,details}}: the body of both OpenAI dialects (GW-2). The
// provider's own type and code stand where the failure kept them.
std::string openai_error_body(const foundation::failure& f, std::string_view run_id,
                              std::string_view trace_id);
// A string as it is, a number as its text (providers send both as error codes); empty otherwise.
std::string text_or_number(std::optional<json::value> v);
// The in-stream error of an `error` member (object or string) or of an object that is the error itself.
stream_error read_stream_error(json::value error);

}  // namespace tidegate::protocol::dialect
