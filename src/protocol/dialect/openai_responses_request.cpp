// Reads a Responses request. What needs the vendor's store or its own tools is refused by name; tuning hints
// without a counterpart elsewhere (metadata, verbosity, truncation, store, ...) are passed over in silence.
#include <array>
#include <utility>

#include "protocol/dialect/openai_responses.h"
#include "protocol/dialect/shared.h"

namespace tidegate::protocol::dialect::responses {
namespace {

// Members whose meaning lies at the vendor: a kept conversation, a stored prompt, a job in the background.
void refuse_stored_state(json::value body, const field_path& root, findings& found) {
  for (const std::string_view key : {"previous_response_id", "conversation", "prompt"}) {
    if (!member_of(body, key)) continue;
    found.report(root.member(key), "this refers to something kept by the vendor and cannot be translated");
  }
  if (read_bool(member_of(body, "background"), root.member("background"), found).value_or(false)) {
    found.report(root.member("background"), "background responses cannot be translated");
  }
  if (member_of(body, "moderation")) {
    found.report(root.member("moderation"), "moderated responses cannot be translated");
  }
}

// Log probabilities would change the answer's shape. All other includes belong to the vendor's own tools.
void refuse_logprobs(json::value body, const field_path& root, findings& found) {
  const field_path top = root.member("top_logprobs");
  if (read_int(member_of(body, top.key), top, found).value_or(0) != 0) {
    found.report(top, "log probabilities cannot be translated");
  }
  const field_path include = root.member("include");
  const auto names = read_array(member_of(body, include.key), include, found);
  if (!names) return;
  for (const json::value name : names->elements()) {
    if (name.equals("message.output_text.logprobs")) {
      found.report(include, "log probabilities cannot be translated");
    }
  }
}

tool read_tool(json::value given, const field_path& at, findings& found) {
  tool out;
  const std::string type = given.string_or("type", "");
  if (type == "custom") {
    found.report(at.member("type"), "a custom tool takes free text, which the tools of this target cannot");
    return out;
  }
  if (type != "function") {
    found.report(at.member("type"), "a tool of type '" + type + "' cannot be translated");
    return out;
  }
  out.name = read_string(member_of(given, "name"), at.member("name"), found).value_or("");
  if (out.name.empty()) found.report(at.member("name"), "a function needs a name");
  out.description =
      read_string(member_of(given, "description"), at.member("description"), found).value_or("");
  if (const auto schema = read_object(member_of(given, "parameters"), at.member("parameters"), found)) {
    out.parameters = schema->raw();
  }
  out.strict = read_bool(member_of(given, "strict"), at.member("strict"), found);
  return out;
}

void read_tools(json::value body, const field_path& root, request& out, findings& found) {
  const field_path where = root.member("tools");
  const auto tools = read_array(member_of(body, where.key), where, found);
  if (!tools) return;
  for (const json::value given : tools->elements()) {
    out.tools.push_back(read_tool(given, where.element(out.tools.size()), found));
    if (!found.clean()) return;
  }
}

void read_tool_choice(json::value body, const field_path& root, request& out, findings& found) {
  const auto choice = member_of(body, "tool_choice");
  if (!choice) return;
  const field_path where = root.member("tool_choice");
  if (choice->equals("auto")) {
    out.tool_choice = tool_choice_mode::automatic;
  } else if (choice->equals("none")) {
    out.tool_choice = tool_choice_mode::none;
  } else if (choice->equals("required")) {
    out.tool_choice = tool_choice_mode::required;
  } else if (!choice->is_object()) {
    found.report(where, "tool_choice must be auto, none, required or an object");
  } else if (const std::string type = choice->string_or("type", ""); type != "function") {
    found.report(where.member("type"), "a tool choice of type '" + type + "' cannot be translated");
  } else {
    out.tool_choice = tool_choice_mode::named;
    out.tool_choice_name = choice->string_or("name", "");
    if (out.tool_choice_name.empty()) found.report(where.member("name"), "a function needs a name");
  }
}

void read_schema_format(json::value format, const field_path& at, response_format& out, findings& found) {
  out.kind = format_kind::json_schema;
  out.name = read_string(member_of(format, "name"), at.member("name"), found).value_or("");
  out.description =
      read_string(member_of(format, "description"), at.member("description"), found).value_or("");
  out.strict = read_bool(member_of(format, "strict"), at.member("strict"), found);
  const auto schema = read_object(member_of(format, "schema"), at.member("schema"), found);
  if (schema) {
    out.schema = schema->raw();
  } else {
    found.report(at.member("schema"), "a schema is required");
  }
}

void read_format(json::value body, const field_path& root, request& out, findings& found) {
  const field_path text_at = root.member("text");
  const auto text = read_object(member_of(body, text_at.key), text_at, found);
  if (!text) return;
  const field_path at = text_at.member("format");
  const auto format = read_object(member_of(*text, at.key), at, found);
  if (!format) return;
  const std::string type = format->string_or("type", "");
  if (type == "text") return;
  out.format.emplace();
  if (type == "json_object") {
    out.format->kind = format_kind::json_object;
  } else if (type == "json_schema") {
    read_schema_format(*format, at, *out.format, found);
  } else {
    found.report(at.member("type"), "unknown output format '" + type + "'");
  }
}

void read_thinking(json::value body, const field_path& root, request& out, findings& found) {
  const field_path at = root.member("reasoning");
  const auto given = read_object(member_of(body, at.key), at, found);
  if (!given) return;
  auto effort = read_string(member_of(*given, "effort"), at.member("effort"), found);
  if (effort) out.thinking = reasoning{.enabled = {}, .effort = *std::move(effort), .budget_tokens = {}};
}

void read_settings(json::value body, const field_path& root, request& out, findings& found) {
  const field_path bound = root.member("max_output_tokens");
  out.max_tokens = read_token_bound(member_of(body, bound.key), bound, found);
  out.temperature = read_number(member_of(body, "temperature"), root.member("temperature"), found);
  out.top_p = read_number(member_of(body, "top_p"), root.member("top_p"), found);
  const field_path parallel = root.member("parallel_tool_calls");
  out.parallel_tool_calls = read_bool(member_of(body, parallel.key), parallel, found);
  read_tools(body, root, out, found);
  read_tool_choice(body, root, out, found);
  read_format(body, root, out, found);
  read_thinking(body, root, out, found);
  for (const std::string_view key : {"safety_identifier", "user"}) {
    auto user = read_string(member_of(body, key), root.member(key), found);
    if (user && out.user.empty()) out.user = *std::move(user);
  }
  out.service_tier =
      read_string(member_of(body, "service_tier"), root.member("service_tier"), found).value_or("");
}

// The vendor's replies repeat the request; clients read it there. Kept as raw text, so it comes back
// unchanged.
std::string echo_of(json::value body) {
  static constexpr std::array<std::string_view, 15> keys{
      "instructions", "max_output_tokens",   "max_tool_calls",
      "metadata",     "parallel_tool_calls", "prompt_cache_key",
      "reasoning",    "safety_identifier",   "temperature",
      "text",         "tool_choice",         "tools",
      "top_p",        "truncation",          "user"};
  const fields given{body, keys};
  std::string out;
  json::writer w{out};
  w.begin_object();
  for (const std::string_view key : keys) {
    if (const auto value = given[key]) w.key(key).raw(value->raw());
  }
  w.end_object();
  return out;
}

std::string read_model(json::value body, const field_path& root, findings& found) {
  const auto model = member_of(body, "model");
  if (!model) found.report(root.member("model"), "a model is required");
  return read_string(model, root.member("model"), found).value_or("");
}

bool read_stream(json::value body, const field_path& root, findings& found) {
  return read_bool(member_of(body, "stream"), root.member("stream"), found).value_or(false);
}

}  // namespace

std::expected<request_summary, complaint> summarize(json::value body) {
  const field_path root;
  findings found;
  request_summary out;
  out.model = read_model(body, root, found);
  out.stream = read_stream(body, root, found);
  out.stream_usage = true;
  const field_path bound = root.member("max_output_tokens");
  out.max_tokens = read_token_bound(member_of(body, bound.key), bound, found);
  if (out.max_tokens) out.max_tokens_field = bound.key;
  if (!found.clean()) return std::unexpected{*std::move(found.first)};
  return out;
}

std::expected<request, complaint> decode_request(json::value body) {
  const field_path root;
  findings found;
  request out;
  if (!body.is_object()) found.report(root, "expected an object");
  out.model = read_model(body, root, found);
  out.stream = read_stream(body, root, found);
  out.stream_usage = true;
  refuse_stored_state(body, root, found);
  refuse_logprobs(body, root, found);
  read_settings(body, root, out, found);
  const field_path instructions = root.member("instructions");
  auto voice = read_string(member_of(body, instructions.key), instructions, found);
  if (voice && !voice->empty()) out.system.push_back(make_part(part_kind::text, *std::move(voice)));
  if (found.clean()) decode_input(member_of(body, "input"), root.member("input"), out, found);
  if (!found.clean()) return std::unexpected{*std::move(found.first)};
  out.echo = echo_of(body);
  return out;
}

}  // namespace tidegate::protocol::dialect::responses
