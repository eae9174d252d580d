// The response object and its items, as they stand in whole replies and in stream events.
#include <algorithm>
#include <array>

#include "foundation/text.h"
#include "protocol/dialect/openai_responses.h"
#include "protocol/dialect/shared.h"

namespace tidegate::protocol::dialect::responses {
namespace {

constexpr std::string_view response_prefix = "resp_";

// A member that repeats the request, what kind it has in a response, and what stands there when nobody asked.
struct echo_member {
  std::string_view key;
  std::array<json::kind, 2> kinds;
  std::string_view otherwise;
};

constexpr json::kind text_kind = json::kind::string;
constexpr json::kind object_kind = json::kind::object;
constexpr json::kind number_kind = json::kind::number;

constexpr std::array<echo_member, 15> echo_members{{
    {"instructions", {text_kind, text_kind}, "null"},
    {"max_output_tokens", {number_kind, number_kind}, "null"},
    {"max_tool_calls", {number_kind, number_kind}, "null"},
    {"metadata", {object_kind, object_kind}, "{}"},
    {"parallel_tool_calls", {json::kind::boolean, json::kind::boolean}, "true"},
    {"prompt_cache_key", {text_kind, text_kind}, "null"},
    {"reasoning", {object_kind, object_kind}, R"({"effort":null,"summary":null})"},
    {"safety_identifier", {text_kind, text_kind}, "null"},
    {"temperature", {number_kind, number_kind}, "null"},
    {"text", {object_kind, object_kind}, R"({"format":{"type":"text"}})"},
    {"tool_choice", {text_kind, object_kind}, R"("auto")"},
    {"tools", {json::kind::array, json::kind::array}, "[]"},
    {"top_p", {number_kind, number_kind}, "null"},
    {"truncation", {text_kind, text_kind}, R"("disabled")"},
    {"user", {text_kind, text_kind}, "null"},
}};

constexpr auto echo_keys = [] {
  std::array<std::string_view, echo_members.size()> keys{};
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = echo_members[i].key;
  return keys;
}();

void write_echo(json::writer& w, const request* asked) {
  const bool known = asked != nullptr && !asked->echo.empty();
  const fields given{known ? json::value{asked->echo} : json::value{}, echo_keys};
  for (const echo_member& m : echo_members) {
    const auto value = given[m.key];
    const bool fits = value && std::ranges::find(m.kinds, value->type()) != m.kinds.end();
    w.key(m.key).raw(fits ? value->raw() : m.otherwise);
  }
}

std::string_view name_of(response_status status) {
  switch (status) {
    case response_status::in_progress:
      return "in_progress";
    case response_status::completed:
      return "completed";
    case response_status::incomplete:
      return "incomplete";
  }
  return "completed";
}

void write_usage(json::writer& w, const usage& u) {
  w.begin_object().member("input_tokens", u.prompt);
  w.key("input_tokens_details").begin_object();
  w.member("cached_tokens", u.cached).member("cache_write_tokens", u.cache_write).end_object();
  w.member("output_tokens", u.completion);
  w.key("output_tokens_details").begin_object().member("reasoning_tokens", u.reasoning).end_object();
  // Counts come from a provider; their sum may be anything but undefined.
  std::int64_t total = 0;
  if (__builtin_add_overflow(u.prompt, u.completion, &total)) total = INT64_MAX;
  w.member("total_tokens", total).end_object();
}

bool is_id_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// The vendor takes ids of at most 64 characters back in a later request.
constexpr std::size_t id_stem_max = 48;

std::string id_stem(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (is_id_char(c)) out += c;
    if (out.size() == id_stem_max) break;
  }
  return out;
}

}  // namespace

response_status status_of(finish_reason finish) {
  const bool cut = finish == finish_reason::length || finish == finish_reason::content_filter;
  return cut ? response_status::incomplete : response_status::completed;
}

std::string_view item_status_of(finish_reason finish) { return name_of(status_of(finish)); }

void write_response(json::writer& w, const response_object& object, const encode_context& context) {
  w.begin_object().member("id", object.id).member("object", "response");
  w.member("created_at", object.created != 0 ? object.created : context.created);
  w.member("status", name_of(object.status));
  w.member("background", false).key("error").null().key("incomplete_details");
  if (object.status == response_status::incomplete) {
    const bool filtered = object.finish == finish_reason::content_filter;
    w.begin_object().member("reason", filtered ? "content_filter" : "max_output_tokens").end_object();
  } else {
    w.null();
  }
  w.member("model", std::string_view{context.model});
  w.key("output").raw(object.output.empty() ? std::string_view{"[]"} : object.output);
  write_echo(w, context.asked);
  w.key("previous_response_id").null().key("service_tier").null().member("store", false);
  w.key("usage");
  if (object.tokens != nullptr && object.tokens->known) {
    write_usage(w, *object.tokens);
  } else {
    w.null();
  }
  w.end_object();
}

void write_text_part(json::writer& w, std::string_view text) {
  w.begin_object().member("type", "output_text").key("annotations").begin_array().end_array();
  w.key("logprobs").begin_array().end_array().member("text", text).end_object();
}

void write_refusal_part(json::writer& w, std::string_view text) {
  w.begin_object().member("type", "refusal").member("refusal", text).end_object();
}

void write_message_item(json::writer& w, std::string_view id, std::string_view status,
                        std::string_view content) {
  w.begin_object().member("id", id).member("type", "message").member("status", status);
  std::string list;
  list.reserve(content.size() + 2);
  list.append("[").append(content).append("]");
  w.key("content").raw(list).member("role", "assistant").end_object();
}

void write_reasoning_item(json::writer& w, std::string_view id, std::string_view text,
                          std::string_view encrypted_content) {
  w.begin_object();
  if (!id.empty()) w.member("id", id);
  w.member("type", "reasoning").key("summary").begin_array();
  if (!text.empty()) w.begin_object().member("type", "summary_text").member("text", text).end_object();
  w.end_array();
  if (!encrypted_content.empty()) w.member("encrypted_content", encrypted_content);
  w.end_object();
}

void write_call_item(json::writer& w, std::string_view id, std::string_view status, const part& call) {
  w.begin_object().member("id", id).member("type", "function_call").member("status", status);
  w.member("arguments", std::string_view{call.data}).member("call_id", std::string_view{call.id});
  w.member("name", std::string_view{call.name}).end_object();
}

std::string response_id(std::string_view provider_id, const encode_context& context) {
  for (const std::string_view id : {provider_id, std::string_view{context.id}}) {
    if (id.starts_with(response_prefix) && id.size() > response_prefix.size()) {
      return std::string{response_prefix} + id_stem(id.substr(response_prefix.size()));
    }
  }
  return std::string{response_prefix} +
         id_stem(context.id.empty() ? provider_id : std::string_view{context.id});
}

std::string item_id(std::string_view prefix, std::string_view response, std::size_t index) {
  if (response.starts_with(response_prefix)) response.remove_prefix(response_prefix.size());
  std::string out{prefix};
  out += '_';
  out += response;
  out += '_';
  foundation::append_number(out, static_cast<std::int64_t>(index));
  return out;
}

}  // namespace tidegate::protocol::dialect::responses
