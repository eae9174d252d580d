#include "session/judge.h"

#include <exception>
#include <utility>

#include "session/bounded_answer.h"
#include "session/judge_reply.h"

namespace tidegate::session {

using foundation::error_code;
using foundation::failure;
using observe::level;
using runtime::cancel_reason;
using runtime::task;

namespace {

constexpr std::int64_t probe_tokens = 16;
constexpr std::int64_t answer_tokens = 1'024;
constexpr std::string_view account = "judge";

enum class on_leave : std::uint8_t { stop, go_on };

// Fires with the request's own source or when its time is over. go_on: who shares an attempt does not lose it
// because the one that began it has left.
class bounded_cancel {
 public:
  bounded_cancel(runtime::cancel_source& of, runtime::loop& loop, foundation::duration limit, on_leave left)
      : of_{of}, left_{left}, timer_{loop, *this} {
    if (of.fired()) {
      hear();
    } else {
      of.attach(hook_);
    }
    if (!source.fired()) timer_.arm(loop.fresh_now() + limit);
  }
  bool late() const noexcept { return late_; }
  runtime::cancel_source source;

 private:
  void hear() {
    if (left_ == on_leave::stop || of_.reason() != cancel_reason::client_left) source.fire(of_.reason());
  }
  struct hook : runtime::cancel_hook {
    explicit hook(bounded_cancel& b)
        : cancel_hook{[](cancel_hook& h) { static_cast<hook&>(h).of.hear(); }}, of{b} {}
    bounded_cancel& of;
  };
  struct limit_timer : runtime::timer {
    limit_timer(runtime::loop& loop, bounded_cancel& b)
        : timer{loop,
                [](timer& t) {
                  bounded_cancel& self = static_cast<limit_timer&>(t).of;
                  self.late_ = true;
                  self.source.fire(cancel_reason::requested);
                }},
          of{b} {}
    bounded_cancel& of;
  };
  runtime::cancel_source& of_;
  const on_leave left_;
  bool late_ = false;
  hook hook_{*this};
  limit_timer timer_;
};

failure make_failure(error_code code, std::string message) {
  failure f;
  f.code = code;
  f.message = std::move(message);
  return f;
}

failure late() { return make_failure(error_code::timeout, "the judge's model did not answer in time"); }

std::string result_json(const evaluation_request& wanted, const policy::judge_result& result,
                        foundation::wall_time ts) {
  std::string text;
  json::writer w{text};
  w.begin_object().member("projectId", wanted.project).member("traceId", wanted.trace_id);
  w.member("severity", policy::name_of(result.severity)).key("labels").begin_array();
  for (const std::string& label : result.labels) w.string(label);
  w.end_array().member("summary", result.summary);
  w.member("partialChecksSkipped", result.partial_checks_skipped);
  w.member("ts", std::int64_t{ts.time_since_epoch().count()}).end_object();
  return text;
}

}  // namespace

std::string_view name_of(judge_status status) {
  switch (status) {
    case judge_status::not_ready:
      return "not_ready";
    case judge_status::downloading:
      return "downloading";
    case judge_status::ready:
      return "ready";
    case judge_status::error:
      return "error";
  }
  return "";
}

judge_state judge::state() const {
  const std::lock_guard lock{mutex_};
  return state_;
}

task<std::expected<judge_state, failure>> judge::ensure(std::optional<foundation::duration> limit,
                                                        request_context& context) {
  const auto within = limit.value_or(core_.current()->judge.ensure_timeout);
  bounded_answer<judge_state> shared{context.services.loop};
  bool first = true;
  {
    const std::lock_guard lock{mutex_};
    first = state_.status != judge_status::downloading;
    if (first) {
      state_ = {judge_status::downloading, std::nullopt};
    } else {
      waiting_.push_back(shared.answer());
    }
  }
  if (first) co_return co_await attempt(within, context);
  auto heard = co_await shared.wait(context.services.loop.fresh_now() + within, context.gone);
  if (heard) co_return std::move(*heard);
  if (context.gone.fired()) co_return given_up();
  co_return std::unexpected{late()};
}

// `downloading` never stays behind: whatever ends the attempt settles it.
task<std::expected<judge_state, failure>> judge::attempt(foundation::duration limit,
                                                         request_context& context) {
  core_.log()
      .at(level::info, "judge_ensure_started")
      .ms("timeoutMs", limit)
      .field("traceId", context.trace_id);
  judge_state reached{judge_status::ready, std::nullopt};
  std::string note;  // for the log alone
  try {
    bounded_cancel cancel{context.gone, context.services.loop, limit, on_leave::go_on};
    model_question question;
    question.model = core_.current()->judge.model;
    question.user = "Reply with OK.";
    question.temperature = core_.current()->judge.temperature;
    question.max_tokens = probe_tokens;
    question.timeout = limit;
    question.skill = account;
    const auto answer = co_await models_.ask(std::move(question), context, cancel.source);
    if (!answer) reached = {judge_status::error, answer.error()};
    if (!answer && (cancel.late() || context.gone.reason() == cancel_reason::requested ||
                    answer.error().code == error_code::skill_timeout))
      reached.why = late();
  } catch (const std::exception& e) {
    note = e.what();
    reached = {judge_status::error,
               make_failure(error_code::internal_error, "the judge's model could not be asked")};
  }
  settle(reached);
  if (reached.why) {
    core_.log()
        .at(level::warn, "judge_ensure_failed")
        .field("code", foundation::name_of(reached.why->code))
        .field("message", note.empty() ? reached.why->message : note)
        .field("traceId", context.trace_id);
    co_return std::unexpected{*reached.why};
  }
  core_.log().at(level::info, "judge_ensure_succeeded").field("traceId", context.trace_id);
  co_return reached;
}

void judge::settle(const judge_state& reached) {
  std::vector<waiter> waiting;
  {
    const std::lock_guard lock{mutex_};
    state_ = reached;
    waiting.swap(waiting_);
  }
  core_.log()
      .at(level::info, "judge_state")
      .field("status", name_of(reached.status))
      .field("errorCode", reached.why ? foundation::name_of(reached.why->code) : std::string_view{});
  for (waiter& tell : waiting) {
    if (reached.why) {
      tell(std::unexpected{*reached.why});
    } else {
      tell(reached);
    }
  }
}

// Nothing: the model was not heard (JDG-3).
task<std::optional<std::vector<policy::judge_finding>>> judge::advanced(const evaluation_request& wanted,
                                                                        request_context& context) {
  const auto served = core_.current();
  const gateway::judge_rules& rules = served->judge;
  if (!rules.advanced) co_return std::vector<policy::judge_finding>{};
  judge_prompt prompt = make_judge_prompt(wanted.text, wanted.context_summary, rules.locale);
  model_question question;
  question.model = rules.model;
  question.system = std::move(prompt.system);
  question.user = std::move(prompt.user);
  question.temperature = rules.temperature;
  question.max_tokens = answer_tokens;
  question.timeout = rules.timeout;
  question.skill = account;
  question.project = wanted.project;
  std::string why;
  try {
    bounded_cancel cancel{context.gone, context.services.loop, rules.timeout, on_leave::stop};
    const auto answer = co_await models_.ask(std::move(question), context, cancel.source);
    if (answer) co_return read_judge_reply(*answer);
    why = answer.error().message;
  } catch (const std::exception& e) {
    why = e.what();
  }
  core_.log()
      .at(level::warn, "judge_advanced_check_failed")
      .field("projectId", wanted.project)
      .field("traceId", wanted.trace_id)
      .field("message", why);
  co_return std::nullopt;
}

bool judge::push_result(const evaluation_request& wanted, const std::string& payload,
                        request_context& context) {
  push result;
  result.name = "judge:quality:result";
  result.id = push_id("judge-" + context.trace_id, 0, pushed_.fetch_add(1, std::memory_order_relaxed) + 1);
  result.payload = payload;
  result.project = wanted.project;
  result.key_id = context.who.id;
  std::string why = "the event hub refused it";
  try {
    if (publish_(std::move(result))) return true;
  } catch (const std::exception& e) {
    why = e.what();
  }
  core_.log()
      .at(level::error, "judge_result_push_failed")
      .field("projectId", wanted.project)
      .field("traceId", wanted.trace_id)
      .field("message", why);
  return false;
}

task<channel_reply> judge::evaluate(evaluation_request wanted, request_context& context) {
  std::string payload;
  try {
    const auto found = policy::check_judge_rules(wanted.text, wanted.context_summary);
    const auto more = co_await advanced(wanted, context);
    if (context.gone.fired()) co_return given_up();
    std::optional<std::span<const policy::judge_finding>> heard;
    if (more) heard.emplace(*more);
    const auto result = policy::combine_findings(found, heard, core_.current()->judge.locale);
    payload = result_json(wanted, result, context.services.loop.wall());
  } catch (const std::exception& e) {
    core_.log()
        .at(level::error, "judge_quality_evaluate_failed")
        .field("projectId", wanted.project)
        .field("traceId", wanted.trace_id)
        .field("message", e.what());
    co_return refusal(error_code::internal_error, "the text could not be judged");
  }
  if (!push_result(wanted, payload, context))
    co_return refusal(error_code::internal_error, "the result could not be pushed");
  co_return payload;
}

}  // namespace tidegate::session
