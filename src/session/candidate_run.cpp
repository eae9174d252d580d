#include "session/candidate_run.h"

#include <algorithm>
#include <utility>

#include "policy/output_check.h"
#include "session/execution.h"
#include "session/tool_arguments.h"

namespace tidegate::session {

namespace dialect = protocol::dialect;
using foundation::error_code;
using foundation::failure;
using runtime::task;

namespace {

policy::stream_settings stream_settings_of(const gateway::session_rules& rules, bool chunks) {
  policy::stream_settings s;
  s.batch.deltas = rules.batch_deltas;
  s.batch.window = rules.batch_window;
  s.completion_grace = chunks ? rules.completion_grace : foundation::duration::zero();
  s.output_max_chars = rules.output_max_chars;
  s.chunks = chunks;
  return s;
}

failure canceled_failure() {
  failure f;
  f.code = error_code::canceled;
  f.message = "the run was canceled";
  return f;
}

}  // namespace

// Canonical events of the attempt under way; goes with its stream.
class candidate_run::listener final : public dialect::stream_encoder {
 public:
  explicit listener(candidate_run& run) : run_{run} {}
  void encode(const dialect::stream_event& event, std::string&) override { run_.on_event(event); }

 private:
  candidate_run& run_;
};

candidate_run::flush_timer::flush_timer(candidate_run& r)
    : timer{r.owner_.services_.loop,
            [](timer& t) {
              candidate_run& self = static_cast<flush_timer&>(t).run;
              std::vector<policy::stream_output> out;
              self.stream_.tick(self.now(), out);
              self.send(out);
            }},
      run{r} {}

candidate_run::candidate_run(execution& owner, std::size_t number, std::string run_id)
    : owner_{owner},
      number_{number},
      run_id_{std::move(run_id)},
      streams_{owner.request_.stream},
      stream_{stream_settings_of(owner.snapshot_->session, owner.request_.stream)},
      timer_{*this} {
  used_.priced = true;
}

foundation::instant candidate_run::now() const { return owner_.services_.loop.now(); }

void candidate_run::cancel(runtime::cancel_reason reason) {
  stream_.cancel();
  gone_.fire(reason);
}

void candidate_run::lost() {
  if (ended_) return;
  ended_ = true;
  slot_.release();
  why_.emplace();
  why_->message = "the gateway failed on this run";
  owner_.drop(*this);
  owner_.ended(*this);
}

// The gateway speaks to a session run through its story alone.
task<bool> candidate_run::whole(int, std::string_view, std::string_view) { co_return true; }
task<bool> candidate_run::begin_stream(int, std::string_view) { co_return true; }
task<bool> candidate_run::write(std::string_view) { co_return true; }
task<bool> candidate_run::end_stream() { co_return true; }

task<std::optional<failure>> candidate_run::take_turn() { return owner_.take_turn(*this); }

task<std::expected<std::string, failure>> candidate_run::compose() { return owner_.compose(); }

std::optional<failure> candidate_run::may_spend() { return owner_.may_spend(); }

void candidate_run::started(std::string_view provider, std::string_view model) {
  provider_ = provider;
  model_ = model;
  owner_.note_started(*this);
}

void candidate_run::switched(std::string_view from, std::string_view to, policy::switch_reason reason) {
  switched_ = failover_note{std::string{from}, std::string{to}, policy::name_of(reason)};
  owner_.push("ai:provider:failover", owner_.note_id(),
              failover_payload({owner_.id_, run_id_, owner_.trace_id_}, *switched_, owner_.wall()));
}

std::unique_ptr<dialect::stream_encoder> candidate_run::begin_output(int attempt) {
  gathered_.clear();
  finish_ = dialect::finish_reason::none;
  if (attempt > 1 && stream_.attempt() == 1) {
    std::vector<policy::stream_output> out;
    static_cast<void>(stream_.reset(out));
    send(out);
  }
  return std::make_unique<listener>(*this);
}

void candidate_run::on_text(std::string_view text) {
  std::vector<policy::stream_output> out;
  stream_.delta(text, now(), out);
  send(out);
}

void candidate_run::on_event(const dialect::stream_event& event) {
  switch (event.kind) {
    case dialect::stream_event_kind::text:
    case dialect::stream_event_kind::refusal:
      on_text(event.text);
      break;
    case dialect::stream_event_kind::tool_start:
      gathered_.start(event.index, event.id, event.name);
      break;
    case dialect::stream_event_kind::tool_arguments:
      gathered_.arguments(event.index, event.text);
      break;
    case dialect::stream_event_kind::finish:
      finish_ = event.finish;
      break;
    default:
      break;
  }
}

void candidate_run::whole_reply(const dialect::reply& reply) {
  gathered_.clear();
  finish_ = reply.finish;
  std::uint32_t index = 0;
  for (const dialect::part& p : reply.parts) {
    if (p.kind == dialect::part_kind::text || p.kind == dialect::part_kind::refusal) on_text(p.text);
    if (p.kind != dialect::part_kind::tool_call) continue;
    gathered_.start(index, p.id, p.name);
    gathered_.arguments(index++, p.data);
  }
}

std::optional<failure> candidate_run::objection() {
  if (!stream_.ending() || gone_.fired()) return std::nullopt;
  return stream_.failure();
}

void candidate_run::send(std::vector<policy::stream_output>& out) {
  const run_ids ids{owner_.id_, run_id_, owner_.trace_id_};
  for (policy::stream_output& o : out) {
    // The execution says done itself, when turn and trace are stored (STR-12).
    if (o.what == policy::stream_output::kind::done) continue;
    std::string id = push_id(owner_.id_, o.attempt, o.seq);
    if (o.what == policy::stream_output::kind::chunk) {
      owner_.push("skill:stream:chunk", std::move(id), chunk_payload(ids, o.seq, o.text, owner_.wall()),
                  true);
    } else {
      owner_.push("skill:stream:reset", std::move(id), reset_payload(ids, o.attempt, owner_.wall()));
    }
  }
  if (streams_ && !stream_.done()) timer_.arm(stream_.due());
}

void candidate_run::leg_ended(const gateway::leg_account& account) {
  ++legs_;
  provider_ = account.provider;
  model_ = account.model;
  used_.prompt_tokens += account.usage.prompt;
  used_.completion_tokens += account.usage.completion;
  used_.cached_tokens += std::min(account.usage.cached, account.usage.prompt);
  used_.micro_usd += account.micro_usd;
  used_.priced = used_.priced && account.priced;
  owner_.note_leg(*this, account);
}

// STR-4: a cancel within the grace, or in its last tick, wins.
task<std::optional<failure>> candidate_run::accept() {
  accepted_ = true;
  runtime::loop& loop = owner_.services_.loop;
  std::vector<policy::stream_output> out;
  stream_.upstream_ended(now());
  for (;;) {
    co_await loop.round_end();
    stream_.tick(now(), out);
    send(out);
    out.clear();
    if (stream_.done()) break;
    static_cast<void>(co_await loop.sleep_until(stream_.due(), &gone_));
  }
  timer_.disarm();
  slot_.release();  // the others may need it before this one has ended
  calls_ = gathered_.finish(form_of_arguments);
  if (!calls_.empty()) finish_ = dialect::finish_reason::tool_use;
  std::optional<failure> why;
  if (gone_.fired() || stream_.terminal() == policy::stream_terminal::cancelled) {
    why = canceled_failure();
  } else if (stream_.failure()) {
    why = stream_.failure();
  } else {
    why = check_output();
  }
  if (why) {
    co_await owner_.give_up(*this);
    co_return why;
  }
  whole_ = true;
  co_return co_await owner_.accept(*this);
}

// PRM-5. A reply that asks for tools is not yet an output.
std::optional<failure> candidate_run::check_output() {
  if (!calls_.empty() || owner_.skill_ == nullptr) return std::nullopt;
  const policy::output_fault fault =
      policy::check_output(owner_.subject_, text(), owner_.skill_->definition.output);
  if (fault == policy::output_fault::none) return std::nullopt;
  failure f;
  f.code = error_code::skill_output_invalid;
  f.message = std::string{policy::describe(fault)};
  return f;
}

task<void> candidate_run::take_back() { return owner_.take_back(); }

task<void> candidate_run::ended(const failure* why) {
  if (why != nullptr) {
    why_ = *why;
    if (why_->details.find("STREAM_DISCONNECTED") != std::string::npos) add_partial_content();
    if (!accepted_) co_await owner_.give_up(*this);
    timer_.disarm();
    std::vector<policy::stream_output> out;
    if (why->code == error_code::canceled) {
      stream_.cancel();
    } else {
      stream_.failed(*why);
    }
    stream_.tick(now(), out);
    send(out);
  }
  co_await keep_trace();
  ended_ = true;
  slot_.release();
  owner_.ended(*this);
}

// STR-8: the caller is told what came of it.
void candidate_run::add_partial_content() {
  std::string quoted;
  protocol::json::append_quoted(quoted, text());
  const protocol::json::edit partial{"partialContent", quoted};
  why_->details = protocol::json::apply(why_->details, {&partial, 1});
}

// TRC-5: before the run's done, which says where it failed.
task<void> candidate_run::keep_trace() {
  if (!trace_) co_return;
  if (!model_.empty()) trace_->model = model_;
  if (owner_.request_.candidates > 1) trace_->candidate_group = owner_.id_;
  degraded_ = co_await owner_.keep_trace(std::move(*trace_), text());
  trace_.reset();
}

}  // namespace tidegate::session
