#include <algorithm>
#include <utility>
#include <vector>

#include "foundation/text.h"
#include "protocol/dialect/anthropic_turns.h"

namespace tidegate::protocol::dialect::anthropic {
namespace {

// Tool ids must match [a-zA-Z0-9_-]+; other bytes are spelled in hex so that calls and results still pair up.
std::string tool_id_of(std::string_view id) {
  constexpr std::string_view hex = "0123456789abcdef";
  if (id.empty()) return "toolu_0";
  std::string out;
  out.reserve(id.size());
  for (const char c : id) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    if (plain) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '_';
    out += hex[byte >> 4U];
    out += hex[byte & 15U];
  }
  return out;
}

// RFC 4648 base64; nothing for text that is not.
std::optional<std::string> decode_base64(std::string_view text) {
  std::string out;
  out.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  unsigned held = 0;
  while (text.ends_with('=')) text.remove_suffix(1);
  for (const char c : text) {
    std::uint32_t digit = 0;
    if (c >= 'A' && c <= 'Z')
      digit = static_cast<std::uint32_t>(c - 'A');
    else if (c >= 'a' && c <= 'z')
      digit = static_cast<std::uint32_t>(c - 'a') + 26;
    else if (c >= '0' && c <= '9')
      digit = static_cast<std::uint32_t>(c - '0') + 52;
    else if (c == '+' || c == '-')
      digit = 62;
    else if (c == '/' || c == '_')
      digit = 63;
    else
      return std::nullopt;
    bits = (bits << 6U) | digit;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    out += static_cast<char>((bits >> held) & 0xFFU);
  }
  return out;
}

class request_writer {
 public:
  request_writer(const request& r, std::vector<turn> turns, thinking_plan thinking)
      : r_{r}, turns_{std::move(turns)}, thinking_{std::move(thinking)} {}

  std::expected<std::string, complaint> write() {
    out_.begin_object();
    out_.member("model", r_.model);
    out_.member("max_tokens", max_tokens());
    write_system();
    write_turns();
    write_tools();
    write_sampling();
    write_thinking();
    write_output_config();
    if (!r_.user.empty()) out_.key("metadata").begin_object().member("user_id", r_.user).end_object();
    if (r_.service_tier == "auto" || r_.service_tier == "standard_only")
      out_.member("service_tier", r_.service_tier);
    if (r_.stream) out_.member("stream", true);
    out_.end_object();
    if (complaint_) return std::unexpected{std::move(*complaint_)};
    return std::move(text_);
  }

 private:
  using mode = thinking_plan::mode;

  // A budget counts against max_tokens, so a caller who set no bound keeps the default for the answer itself.
  std::int64_t max_tokens() const {
    return r_.max_tokens.value_or(max_tokens_default +
                                  (thinking_.how == mode::budget ? thinking_.budget_tokens : 0));
  }
  void complain(std::string message, std::string param) {
    if (!complaint_) complaint_ = complaint{std::move(message), std::move(param)};
  }
  void write_cache_control(const std::string& cache_control) {
    if (!cache_control.empty()) out_.key("cache_control").raw(cache_control);
  }

  void write_system();
  void write_turns();
  void write_part(const part& p);
  void write_source(const part& p);
  void write_document(const part& p);
  void write_tool_result(const part& p);
  void write_tools();
  void write_tool_choice();
  void write_schema(const std::string& schema);
  void write_sampling();
  void write_thinking();
  void write_output_config();

  const request& r_;
  std::vector<turn> turns_;
  thinking_plan thinking_;
  std::string text_;
  json::writer out_{text_};
  std::optional<complaint> complaint_;
};

void request_writer::write_system() {
  std::vector<const part*> sent;
  for (const part& p : r_.system) {
    if (!is_blank(p.text)) sent.push_back(&p);
  }
  if (sent.empty()) return;
  out_.key("system");
  if (sent.size() == 1 && sent.front()->cache_control.empty()) {
    out_.string(sent.front()->text);
    return;
  }
  out_.begin_array();
  for (const part* p : sent) write_part(*p);
  out_.end_array();
}

void request_writer::write_turns() {
  out_.key("messages").begin_array();
  for (const turn& t : turns_) {
    out_.begin_object().member("role", t.from == role::user ? "user" : "assistant").key("content");
    const part* only = t.results.empty() && t.rest.size() == 1 ? t.rest.front() : nullptr;
    if (only != nullptr && only->kind == part_kind::text && only->cache_control.empty()) {
      out_.string(only->text);
    } else {
      out_.begin_array();
      for (const part* p : t.results) write_part(*p);
      for (const part* p : t.rest) write_part(*p);
      out_.end_array();
    }
    out_.end_object();
  }
  out_.end_array();
}

void request_writer::write_part(const part& p) {
  out_.begin_object();
  switch (p.kind) {
    case part_kind::text:
    case part_kind::refusal:
      out_.member("type", "text").member("text", p.text);
      break;
    case part_kind::image:
      out_.member("type", "image");
      write_source(p);
      break;
    case part_kind::file:
      write_document(p);
      break;
    case part_kind::thinking:
      out_.member("type", "thinking").member("thinking", p.text).member("signature", p.signature);
      break;
    case part_kind::redacted_thinking:
      out_.member("type", "redacted_thinking").member("data", p.data);
      break;
    case part_kind::tool_call:
      out_.member("type", "tool_use").member("id", tool_id_of(p.id)).member("name", p.name);
      out_.key("input").raw(arguments_as_object(p.data));
      break;
    case part_kind::tool_result:
      write_tool_result(p);
      break;
  }
  write_cache_control(p.cache_control);
  out_.end_object();
}

void request_writer::write_source(const part& p) {
  out_.key("source").begin_object();
  if (!p.url.empty()) {
    out_.member("type", "url").member("url", p.url);
  } else {
    const std::string_view media_type =
        p.media_type == "image/jpg" ? "image/jpeg" : std::string_view{p.media_type};
    out_.member("type", "base64").member("media_type", media_type).member("data", p.data);
  }
  out_.end_object();
}

void request_writer::write_document(const part& p) {
  out_.member("type", "document");
  if (!p.name.empty()) out_.member("title", p.name);
  if (!p.url.empty() || p.media_type == "application/pdf") {
    write_source(p);
    return;
  }
  const auto text = p.media_type.starts_with("text/") ? decode_base64(p.data) : std::nullopt;
  if (!text)
    complain("Anthropic models read PDF and plain text files only, not '" + p.media_type + "'", "messages");
  out_.key("source").begin_object();
  out_.member("type", "text")
      .member("media_type", "text/plain")
      .member("data", text.value_or(""))
      .end_object();
}

void request_writer::write_tool_result(const part& p) {
  out_.member("type", "tool_result").member("tool_use_id", tool_id_of(p.id));
  if (p.is_error) out_.member("is_error", true);
  std::vector<const part*> sent;
  for (const part& inner : p.content) {
    const bool carried =
        inner.kind == part_kind::text || inner.kind == part_kind::image || inner.kind == part_kind::file;
    if (carried && is_sent(inner)) sent.push_back(&inner);
  }
  if (sent.empty()) return;
  out_.key("content");
  if (sent.size() == 1 && sent.front()->kind == part_kind::text && sent.front()->cache_control.empty()) {
    out_.string(sent.front()->text);
    return;
  }
  out_.begin_array();
  for (const part* inner : sent) write_part(*inner);
  out_.end_array();
}

void request_writer::write_tools() {
  if (r_.tools.empty()) return;
  out_.key("tools").begin_array();
  for (const tool& t : r_.tools) {
    out_.begin_object().member("name", t.name);
    if (!t.description.empty()) out_.member("description", t.description);
    out_.key("input_schema");
    write_schema(t.parameters);
    if (t.strict == true) out_.member("strict", true);
    write_cache_control(t.cache_control);
    out_.end_object();
  }
  out_.end_array();
  write_tool_choice();
}

// input_schema must say that it is an object; OpenAI's `parameters` may be missing or {}.
void request_writer::write_schema(const std::string& schema) {
  const json::value given{schema.empty() ? std::string_view{"{}"} : std::string_view{schema}};
  if (given.find("type")) {
    out_.raw(given.raw());
    return;
  }
  const std::array<json::edit, 1> as_object = {json::edit{.key = "type", .raw_value = "\"object\""}};
  out_.raw(json::apply(given.raw(), as_object));
}

void request_writer::write_tool_choice() {
  const bool serial = r_.parallel_tool_calls == false;
  if (r_.tool_choice == tool_choice_mode::unset && !r_.parallel_tool_calls) return;
  out_.key("tool_choice").begin_object();
  switch (r_.tool_choice) {
    case tool_choice_mode::unset:
    case tool_choice_mode::automatic:
      out_.member("type", "auto");
      break;
    case tool_choice_mode::none:
      out_.member("type", "none");
      break;
    case tool_choice_mode::required:
      out_.member("type", "any");
      break;
    case tool_choice_mode::named:
      out_.member("type", "tool").member("name", r_.tool_choice_name);
      break;
  }
  if (r_.parallel_tool_calls && r_.tool_choice != tool_choice_mode::none) {
    out_.member("disable_parallel_tool_use", serial);
  }
  out_.end_object();
}

// While a model thinks, the API takes no temperature but 1, no top_k, and top_p from 0.95 up.
void request_writer::write_sampling() {
  const bool thinks = thinking_.how == mode::budget || thinking_.how == mode::adaptive;
  if (r_.temperature) {
    const double temperature = std::clamp(*r_.temperature, 0.0, 1.0);
    if (!thinks || temperature == 1.0) out_.member("temperature", temperature);
  }
  if (r_.top_p && (!thinks || *r_.top_p >= 0.95)) out_.member("top_p", *r_.top_p);
  if (r_.top_k && !thinks) out_.member("top_k", *r_.top_k);
  if (r_.stop.empty()) return;
  out_.key("stop_sequences").begin_array();
  for (const std::string& s : r_.stop) {
    if (is_blank(s)) complain("Anthropic models take no stop sequence of blanks only", "stop");
    out_.string(s);
  }
  out_.end_array();
}

void request_writer::write_thinking() {
  if (thinking_.how == mode::unset) return;
  out_.key("thinking").begin_object();
  switch (thinking_.how) {
    case mode::unset:
      break;
    case mode::disabled:
      out_.member("type", "disabled");
      break;
    case mode::adaptive:
      out_.member("type", "adaptive");
      break;
    case mode::budget:
      out_.member("type", "enabled").member("budget_tokens", thinking_.budget_tokens);
      break;
  }
  out_.end_object();
}

void request_writer::write_output_config() {
  const bool schema = r_.format && r_.format->kind == format_kind::json_schema;
  if (r_.format && r_.format->kind == format_kind::json_object) {
    complain("response_format json_object has no counterpart at Anthropic; use json_schema",
             "response_format");
  }
  if (schema && r_.format->schema.empty()) {
    complain("a json_schema format needs its schema", "response_format.json_schema.schema");
    return;
  }
  if (!schema && thinking_.effort.empty()) return;
  out_.key("output_config").begin_object();
  if (!thinking_.effort.empty()) out_.member("effort", thinking_.effort);
  if (schema) {
    out_.key("format")
        .begin_object()
        .member("type", "json_schema")
        .key("schema")
        .raw(r_.format->schema)
        .end_object();
  }
  out_.end_object();
}

}  // namespace

std::expected<std::string, complaint> encode_request(const request& r) {
  auto turns = turns_of(r.messages);
  if (!turns) return std::unexpected{std::move(turns.error())};
  thinking_plan thinking = plan_thinking(r, *turns);
  return request_writer{r, std::move(*turns), std::move(thinking)}.write();
}

}  // namespace tidegate::protocol::dialect::anthropic
