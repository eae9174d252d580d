// Writing a Chat Completions request for an OpenAI target or one of its imitators.
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "protocol/dialect/openai_chat.h"

namespace tidegate::protocol::dialect::chat {
namespace {

constexpr std::size_t stop_max = 4;
// Longer end-user ids are refused by OpenAI.
constexpr std::size_t user_max = 64;

bool is_one_of(std::string_view word, std::span<const std::string_view> words) {
  return std::ranges::find(words, word) != words.end();
}

void write_text_part(json::writer& w, std::string_view text) {
  w.begin_object().member("type", "text").member("text", text).end_object();
}

void write_image(json::writer& w, const part& image) {
  w.begin_object().member("type", "image_url").key("image_url").begin_object();
  w.key("url").string(image.url.empty() ? make_data_url(image.media_type, image.data) : image.url);
  if (!image.detail.empty()) w.member("detail", std::string_view{image.detail});
  w.end_object().end_object();
}

// OpenAI wants a file name beside the data.
std::string_view file_name_of(const part& file) {
  if (!file.name.empty()) return file.name;
  return file.media_type == "application/pdf" ? "document.pdf" : "document";
}

void write_file(json::writer& w, const part& file, findings& found) {
  if (file.data.empty() && !file.url.empty()) {
    const field_path where{nullptr, "messages", std::nullopt};
    found.report(where, "a document given by URL has no counterpart at the target of this model");
  }
  w.begin_object().member("type", "file").key("file").begin_object();
  w.member("filename", file_name_of(file));
  w.key("file_data").string(make_data_url(file.media_type, file.data)).end_object().end_object();
}

// What a user may say; anything else of a user message is written elsewhere or has no meaning here.
bool is_user_content(const part& each) {
  return each.kind == part_kind::text || each.kind == part_kind::image || each.kind == part_kind::file;
}

void write_user_part(json::writer& w, const part& each, findings& found) {
  if (each.kind == part_kind::text) return write_text_part(w, each.text);
  if (each.kind == part_kind::image) return write_image(w, each);
  write_file(w, each, found);
}

// One text as a string, which every imitator reads; several as an array, so that their borders stay.
void write_texts(json::writer& w, std::span<const part* const> texts) {
  if (texts.size() == 1) {
    w.string(texts.front()->text);
    return;
  }
  w.begin_array();
  for (const part* each : texts) write_text_part(w, each->text);
  w.end_array();
}

std::vector<const part*> of_kind(std::span<const part> parts, part_kind kind) {
  std::vector<const part*> out;
  for (const part& each : parts) {
    if (each.kind == kind) out.push_back(&each);
  }
  return out;
}

void write_system(json::writer& w, const request& r) {
  const std::vector<const part*> texts = of_kind(r.system, part_kind::text);
  if (texts.empty()) return;
  w.begin_object().member("role", "system").key("content");
  write_texts(w, texts);
  w.end_object();
}

void write_tool_message(json::writer& w, const part& result) {
  w.begin_object().member("role", "tool").member("tool_call_id", std::string_view{result.id}).key("content");
  const std::vector<const part*> texts = of_kind(result.content, part_kind::text);
  if (texts.empty()) {
    w.string("");
  } else {
    write_texts(w, texts);
  }
  w.end_object();
}

// A tool message holds text only, so what a tool has shown follows in the user message behind all results,
// each picture introduced by the call it belongs to.
std::vector<const part*> shown_by_tools(const message& m) {
  std::vector<const part*> out;
  for (const part& result : m.parts) {
    if (result.kind != part_kind::tool_result) continue;
    const bool shows = std::ranges::any_of(result.content, [](const part& each) {
      return is_user_content(each) && each.kind != part_kind::text;
    });
    if (shows) out.push_back(&result);
  }
  return out;
}

void write_shown(json::writer& w, const part& result, findings& found) {
  write_text_part(w, "Returned by tool call " + result.id + ":");
  for (const part& each : result.content) {
    if (is_user_content(each) && each.kind != part_kind::text) write_user_part(w, each, found);
  }
}

void write_user(json::writer& w, const message& m, findings& found) {
  for (const part& each : m.parts) {
    if (each.kind == part_kind::tool_result) write_tool_message(w, each);
  }
  const std::vector<const part*> shown = shown_by_tools(m);
  std::vector<const part*> said;
  for (const part& each : m.parts) {
    if (is_user_content(each)) said.push_back(&each);
  }
  if (shown.empty() && said.empty()) {
    if (has_kind(m.parts, part_kind::tool_result)) return;
    w.begin_object().member("role", "user").member("content", "").end_object();
    return;
  }
  w.begin_object().member("role", "user").key("content");
  if (shown.empty() && said.size() == 1 && said.front()->kind == part_kind::text) {
    w.string(said.front()->text);
  } else {
    w.begin_array();
    for (const part* each : shown) write_shown(w, *each, found);
    for (const part* each : said) write_user_part(w, *each, found);
    w.end_array();
  }
  w.end_object();
}

void write_call(json::writer& w, const part& call) {
  w.begin_object().member("id", std::string_view{call.id}).member("type", "function");
  w.key("function").begin_object().member("name", std::string_view{call.name});
  w.member("arguments", arguments_as_text(call.data)).end_object().end_object();
}

// Reasoning is not sent back: OpenAI has no place for it and strict imitators refuse unknown members.
void write_assistant(json::writer& w, const message& m) {
  const std::vector<const part*> texts = of_kind(m.parts, part_kind::text);
  const std::vector<const part*> calls = of_kind(m.parts, part_kind::tool_call);
  const std::string refusal = joined_text(m.parts, part_kind::refusal);
  if (texts.empty() && calls.empty() && refusal.empty() && !m.parts.empty()) return;
  w.begin_object().member("role", "assistant").key("content");
  if (!texts.empty()) {
    write_texts(w, texts);
  } else if (calls.empty() && refusal.empty()) {
    w.string("");
  } else {
    w.null();
  }
  if (!refusal.empty()) w.member("refusal", std::string_view{refusal});
  if (!calls.empty()) {
    w.key("tool_calls").begin_array();
    for (const part* each : calls) write_call(w, *each);
    w.end_array();
  }
  w.end_object();
}

void write_tools(json::writer& w, const request& r) {
  if (r.tools.empty()) return;
  w.key("tools").begin_array();
  for (const tool& each : r.tools) {
    w.begin_object().member("type", "function").key("function").begin_object();
    w.member("name", std::string_view{each.name});
    if (!each.description.empty()) w.member("description", std::string_view{each.description});
    if (!each.parameters.empty()) w.key("parameters").raw(each.parameters);
    if (each.strict.has_value()) w.member("strict", *each.strict);
    w.end_object().end_object();
  }
  w.end_array();
  // Both are refused by OpenAI where no tools are declared.
  if (r.parallel_tool_calls.has_value()) w.member("parallel_tool_calls", *r.parallel_tool_calls);
  switch (r.tool_choice) {
    case tool_choice_mode::unset:
      break;
    case tool_choice_mode::automatic:
      w.member("tool_choice", "auto");
      break;
    case tool_choice_mode::none:
      w.member("tool_choice", "none");
      break;
    case tool_choice_mode::required:
      w.member("tool_choice", "required");
      break;
    case tool_choice_mode::named:
      w.key("tool_choice").begin_object().member("type", "function").key("function").begin_object();
      w.member("name", std::string_view{r.tool_choice_name}).end_object().end_object();
      break;
  }
}

void write_format(json::writer& w, const response_format& format) {
  w.key("response_format").begin_object();
  switch (format.kind) {
    case format_kind::text:
      w.member("type", "text");
      break;
    case format_kind::json_object:
      w.member("type", "json_object");
      break;
    case format_kind::json_schema:
      w.member("type", "json_schema").key("json_schema").begin_object();
      // OpenAI requires a name; Anthropic's callers give none.
      w.member("name", format.name.empty() ? std::string_view{"response"} : std::string_view{format.name});
      if (!format.description.empty()) w.member("description", std::string_view{format.description});
      if (!format.schema.empty()) w.key("schema").raw(format.schema);
      if (format.strict.has_value()) w.member("strict", *format.strict);
      w.end_object();
      break;
  }
  w.end_object();
}

// A level as it was named, else the level of the budget; reasoning merely switched on is the vendor's
// default. Switched off says nothing, for only some models know the level "none".
void write_effort(json::writer& w, const reasoning& thinking) {
  constexpr std::array<std::string_view, 7> levels{"none", "minimal", "low", "medium",
                                                   "high", "xhigh",   "max"};
  std::string_view effort = thinking.effort;
  if (!is_one_of(effort, levels)) effort = {};
  if (effort.empty() && thinking.enabled.value_or(true) && thinking.budget_tokens.has_value()) {
    effort = effort_of_budget(*thinking.budget_tokens);
  }
  if (effort.empty() && thinking.enabled.value_or(false)) effort = "medium";
  if (!effort.empty()) w.member("reasoning_effort", effort);
}

void write_settings(json::writer& w, const request& r, std::string_view max_tokens_field, findings& found) {
  if (r.max_tokens.has_value()) {
    w.member(max_tokens_field == "max_tokens" ? "max_tokens" : "max_completion_tokens", *r.max_tokens);
  }
  if (r.temperature.has_value()) w.member("temperature", std::clamp(*r.temperature, 0.0, 2.0));
  if (r.top_p.has_value()) w.member("top_p", *r.top_p);
  if (r.stop.size() > stop_max) {
    const field_path where{nullptr, "stop_sequences", std::nullopt};
    found.report(where, "the target of this model takes at most 4 stop sequences");
  } else if (!r.stop.empty()) {
    w.key("stop").begin_array();
    for (const std::string& each : r.stop) w.string(each);
    w.end_array();
  }
  if (r.format.has_value()) write_format(w, *r.format);
  if (r.thinking.has_value()) write_effort(w, *r.thinking);
  if (!r.user.empty() && r.user.size() <= user_max) w.member("user", std::string_view{r.user});
  constexpr std::array<std::string_view, 5> tiers{"auto", "default", "flex", "scale", "priority"};
  if (is_one_of(r.service_tier, tiers)) w.member("service_tier", std::string_view{r.service_tier});
}

}  // namespace

void encode_messages(json::writer& w, const request& r, findings& found) {
  w.key("messages").begin_array();
  write_system(w, r);
  for (const message& each : r.messages) {
    if (each.from == role::user) {
      write_user(w, each, found);
    } else {
      write_assistant(w, each);
    }
  }
  w.end_array();
}

std::expected<std::string, complaint> encode_request(const request& r, std::string_view max_tokens_field) {
  findings found;
  std::string out;
  json::writer w{out};
  w.begin_object().member("model", std::string_view{r.model});
  encode_messages(w, r, found);
  write_settings(w, r, max_tokens_field, found);
  write_tools(w, r);
  if (r.stream) {
    // Usage is always asked for (GW-6); who relays the stream decides whether the caller sees it.
    w.member("stream", true).key("stream_options").begin_object().member("include_usage", true).end_object();
  }
  w.end_object();
  if (!found.clean()) return std::unexpected{*found.first};
  return out;
}

}  // namespace tidegate::protocol::dialect::chat
