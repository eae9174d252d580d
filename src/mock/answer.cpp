#include "mock/answer.h"

#include <algorithm>
#include <utility>

#include "foundation/text.h"
#include "mock/recording.h"
#include "mock/schema_sample.h"

namespace tidegate::mock {
namespace {

namespace json = protocol::json;
using dialect::finish_reason;
using dialect::part;
using dialect::part_kind;

constexpr std::size_t echo_chars_max = 200;
constexpr std::int64_t bytes_per_llm_token = 4;

std::int64_t llm_tokens_of(std::uint64_t bytes) {
  return (static_cast<std::int64_t>(bytes) + bytes_per_llm_token - 1) / bytes_per_llm_token;
}

// The longest head of whole characters within a number of bytes or of characters.
std::string_view head_of(std::string_view text, std::uint64_t bytes_max, std::uint64_t chars_max) {
  const char* p = text.data();
  const char* const end = p + text.size();
  for (std::uint64_t chars = 0; p < end && chars < chars_max; ++chars) {
    const auto length = foundation::step_utf8(p, end).length;
    if (static_cast<std::uint64_t>(p + length - text.data()) > bytes_max) break;
    p += length;
  }
  return text.substr(0, static_cast<std::size_t>(p - text.data()));
}

part make_part(part_kind kind, std::string text) {
  part out;
  out.kind = kind;
  out.text = std::move(text);
  return out;
}

std::uint64_t text_bytes(const part& p) {
  std::uint64_t sum = p.text.size();
  if (p.kind == part_kind::tool_call) sum += p.name.size() + p.data.size();
  for (const part& inner : p.content) sum += text_bytes(inner);
  return sum;
}

// "[image image/png 70 bytes]", so that a test can tell that all of it arrived.
std::string describe(const part& p) {
  std::string out = p.kind == part_kind::image ? "[image " : "[file ";
  if (!p.url.empty()) return out + p.url + "]";
  const auto bytes = decode_base64(p.data);
  out += p.media_type + " ";
  return out + (bytes ? std::to_string(bytes->size()) + " bytes]" : std::string{"not base64]"});
}

std::string tool_results_text(const dialect::message& last) {
  std::string out;
  for (const part& p : last.parts) {
    if (p.kind != part_kind::tool_result) continue;
    std::string text;
    for (const part& inner : p.content) {
      text += inner.kind == part_kind::text ? inner.text : describe(inner);
    }
    out += (out.empty() ? "" : "; ") + text;
  }
  return out;
}

bool holds(const dialect::message& m, part_kind kind) {
  return std::ranges::any_of(m.parts, [kind](const part& p) { return p.kind == kind; });
}

std::string spoken_text(const dialect::request& asked, std::string_view raw_body, const markers& prompt) {
  if (prompt.echo_request) return std::string{raw_body};
  if (prompt.system) {
    std::string out;
    for (const part& p : asked.system) out += (out.empty() ? "" : "\n") + p.text;
    return out;
  }
  if (asked.messages.empty()) return "You said nothing.";
  const dialect::message& last = asked.messages.back();
  if (holds(last, part_kind::tool_result)) return "Tool said: " + tool_results_text(last);
  std::string out = prompt.rest.empty()
                        ? std::string{"You said nothing."}
                        : "You said: " + std::string{head_of(prompt.rest, UINT64_MAX, echo_chars_max)};
  for (const part& p : last.parts) {
    if (p.kind == part_kind::image || p.kind == part_kind::file) out += " " + describe(p);
  }
  return out;
}

const dialect::tool* find_tool(const dialect::request& asked, std::string_view name) {
  const auto found = std::ranges::find(asked.tools, name, &dialect::tool::name);
  return found == asked.tools.end() ? nullptr : &*found;
}

// What the request makes the provider call: by markers, else by a tool choice that leaves no choice.
std::vector<scripted_call> calls_for(const dialect::request& asked, const markers& prompt) {
  std::vector<scripted_call> out;
  if (asked.tool_choice == dialect::tool_choice_mode::none) return out;
  for (const scripted_call& call : prompt.tool_calls) {
    const dialect::tool* const tool = find_tool(asked, call.name);
    if (tool == nullptr) continue;
    out.push_back({call.name, call.arguments.empty() ? sample_of(tool->parameters) : call.arguments});
  }
  if (out.empty() && !asked.tools.empty()) {
    const dialect::tool* tool = nullptr;
    if (asked.tool_choice == dialect::tool_choice_mode::required) tool = &asked.tools.front();
    if (asked.tool_choice == dialect::tool_choice_mode::named)
      tool = find_tool(asked, asked.tool_choice_name);
    if (tool != nullptr) out.push_back({tool->name, sample_of(tool->parameters)});
  }
  if (out.size() > 1 && asked.parallel_tool_calls == false) out.resize(1);
  return out;
}

std::string call_id(dialect::dialect_id speaks, std::uint64_t number, std::size_t index) {
  const std::string_view prefix =
      speaks == dialect::dialect_id::anthropic_messages ? "toolu_mock_" : "call_mock_";
  return std::string{prefix} + std::to_string(number) + "_" + std::to_string(index);
}

std::string reply_id(dialect::dialect_id speaks, std::uint64_t number) {
  std::string digits = std::to_string(number);
  digits.insert(0, digits.size() < 12 ? 12 - digits.size() : 0, '0');
  switch (speaks) {
    case dialect::dialect_id::openai_chat:
      return "chatcmpl-mock" + digits;
    case dialect::dialect_id::openai_responses:
      return "resp_mock" + digits;
    case dialect::dialect_id::anthropic_messages:
      return "msg_mock" + digits;
  }
  return digits;
}

// Stop sequences first, then the bound on tokens, as a model would meet them.
void shorten(const dialect::request& asked, std::string& text, dialect::reply& out) {
  std::size_t cut = std::string::npos;
  for (const std::string& stop : asked.stop) {
    const std::size_t at = stop.empty() ? std::string::npos : text.find(stop);
    if (at >= cut) continue;
    cut = at;
    out.stop_sequence = stop;
  }
  if (cut != std::string::npos) {
    text.resize(cut);
    out.finish = finish_reason::stop_sequence;
  }
  if (!asked.max_tokens) return;
  const std::uint64_t bytes_max =
      static_cast<std::uint64_t>(std::clamp<std::int64_t>(*asked.max_tokens, 0, INT64_C(1) << 40)) *
      static_cast<std::uint64_t>(bytes_per_llm_token);
  if (text.size() <= bytes_max) return;
  text.resize(head_of(text, bytes_max, UINT64_MAX).size());
  out.finish = finish_reason::length;
  out.stop_sequence.clear();
}

finish_reason finish_named(std::string_view word, finish_reason otherwise) {
  if (word == "stop") return finish_reason::stop;
  if (word == "length") return finish_reason::length;
  if (word == "tool_use") return finish_reason::tool_use;
  if (word == "content_filter") return finish_reason::content_filter;
  return otherwise;
}

void count_usage(const dialect::request& asked, const usage_override& over, answer& a) {
  std::uint64_t bytes = a.filler_fragments * a.filler_bytes;
  std::uint64_t thought = 0;
  for (const part& p : a.reply.parts) {
    bytes += text_bytes(p);
    if (p.kind == part_kind::thinking) thought += p.text.size();
  }
  dialect::usage& u = a.reply.tokens;
  u.prompt = over.prompt.value_or(count_prompt_tokens(asked));
  u.completion = over.completion.value_or(std::max<std::int64_t>(llm_tokens_of(bytes), 1));
  u.cached = over.cached.value_or(0);
  u.cache_write = over.cache_write.value_or(0);
  u.reasoning = over.reasoning.value_or(llm_tokens_of(thought));
  u.known = true;
}

// The string that a person would take for the last words of a body of unknown form.
std::string last_text(json::value list) {
  if (list.is_string()) return list.as_string().value_or("");
  json::value last;
  for (const json::value each : list.elements()) last = each;
  if (last.is_string()) return last.as_string().value_or("");
  const json::value content = last.find("content").value_or(json::value{});
  if (content.is_string()) return content.as_string().value_or("");
  std::string out;
  for (const json::value each : content.elements()) {
    if (const auto text = each.find("text"); text && text->is_string()) out = text->as_string().value_or("");
  }
  return out;
}

}  // namespace

std::expected<dialect::request, dialect::complaint> read_request(const dialect::dialect& speaks,
                                                                 json::value body) {
  auto read = speaks.decode_request(body);
  if (read) return read;
  const auto summary = speaks.summarize(body);
  const bool responses = speaks.id() == dialect::dialect_id::openai_responses;
  const auto said = body.find(responses ? "input" : "messages");
  if (!summary || !said || !(said->is_array() || (responses && said->is_string()))) return read;
  dialect::request out;
  out.model = summary->model;
  out.stream = summary->stream;
  out.stream_usage = summary->stream_usage;
  out.max_tokens = summary->max_tokens;
  dialect::message last;
  last.parts.push_back(make_part(part_kind::text, last_text(*said)));
  out.messages.push_back(std::move(last));
  return out;
}

std::string last_user_text(const dialect::request& asked) {
  std::string out;
  if (asked.messages.empty() || asked.messages.back().from != dialect::role::user) return out;
  for (const part& p : asked.messages.back().parts) {
    if (p.kind == part_kind::text) out += (out.empty() ? "" : "\n") + p.text;
  }
  return out;
}

std::int64_t count_prompt_tokens(const dialect::request& asked) {
  std::uint64_t bytes = 0;
  for (const part& p : asked.system) bytes += text_bytes(p);
  for (const dialect::message& m : asked.messages) {
    for (const part& p : m.parts) bytes += text_bytes(p);
  }
  for (const dialect::tool& t : asked.tools)
    bytes += t.name.size() + t.description.size() + t.parameters.size();
  return std::max<std::int64_t>(llm_tokens_of(bytes), 1);
}

answer compose(dialect::dialect_id speaks, const dialect::request& asked, std::string_view raw_body,
               const markers& prompt, const behavior& does, call_identity call) {
  answer out;
  dialect::reply& reply = out.reply;
  reply.id = reply_id(speaks, call.number);
  reply.model = asked.model;
  reply.created = call.created;
  reply.finish = finish_reason::stop;
  if (!does.reasoning.empty()) {
    part thought = make_part(part_kind::thinking, does.reasoning);
    // Anthropic signs what it shows of its thinking, and wants the signature back.
    if (speaks == dialect::dialect_id::anthropic_messages) thought.signature = "bW9jay1zaWduYXR1cmU=";
    reply.parts.push_back(std::move(thought));
  }
  std::vector<scripted_call> calls = does.tool_calls;
  if (calls.empty() && !does.text) calls = calls_for(asked, prompt);
  std::string text = does.text.value_or("");
  if (!does.text && calls.empty()) {
    const bool structured = asked.format && asked.format->kind != dialect::format_kind::text;
    text = structured ? sample_of(asked.format->schema) : spoken_text(asked, raw_body, prompt);
  }
  text.append(does.pad_bytes, 'x');
  shorten(asked, text, reply);
  if (!text.empty() || calls.empty()) reply.parts.push_back(make_part(part_kind::text, std::move(text)));
  for (std::size_t i = 0; i < calls.size(); ++i) {
    part made = make_part(part_kind::tool_call, {});
    made.id = call_id(speaks, call.number, i);
    made.name = std::move(calls[i].name);
    made.data = std::move(calls[i].arguments);
    reply.parts.push_back(std::move(made));
    reply.finish = finish_reason::tool_use;
  }
  reply.finish = finish_named(does.finish, reply.finish);
  out.filler_fragments = does.events;
  out.filler_bytes = does.chunk_bytes;
  count_usage(asked, does.usage, out);
  return out;
}

void fold_filler(answer& a) {
  if (a.filler_fragments == 0) return;
  const auto text = std::ranges::find(a.reply.parts, part_kind::text, &part::kind);
  part& target = text != a.reply.parts.end() ? *text : a.reply.parts.emplace_back();
  target.text.append(a.filler_fragments * a.filler_bytes, 'x');
  a.filler_fragments = 0;
}

}  // namespace tidegate::mock
