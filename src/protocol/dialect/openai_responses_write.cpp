// Writes a canonical request as a Responses request.
#include <utility>

#include "protocol/dialect/openai_responses.h"
#include "protocol/dialect/shared.h"

namespace tidegate::protocol::dialect::responses {
namespace {

void write_content_text(json::writer& w, std::string_view type, std::string_view text) {
  w.begin_object().member("type", type).member("text", text).end_object();
}

void write_image(json::writer& w, const part& p) {
  w.begin_object().member("type", "input_image");
  w.member("detail", p.detail.empty() ? std::string_view{"auto"} : std::string_view{p.detail});
  w.key("image_url");
  p.url.empty() ? w.string(make_data_url(p.media_type, p.data)) : w.string(p.url);
  w.end_object();
}

void write_file(json::writer& w, const part& p) {
  w.begin_object().member("type", "input_file");
  if (!p.name.empty()) w.member("filename", std::string_view{p.name});
  if (!p.url.empty()) {
    w.member("file_url", std::string_view{p.url});
  } else {
    // The vendor refuses data without a name.
    if (p.name.empty()) w.member("filename", "document");
    w.member("file_data", std::string_view{make_data_url(p.media_type, p.data)});
  }
  w.end_object();
}

// What a user or a tool says. Other kinds have no place there.
void write_input_part(json::writer& w, const part& p, const field_path& at, findings& found) {
  switch (p.kind) {
    case part_kind::text:
    case part_kind::refusal:
      write_content_text(w, "input_text", p.text);
      return;
    case part_kind::image:
      write_image(w, p);
      return;
    case part_kind::file:
      write_file(w, p);
      return;
    default:
      found.report(at, "this kind of content cannot be said in the Responses dialect");
  }
}

void write_input_parts(json::writer& w, const std::vector<part>& parts, const field_path& at,
                       findings& found) {
  w.begin_array();
  for (std::size_t i = 0; i < parts.size(); ++i) write_input_part(w, parts[i], at.element(i), found);
  w.end_array();
}

void write_tool_result(json::writer& w, const part& p, const field_path& at, findings& found) {
  w.begin_object().member("type", "function_call_output").member("call_id", std::string_view{p.id});
  w.key("output");
  if (p.content.empty()) {
    w.string("");
  } else if (p.content.size() == 1 && p.content.front().kind == part_kind::text) {
    w.string(p.content.front().text);
  } else {
    write_input_parts(w, p.content, at.member("content"), found);
  }
  w.end_object();
}

void write_user(json::writer& w, const message& m, const field_path& at, findings& found) {
  std::vector<part> said;
  const field_path content = at.member("content");
  for (std::size_t i = 0; i < m.parts.size(); ++i) {
    if (m.parts[i].kind == part_kind::tool_result) {
      write_tool_result(w, m.parts[i], content.element(i), found);
    } else {
      said.push_back(m.parts[i]);
    }
  }
  if (said.empty() && !m.parts.empty()) return;
  w.begin_object().member("type", "message").member("role", "user").key("content");
  write_input_parts(w, said, content, found);
  w.end_object();
}

// Only reasoning that came from this dialect goes back: by its id, or sealed by the vendor itself.
void write_reasoning(json::writer& w, const part& p) {
  if (!p.signature.empty() || (p.id.empty() && p.encrypted_content.empty())) return;
  write_reasoning_item(w, p.id, p.text, p.encrypted_content);
}

void write_call(json::writer& w, const part& p) {
  w.begin_object().member("type", "function_call").member("call_id", std::string_view{p.id});
  w.member("name", std::string_view{p.name}).member("arguments", arguments_as_text(p.data)).end_object();
}

// Text and refusals in a row become one message item; the other kinds are items of their own.
void write_assistant(json::writer& w, const message& m, const field_path& at, findings& found) {
  const field_path content = at.member("content");
  bool open = false;
  const auto close = [&w, &open] {
    if (std::exchange(open, false)) w.end_array().end_object();
  };
  for (std::size_t i = 0; i < m.parts.size(); ++i) {
    const part& p = m.parts[i];
    const bool spoken = p.kind == part_kind::text || p.kind == part_kind::refusal;
    if (!spoken) close();
    if (spoken && !std::exchange(open, true)) {
      w.begin_object().member("type", "message").member("role", "assistant").key("content").begin_array();
    }
    switch (p.kind) {
      case part_kind::text:
        write_text_part(w, p.text);
        break;
      case part_kind::refusal:
        write_refusal_part(w, p.text);
        break;
      case part_kind::thinking:
        write_reasoning(w, p);
        break;
      case part_kind::redacted_thinking:
        break;
      case part_kind::tool_call:
        write_call(w, p);
        break;
      default:
        found.report(content.element(i), "an assistant's message cannot have this kind of content");
    }
  }
  close();
}

void write_input(json::writer& w, const request& r, findings& found) {
  w.key("input").begin_array();
  for (std::size_t i = 1; i < r.system.size(); ++i) {
    w.begin_object().member("type", "message").member("role", "developer").key("content").begin_array();
    write_content_text(w, "input_text", r.system[i].text);
    w.end_array().end_object();
  }
  const field_path root;
  const field_path messages = root.member("messages");
  for (std::size_t i = 0; i < r.messages.size(); ++i) {
    const field_path at = messages.element(i);
    if (r.messages[i].from == role::user) {
      write_user(w, r.messages[i], at, found);
    } else {
      write_assistant(w, r.messages[i], at, found);
    }
  }
  w.end_array();
}

void write_tools(json::writer& w, const request& r) {
  if (r.tools.empty()) return;
  w.key("tools").begin_array();
  for (const tool& t : r.tools) {
    w.begin_object().member("type", "function").member("name", std::string_view{t.name});
    if (!t.description.empty()) w.member("description", std::string_view{t.description});
    w.key("parameters");
    t.parameters.empty() ? w.null() : w.raw(t.parameters);
    // The vendor takes a missing `strict` for true; other dialects mean false by leaving it out.
    w.member("strict", t.strict.value_or(false)).end_object();
  }
  w.end_array();
}

void write_tool_choice(json::writer& w, const request& r) {
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
      w.key("tool_choice").begin_object().member("type", "function");
      w.member("name", std::string_view{r.tool_choice_name}).end_object();
      break;
  }
}

void write_format(json::writer& w, const response_format& f) {
  if (f.kind == format_kind::text) return;
  w.key("text").begin_object().key("format").begin_object();
  if (f.kind == format_kind::json_object) {
    w.member("type", "json_object");
  } else {
    w.member("type", "json_schema");
    w.member("name", f.name.empty() ? std::string_view{"response"} : std::string_view{f.name});
    if (!f.description.empty()) w.member("description", std::string_view{f.description});
    w.key("schema").raw(f.schema.empty() ? std::string_view{"{}"} : std::string_view{f.schema});
    if (f.strict) w.member("strict", *f.strict);
  }
  w.end_object().end_object();
}

void write_thinking(json::writer& w, const reasoning& r) {
  std::string_view effort = r.effort;
  if (effort.empty() && r.enabled == true && r.budget_tokens) effort = effort_of_budget(*r.budget_tokens);
  if (!effort.empty()) w.key("reasoning").begin_object().member("effort", effort).end_object();
}

}  // namespace

std::expected<std::string, complaint> encode_request(const request& r) {
  if (!r.stop.empty()) {
    return std::unexpected{complaint{"the Responses dialect has no stop sequences", "stop"}};
  }
  findings found;
  std::string out;
  json::writer w{out};
  w.begin_object().member("model", std::string_view{r.model});
  if (!r.system.empty()) w.member("instructions", std::string_view{r.system.front().text});
  write_input(w, r, found);
  if (r.stream) w.member("stream", true);
  w.member("store", false);
  if (r.max_tokens) w.member("max_output_tokens", *r.max_tokens);
  if (r.temperature) w.member("temperature", *r.temperature);
  if (r.top_p) w.member("top_p", *r.top_p);
  write_tools(w, r);
  write_tool_choice(w, r);
  if (r.parallel_tool_calls) w.member("parallel_tool_calls", *r.parallel_tool_calls);
  if (r.format) write_format(w, *r.format);
  if (r.thinking) write_thinking(w, *r.thinking);
  if (!r.user.empty()) w.member("safety_identifier", std::string_view{r.user});
  if (!r.service_tier.empty()) w.member("service_tier", std::string_view{r.service_tier});
  w.end_object();
  if (!found.clean()) return std::unexpected{*std::move(found.first)};
  return out;
}

}  // namespace tidegate::protocol::dialect::responses
