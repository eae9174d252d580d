#include "session/run_request.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "foundation/text.h"

namespace tidegate::session {
namespace {

namespace json = protocol::json;
using foundation::error_code;
using foundation::failure;
using foundation::milliseconds;

failure invalid(std::string_view field, std::string message) {
  failure f;
  f.code = error_code::invalid_argument;
  f.message = std::string{field} + ' ' + std::move(message);
  f.param = field;
  json::writer{f.details}.begin_object().member("field", field).end_object();
  return f;
}

std::string trimmed(json::value object, std::string_view key) {
  return std::string{foundation::trim(object.string_or(key, ""))};
}

bool flag(json::value object, std::string_view key) {
  const auto found = object.find(key);
  return found && found->as_bool().value_or(false);
}

// A whole number, however it is written; nothing for 1.5.
std::optional<std::int64_t> whole_number(json::value object, std::string_view key) {
  const auto found = object.find(key);
  if (!found) return std::nullopt;
  if (const auto exact = found->as_int()) return exact;
  const auto value = found->as_double();
  constexpr double most = 1e15;
  if (!value || !std::isfinite(*value) || std::fabs(*value) > most || std::trunc(*value) != *value)
    return std::nullopt;
  return static_cast<std::int64_t>(*value);
}

std::optional<failure> read_candidates(json::value request, run_request& out) {
  if (!request.find("candidateCount")) return std::nullopt;
  const auto count = whole_number(request, "candidateCount");
  if (!count || *count < 1 || *count > candidates_max)
    return invalid("candidateCount", "must be a whole number from 1 to 5");
  out.candidates = static_cast<int>(*count);
  return std::nullopt;
}

std::optional<failure> read_tools(json::value request, run_request& out) {
  const auto tools = request.find("tools");
  if (!tools) return std::nullopt;
  json::writer w{out.tools};
  w.begin_array();
  for (const json::value tool : tools->elements()) {
    std::string name = trimmed(tool, "name");
    if (name.empty()) return invalid("tools", "holds a tool without a name");
    if (std::ranges::find(out.declared, name) != out.declared.end())
      return invalid("tools", "names '" + name + "' twice");
    w.begin_object().member("type", "function").key("function").begin_object();
    w.member("name", name).member("description", tool.string_or("description", ""));
    w.key("parameters").raw(tool.find("parameters").value_or(json::value{"{}"}).raw());
    w.end_object().end_object();
    out.declared.push_back(std::move(name));
  }
  w.end_array();
  if (out.declared.empty()) out.tools.clear();
  return std::nullopt;
}

void read_results(json::value request, run_request& out) {
  const auto results = request.find("toolResults");
  if (!results) return;
  out.continues = true;
  for (const json::value r : results->elements()) {
    out.results.push_back({.call_id = r.string_or("callId", ""),
                           .success = flag(r, "success"),
                           .content = r.string_or("content", "")});
  }
}

run_context read_context(json::value request) {
  run_context c;
  const auto given = request.find("context");
  if (!given) return c;
  c.project_id = trimmed(*given, "projectId");
  c.document_id = trimmed(*given, "documentId");
  c.session_id = trimmed(*given, "sessionId");
  c.message_id = trimmed(*given, "messageId");
  c.user_rules = given->string_or("userRules", "");
  c.memory = given->string_or("memory", "");
  c.text = given->string_or("text", "");
  return c;
}

// Ids become names of accounts, queues and rows.
std::optional<failure> check_ids(const run_request& r) {
  constexpr std::size_t id_max = 255;
  const std::pair<std::string_view, const std::string*> ids[] = {
      {"skillId", &r.skill_id},
      {"model", &r.model},
      {"requestId", &r.request_id},
      {"context.projectId", &r.context.project_id},
      {"context.documentId", &r.context.document_id},
      {"context.sessionId", &r.context.session_id},
      {"context.messageId", &r.context.message_id}};
  for (const auto& [name, text] : ids) {
    if (text->size() > id_max) return invalid(name, "is longer than 255 bytes");
  }
  return std::nullopt;
}

}  // namespace

std::expected<run_request, failure> read_run_request(json::value request) {
  run_request out;
  out.skill_id = trimmed(request, "skillId");
  out.input = request.string_or("input", "");
  out.mode = policy::run_mode_named(request.string_or("mode", "ask")).value_or(policy::run_mode::ask);
  out.model = trimmed(request, "model");
  out.stream = flag(request, "stream");
  out.selection = request.string_or("selection", "");
  out.has_selection =
      request.find("hasSelection") ? flag(request, "hasSelection") : !foundation::trim(out.selection).empty();
  out.max_tokens = whole_number(request, "maxTokens");
  if (const auto ms = whole_number(request, "timeoutMs"); ms && *ms > 0)
    out.timeout = milliseconds{std::min(*ms, run_timeout_max.count())};
  out.request_id = trimmed(request, "requestId");
  out.context = read_context(request);
  if (auto why = read_candidates(request, out)) return std::unexpected{std::move(*why)};
  if (auto why = read_tools(request, out)) return std::unexpected{std::move(*why)};
  read_results(request, out);
  if (auto why = check_ids(out)) return std::unexpected{std::move(*why)};
  if (out.continues && out.request_id.empty())
    return std::unexpected{invalid("requestId", "is needed with toolResults")};
  if (out.continues && out.candidates > 1)
    return std::unexpected{invalid("candidateCount", "must be 1 with toolResults")};
  // Several answers are compared, not watched (CAND-1).
  if (out.candidates > 1) out.stream = false;
  if (const auto d = request.find("promptDiagnostics")) {
    out.diagnostics = storage::prompt_diagnostics{.stable_prefix_hash = d->string_or("stablePrefixHash", ""),
                                                  .prompt_hash = d->string_or("promptHash", "")};
  }
  return out;
}

milliseconds run_timeout(std::optional<milliseconds> asked, std::optional<milliseconds> of_skill,
                         milliseconds otherwise) {
  return std::min(asked ? *asked : of_skill.value_or(otherwise), run_timeout_max);
}

}  // namespace tidegate::session
