#include <algorithm>

#include "protocol/dialect/anthropic_messages.h"

namespace tidegate::protocol::dialect::anthropic {
namespace {

std::optional<std::int64_t> counter(const std::optional<json::value>& v) {
  return v && v->is_number() ? std::optional{token_count(v)} : std::nullopt;
}

bool read_block(json::value v, std::vector<part>& out) {
  const auto [type, text, thinking, signature, data, id, name, input] =
      pick(v, std::array<std::string_view, 8>{"type", "text", "thinking", "signature", "data", "id", "name",
                                              "input"});
  const auto as_text = [](const std::optional<json::value>& s) {
    return s ? s->as_string().value_or(std::string{}) : std::string{};
  };
  if (!type) return false;
  part p;
  if (type->equals("text")) {
    p.text = as_text(text);
  } else if (type->equals("thinking")) {
    p.kind = part_kind::thinking;
    p.text = as_text(thinking);
    p.signature = as_text(signature);
  } else if (type->equals("redacted_thinking")) {
    p.kind = part_kind::redacted_thinking;
    p.data = as_text(data);
  } else if (type->equals("tool_use")) {
    p.kind = part_kind::tool_call;
    p.id = as_text(id);
    p.name = as_text(name);
    p.data = input ? std::string{input->raw()} : "{}";
  } else {
    // What server-side tools did has no place in another dialect; the text that came of it has.
    return true;
  }
  out.push_back(std::move(p));
  return true;
}

void write_part(json::writer& out, const part& p, std::size_t position) {
  switch (p.kind) {
    case part_kind::text:
    case part_kind::refusal:
      out.begin_object().member("type", "text").member("text", p.text).end_object();
      break;
    case part_kind::thinking:
      out.begin_object().member("type", "thinking").member("thinking", p.text);
      out.member("signature", p.signature).end_object();
      break;
    case part_kind::redacted_thinking:
      out.begin_object().member("type", "redacted_thinking").member("data", p.data).end_object();
      break;
    case part_kind::tool_call:
      out.begin_object().member("type", "tool_use");
      out.member("id", p.id.empty() ? default_call_id(position) : p.id).member("name", p.name);
      out.key("input").raw(arguments_as_object(p.data)).end_object();
      break;
    case part_kind::image:
    case part_kind::file:
    case part_kind::tool_result:
      break;
  }
}

}  // namespace

usage merge_usage(const usage& known, json::value reported) {
  if (!reported.is_object()) return known;
  const auto [input, output, cached, cache_write, prompt, completion, details, written, tools] = pick(
      reported,
      std::array<std::string_view, 9>{"input_tokens", "output_tokens", "cache_read_input_tokens",
                                      "cache_creation_input_tokens", "prompt_tokens", "completion_tokens",
                                      "output_tokens_details", "cache_creation", "server_tool_use"});
  usage out = known;
  const std::int64_t fresh_known = std::max(known.prompt - known.cached - known.cache_write, std::int64_t{0});
  out.cached = counter(cached).value_or(known.cached);
  out.cache_write = counter(cache_write).value_or(known.cache_write);
  const std::int64_t fresh = counter(input).or_else([&] { return counter(prompt); }).value_or(fresh_known);
  out.prompt = fresh + out.cached + out.cache_write;
  out.completion = counter(output).or_else([&] { return counter(completion); }).value_or(known.completion);
  if (details) out.reasoning = counter(details->find("thinking_tokens")).value_or(known.reasoning);
  if (written) {
    out.cache_write_1h = counter(written->find("ephemeral_1h_input_tokens")).value_or(known.cache_write_1h);
  }
  out.cache_write_1h = std::min(out.cache_write_1h, out.cache_write);
  if (tools) out.web_searches = counter(tools->find("web_search_requests")).value_or(known.web_searches);
  out.known = known.known || input || output || prompt || completion;
  return out;
}

void write_usage(json::writer& out, const usage& tokens, bool whole) {
  const std::int64_t fresh = std::max(tokens.prompt - tokens.cached - tokens.cache_write, std::int64_t{0});
  out.begin_object();
  out.member("input_tokens", fresh);
  out.member("cache_creation_input_tokens", tokens.cache_write);
  out.member("cache_read_input_tokens", tokens.cached);
  out.member("output_tokens", tokens.completion);
  if (tokens.reasoning > 0) {
    out.key("output_tokens_details").begin_object().member("thinking_tokens", tokens.reasoning).end_object();
  }
  out.key("server_tool_use");
  if (tokens.web_searches > 0) {
    out.begin_object().member("web_search_requests", tokens.web_searches).member("web_fetch_requests", 0);
    out.end_object();
  } else {
    out.null();
  }
  if (!whole && tokens.cache_write_1h == 0) {
    out.end_object();
    return;
  }
  out.key("cache_creation");
  if (tokens.cache_write_1h > 0) {
    out.begin_object().member("ephemeral_1h_input_tokens", tokens.cache_write_1h);
    out.member("ephemeral_5m_input_tokens", tokens.cache_write - tokens.cache_write_1h).end_object();
  } else {
    out.null();
  }
  if (whole) out.key("inference_geo").null().key("service_tier").null();
  out.end_object();
}

finish_reason finish_of(std::string_view stop_reason) {
  if (stop_reason.empty()) return finish_reason::none;
  if (stop_reason == "max_tokens" || stop_reason == "model_context_window_exceeded")
    return finish_reason::length;
  if (stop_reason == "tool_use") return finish_reason::tool_use;
  if (stop_reason == "stop_sequence") return finish_reason::stop_sequence;
  if (stop_reason == "refusal") return finish_reason::content_filter;
  return finish_reason::stop;
}

std::string_view stop_reason_of(finish_reason finish, bool has_tool_calls) {
  switch (finish) {
    case finish_reason::none:
    case finish_reason::stop:
      return has_tool_calls ? "tool_use" : "end_turn";
    case finish_reason::length:
      return "max_tokens";
    case finish_reason::tool_use:
      return "tool_use";
    case finish_reason::content_filter:
      return "refusal";
    case finish_reason::stop_sequence:
      return "stop_sequence";
  }
  return "end_turn";
}

std::string message_id(std::string_view upstream_id, const encode_context& context) {
  if (upstream_id.starts_with("msg_")) return std::string{upstream_id};
  const std::string_view base = context.id.empty() ? upstream_id : std::string_view{context.id};
  return base.starts_with("msg_") ? std::string{base} : "msg_" + std::string{base};
}

bool has_reply_shape(json::value body) {
  if (!body.is_object()) return false;
  const auto [type, content] = pick(body, std::array<std::string_view, 2>{"type", "content"});
  return type && type->equals("message") && content && content->is_array();
}

std::expected<reply, complaint> decode_reply(json::value body) {
  if (!has_reply_shape(body))
    return std::unexpected{complaint{"the reply is not an Anthropic message", "content"}};
  const auto [id, model, content, stop_reason, stop_sequence, tokens] = pick(
      body,
      std::array<std::string_view, 6>{"id", "model", "content", "stop_reason", "stop_sequence", "usage"});
  reply out;
  if (id) out.id = id->as_string().value_or("");
  if (model) out.model = model->as_string().value_or("");
  std::size_t i = 0;
  for (const json::value& v : content->elements()) {
    if (i >= items_max) return std::unexpected{complaint{"the reply has too many content blocks", "content"}};
    if (!read_block(v, out.parts)) {
      return std::unexpected{
          complaint{"a content block of the reply has no type", "content[" + std::to_string(i) + "]"}};
    }
    ++i;
  }
  if (stop_reason) out.finish = finish_of(stop_reason->as_string().value_or(""));
  if (stop_sequence) out.stop_sequence = stop_sequence->as_string().value_or("");
  if (tokens) out.tokens = merge_usage({}, *tokens);
  return out;
}

std::string encode_reply(const reply& r, const encode_context& context) {
  std::string text;
  json::writer out{text};
  out.begin_object();
  out.member("id", message_id(r.id, context)).member("type", "message").member("role", "assistant");
  out.member("model", context.model.empty() ? r.model : context.model);
  out.key("content").begin_array();
  for (std::size_t i = 0; i < r.parts.size(); ++i) write_part(out, r.parts[i], i);
  out.end_array();
  const bool has_tool_calls =
      std::ranges::any_of(r.parts, [](const part& p) { return p.kind == part_kind::tool_call; });
  out.member("stop_reason", stop_reason_of(r.finish, has_tool_calls));
  out.key("stop_sequence");
  if (r.finish == finish_reason::stop_sequence && !r.stop_sequence.empty())
    out.string(r.stop_sequence);
  else
    out.null();
  out.key("stop_details").null().key("container").null();
  out.key("usage");
  write_usage(out, r.tokens, true);
  out.end_object();
  return text;
}

}  // namespace tidegate::protocol::dialect::anthropic
