#include "session/judge_channels.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "foundation/text.h"

namespace tidegate::session {

using foundation::error_code;
using runtime::task;

namespace {

std::string state_json(const judge_state& s) {
  std::string text;
  json::writer w{text};
  w.begin_object().key("state").begin_object().member("status", name_of(s.status));
  if (s.why) {
    w.key("error").begin_object().member("code", foundation::name_of(s.why->code));
    w.member("message", s.why->message).end_object();
  }
  w.end_object().end_object();
  return text;
}

// As with runs (TMO-1): what is no positive integer does not count. Nobody waits longer than for the request.
std::optional<foundation::duration> limit_of(json::value request, foundation::duration most) {
  const auto asked = request.int_at("timeoutMs");
  if (!asked || *asked <= 0) return std::nullopt;
  const auto ms = std::min<std::int64_t>(*asked, foundation::to_ms(most));
  return foundation::milliseconds{ms};
}

}  // namespace

std::vector<binding> judge_channels::bindings() {
  return {{"judge:model:getstate", [this](json::value r, request_context& c) { return getstate(r, c); }},
          {"judge:model:ensure", [this](json::value r, request_context& c) { return ensure(r, c); }},
          {"judge:quality:evaluate", [this](json::value r, request_context& c) { return evaluate(r, c); }}};
}

task<channel_reply> judge_channels::getstate(json::value, request_context&) {
  co_return state_json(judge_.state());
}

task<channel_reply> judge_channels::ensure(json::value request, request_context& context) {
  const auto limit = limit_of(request, core_.current()->rpc.timeout);
  const auto reached = co_await judge_.ensure(limit, context);
  if (!reached) co_return std::unexpected{reached.error()};
  co_return state_json(*reached);
}

task<channel_reply> judge_channels::evaluate(json::value request, request_context& context) {
  evaluation_request wanted;
  const std::pair<std::string_view, std::string evaluation_request::*> fields[] = {
      {"projectId", &evaluation_request::project},
      {"traceId", &evaluation_request::trace_id},
      {"text", &evaluation_request::text},
      {"contextSummary", &evaluation_request::context_summary}};
  for (const auto& [name, place] : fields) {
    wanted.*place = request.string_or(name, "");
    if (foundation::trim(wanted.*place).empty()) {
      co_return refusal(error_code::invalid_argument, std::string{name} + " is blank",
                        R"({"fieldName":")" + std::string{name} + "\"}");
    }
  }
  wanted.project = foundation::trim(wanted.project);
  wanted.trace_id = foundation::trim(wanted.trace_id);
  const auto result = co_await judge_.evaluate(std::move(wanted), context);
  if (!result) co_return std::unexpected{result.error()};
  std::string reply;
  json::writer{reply}.begin_object().member("accepted", true).key("result").raw(*result).end_object();
  co_return reply;
}

}  // namespace tidegate::session
