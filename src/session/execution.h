// One ai:skill:run from its admission to its done (RES-5, SCH, STR, CAND, CHAT-4, TOOL): the queue place, the
// prompt, the candidates' runs through the gateway, the chat's turn, the pushes and the reply. Lives in one
// loop's thread; nobody else touches it, save where it says so.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/guards.h"
#include "gateway/run_queue.h"
#include "policy/access.h"
#include "policy/session_key.h"
#include "policy/tool_book.h"
#include "session/candidate_run.h"
#include "session/channels.h"
#include "session/chats.h"
#include "session/cost_guard.h"
#include "session/event.h"
#include "session/live_runs.h"
#include "session/push_hub.h"
#include "session/run_pushes.h"
#include "session/run_request.h"
#include "session/skill_registry.h"
#include "session/summary_cache.h"
#include "session/usage.h"
#include "storage/trace_store.h"

namespace tidegate::session {

using tool_desk = gateway::guarded<policy::tool_book>;

// What all runs of one process share.
struct run_world {
  gateway::core& core;
  gateway::run_queue& queue;
  push_hub& hub;
  skill_registry& skills;
  chats& stories;
  usage_book& usage;
  cost_guards& guards;
  tool_desk& tools;
  storage::trace_store& traces;
  live_runs& live;
  summary_cache& summaries;
};

class execution final : public live_run, public std::enable_shared_from_this<execution> {
 public:
  // `session_header`: x-tidegate-session, where the request's context names no session.
  execution(run_world& world, gateway::loop_services& services, const policy::principal& who,
            run_request request, std::string trace_id, std::string_view session_header);

  // Everything, up to the push of its done and the scheduler's terminal. `self` keeps it alive.
  static runtime::task<void> run(std::shared_ptr<execution> self);
  // Until a streamed run has something to answer with (STR-1): its ids, or why it was refused at once.
  runtime::task<channel_reply> first_answer();
  // It has ended without having waited or started.
  bool refused_at_once() const noexcept { return over_ && !waited_ && !started_ && fault() != nullptr; }
  // Of an execution that has ended.
  channel_reply reply() const;

  void cancel(runtime::cancel_reason reason) override;
  // The id of a push that is no part of the stream. Any thread.
  std::string note_id();
  // What the queue has told of it, and all who watch were told; in its loop.
  struct line_push {
    std::string name;
    std::string id;
    std::string data;
  };
  void queue_news(policy::run_end cause, line_push told);

  // Its own pushes on the response of its request (STR-2): from the beginning, done last.
  void open_line() { line_open_ = true; }
  // Nothing: there was the last one.
  runtime::task<std::optional<line_push>> next_push();

  const std::string& id() const noexcept { return id_; }

 private:
  friend class candidate_run;
  class model_summaries;
  enum class progress : std::uint8_t { none, under_way, over };

  // --- what the candidates ask
  runtime::task<std::optional<foundation::failure>> take_turn(candidate_run& who);
  // The request, made once for all candidates, within the time of the first one that asks (TMO-1).
  runtime::task<std::expected<std::string, foundation::failure>> compose();
  std::optional<foundation::failure> may_spend();
  void note_started(const candidate_run& who);
  void note_leg(const candidate_run& who, const gateway::leg_account& account);
  // The candidate's output is whole: stored once all of them have come so far, or why not.
  runtime::task<std::optional<foundation::failure>> accept(candidate_run& who);
  runtime::task<void> take_back();
  // Completed with what only the execution knows, and kept; or what became of it (TRC-4, TRC-5).
  runtime::task<std::optional<degradation>> keep_trace(storage::trace_record trace, std::string_view output);
  // It will bring no output any more.
  runtime::task<void> give_up(candidate_run& who);
  void drop(candidate_run& who);
  void ended(candidate_run& who);
  void push(std::string_view name, std::string id, std::string data, bool droppable = false);
  void push_on_line(line_push what);

  // --- its own story
  runtime::task<void> begin(std::shared_ptr<execution> self);
  void name_session();
  std::optional<foundation::failure> open_request();
  void resolve_skill();
  policy::skill_material material() const;
  void close_request(bool refused);
  // Skill, places, queue (RES-5).
  runtime::task<std::optional<foundation::failure>> prepare();
  std::optional<foundation::failure> check_model() const;
  std::optional<foundation::failure> choose_skill() const;
  runtime::task<std::optional<foundation::failure>> take_places();
  runtime::task<std::optional<foundation::failure>> wait_in_queue();
  runtime::task<std::optional<foundation::failure>> write_request(foundation::instant deadline);
  // What of the history is sent, as elements of the body's array (CHAT-7, CHAT-8).
  runtime::task<std::string> messages_of(std::string system, std::vector<storage::chat_message> history,
                                         foundation::instant deadline);
  void write_body(std::string_view messages);
  // The caller's results of the open round: pushed, and either in messages_ or the end in tool_error_. Why
  // they are no answers, or nothing.
  std::optional<foundation::failure> take_results();
  // A request whose results end it calls nobody; else it is a run like any.
  runtime::task<void> end_at_results();
  runtime::task<void> record_end_at_results();
  std::optional<policy::tool_error> judge(const candidate_run& said) const;
  // What the chat's turn is answered with; nothing while the answer is not whole.
  std::optional<std::string> turn_text() const;
  void make_candidates();
  gateway::call call_of(const candidate_run& who) const;
  runtime::task<std::optional<foundation::failure>> find_chat();
  std::string model() const;
  foundation::milliseconds timeout() const;
  static runtime::detached drive(std::shared_ptr<execution> self, candidate_run* who);
  runtime::task<void> store_turn();
  runtime::task<void> finish();
  void refuse(foundation::failure why);
  void open_round();
  void push_done();
  void conclude();
  const candidate_run* winner() const;
  const foundation::failure* fault() const;
  run_totals totals() const;
  std::string_view text() const;
  bool chats_here() const;
  foundation::wall_time wall() const { return services_.loop.wall(); }
  run_ids ids() const { return {id_, id_, trace_id_}; }

  run_world& world_;
  const live_runs::presence presence_;
  gateway::loop_services& services_;
  policy::principal who_;
  run_request request_;
  std::shared_ptr<const gateway::snapshot> snapshot_;
  std::shared_ptr<const skill_snapshot> skills_;
  const skill* skill_ = nullptr;
  std::string skill_id_;  // of the one that runs, or was asked for
  std::string id_;        // executionId
  std::string trace_id_;
  std::string request_key_;  // in the tool desk
  policy::session_key session_;
  std::string account_;  // of the session's budget

  std::optional<gateway::core::place> place_;
  chat_places places_;
  std::optional<chat_turn_ids> turn_;
  gateway::run_queue::ticket ticket_;
  std::string body_;
  std::string messages_;  // elements of the body's array
  std::string user_text_;
  std::string subject_;                      // what the output is measured by
  std::optional<policy::open_round> round_;  // whose results the caller has sent
  std::optional<policy::tool_error> tool_error_;

  std::vector<std::unique_ptr<candidate_run>> candidates_;
  std::size_t to_accept_ = 0;  // candidates that may still bring output
  std::size_t to_end_ = 0;
  progress turn_state_ = progress::none;
  std::optional<foundation::failure> turn_failure_;
  progress body_state_ = progress::none;
  std::optional<foundation::failure> body_failure_;
  std::optional<foundation::failure> store_failure_;
  std::optional<foundation::failure> refusal_;  // without any candidate
  std::optional<degradation> degraded_;         // where there is no candidate to have it
  bool session_named_ = false;                  // by the request itself, not by a header
  bool stored_chat_ = false;                    // context.sessionId is a stored chat
  bool queued_ = false;                         // it has, or had, a place in the queue
  bool waited_ = false;
  bool over_ = false;
  bool recovered_ = false;  // its slot was taken back (SCH-7)
  std::optional<runtime::cancel_reason> canceled_;
  runtime::cancel_source gone_;  // fires with every candidate's own

  event turn_taken_;
  event body_written_;
  event stored_;
  event all_ended_;
  event answer_due_;
  bool started_ = false;
  std::atomic<std::uint64_t> notes_{0};

  bool line_open_ = false;
  bool line_over_ = false;
  std::deque<line_push> line_;
  std::coroutine_handle<> line_waiter_;
};

}  // namespace tidegate::session
