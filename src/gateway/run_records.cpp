// What a run leaves behind: log events (requirements section 4) and metrics. Ids and lengths only, never
// prompts, outputs or credentials (TRC-7).
#include "gateway/run.h"
#include "gateway/state_fold.h"
#include "observe/redact.h"

namespace tidegate::gateway {

namespace json = protocol::json;
using observe::level;

void run::record_started() {
  started_recorded_ = true;
  record(level::info, "ai_run_started", stage::start, [&](json::writer& w) {
    w.member("runId", call_.run_id).member("executionId", call_.run_id).member("traceId", call_.trace_id);
    w.member("key", call_.who.key);
    if (!call_.who.session.empty()) w.member("session", call_.who.session);
    if (!call_.who.project.empty()) w.member("project", call_.who.project);
    w.member("provider", provider_of(0).name).member("model", read_.summary.model);
    w.member("stream", read_.summary.stream).member("timeoutMs", foundation::to_ms(deadline_ - started_));
  });
}

void run::record_events(policy::failover_plan& plan) {
  for (const policy::health_event& e : plan.events()) {
    const auto provider_at = [&](policy::provider_index index) -> const provider& {
      for (const chosen_target& t : targets_) {
        if (t.to->health == index) return *t.to;
      }
      return provider_of(0);
    };
    const provider& p = provider_at(e.provider);
    observe::provider_metrics& metrics = *p.metrics;
    const auto ids = [&](json::writer& w) -> json::writer& {
      return w.member("traceId", call_.trace_id).member("runId", call_.run_id);
    };
    switch (e.kind) {
      case policy::event_kind::degraded:
        tripped_ = true;
        record(level::warn, "ai_provider_degraded", stage::note, [&](json::writer& w) {
          ids(w).member("provider", p.name).member("baseUrl", p.url.text());
          w.member("failures", static_cast<std::int64_t>(e.failures)).member("reason", e.detail);
        });
        metrics.breaker_state(observe::breaker_gauge::open);
        metrics.breaker_transition("open");
        break;
      case policy::event_kind::failover: {
        // Behind a stream that broke, the plan finds degraded what this run itself has tripped (FO-3).
        const auto reason = tripped_ && e.reason == policy::switch_reason::primary_degraded
                                ? policy::switch_reason::primary_unavailable
                                : e.reason;
        switched_ = switch_note{e.from, e.to, reason};
        if (story_ != nullptr) story_->switched(provider_of(e.from).name, provider_of(e.to).name, reason);
        record(level::warn, "ai_provider_failover", stage::note, [&](json::writer& w) {
          ids(w).member("from", provider_of(e.from).name).member("to", provider_of(e.to).name);
          w.member("reason", policy::name_of(reason));
        });
        break;
      }
      case policy::event_kind::half_open_probe:
        record(level::info, "ai_provider_half_open_probe", stage::note,
               [&](json::writer& w) { ids(w).member("provider", p.name); });
        metrics.breaker_state(observe::breaker_gauge::half_open);
        metrics.breaker_transition("half_open");
        break;
      case policy::event_kind::probe_failed:
        metrics.breaker_state(observe::breaker_gauge::open);
        metrics.breaker_transition("open");
        break;
      case policy::event_kind::recovered:
        record(level::info, "ai_provider_recovered", stage::note, [&](json::writer& w) {
          ids(w).member("provider", p.name).member("baseUrl", p.url.text());
          w.member("fromHalfOpen", e.from_half_open);
        });
        metrics.breaker_state(observe::breaker_gauge::closed);
        metrics.breaker_transition("closed");
        break;
    }
  }
  plan.clear_events();
}

// What a restart gives the provider back (FO-1): on the record whenever it has changed.
void run::record_health(policy::provider_index provider) {
  const auto changed = core_.health().with(
      [&](policy::health_bank& bank) { return bank.take_change(provider, now(), services_.loop.wall()); });
  if (!changed) return;
  record(level::debug, "provider_health", stage::note, [&](json::writer& w) {
    w.member("traceId", call_.trace_id);
    write_health(w, *changed);
  });
}

void run::record_leg_started(const policy::step& step) {
  record(level::info, "ai_leg_started", stage::start, [&](json::writer& w) {
    w.member("traceId", call_.trace_id).member("runId", call_.run_id);
    w.member("leg", static_cast<std::int64_t>(step.leg)).member("provider", provider_of(step.target).name);
    w.member("model", targets_[step.target].model).member("key", call_.who.key);
    if (key_counted_) w.member("countedKey", true);
    if (provider_counted_) w.member("countedProvider", true);
  });
}

void run::record_leg_finished(const policy::step& step, const leg_end& end, instant started) {
  const provider& p = provider_of(step.target);
  record(level::info, "ai_leg_finished", stage::note, [&](json::writer& w) {
    w.member("traceId", call_.trace_id).member("runId", call_.run_id);
    w.member("leg", static_cast<std::int64_t>(step.leg)).member("provider", p.name);
    w.member("model", targets_[step.target].model).member("outcome", policy::name_of(end.result.outcome));
    if (end.result.outcome != policy::leg_outcome::success)
      w.member("code", foundation::name_of(end.why().code)).member("reason", end.result.reason);
    if (end.status != 0) w.member("status", end.status);
    w.member("retries", static_cast<std::int64_t>(retries_));
    w.member("durationMs", foundation::to_ms(now() - started));
  });
  p.metrics->attempt_done(policy::name_of(end.result.outcome));
}

void run::record_terminal(std::string_view event, std::string_view code) {
  if (recorded_) return;
  recorded_ = true;
  record(level::info, event, stage::end, [&](json::writer& w) {
    w.member("runId", call_.run_id).member("executionId", call_.run_id).member("traceId", call_.trace_id);
    w.member("code", code).member("legs", static_cast<std::int64_t>(legs_));
    w.member("durationMs", foundation::to_ms(now() - started_));
  });
  if (route_ == nullptr) {
    core_.metrics().exchange_done(name_of(call_.from), "", code);
  } else {
    route_->exchanges[static_cast<std::size_t>(call_.from)]->add(code);
  }
  if (started_recorded_ && (core_.traces() != nullptr || story_ != nullptr)) keep_trace(code);
}

// Beside the run's end and never in its way: a trace that cannot be kept is logged, the run is as it was
// (TRC-5).
void run::keep_trace(std::string_view code) {
  storage::trace_record t;
  t.run_id = t.execution_id = call_.run_id;
  t.trace_id = call_.trace_id;
  t.model = read_.summary.model;
  t.key_id = call_.who.key;
  if (!call_.who.project.empty()) t.project_id = call_.who.project;
  if (core_.keeps_texts() && story_ == nullptr) {
    // The body was read; the views into it end here.
    read_.body = {};
    // The store cuts at its bound and says so; there is no need to carry much more to it.
    if (call_.body.size() > storage::trace_text_max + 16) call_.body.resize(storage::trace_text_max + 16);
    t.input_text = std::move(call_.body);
    t.output_text = std::move(output_text_);
  }
  const foundation::wall_time wall = services_.loop.wall();
  t.completed_at = t.created_at = wall;
  t.started_at = wall - std::chrono::duration_cast<foundation::milliseconds>(now() - started_);
  if (code != "OK") t.code = code;
  if (story_ != nullptr) {
    story_->keep(std::move(t));
    return;
  }
  core_.traces()->keep(std::move(t));
}

void run::record_stream_failed(std::string_view message) const {
  const provider& p = provider_of(current_);
  const bool anthropic = p.kind == policy::provider_kind::anthropic;
  core_.log()
      .at(level::warn, anthropic ? "ai_anthropic_stream_read_failed" : "ai_stream_read_failed")
      .field("traceId", call_.trace_id)
      .field("runId", call_.run_id)
      .field("executionId", call_.run_id)
      .field("provider", p.name)
      .field("model", targets_[current_].model)
      .field("url", p.url.url_of(leg_.speaks->path()))
      .field("message", message);
}

void run::record_malformed(const stream_relay& relay) const {
  if (relay.malformed() == 0) return;
  core_.log()
      .at(level::warn, "ai_sse_parse_failure")
      .field("traceId", call_.trace_id)
      .field("runId", call_.run_id)
      .field("module", "relay")
      .field("provider", provider_of(current_).name)
      .field("raw", observe::redact(relay.malformed_sample()))
      .field("count", relay.malformed());
}

void run::note_usage(const dialect::usage& tokens) {
  usage_ = tokens;
  if (!tokens.known) return;
  auto& counts = core_.metrics().tokens(provider_of(current_).name, targets_[current_].model);
  const auto add = [&](std::string_view kind, std::int64_t n) {
    if (n > 0) counts.add(kind, static_cast<std::uint64_t>(n));
  };
  add("input", tokens.prompt);
  add("output", tokens.completion);
  add("cache_read", tokens.cached);
  add("cache_write", tokens.cache_write);
  add("reasoning", tokens.reasoning);
}

}  // namespace tidegate::gateway
