#include "conformance/canonical_text.h"

#include <algorithm>

#include "protocol/dialect/shared.h"
#include "protocol/json/json.h"

namespace tidegate::conformance {
namespace {

using namespace protocol::dialect;
namespace json = protocol::json;

constexpr std::string_view part_names[] = {"text",     "refusal",           "image",     "file",
                                           "thinking", "redacted_thinking", "tool_call", "tool_result"};
constexpr std::string_view event_names[] = {
    "start",    "text",       "refusal",        "thinking", "thinking_signature",
    "redacted", "tool_start", "tool_arguments", "part_end", "usage",
    "finish",   "end",        "error"};

void add(std::string& out, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  out.append(" ").append(name).append("=");
  json::append_quoted(out, value);
}

void add(std::string& out, std::string_view name, std::int64_t value) {
  out.append(" ").append(name).append("=").append(std::to_string(value));
}

template <class T>
void add(std::string& out, std::string_view name, const std::optional<T>& value) {
  if (value) out.append(" ").append(name).append("=").append(std::to_string(*value));
}

void add_part(std::string& out, const part& p, int indent) {
  out.append(static_cast<std::size_t>(indent), ' ').append(part_names[static_cast<std::size_t>(p.kind)]);
  add(out, "text", p.text);
  add(out, "id", p.id);
  add(out, "name", p.name);
  add(out, "data", p.kind == part_kind::tool_call ? normal_json(p.data) : p.data);
  add(out, "media_type", p.media_type);
  add(out, "url", p.url);
  add(out, "detail", p.detail);
  add(out, "signature", p.signature);
  add(out, "cache_control", p.cache_control);
  if (p.is_error) out += " is_error";
  out += '\n';
  for (const part& inner : p.content) add_part(out, inner, indent + 2);
}

std::string normal_value(json::value v, int depth) {
  if (depth > 64) return std::string{v.raw()};
  if (v.is_object()) {
    std::map<std::string, std::string> members;
    for (const json::member& m : v.members()) members[m.key()] = normal_value(m.content, depth + 1);
    std::string out = "{";
    for (const auto& [key, content] : members) {
      if (out.size() > 1) out += ',';
      json::append_quoted(out, key);
      out.append(":").append(content);
    }
    return out + "}";
  }
  if (v.is_array()) {
    std::string out = "[";
    for (const json::value& e : v.elements()) {
      if (out.size() > 1) out += ',';
      out += normal_value(e, depth + 1);
    }
    return out + "]";
  }
  std::string out;
  if (v.is_string())
    json::append_quoted(out, v.as_string().value_or(""));
  else if (v.is_number())
    json::writer{out}.number(v.as_double().value_or(0));
  else
    out = std::string{v.raw()};
  return out;
}

}  // namespace

std::string normal_json(std::string_view text) {
  const auto parsed = json::parse(text);
  return parsed ? normal_value(*parsed, 0) : std::string{text};
}

std::string to_text(const usage& u) {
  std::string out = u.known ? "known" : "unknown";
  add(out, "prompt", u.prompt);
  add(out, "completion", u.completion);
  add(out, "cached", u.cached);
  add(out, "cache_write", u.cache_write);
  add(out, "reasoning", u.reasoning);
  return out;
}

std::string to_text(const request& r) {
  std::string out =
      "model " + r.model + (r.stream ? " stream" : "") + (r.stream_usage ? " usage" : "") + "\nsystem\n";
  for (const part& p : r.system) add_part(out, p, 2);
  for (const message& m : r.messages) {
    out += m.from == role::user ? "user\n" : "assistant\n";
    for (const part& p : m.parts) add_part(out, p, 2);
  }
  for (const tool& t : r.tools) {
    out += "tool " + t.name;
    add(out, "description", t.description);
    add(out, "parameters", normal_json(t.parameters));
    add(out, "strict", t.strict);
    add(out, "cache_control", t.cache_control);
    out += '\n';
  }
  add(out, "tool_choice", static_cast<std::int64_t>(r.tool_choice));
  add(out, "tool_choice_name", r.tool_choice_name);
  add(out, "parallel", r.parallel_tool_calls);
  add(out, "max_tokens", r.max_tokens);
  add(out, "temperature", r.temperature);
  add(out, "top_p", r.top_p);
  add(out, "top_k", r.top_k);
  for (const std::string& s : r.stop) add(out, "stop", s);
  if (r.format) {
    add(out, "format", static_cast<std::int64_t>(r.format->kind));
    add(out, "schema", normal_json(r.format->schema));
  }
  if (r.thinking) {
    add(out, "thinking", r.thinking->enabled);
    add(out, "effort", r.thinking->effort);
    add(out, "budget", r.thinking->budget_tokens);
    if (r.thinking->adaptive) out += " adaptive";
  }
  add(out, "user", r.user);
  add(out, "service_tier", r.service_tier);
  return out + "\n";
}

std::string to_text(const reply& r) {
  std::string out = "reply";
  add(out, "id", r.id);
  add(out, "model", r.model);
  add(out, "created", r.created);
  add(out, "finish", static_cast<std::int64_t>(r.finish));
  add(out, "stop_sequence", r.stop_sequence);
  out += ' ' + to_text(r.tokens) + '\n';
  for (const part& p : r.parts) add_part(out, p, 2);
  return out;
}

std::string to_text(const std::vector<stream_event>& events) {
  std::string out;
  for (const stream_event& e : events) {
    out += event_names[static_cast<std::size_t>(e.kind)];
    add(out, "index", static_cast<std::int64_t>(e.index));
    add(out, "text", e.text);
    add(out, "id", e.id);
    add(out, "name", e.name);
    add(out, "finish", static_cast<std::int64_t>(e.finish));
    add(out, "error_type", e.error_type);
    add(out, "error_code", e.error_code);
    if (e.tokens.known) out += ' ' + to_text(e.tokens);
    out += '\n';
  }
  return out;
}

std::string to_text(const answer& a) {
  std::string out;
  add(out, "text", a.text);
  add(out, "thinking", a.thinking);
  for (const answer::call& c : a.calls) {
    out += "\ncall";
    add(out, "id", c.id);
    add(out, "name", c.name);
    add(out, "arguments", c.arguments);
  }
  out += '\n';
  add(out, "finish", static_cast<std::int64_t>(a.finish));
  add(out, "stop_sequence", a.stop_sequence);
  return out + (a.ended ? " ended " : " cut ") + (a.broken ? "broken " : "") + to_text(a.tokens) + "\n";
}

answer answer_of(const reply& r) {
  answer out;
  for (const part& p : r.parts) {
    if (p.kind == part_kind::text || p.kind == part_kind::refusal) out.text += p.text;
    if (p.kind == part_kind::thinking) out.thinking += p.text;
    if (p.kind == part_kind::tool_call)
      out.calls.push_back({p.id, p.name, normal_json(arguments_as_object(p.data))});
  }
  out.finish = r.finish;
  out.stop_sequence = r.stop_sequence;
  out.tokens = r.tokens;
  out.ended = true;
  return out;
}

answer answer_of(const std::vector<stream_event>& events) {
  answer out;
  std::map<std::uint32_t, answer::call> calls;
  for (const stream_event& e : events) {
    if (e.tokens.known) out.tokens = e.tokens;
    switch (e.kind) {
      case stream_event_kind::text:
      case stream_event_kind::refusal:
        out.text += e.text;
        break;
      case stream_event_kind::thinking:
        out.thinking += e.text;
        break;
      case stream_event_kind::tool_start:
        calls[e.index].id = e.id;
        calls[e.index].name = e.name;
        break;
      case stream_event_kind::tool_arguments:
        calls[e.index].arguments += e.text;
        break;
      case stream_event_kind::finish:
        out.finish = e.finish;
        out.stop_sequence = e.text;
        break;
      case stream_event_kind::end:
        out.ended = true;
        break;
      case stream_event_kind::error:
        out.broken = true;
        break;
      case stream_event_kind::start:
      case stream_event_kind::thinking_signature:
      case stream_event_kind::redacted_thinking:
      case stream_event_kind::part_end:
      case stream_event_kind::usage:
        break;
    }
  }
  for (auto& [index, call] : calls) {
    call.arguments = normal_json(arguments_as_object(call.arguments));
    out.calls.push_back(std::move(call));
  }
  return out;
}

}  // namespace tidegate::conformance
