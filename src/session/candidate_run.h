// One run of an execution through the gateway: the whole of it, or one of several candidates (CAND-1). Turns
// canonical events into the run's text and tool calls, and says when the output is an answer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/exchange.h"
#include "gateway/run_queue.h"
#include "gateway/story.h"
#include "policy/run_stream.h"
#include "policy/tool_rounds.h"
#include "session/run_pushes.h"

namespace tidegate::session {

class execution;

class candidate_run final : public gateway::reply_sink, public gateway::story {
 public:
  candidate_run(execution& owner, std::size_t number, std::string run_id);

  // --- what it came to
  const std::string& run_id() const noexcept { return run_id_; }
  std::size_t number() const noexcept { return number_; }  // from 1
  const std::optional<foundation::failure>& why() const noexcept { return why_; }
  bool good() const noexcept { return ended_ && !why_; }
  // It brings output, or says that it will not: once.
  void count() noexcept { counted_ = true; }
  bool counted() const noexcept { return counted_; }
  bool whole() const noexcept { return whole_; }  // its output is an answer
  const std::string& text() const noexcept { return stream_.output(); }
  protocol::dialect::finish_reason finish() const noexcept { return finish_; }
  const std::vector<policy::tool_call>& tool_calls() const noexcept { return calls_; }
  const run_totals& used() const noexcept { return used_; }
  bool used_any() const noexcept { return legs_ > 0; }
  const std::string& provider() const noexcept { return provider_; }
  const std::string& model() const noexcept { return model_; }
  const std::optional<failover_note>& switched_note() const noexcept { return switched_; }
  const std::optional<degradation>& degraded() const noexcept { return degraded_; }
  std::uint32_t attempt() const noexcept { return stream_.attempt(); }
  std::uint64_t last_seq() const noexcept { return stream_.last_seq(); }
  bool streaming() const noexcept { return streams_; }

  void cancel(runtime::cancel_reason reason);
  // It ended without the gateway having said so: a defect.
  void lost();

  // --- gateway::reply_sink: nothing goes out this way but the caller's leaving comes in.
  runtime::task<bool> whole(int status, std::string_view headers, std::string_view body) override;
  runtime::task<bool> begin_stream(int status, std::string_view headers) override;
  runtime::task<bool> write(std::string_view bytes) override;
  runtime::task<bool> end_stream() override;
  void break_off() override {}
  void release_request() override {}
  runtime::cancel_source& gone() override { return gone_; }
  void set_deadline(foundation::instant) override {}

  // --- gateway::story
  runtime::task<std::optional<failure>> take_turn() override;
  runtime::task<std::expected<std::string, failure>> compose() override;
  std::optional<failure> may_spend() override;
  void started(std::string_view provider, std::string_view model) override;
  void switched(std::string_view from, std::string_view to, policy::switch_reason reason) override;
  std::unique_ptr<protocol::dialect::stream_encoder> begin_output(int attempt) override;
  void whole_reply(const protocol::dialect::reply& reply) override;
  std::optional<failure> objection() override;
  void leg_ended(const gateway::leg_account& account) override;
  runtime::task<std::optional<failure>> accept() override;
  runtime::task<void> take_back() override;
  void keep(storage::trace_record trace) override { trace_ = std::move(trace); }
  runtime::task<void> ended(const failure* why) override;

  void hold(gateway::run_queue::extra_slot slot) { slot_ = std::move(slot); }

 private:
  class listener;
  struct flush_timer : runtime::timer {
    explicit flush_timer(candidate_run& r);
    candidate_run& run;
  };
  void on_event(const protocol::dialect::stream_event& event);
  void on_text(std::string_view text);
  // Sends on what the stream machine has brought out, and arms its timer.
  void send(std::vector<policy::stream_output>& out);
  std::optional<failure> check_output();
  void add_partial_content();
  runtime::task<void> keep_trace();
  foundation::instant now() const;

  execution& owner_;
  const std::size_t number_;
  const std::string run_id_;
  const bool streams_;
  policy::run_stream stream_;
  flush_timer timer_;
  runtime::cancel_source gone_;
  gateway::run_queue::extra_slot slot_;
  policy::tool_call_gatherer gathered_;
  std::vector<policy::tool_call> calls_;
  protocol::dialect::finish_reason finish_ = protocol::dialect::finish_reason::none;
  std::string provider_;
  std::string model_;
  std::optional<failover_note> switched_;
  run_totals used_;
  std::uint32_t legs_ = 0;
  bool accepted_ = false;
  bool whole_ = false;
  bool counted_ = false;
  bool ended_ = false;
  std::optional<failure> why_;
  std::optional<storage::trace_record> trace_;
  std::optional<degradation> degraded_;
};

}  // namespace tidegate::session
