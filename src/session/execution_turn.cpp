// An execution's turn: the skill's checks, the chat's places, the queue, the prompt (RES-5, CHAT-7, PRM-4).
#include <algorithm>
#include <utility>

#include "policy/characters.h"
#include "policy/history.h"
#include "session/execution.h"
#include "session/history_compactor.h"
#include "session/metered_call.h"

namespace tidegate::session {

using foundation::error_code;
using foundation::failure;
using runtime::task;

namespace {

// Until everything that was posted to the loop so far has run.
struct behind_posts {
  runtime::loop& loop;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) const {
    loop.post([&l = loop, waiter] { l.schedule(waiter); });
  }
  void await_resume() const noexcept {}
};

}  // namespace

// Summaries are the run's own caller's calls (CHAT-8), to the model of auxiliary work, in the run's own time.
class execution::model_summaries final : public summarizer {
 public:
  model_summaries(execution& run, foundation::instant deadline) : run_{run}, deadline_{deadline} {}
  task<std::expected<std::string, failure>> summarize(std::string text, std::int64_t tokens_max) override {
    model_question q;
    const std::string& auxiliary = run_.snapshot_->session.auxiliary_model;
    q.model = auxiliary.empty() ? run_.model() : auxiliary;
    q.system = summary_instruction();
    q.user = std::move(text);
    q.max_tokens = tokens_max;
    q.timeout = deadline_ - run_.services_.loop.now();
    q.skill = "compaction";
    q.project = run_.request_.context.project_id;
    return ask_model(run_.world_, std::move(q), {run_.who_, run_.trace_id_, run_.services_}, run_.gone_);
  }

 private:
  execution& run_;
  const foundation::instant deadline_;
};

task<std::optional<failure>> execution::take_turn(candidate_run& who) {
  if (turn_state_ == progress::none) {
    turn_state_ = progress::under_way;
    try {
      turn_failure_ = co_await prepare();
    } catch (const std::exception&) {
      turn_failure_.emplace();
      turn_failure_->message = "the gateway failed on this run";
    }
    turn_state_ = progress::over;
    turn_taken_.fire();
  } else if (turn_state_ == progress::under_way) {
    co_await turn_taken_;
  }
  if (turn_failure_) co_return turn_failure_;
  if (request_.candidates == 1) co_return std::nullopt;
  auto slot = co_await ticket_.extra(who.gone());
  if (!slot) co_return std::move(slot.error());
  who.hold(std::move(*slot));
  co_return std::nullopt;
}

task<std::optional<failure>> execution::prepare() {
  if (auto why = choose_skill()) co_return why;
  if (auto why = co_await take_places()) co_return why;
  co_return co_await wait_in_queue();
}

std::optional<failure> execution::choose_skill() const {
  auto chosen = skills_->select(request_.skill_id, request_.has_selection, material());
  // A round that goes on has been given its input already.
  if (!chosen && round_ && chosen.error().code == error_code::skill_input_empty) return std::nullopt;
  if (!chosen) return std::move(chosen.error());
  return std::nullopt;
}

task<std::optional<failure>> execution::take_places() {
  if (!chats_here()) co_return std::nullopt;
  chats::asked_places wanted;
  wanted.project = request_.context.project_id;
  if (!request_.context.session_id.empty()) wanted.session = request_.context.session_id;
  if (!request_.context.message_id.empty()) wanted.message = request_.context.message_id;
  auto places = co_await world_.stories.take_places(services_, who_, std::move(wanted));
  if (!places) co_return std::move(places.error());
  places_ = std::move(*places);
  co_return std::nullopt;
}

task<std::optional<failure>> execution::wait_in_queue() {
  auto entered = world_.queue.enter(services_.loop, {.run_id = id_,
                                                     .trace_id = trace_id_,
                                                     .session = session_,
                                                     .project = request_.context.project_id,
                                                     .key_id = who_.id,
                                                     .session_id = request_.context.session_id});
  if (!entered) co_return std::move(entered.error());
  ticket_ = std::move(*entered);
  queued_ = true;
  if (!ticket_.at_once()) {
    waited_ = true;
    answer_due_.fire();
  }
  auto started = co_await ticket_.started(gone_);
  if (!started) co_return std::move(started.error());
  // What the queue has told of it goes out first (STR-2).
  co_await behind_posts{services_.loop};
  co_return std::nullopt;
}

// The gateway asks when it has set the run's deadline, in the same turn of the loop.
task<std::expected<std::string, failure>> execution::compose() {
  if (body_state_ == progress::none) {
    body_state_ = progress::under_way;
    try {
      body_failure_ = co_await write_request(services_.loop.now() + timeout());
    } catch (const std::exception&) {
      body_failure_.emplace();
      body_failure_->message = "the gateway failed on this run";
    }
    body_state_ = progress::over;
    body_written_.fire();
  } else if (body_state_ == progress::under_way) {
    co_await body_written_;
  }
  if (body_failure_) co_return std::unexpected{*body_failure_};
  co_return body_;
}

task<std::optional<failure>> execution::write_request(foundation::instant deadline) {
  if (round_) {
    write_body(messages_);
    co_return std::nullopt;
  }
  std::vector<storage::chat_message> history;
  if (places_) {
    // An LLM token is at most four bytes: nothing that would fit is left behind. Summaries are made of what
    // would not.
    const gateway::session_rules& rules = snapshot_->session;
    const auto bytes =
        rules.compaction
            ? std::size_t{0}
            : static_cast<std::size_t>(std::max<std::int64_t>(rules.history_token_budget * 4, 1));
    auto read = co_await world_.stories.history(services_, places_, bytes);
    if (!read) co_return std::move(read.error());
    history = std::move(*read);
  }
  std::string system = policy::assemble_prompt(
      {.identity = skills_->identity(),
       .user_rules = request_.context.user_rules,
       .skill = skill_ != nullptr ? std::string_view{skill_->definition.prompt} : std::string_view{},
       .mode_hint = policy::mode_hint(request_.mode),
       .memory = request_.context.memory,
       .context = request_.context.text});
  messages_ = co_await messages_of(std::move(system), std::move(history), deadline);
  write_body(messages_);
  co_return std::nullopt;
}

task<std::string> execution::messages_of(std::string system, std::vector<storage::chat_message> history,
                                         foundation::instant deadline) {
  std::vector<chat_line> said;
  said.reserve(history.size());
  for (storage::chat_message& m : history) {
    // A turn that a tool error ended before the model had said anything; providers refuse empty messages.
    if (policy::trim_blanks(m.content).empty()) continue;
    const bool users = m.role == storage::chat_role::user;
    said.push_back({users ? policy::chat_role::user : policy::chat_role::assistant, std::move(m.content)});
  }
  const std::int64_t budget = snapshot_->session.history_token_budget;
  if (snapshot_->session.compaction) {
    model_summaries by{*this, deadline};
    said = co_await compact_history(services_.loop, world_.summaries, by, system, std::move(said), user_text_,
                                    budget, {gone_, deadline});
  } else {
    std::vector<policy::history_message> views;
    views.reserve(said.size());
    for (const chat_line& l : said) views.push_back({l.role, l.text});
    const auto kept = policy::keep_history(system, views, user_text_, budget);
    said.erase(said.begin(), said.begin() + static_cast<std::ptrdiff_t>(kept.first));
  }
  std::string out;
  const auto add = [&](std::string_view role, std::string_view text) {
    if (!out.empty()) out += ',';
    json::writer{out}.begin_object().member("role", role).member("content", text).end_object();
  };
  if (!system.empty()) add("system", system);
  for (const chat_line& l : said) add(l.role == policy::chat_role::user ? "user" : "assistant", l.text);
  add("user", user_text_);
  co_return out;
}

void execution::write_body(std::string_view messages) {
  body_.clear();
  json::writer w{body_};
  w.begin_object().member("model", model()).member("stream", request_.stream);
  w.key("messages").raw("[" + std::string{messages} + "]");
  if (snapshot_->session.temperature) w.member("temperature", *snapshot_->session.temperature);
  if (!request_.tools.empty()) w.key("tools").raw(request_.tools);
  w.end_object();
}

}  // namespace tidegate::session
