#include <utility>

#include "protocol/dialect/anthropic_read.h"

namespace tidegate::protocol::dialect::anthropic {

namespace {

enum class body_key : std::uint8_t {
  model,
  messages,
  system,
  stream,
  max_tokens,
  temperature,
  top_p,
  top_k,
  stop_sequences,
  tools,
  tool_choice,
  thinking,
  output_config,
  output_format,
  metadata,
  service_tier,
  container,
  mcp_servers,
  context_management,
  inference_geo,
  count,
};
constexpr std::size_t body_key_count = std::to_underlying(body_key::count);
constexpr std::array<std::string_view, body_key_count> body_keys = {"model",
                                                                    "messages",
                                                                    "system",
                                                                    "stream",
                                                                    "max_tokens",
                                                                    "temperature",
                                                                    "top_p",
                                                                    "top_k",
                                                                    "stop_sequences",
                                                                    "tools",
                                                                    "tool_choice",
                                                                    "thinking",
                                                                    "output_config",
                                                                    "output_format",
                                                                    "metadata",
                                                                    "service_tier",
                                                                    "container",
                                                                    "mcp_servers",
                                                                    "context_management",
                                                                    "inference_geo"};

// Reads a request step by step; the first complaint ends it. Every read_ returns false after a complaint.
class request_reader : field_reader {
 public:
  std::expected<request, complaint> read(json::value body) {
    if (!body.is_object()) return std::unexpected{complaint{"the request body must be a JSON object", ""}};
    found_ = pick(body, body_keys);
    const bool read_all = read_unsupported() && read_scalars() && read_system() && read_messages() &&
                          read_tools() && read_tool_choice() && read_thinking() && read_output() &&
                          read_hints();
    if (!read_all) return std::unexpected{std::move(complaint_)};
    return std::move(out_);
  }

 private:
  const std::optional<json::value>& at(body_key key) const { return found_[std::to_underlying(key)]; }
  static field_path top(body_key key) {
    return {.parent = nullptr, .key = body_keys[std::to_underlying(key)], .index = std::nullopt};
  }

  bool read_blocks(json::value content, role from, const field_path& where, std::vector<part>& out) {
    auto wrong = read_content(content, from, where, out, items_);
    if (wrong) complaint_ = std::move(*wrong);
    return !wrong;
  }
  bool read_integer(body_key key, std::optional<std::int64_t>& out) {
    const auto& v = at(key);
    if (!v) return true;
    out = v->as_int();
    return out ? true : fail(top(key), "must be an integer");
  }
  bool read_number(body_key key, std::optional<double>& out) {
    const auto& v = at(key);
    if (!v) return true;
    out = v->is_number() ? v->as_double() : std::nullopt;
    return out ? true : fail(top(key), "must be a number");
  }
  bool read_unsupported();
  bool read_scalars();
  bool read_system();
  bool read_messages();
  bool read_message(json::value m, const field_path& where);
  bool read_tools();
  bool read_tool(json::value v, const field_path& where);
  bool read_tool_choice();
  bool read_thinking();
  bool read_output();
  bool read_format(json::value format, const field_path& where);
  bool read_hints();

  std::array<std::optional<json::value>, body_key_count> found_;
  request out_;
};

// What only Anthropic's servers can do, or what a caller must not lose without being told.
bool request_reader::read_unsupported() {
  for (const body_key key : {body_key::container, body_key::inference_geo}) {
    if (at(key)) return fail(top(key), "is not supported by the provider this model is routed to");
  }
  const auto& servers = at(body_key::mcp_servers);
  if (servers && servers->elements().begin() != servers->elements().end()) {
    return fail(top(body_key::mcp_servers), "is not supported by the provider this model is routed to");
  }
  const auto& context = at(body_key::context_management);
  const auto edits = context ? context->find("edits") : std::nullopt;
  if (edits && edits->elements().begin() != edits->elements().end()) {
    return fail(top(body_key::context_management),
                "is not supported by the provider this model is routed to");
  }
  return true;
}

bool request_reader::read_scalars() {
  if (!need_string(at(body_key::model), top(body_key::model), out_.model)) return false;
  if (const auto& stream = at(body_key::stream)) {
    const auto flag = stream->as_bool();
    if (!flag) return fail(top(body_key::stream), "must be a boolean");
    out_.stream = *flag;
  }
  out_.stream_usage = true;
  if (!read_integer(body_key::max_tokens, out_.max_tokens) || !read_integer(body_key::top_k, out_.top_k))
    return false;
  if (!read_number(body_key::temperature, out_.temperature) || !read_number(body_key::top_p, out_.top_p))
    return false;
  const auto& stop = at(body_key::stop_sequences);
  if (!stop) return true;
  const field_path where = top(body_key::stop_sequences);
  if (!stop->is_array()) return fail(where, "must be an array of strings");
  for (const json::value& text : stop->elements()) {
    const field_path at_text = where.element(out_.stop.size());
    if (!admit(at_text) || !read_string(text, at_text, out_.stop.emplace_back())) return false;
  }
  return true;
}

bool request_reader::read_system() {
  const auto& system = at(body_key::system);
  if (!system) return true;
  const field_path where = top(body_key::system);
  if (!system->is_string() && !system->is_array())
    return fail(where, "must be a string or an array of text blocks");
  if (!read_blocks(*system, role::user, where, out_.system)) return false;
  for (std::size_t i = 0; i < out_.system.size(); ++i) {
    if (out_.system[i].kind != part_kind::text)
      return fail(where.element(i), "only text blocks are allowed here");
  }
  return true;
}

bool request_reader::read_messages() {
  const auto& messages = at(body_key::messages);
  const field_path where = top(body_key::messages);
  if (!messages) return fail(where, "field required");
  if (!messages->is_array()) return fail(where, "must be an array");
  std::size_t i = 0;
  for (const json::value& m : messages->elements()) {
    const field_path at_item = where.element(i++);
    if (!admit(at_item) || !read_message(m, at_item)) return false;
  }
  return i > 0 ? true : fail(where, "at least one message is required");
}

bool request_reader::read_message(json::value m, const field_path& where) {
  if (!m.is_object()) return fail(where, "must be an object");
  const auto [from, content] = pick(m, std::array<std::string_view, 2>{"role", "content"});
  const field_path role_place = where.member("role");
  const field_path content_place = where.member("content");
  if (!from) return fail(role_place, "field required");
  if (!content) return fail(content_place, "field required");
  if (!content->is_string() && !content->is_array()) {
    return fail(content_place, "must be a string or an array of content blocks");
  }
  if (from->equals("system")) {
    std::vector<part> parts;
    if (!read_blocks(*content, role::user, content_place, parts)) return false;
    for (part& p : parts) {
      if (p.kind != part_kind::text)
        return fail(content_place, "only text blocks are allowed in a system message");
      out_.system.push_back(std::move(p));
    }
    return true;
  }
  if (!from->equals("user") && !from->equals("assistant")) {
    return fail(role_place, "must be \"user\" or \"assistant\"");
  }
  message& added = out_.messages.emplace_back();
  added.from = from->equals("user") ? role::user : role::assistant;
  return read_blocks(*content, added.from, content_place, added.parts);
}

bool request_reader::read_tools() {
  const auto& tools = at(body_key::tools);
  if (!tools) return true;
  const field_path where = top(body_key::tools);
  if (!tools->is_array()) return fail(where, "must be an array");
  std::size_t i = 0;
  for (const json::value& v : tools->elements()) {
    const field_path at_item = where.element(i++);
    if (!admit(at_item) || !read_tool(v, at_item)) return false;
  }
  return true;
}

bool request_reader::read_tool(json::value v, const field_path& where) {
  if (!v.is_object()) return fail(where, "must be an object");
  const auto [type, name, description, schema, strict, cache_control] =
      pick(v, std::array<std::string_view, 6>{"type", "name", "description", "input_schema", "strict",
                                              "cache_control"});
  if (type && !type->equals("custom")) {
    return fail(where.member("type"), "tools of type '" + type->as_string().value_or("") +
                                          "' are not supported by the provider this model is routed to");
  }
  tool t;
  if (!need_string(name, where.member("name"), t.name)) return false;
  if (!read_string(description, where.member("description"), t.description)) return false;
  if (!read_cache_control(cache_control, where.member("cache_control"), t.cache_control)) return false;
  if (schema) {
    if (!schema->is_object()) return fail(where.member("input_schema"), "must be an object");
    t.parameters = std::string{schema->raw()};
  }
  if (strict) {
    t.strict = strict->as_bool();
    if (!t.strict) return fail(where.member("strict"), "must be a boolean");
  }
  out_.tools.push_back(std::move(t));
  return true;
}

bool request_reader::read_tool_choice() {
  const auto& choice = at(body_key::tool_choice);
  if (!choice) return true;
  const field_path where = top(body_key::tool_choice);
  const auto [type, name, not_parallel] =
      pick(*choice, std::array<std::string_view, 3>{"type", "name", "disable_parallel_tool_use"});
  if (!type) return fail(where.member("type"), "field required");
  if (type->equals("auto"))
    out_.tool_choice = tool_choice_mode::automatic;
  else if (type->equals("any"))
    out_.tool_choice = tool_choice_mode::required;
  else if (type->equals("none"))
    out_.tool_choice = tool_choice_mode::none;
  else if (type->equals("tool"))
    out_.tool_choice = tool_choice_mode::named;
  else
    return fail(where.member("type"), "must be one of auto, any, tool, none");
  if (out_.tool_choice == tool_choice_mode::named) {
    if (!need_string(name, where.member("name"), out_.tool_choice_name)) return false;
  }
  if (not_parallel) {
    const auto flag = not_parallel->as_bool();
    if (!flag) return fail(where.member("disable_parallel_tool_use"), "must be a boolean");
    out_.parallel_tool_calls = !*flag;
  }
  return true;
}

bool request_reader::read_thinking() {
  const auto& thinking = at(body_key::thinking);
  if (!thinking) return true;
  const field_path where = top(body_key::thinking);
  const auto [type, budget] = pick(*thinking, std::array<std::string_view, 2>{"type", "budget_tokens"});
  if (!type) return fail(where.member("type"), "field required");
  reasoning& r = out_.thinking.emplace();
  if (type->equals("disabled")) {
    r.enabled = false;
  } else if (type->equals("adaptive")) {
    r.enabled = true;
    r.adaptive = true;
  } else if (type->equals("enabled")) {
    r.enabled = true;
    r.budget_tokens = budget ? budget->as_int() : std::nullopt;
    if (!r.budget_tokens) return fail(where.member("budget_tokens"), "field required, an integer");
  } else {
    return fail(where.member("type"), "must be one of enabled, adaptive, disabled");
  }
  return true;
}

bool request_reader::read_output() {
  if (const auto& config = at(body_key::output_config)) {
    const field_path where = top(body_key::output_config);
    if (!config->is_object()) return fail(where, "must be an object");
    const auto [effort, format] = pick(*config, std::array<std::string_view, 2>{"effort", "format"});
    if (effort) {
      if (!out_.thinking) out_.thinking.emplace();
      out_.thinking->adaptive = !out_.thinking->budget_tokens;
      if (!read_string(effort, where.member("effort"), out_.thinking->effort)) return false;
      if (out_.thinking->effort == "max") out_.thinking->effort = "xhigh";
    }
    if (format && !read_format(*format, where.member("format"))) return false;
  }
  // The name of the beta that came before output_config.format.
  const auto& older = at(body_key::output_format);
  return !older || read_format(*older, top(body_key::output_format));
}

bool request_reader::read_format(json::value format, const field_path& where) {
  const auto [type, schema] = pick(format, std::array<std::string_view, 2>{"type", "schema"});
  if (!type || !type->equals("json_schema")) return fail(where.member("type"), "must be \"json_schema\"");
  if (!schema || !schema->is_object()) return fail(where.member("schema"), "field required, an object");
  response_format& f = out_.format.emplace();
  f.kind = format_kind::json_schema;
  f.schema = std::string{schema->raw()};
  return true;
}

bool request_reader::read_hints() {
  if (const auto& metadata = at(body_key::metadata)) {
    const field_path where = top(body_key::metadata);
    const auto [user] = pick(*metadata, std::array<std::string_view, 1>{"user_id"});
    if (!read_string(user, where.member("user_id"), out_.user)) return false;
  }
  return read_string(at(body_key::service_tier), top(body_key::service_tier), out_.service_tier);
}

}  // namespace

std::expected<request, complaint> decode_request(json::value body) { return request_reader{}.read(body); }

std::expected<request_summary, complaint> summarize(json::value body) {
  if (!body.is_object()) return std::unexpected{complaint{"the request body must be a JSON object", ""}};
  const auto [model, stream, max_tokens, thinking] =
      pick(body, std::array<std::string_view, 4>{"model", "stream", "max_tokens", "thinking"});
  request_summary out;
  auto name = model ? model->as_string() : std::nullopt;
  if (!name) return std::unexpected{complaint{"model: field required, a string", "model"}};
  out.model = std::move(*name);
  out.stream_usage = true;
  if (stream) {
    const auto flag = stream->as_bool();
    if (!flag) return std::unexpected{complaint{"stream: must be a boolean", "stream"}};
    out.stream = *flag;
  }
  if (max_tokens) {
    out.max_tokens = max_tokens->as_int();
    if (!out.max_tokens) return std::unexpected{complaint{"max_tokens: must be an integer", "max_tokens"}};
    if (*out.max_tokens < 1)
      return std::unexpected{complaint{"max_tokens: must be at least 1", "max_tokens"}};
    out.max_tokens_field = "max_tokens";
  }
  const auto thinks = thinking ? thinking->find("type") : std::nullopt;
  if (thinks && thinks->equals("enabled")) out.thinking_budget = thinking->int_at("budget_tokens");
  return out;
}

}  // namespace tidegate::protocol::dialect::anthropic
