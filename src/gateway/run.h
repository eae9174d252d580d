// One run inside the gateway: its state from admission to its terminal. Used by exchange.cpp only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/exchange.h"
#include "gateway/leg_request.h"
#include "gateway/run_queue.h"
#include "gateway/stream_relay.h"
#include "policy/failover.h"
#include "policy/outcome.h"

namespace tidegate::gateway {

using foundation::failure;

// How a leg ended. `why` is what the caller would be told if this leg were the last one.
class leg_end {
 public:
  policy::leg_result result;
  failure& why() {
    if (why_ == nullptr) why_ = std::make_unique<failure>();
    return *why_;
  }
  const failure& why() const {
    static const failure none;
    return why_ != nullptr ? *why_ : none;
  }
  std::optional<duration> retry_after;
  int status = 0;          // the provider's, where it answered
  bool transport = false;  // RET-1 may repeat it inside the leg
  bool content = false;    // the caller has seen some of it

 private:
  std::unique_ptr<failure>
      why_;  // apart: a leg that succeeds has none, and this type is handed up many frames
};

class run {
 public:
  run(core& shared, loop_services& services, call& request, reply_sink& reply);
  runtime::task<void> go();
  // An exception ended go(): the run still gets its terminal.
  void lost();

 private:
  struct chosen_target {
    const provider* to;
    std::string model;
  };
  struct attempt {  // for AI_PROVIDER_UNAVAILABLE's details
    std::size_t target;
    foundation::error_code code;
  };

  // Admission: each says why not, or nothing. Without a place, `refusal_` says why.
  bool admit();
  [[gnu::noinline]] runtime::task<void> refuse();
  std::optional<failure> bound_output();
  void count_prompt();
  std::optional<failure> read();
  std::optional<failure> read_body();
  std::optional<failure> check_model() const;
  void arm_deadline();
  // One of the next two. False: `refusal_` says why.
  [[gnu::noinline]] runtime::task<bool> take_turn();
  // Of a /v1 call that names a session: its turn (SCH-2).
  [[gnu::noinline]] runtime::task<std::optional<failure>> wait_in_queue(run_queue& queue);
  // Of a session run: its turn, then its body.
  [[gnu::noinline]] runtime::task<std::optional<failure>> begin_session_run();
  std::optional<failure> resolve();
  std::optional<failure> choose_targets(const route& r);
  bool serves_endpoint(const provider& p) const;

  // Guards of one leg, in RES-5's order: budgets, rate limit, journal.
  enum class gate : std::uint8_t {
    open,     // the leg may be made
    passed,   // its provider's window is full: the plan knows, another target may be next
    refused,  // the run ends here; `refusal_` says why
  };
  runtime::task<gate> pass_guards(const policy::step& step, policy::failover_plan& plan);
  std::optional<failure> reserve(const policy::step& step);
  std::optional<failure> take_unit(const policy::step& step);
  failure quota_failure(const policy::quota_refusal& why) const;
  gate stop_at(failure why, policy::failover_plan& plan);
  void give_back();
  void settle(const leg_end& end);
  // Ends the reservation on the record. `tokens`: nothing gives it back.
  struct bill {
    std::int64_t tokens = 0;
    std::int64_t micro_usd = 0;
  };
  void close_reservation(std::optional<bill> charged);
  dialect::usage used_of(const leg_end& end) const;
  std::optional<bill> bill_of(const leg_end& end) const;
  void account(const leg_end& end, const std::optional<bill>& charged);

  runtime::task<void> make_legs();
  // STR-8: whether the stream that broke is asked for once more, after the wait for it.
  [[gnu::noinline]] runtime::task<bool> replays(leg_end& broken);
  [[gnu::noinline]] void plan_again(policy::failover_plan& plan) const;
  // False: it cannot be made, and the plan knows.
  bool build_leg(const policy::step& step, policy::failover_plan& plan);
  runtime::task<leg_end> make_leg(policy::step step, policy::failover_plan& plan);
  runtime::task<leg_end> send_once(std::size_t target, instant leg_deadline, policy::failover_plan& plan);
  // Not inlined, here and below: a coroutine that is becomes part of its caller's frame, and the frames of
  // the branches not taken would stand there as long as a stream lasts.
  [[gnu::noinline]] runtime::task<leg_end> read_whole(runtime::upstream_reply& from, instant leg_deadline);
  [[gnu::noinline]] runtime::task<leg_end> read_stream(runtime::upstream_reply& from, instant leg_deadline,
                                                       policy::failover_plan& plan);
  // Plain functions, so that what they need for a moment stands in no frame.
  [[gnu::noinline]] stream_relay make_relay();
  [[gnu::noinline]] std::optional<leg_end> objection();
  [[gnu::noinline]] leg_end stream_end(stream_relay& relay, relay_state state, std::string& out);
  [[gnu::noinline]] runtime::task<leg_end> read_error(runtime::upstream_reply& from, instant leg_deadline);
  runtime::task<std::optional<leg_end>> collect(runtime::upstream_reply& from, std::uint64_t limit,
                                                instant leg_deadline, std::string& into);
  [[gnu::noinline]] runtime::task<bool> open_stream();

  // Ends of a leg.
  leg_end fault_end(runtime::call_fault fault, bool content) const;
  leg_end timeout_end(policy::leg_timeout limit, bool content) const;
  leg_end status_end(int status, std::string_view body, std::string_view retry_after) const;
  leg_end stream_error_end(const dialect::stream_error& error) const;
  leg_end reply_fault_end(policy::reply_fault fault, std::string_view message) const;
  leg_end canceled_end() const;
  leg_end objection_end(failure why) const;
  leg_end defect_end() const;

  // Answers.
  [[gnu::noinline]] runtime::task<void> answer(const policy::step& last, const leg_end& end);
  [[gnu::noinline]] runtime::task<void> answer_refused();
  [[gnu::noinline]] runtime::task<void> answer_estimate();
  [[gnu::noinline]] runtime::task<void> deliver_whole();
  [[gnu::noinline]] runtime::task<void> deliver_end();
  [[gnu::noinline]] runtime::task<void> deliver_to_story();
  runtime::task<void> end_failed(failure why);
  runtime::task<void> tell(const failure& why);
  failure unavailable_failure(const failure& latest,
                              std::optional<foundation::milliseconds> retry_after) const;
  static failure provider_limit_failure(duration retry_after);
  failure verdict_failure(const policy::step& last, const leg_end& end) const;
  std::string reply_headers() const;
  dialect::encode_context encode_context() const;

  // Records.
  void record_started();
  void record_health(policy::provider_index provider);
  template <class Members>
  void record(observe::level l, std::string_view event, stage s, Members&& members) {
    services_.records.event(core_.log(), l, event, s, std::forward<Members>(members));
  }
  void record_events(policy::failover_plan& plan);
  void record_leg_started(const policy::step& step);
  void record_leg_finished(const policy::step& step, const leg_end& end, instant started);
  void record_terminal(std::string_view event, std::string_view code);
  void keep_trace(std::string_view code);
  void record_malformed(const stream_relay& relay) const;
  void record_stream_failed(std::string_view message) const;
  void note_usage(const dialect::usage& tokens);

  instant now() const { return services_.loop.now(); }
  const provider& provider_of(std::size_t target) const { return *targets_[target].to; }

  core& core_;
  loop_services& services_;
  call& call_;
  reply_sink& reply_;
  std::shared_ptr<const snapshot> snapshot_;
  read_request read_;
  const dialect::dialect& caller_;
  story* const story_;  // null for /v1
  int attempt_ = 1;     // 2: the replay of a stream that broke
  std::vector<chosen_target> targets_;
  std::vector<policy::target_ref> refs_;
  policy::failover_mode mode_ = policy::failover_mode::immediate;
  const route* route_ = nullptr;
  run_queue::ticket turn_;
  instant deadline_ = foundation::never;
  instant started_{};
  instant leg_started_{};
  duration upstream_time_{};

  // The leg under way, or the last one.
  leg_request leg_;
  std::size_t current_ = 0;
  std::size_t called_ = 0;  // the last target that was called
  std::uint32_t legs_ = 0;
  std::uint32_t retries_ = 0;
  std::vector<attempt> attempts_;
  std::unique_ptr<failure> unfit_;  // why the request cannot be said to `unfit_target_`
  std::size_t unfit_target_ = 0;    // the first of those
  struct switch_note {
    std::size_t from;
    std::size_t to;
    policy::switch_reason reason;
  };
  std::optional<switch_note> switched_;
  bool tripped_ = false;  // a breaker, by a failure of this run

  std::unique_ptr<failure> refusal_;
  bool started_recorded_ = false;
  bool story_told_ = false;  // that the run has started

  // Guards.
  const caller_policy& limits_;
  std::int64_t effective_max_ = 0;  // LLM tokens of output a leg may bring; 0: no bound
  std::int64_t prompt_tokens_ = 0;  // estimate of everything sent
  policy::reservation held_;        // the leg under way's
  std::uint32_t held_leg_ = 0;      // its number
  bill reserved_;
  std::shared_ptr<const policy::model_price> price_;  // of the leg under way's model; nothing: unknown
  std::string accounts_;                              // as JSON, of the leg under way's reservation
  policy::rate_limiter::slot key_window_ = 0;
  bool key_counted_ = false;  // the leg under way took a unit of the key's window
  bool provider_counted_ = false;
  instant counted_at_{};
  bool dispatched_ = false;    // bytes of the leg under way may have reached the provider
  dialect::usage usage_;       // what the provider reported for the leg under way
  std::int64_t received_ = 0;  // estimate of what it has sent

  // The answer.
  bool streaming_ = false;  // the caller has been sent the head of a stream
  bool recorded_ = false;   // the terminal
  std::string whole_;       // a whole reply in the caller's dialect, or as it came
  std::string passed_headers_;
  std::string tail_;
  std::string error_bytes_;
  std::string output_text_;  // for the trace; empty where texts are not kept
};

}  // namespace tidegate::gateway
