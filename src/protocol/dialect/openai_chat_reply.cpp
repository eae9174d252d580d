// Chat Completions replies, and the pieces of a message that replies, streams and requests share.
#include <algorithm>
#include <array>
#include <utility>

#include "foundation/text.h"
#include "protocol/dialect/openai_chat.h"

namespace tidegate::protocol::dialect::chat {
namespace {

void append_text(part_kind kind, std::string text, std::vector<part>& out) {
  if (text.empty()) return;
  out.push_back(make_part(kind, std::move(text)));
}

std::string text_at(json::value object, std::string_view name) {
  const std::optional<json::value> v = object.find(name);
  return v.has_value() ? v->as_string().value_or(std::string{}) : std::string{};
}

// Mistral: {"type":"thinking","thinking":[{"type":"text","text":...}]}
std::string mistral_thinking(json::value piece) {
  const std::optional<json::value> inner = member_of(piece, "thinking");
  if (!inner.has_value()) return {};
  if (std::optional<std::string> text = inner->as_string()) return std::move(*text);
  std::string out;
  for (const json::value each : inner->elements()) out += text_at(each, "text");
  return out;
}

void append_pieces(json::value pieces, std::vector<part>& out) {
  for (const json::value piece : pieces.elements()) {
    if (std::optional<std::string> bare = piece.as_string()) {
      append_text(part_kind::text, std::move(*bare), out);
      continue;
    }
    const std::string type = text_at(piece, "type");
    if (type == "thinking") {
      append_text(part_kind::thinking, mistral_thinking(piece), out);
    } else if (type == "refusal") {
      append_text(part_kind::refusal, text_at(piece, "refusal"), out);
    } else if (type == "text" || type == "output_text" || type.empty()) {
      append_text(part_kind::text, text_at(piece, "text"), out);
      const std::optional<json::value> cache = member_of(piece, "cache_control");
      if (cache.has_value() && !out.empty()) out.back().cache_control = cache->raw();
    }
  }
}

// OpenRouter's list. Signatures and opaque data are of use only to the vendor they come from, so those of
// other formats are left out. Says whether any reasoning text was found.
bool append_reasoning_details(json::value details, std::vector<part>& out) {
  bool any = false;
  for (const json::value each : details.elements()) {
    const std::string type = text_at(each, "type");
    const bool ours = text_at(each, "format") == signed_format;
    if (type == "reasoning.encrypted") {
      std::string data = text_at(each, "data");
      if (!ours || data.empty()) continue;
      out.push_back(make_part(part_kind::redacted_thinking, {}));
      out.back().data = std::move(data);
      continue;
    }
    std::string text = text_at(each, type == "reasoning.summary" ? "summary" : "text");
    std::string signature = ours ? text_at(each, "signature") : std::string{};
    if (text.empty() && signature.empty()) continue;
    any = any || !text.empty();
    out.push_back(make_part(part_kind::thinking, std::move(text)));
    out.back().signature = std::move(signature);
  }
  return any;
}

void append_reasoning(json::value message, std::vector<part>& out) {
  std::string text = text_at(message, "reasoning_content");
  if (text.empty()) text = text_at(message, "reasoning");
  const std::size_t before = out.size();
  const bool detailed =
      append_reasoning_details(member_of(message, "reasoning_details").value_or(json::value{}), out);
  if (detailed || text.empty()) return;
  // A detail without text is the signature of the text that stands beside it.
  for (std::size_t i = before; i < out.size(); ++i) {
    if (out[i].kind != part_kind::thinking) continue;
    out[i].text = std::move(text);
    return;
  }
  out.insert(out.begin() + static_cast<std::ptrdiff_t>(before),
             make_part(part_kind::thinking, std::move(text)));
}

void append_call(json::value call, std::size_t at, std::vector<part>& out) {
  const std::optional<json::value> function = member_of(call, "function");
  part made;
  made.kind = part_kind::tool_call;
  made.id = text_at(call, "id");
  if (made.id.empty()) made.id = default_call_id(at);
  if (function.has_value()) {
    made.name = text_at(*function, "name");
    made.data = arguments_as_text(arguments_of(function->find("arguments")));
  }
  // Calls of other types ("custom") or without a name are nothing the caller could have asked for here.
  if (!made.name.empty()) out.push_back(std::move(made));
}

void append_calls(json::value message, std::vector<part>& out) {
  std::size_t at = 0;
  const json::value calls = member_of(message, "tool_calls").value_or(json::value{});
  for (const json::value call : calls.elements()) append_call(call, at++, out);
  if (at > 0) return;
  const std::optional<json::value> older = member_of(message, "function_call");
  if (!older.has_value()) return;
  std::string name = text_at(*older, "name");
  if (name.empty()) return;
  part made;
  made.kind = part_kind::tool_call;
  made.id = default_call_id(0);
  made.name = std::move(name);
  made.data = arguments_as_text(arguments_of(older->find("arguments")));
  out.push_back(std::move(made));
}

// The choice with index 0; the first one where none says so.
std::optional<json::value> main_choice(json::value body) {
  const std::optional<json::value> choices = member_of(body, "choices");
  if (!choices.has_value()) return std::nullopt;
  std::optional<json::value> first;
  for (const json::value each : choices->elements()) {
    if (!each.is_object()) continue;
    if (each.int_at("index") == 0) return each;
    if (!first.has_value()) first = each;
  }
  return first;
}

// A message, or the reason why there is none: Azure leaves out the message of an answer it has filtered.
bool is_answer(json::value choice) {
  const std::optional<json::value> message = member_of(choice, "message");
  if (message.has_value()) return message->is_object();
  return !text_at(choice, "finish_reason").empty();
}

void write_calls(json::writer& w, std::span<const part> parts) {
  if (!has_kind(parts, part_kind::tool_call)) return;
  w.key("tool_calls").begin_array();
  for (const part& each : parts) {
    if (each.kind != part_kind::tool_call) continue;
    w.begin_object().member("id", std::string_view{each.id}).member("type", "function");
    w.key("function").begin_object().member("name", std::string_view{each.name});
    w.member("arguments", arguments_as_text(each.data)).end_object().end_object();
  }
  w.end_array();
}

void write_reasoning(json::writer& w, std::span<const part> parts) {
  const std::string text = joined_text(parts, part_kind::thinking);
  if (!text.empty()) w.member("reasoning_content", std::string_view{text});
  const bool kept = std::ranges::any_of(parts, [](const part& each) {
    return each.kind == part_kind::redacted_thinking || !each.signature.empty();
  });
  if (!kept) return;
  w.key("reasoning_details").begin_array();
  std::int64_t index = 0;
  for (const part& each : parts) {
    if (each.kind == part_kind::redacted_thinking) {
      write_redacted(w, each.data, index++);
    } else if (each.kind == part_kind::thinking) {
      w.begin_object().member("type", "reasoning.text").member("text", std::string_view{each.text});
      if (!each.signature.empty()) w.member("signature", std::string_view{each.signature});
      w.member("format", signed_format).member("index", index++).end_object();
    }
  }
  w.end_array();
}

}  // namespace

part make_part(part_kind kind, std::string text) {
  part made;
  made.kind = kind;
  made.text = std::move(text);
  return made;
}

finish_reason finish_of(std::string_view text) {
  if (text.empty()) return finish_reason::none;
  if (text == "length" || text == "max_tokens" || text == "model_length") return finish_reason::length;
  if (text == "tool_calls" || text == "tool_use" || text == "function_call") return finish_reason::tool_use;
  if (text == "content_filter") return finish_reason::content_filter;
  return finish_reason::stop;
}

std::string_view finish_text(finish_reason finish) {
  switch (finish) {
    case finish_reason::length:
      return "length";
    case finish_reason::tool_use:
      return "tool_calls";
    case finish_reason::content_filter:
      return "content_filter";
    case finish_reason::none:
    case finish_reason::stop:
    case finish_reason::stop_sequence:
      break;
  }
  return "stop";
}

void append_content(json::value message, std::vector<part>& out) {
  append_reasoning(message, out);
  if (const std::optional<json::value> content = member_of(message, "content")) {
    if (std::optional<std::string> text = content->as_string()) {
      append_text(part_kind::text, std::move(*text), out);
    } else {
      append_pieces(*content, out);
    }
  }
  append_text(part_kind::refusal, text_at(message, "refusal"), out);
}

void write_usage(json::writer& w, const usage& tokens) {
  w.begin_object().member("prompt_tokens", tokens.prompt).member("completion_tokens", tokens.completion);
  w.member("total_tokens", tokens.prompt + tokens.completion);
  w.key("prompt_tokens_details").begin_object().member("cached_tokens", tokens.cached);
  if (tokens.cache_write > 0) w.member("cache_write_tokens", tokens.cache_write);
  w.end_object();
  w.key("completion_tokens_details").begin_object().member("reasoning_tokens", tokens.reasoning).end_object();
  w.end_object();
}

std::string reply_id(std::string_view provider_id, const encode_context& context) {
  constexpr std::string_view prefix = "chatcmpl-";
  if (provider_id.starts_with(prefix)) return std::string{provider_id};
  if (context.id.starts_with(prefix)) return context.id;
  std::string id{prefix};
  id += context.id.empty() ? provider_id : std::string_view{context.id};
  return id;
}

void write_signature(json::writer& w, std::string_view signature, std::int64_t index) {
  w.begin_object().member("type", "reasoning.text").member("signature", signature);
  w.member("format", signed_format).member("index", index).end_object();
}

void write_redacted(json::writer& w, std::string_view data, std::int64_t index) {
  w.begin_object().member("type", "reasoning.encrypted").member("data", data);
  w.member("format", signed_format).member("index", index).end_object();
}

std::expected<reply, complaint> decode_reply(json::value body) {
  const std::optional<json::value> choice = main_choice(body);
  if (!choice.has_value()) return std::unexpected{complaint{"the reply has no choices", "choices"}};
  if (!is_answer(*choice))
    return std::unexpected{complaint{"the reply has no message", "choices[0].message"}};
  const json::value message = member_of(*choice, "message").value_or(json::value{});
  reply out;
  out.id = text_at(body, "id");
  out.model = text_at(body, "model");
  out.created = token_count(body.find("created"));
  append_content(message, out.parts);
  append_calls(message, out.parts);
  out.finish = finish_of(text_at(*choice, "finish_reason"));
  // OpenAI itself says "stop" when a tool was forced, others always; the calls decide.
  const bool plain = out.finish == finish_reason::none || out.finish == finish_reason::stop;
  if (plain)
    out.finish = has_kind(out.parts, part_kind::tool_call) ? finish_reason::tool_use : finish_reason::stop;
  out.tokens = read_openai_usage(member_of(body, "usage"));
  return out;
}

std::string encode_reply(const reply& r, const encode_context& context) {
  std::string out;
  json::writer w{out};
  w.begin_object()
      .member("id", std::string_view{reply_id(r.id, context)})
      .member("object", "chat.completion");
  w.member("created", r.created != 0 ? r.created : context.created);
  w.member("model", std::string_view{context.model.empty() ? r.model : context.model});
  w.key("choices").begin_array().begin_object().member("index", 0);
  w.key("message").begin_object().member("role", "assistant").key("content");
  if (has_kind(r.parts, part_kind::text)) {
    w.string(joined_text(r.parts, part_kind::text));
  } else if (has_kind(r.parts, part_kind::tool_call) || has_kind(r.parts, part_kind::refusal)) {
    w.null();
  } else {
    w.string("");
  }
  w.key("refusal");
  if (has_kind(r.parts, part_kind::refusal)) {
    w.string(joined_text(r.parts, part_kind::refusal));
  } else {
    w.null();
  }
  write_reasoning(w, r.parts);
  write_calls(w, r.parts);
  w.end_object().key("logprobs").null();
  const bool unsaid = r.finish == finish_reason::none && has_kind(r.parts, part_kind::tool_call);
  w.member("finish_reason", finish_text(unsaid ? finish_reason::tool_use : r.finish));
  w.end_object().end_array();
  if (r.tokens.known) {
    w.key("usage");
    write_usage(w, r.tokens);
  }
  w.end_object();
  return out;
}

bool has_reply_shape(json::value body) {
  const std::optional<json::value> choice = main_choice(body);
  return choice.has_value() && is_answer(*choice);
}

reply_facts facts_of(json::value body) {
  std::optional<json::value> choices;
  std::optional<json::value> counts;
  for (const json::member& each : body.members()) {
    if (each.key_is("choices")) choices = each.content;
    if (each.key_is("usage")) counts = each.content;
  }
  reply_facts out;
  out.tokens = read_openai_usage(counts);
  if (!choices.has_value() || !choices->is_array()) return out;
  // The usual reply names its message near the front; only another one is walked.
  constexpr std::size_t front = 256;
  const std::string_view start = choices->raw().substr(0, front);
  out.has_shape = start.find("{\"role\":\"assistant\"") != std::string_view::npos || has_reply_shape(body);
  return out;
}

}  // namespace tidegate::protocol::dialect::chat
