// Reading a Chat Completions request: everything but its messages.
#include <algorithm>
#include <array>
#include <utility>

#include "protocol/dialect/openai_chat.h"

namespace tidegate::protocol::dialect::chat {
namespace {

constexpr std::array<std::string_view, 32> request_names{"model",
                                                         "messages",
                                                         "stream",
                                                         "stream_options",
                                                         "max_tokens",
                                                         "max_completion_tokens",
                                                         "temperature",
                                                         "top_p",
                                                         "top_k",
                                                         "stop",
                                                         "tools",
                                                         "functions",
                                                         "tool_choice",
                                                         "function_call",
                                                         "parallel_tool_calls",
                                                         "response_format",
                                                         "reasoning_effort",
                                                         "reasoning",
                                                         "thinking",
                                                         "enable_thinking",
                                                         "n",
                                                         "logprobs",
                                                         "top_logprobs",
                                                         "modalities",
                                                         "audio",
                                                         "web_search_options",
                                                         "moderation",
                                                         "plugins",
                                                         "search_parameters",
                                                         "user",
                                                         "safety_identifier",
                                                         "service_tier"};

constexpr std::string_view bound_name = "max_completion_tokens";
constexpr std::string_view older_bound_name = "max_tokens";

std::optional<std::int64_t> read_bound(const fields& body, std::string_view name, findings& found) {
  const field_path root;
  return read_token_bound(body[name], root.member(name), found);
}

// Providers differ in which of the two names they heed, so the larger one is what may be spent.
void summarize_bound(const fields& body, request_summary& out, findings& found) {
  const std::optional<std::int64_t> newer = read_bound(body, bound_name, found);
  const std::optional<std::int64_t> older = read_bound(body, older_bound_name, found);
  out.max_tokens = std::max(newer, older);
  if (out.max_tokens.has_value()) out.max_tokens_field = newer >= older ? bound_name : older_bound_name;
}

std::int64_t read_choices(const fields& body, findings& found) {
  const field_path root;
  const field_path where = root.member("n");
  const std::int64_t n = read_int(body["n"], where, found).value_or(1);
  if (n < 1) found.wrong_type(where, "at least 1");
  return n;
}

bool read_include_usage(const fields& body, findings& found) {
  const field_path root;
  const field_path where = root.member("stream_options");
  const std::optional<json::value> options = read_object(body["stream_options"], where, found);
  if (!options.has_value()) return false;
  return read_bool(member_of(*options, "include_usage"), where.member("include_usage"), found)
      .value_or(false);
}

std::string read_model(const fields& body, findings& found) {
  const field_path root;
  const field_path where = root.member("model");
  std::string model = read_string(body["model"], where, found).value_or(std::string{});
  if (model.empty()) found.report(where, "you must provide a model parameter");
  return model;
}

// Settings that change the shape of the answer in ways no other dialect has.
void refuse_unsayable(const fields& body, findings& found) {
  const field_path root;
  if (read_int(body["n"], root.member("n"), found).value_or(1) > 1) {
    found.report(root.member("n"), "more than one choice is not available at the target of this model");
  }
  if (read_bool(body["logprobs"], root.member("logprobs"), found).value_or(false)) {
    found.report(root.member("logprobs"), "log probabilities are not available at the target of this model");
  }
  if (read_int(body["top_logprobs"], root.member("top_logprobs"), found).value_or(0) > 0) {
    found.report(root.member("top_logprobs"),
                 "log probabilities are not available at the target of this model");
  }
  const std::vector<std::string> modalities =
      read_strings(body["modalities"], root.member("modalities"), found);
  if (std::ranges::any_of(modalities, [](const std::string& each) { return each != "text"; })) {
    found.report(root.member("modalities"), "the target of this model answers in text only");
  }
  for (const std::string_view name :
       {"audio", "web_search_options", "moderation", "plugins", "search_parameters"}) {
    if (!body[name].has_value()) continue;
    found.report(root.member(name), "this setting has no counterpart at the target of this model");
  }
}

// Function tools and the older `functions` are the same but for a wrapper.
void read_function(json::value function, const field_path& where, request& out, findings& found) {
  tool made;
  made.name = read_string(member_of(function, "name"), where.member("name"), found).value_or(std::string{});
  if (made.name.empty()) found.report(where.member("name"), "a tool must have a name");
  made.description = read_string(member_of(function, "description"), where.member("description"), found)
                         .value_or(std::string{});
  const field_path parameters = where.member("parameters");
  if (const auto schema = read_object(member_of(function, "parameters"), parameters, found)) {
    made.parameters = schema->raw();
  }
  made.strict = read_bool(member_of(function, "strict"), where.member("strict"), found);
  out.tools.push_back(std::move(made));
}

void read_tools(const fields& body, request& out, findings& found) {
  const field_path root;
  const field_path tools_path = root.member("tools");
  std::size_t at = 0;
  if (const auto tools = read_array(body["tools"], tools_path, found)) {
    for (const json::value each : tools->elements()) {
      const field_path where = tools_path.element(at++);
      if (!found.admit(where)) return;
      if (!read_object(each, where, found).has_value()) return found.wrong_type(where, "an object");
      const std::string type =
          read_string(member_of(each, "type"), where.member("type"), found).value_or("function");
      if (type != "function") {
        return found.report(where.member("type"),
                            "tools of this type have no counterpart at the target of this model");
      }
      const field_path function_path = where.member("function");
      const auto function = read_object(member_of(each, "function"), function_path, found);
      if (!function.has_value()) return found.wrong_type(function_path, "an object");
      read_function(*function, function_path, out, found);
      if (const auto cache = member_of(each, "cache_control")) out.tools.back().cache_control = cache->raw();
    }
  }
  const field_path functions_path = root.member("functions");
  at = 0;
  if (const auto functions = read_array(body["functions"], functions_path, found)) {
    for (const json::value each : functions->elements()) {
      const field_path where = functions_path.element(at++);
      if (!found.admit(where)) return;
      if (!each.is_object()) return found.wrong_type(where, "an object");
      read_function(each, where, out, found);
    }
  }
}

void read_choice_word(std::string_view word, const field_path& where, request& out, findings& found) {
  if (word == "auto") {
    out.tool_choice = tool_choice_mode::automatic;
  } else if (word == "none") {
    out.tool_choice = tool_choice_mode::none;
  } else if (word == "required" || word == "any") {  // "any" is Mistral's word
    out.tool_choice = tool_choice_mode::required;
  } else {
    found.report(where, "unknown tool choice");
  }
}

// {"type":"allowed_tools","allowed_tools":{"mode":...,"tools":[...]}}: every dialect can say it by offering
// only those tools.
void read_allowed_tools(json::value choice, const field_path& where, request& out, findings& found) {
  const field_path inner = where.member("allowed_tools");
  const auto allowed = read_object(member_of(choice, "allowed_tools"), inner, found);
  if (!allowed.has_value()) return found.wrong_type(inner, "an object");
  const std::string mode =
      read_string(member_of(*allowed, "mode"), inner.member("mode"), found).value_or("auto");
  read_choice_word(mode, inner.member("mode"), out, found);
  const field_path list_path = inner.member("tools");
  const auto list = read_array(member_of(*allowed, "tools"), list_path, found);
  if (!list.has_value()) return found.wrong_type(list_path, "an array");
  std::vector<std::string> names;
  for (const json::value each : list->elements()) {
    const auto name = each.path({"function", "name"});
    if (name.has_value()) names.push_back(name->as_string().value_or(std::string{}));
  }
  std::ranges::sort(names);
  std::erase_if(out.tools, [&](const tool& each) { return !std::ranges::binary_search(names, each.name); });
}

void read_named_choice(std::optional<json::value> name, const field_path& where, request& out,
                       findings& found) {
  out.tool_choice = tool_choice_mode::named;
  out.tool_choice_name = read_string(name, where, found).value_or(std::string{});
  if (out.tool_choice_name.empty()) found.report(where, "the chosen tool must have a name");
}

void read_tool_choice(const fields& body, request& out, findings& found) {
  const field_path root;
  const field_path where = root.member("tool_choice");
  if (const auto choice = body["tool_choice"]) {
    if (const auto word = choice->as_string()) return read_choice_word(*word, where, out, found);
    if (!choice->is_object()) return found.wrong_type(where, "a string or an object");
    const std::string type =
        read_string(member_of(*choice, "type"), where.member("type"), found).value_or("");
    if (type == "allowed_tools") return read_allowed_tools(*choice, where, out, found);
    if (type != "function") return found.report(where.member("type"), "unknown tool choice");
    const field_path function = where.member("function");
    return read_named_choice(choice->path({"function", "name"}), function.member("name"), out, found);
  }
  const field_path older = root.member("function_call");
  if (const auto call = body["function_call"]) {
    if (const auto word = call->as_string()) return read_choice_word(*word, older, out, found);
    if (!call->is_object()) return found.wrong_type(older, "a string or an object");
    read_named_choice(member_of(*call, "name"), older.member("name"), out, found);
  }
}

void read_format(const fields& body, request& out, findings& found) {
  const field_path root;
  const field_path where = root.member("response_format");
  const auto given = read_object(body["response_format"], where, found);
  if (!given.has_value()) return;
  const std::string type = read_string(member_of(*given, "type"), where.member("type"), found).value_or("");
  response_format made;
  if (type == "text") {
    made.kind = format_kind::text;
  } else if (type == "json_object") {
    made.kind = format_kind::json_object;
  } else if (type == "json_schema") {
    made.kind = format_kind::json_schema;
    const field_path inner = where.member("json_schema");
    const auto schema = read_object(member_of(*given, "json_schema"), inner, found);
    if (!schema.has_value()) return found.wrong_type(inner, "an object");
    made.name = read_string(member_of(*schema, "name"), inner.member("name"), found).value_or("");
    made.description =
        read_string(member_of(*schema, "description"), inner.member("description"), found).value_or("");
    made.strict = read_bool(member_of(*schema, "strict"), inner.member("strict"), found);
    if (const auto text = read_object(member_of(*schema, "schema"), inner.member("schema"), found)) {
      made.schema = text->raw();
    }
  } else {
    return found.report(where.member("type"), "unknown response format");
  }
  out.format = std::move(made);
}

// reasoning_effort is OpenAI's; `reasoning` is OpenRouter's, `thinking` DeepSeek's and Z.ai's,
// `enable_thinking` Qwen's.
void read_reasoning(const fields& body, request& out, findings& found) {
  const field_path root;
  reasoning made;
  made.effort = read_string(body["reasoning_effort"], root.member("reasoning_effort"), found).value_or("");
  const field_path reasoning_path = root.member("reasoning");
  if (const auto object = read_object(body["reasoning"], reasoning_path, found)) {
    if (made.effort.empty()) {
      made.effort =
          read_string(member_of(*object, "effort"), reasoning_path.member("effort"), found).value_or("");
    }
    made.budget_tokens =
        read_int(member_of(*object, "max_tokens"), reasoning_path.member("max_tokens"), found);
    made.enabled = read_bool(member_of(*object, "enabled"), reasoning_path.member("enabled"), found);
  }
  if (const auto thinking = body["thinking"]) {
    const std::string type = thinking->string_or("type", "");
    if (type == "enabled" || type == "disabled") made.enabled = type == "enabled";
  }
  if (const auto enabled = read_bool(body["enable_thinking"], root.member("enable_thinking"), found)) {
    made.enabled = enabled;
  }
  if (made.enabled.has_value() || made.budget_tokens.has_value() || !made.effort.empty()) out.thinking = made;
}

void read_settings(const fields& body, request& out, findings& found) {
  const field_path root;
  // The newer name wins over its elder, as it does at OpenAI.
  out.max_tokens = read_bound(body, bound_name, found);
  const std::optional<std::int64_t> older = read_bound(body, older_bound_name, found);
  if (!out.max_tokens.has_value()) out.max_tokens = older;
  out.temperature = read_number(body["temperature"], root.member("temperature"), found);
  out.top_p = read_number(body["top_p"], root.member("top_p"), found);
  out.top_k = read_int(body["top_k"], root.member("top_k"), found);
  out.stop = read_strings(body["stop"], root.member("stop"), found);
  out.parallel_tool_calls = read_bool(body["parallel_tool_calls"], root.member("parallel_tool_calls"), found);
  out.service_tier = read_string(body["service_tier"], root.member("service_tier"), found).value_or("");
  out.user = read_string(body["safety_identifier"], root.member("safety_identifier"), found).value_or("");
  if (out.user.empty()) out.user = read_string(body["user"], root.member("user"), found).value_or("");
}

constexpr std::array<std::string_view, 6> summary_names{
    "model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n"};

}  // namespace

std::expected<request_summary, complaint> summarize(json::value body) {
  findings found;
  const fields members{body, summary_names};
  const field_path root;
  request_summary out;
  out.model = read_model(members, found);
  out.stream = read_bool(members["stream"], root.member("stream"), found).value_or(false);
  out.stream_usage = read_include_usage(members, found);
  summarize_bound(members, out, found);
  out.choices = read_choices(members, found);
  if (!found.clean()) return std::unexpected{*found.first};
  return out;
}

std::expected<request, complaint> decode_request(json::value body) {
  findings found;
  const fields members{body, request_names};
  const field_path root;
  request out;
  out.model = read_model(members, found);
  out.stream = read_bool(members["stream"], root.member("stream"), found).value_or(false);
  out.stream_usage = read_include_usage(members, found);
  refuse_unsayable(members, found);
  read_settings(members, out, found);
  read_tools(members, out, found);
  read_tool_choice(members, out, found);
  read_format(members, out, found);
  read_reasoning(members, out, found);
  const field_path messages_path = root.member("messages");
  const auto messages = read_array(members["messages"], messages_path, found);
  if (messages.has_value()) {
    decode_messages(*messages, messages_path, out, found);
  } else {
    found.wrong_type(messages_path, "an array");
  }
  if (!found.clean()) return std::unexpected{*found.first};
  return out;
}

}  // namespace tidegate::protocol::dialect::chat
