#include "policy/tool_rounds.h"

#include <algorithm>
#include <utility>

#include "policy/characters.h"

namespace tidegate::policy {
namespace {

bool is_declared(std::span<const std::string> declared, std::string_view name) {
  return std::ranges::find(declared, name) != declared.end();
}

tool_error all_failed() {
  return {error_code::tool_use_all_failed, "every tool call of this round failed", false};
}

foundation::failure bad_results(std::string message) {
  foundation::failure refusal;
  refusal.code = error_code::invalid_argument;
  refusal.message = std::move(message);
  refusal.param = "toolResults";
  return refusal;
}

tool_call call_of(std::string id, std::string name, std::string_view arguments, arguments_form form) {
  tool_call call{std::move(id), std::move(name), std::string{arguments}, form};
  if (form == arguments_form::unparsable) {
    call.unparsable_bytes = arguments.size();
    call.arguments = "null";
  }
  return call;
}

answered_call answer_of(const tool_call& call, bool declared, const tool_result* result) {
  if (!declared) {
    const std::string message = "no tool of this name was declared";
    return {call.id, call.name, false, message,
            tool_error{error_code::tool_use_tool_not_found, message, false}};
  }
  if (result->success) return {call.id, call.name, true, result->content, std::nullopt};
  return {call.id, call.name, false, result->content,
          tool_error{error_code::tool_use_execution_failed, "the tool failed", false}};
}

}  // namespace

tool_call_gatherer::slot* tool_call_gatherer::at(std::uint32_t index) {
  const auto place = std::ranges::lower_bound(slots_, index, {}, &slot::index);
  if (place != slots_.end() && place->index == index) return &*place;
  if (slots_.size() == calls_max) return nullptr;
  const auto made = slots_.emplace(place);
  made->index = index;
  return &*made;
}

bool tool_call_gatherer::append(std::string& to, std::string_view text) {
  if (text.size() > bytes_max - bytes_) return false;
  to += text;
  bytes_ += text.size();
  return true;
}

void tool_call_gatherer::start(std::uint32_t index, std::string_view id, std::string_view name) {
  slot* const call = at(index);
  if (call == nullptr) return;
  if (call->id.empty()) append(call->id, id);
  if (call->name.empty()) append(call->name, name);
}

void tool_call_gatherer::arguments(std::uint32_t index, std::string_view fragment) {
  slot* const call = at(index);
  if (call != nullptr && !append(call->arguments, fragment)) call->cut = true;
}

void tool_call_gatherer::clear() {
  slots_.clear();
  bytes_ = 0;
}

std::vector<tool_call> tool_call_gatherer::finish(read_arguments_form form_of) const {
  std::vector<tool_call> calls;
  calls.reserve(slots_.size());
  for (const slot& each : slots_) {
    std::string id = is_blank_text(each.id) ? "tool-call-" + std::to_string(each.index) : each.id;
    // Providers send nothing for a tool without parameters.
    const bool blank = is_blank_text(each.arguments) && !each.cut;
    const std::string_view arguments = blank ? std::string_view{"{}"} : std::string_view{each.arguments};
    const auto form = each.cut ? arguments_form::unparsable : form_of(arguments);
    calls.push_back(call_of(std::move(id), each.name, arguments, form));
  }
  return calls;
}

std::optional<tool_error> judge_calls(std::span<const tool_call> calls, std::span<const std::string> declared,
                                      int round, int rounds_max) {
  if (round > rounds_max) {
    return tool_error{error_code::tool_use_max_rounds_exceeded,
                      "the model asked for tools beyond round " + std::to_string(rounds_max), false};
  }
  const auto is_object = [](const tool_call& call) { return call.form == arguments_form::object; };
  if (!std::ranges::all_of(calls, is_object)) {
    return tool_error{error_code::tool_use_parse_failed, "the arguments of a tool call are no JSON object",
                      false};
  }
  const auto known = [declared](const tool_call& call) { return is_declared(declared, call.name); };
  if (!std::ranges::any_of(calls, known)) return all_failed();
  return std::nullopt;
}

std::expected<answered_round, foundation::failure> answer_calls(std::span<const tool_call> calls,
                                                                std::span<const std::string> declared,
                                                                std::span<const tool_result> results) {
  std::vector<const tool_result*> given(calls.size(), nullptr);
  for (const tool_result& result : results) {
    const auto call = std::ranges::find(calls, result.call_id, &tool_call::id);
    if (call == calls.end()) return std::unexpected{bad_results("a result names a call that is not open")};
    const tool_result*& place = given[static_cast<std::size_t>(call - calls.begin())];
    if (place != nullptr) return std::unexpected{bad_results("two results name the same call")};
    place = &result;
  }
  answered_round round;
  bool succeeded = false;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const bool known = is_declared(declared, calls[i].name);
    if (known && given[i] == nullptr) return std::unexpected{bad_results("an open call has no result")};
    round.answers.push_back(answer_of(calls[i], known, given[i]));
    succeeded = succeeded || round.answers.back().success;
  }
  if (!succeeded) round.error = all_failed();
  return round;
}

}  // namespace tidegate::policy
