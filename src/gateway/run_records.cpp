// What a run leaves behind: log events (requirements section 4) and metrics. Ids and lengths only, never
// prompts, outputs or credentials (TRC-7).
#include "gateway/run.h"
#include "observe/redact.h"

namespace tidegate::gateway {

using observe::level;

void run::record_started() {
  core_.log()
      .at(level::info, "ai_run_started")
      .field("runId", call_.run_id)
      .field("executionId", call_.run_id)
      .field("traceId", call_.trace_id)
      .field("provider", provider_of(0).name)
      .field("model", read_.summary.model)
      .field("stream", read_.summary.stream)
      .ms("timeoutMs", deadline_ - started_);
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
    switch (e.kind) {
      case policy::event_kind::degraded:
        core_.log()
            .at(level::warn, "ai_provider_degraded")
            .field("traceId", call_.trace_id)
            .field("runId", call_.run_id)
            .field("provider", p.name)
            .field("baseUrl", p.url.text())
            .field("failures", e.failures)
            .field("reason", e.detail);
        metrics.breaker_state(observe::breaker_gauge::open);
        metrics.breaker_transition("open");
        break;
      case policy::event_kind::failover:
        switched_ = switch_note{e.from, e.to, e.reason};
        core_.log()
            .at(level::warn, "ai_provider_failover")
            .field("traceId", call_.trace_id)
            .field("runId", call_.run_id)
            .field("from", provider_of(e.from).name)
            .field("to", provider_of(e.to).name)
            .field("reason", policy::name_of(e.reason));
        break;
      case policy::event_kind::half_open_probe:
        core_.log()
            .at(level::info, "ai_provider_half_open_probe")
            .field("traceId", call_.trace_id)
            .field("runId", call_.run_id)
            .field("provider", p.name);
        metrics.breaker_state(observe::breaker_gauge::half_open);
        metrics.breaker_transition("half_open");
        break;
      case policy::event_kind::probe_failed:
        metrics.breaker_state(observe::breaker_gauge::open);
        metrics.breaker_transition("open");
        break;
      case policy::event_kind::recovered:
        core_.log()
            .at(level::info, "ai_provider_recovered")
            .field("traceId", call_.trace_id)
            .field("runId", call_.run_id)
            .field("provider", p.name)
            .field("baseUrl", p.url.text())
            .field("fromHalfOpen", e.from_half_open);
        metrics.breaker_state(observe::breaker_gauge::closed);
        metrics.breaker_transition("closed");
        break;
    }
  }
  plan.clear_events();
}

void run::record_leg_started(const policy::step& step) {
  core_.log()
      .at(level::info, "ai_leg_started")
      .field("traceId", call_.trace_id)
      .field("runId", call_.run_id)
      .field("leg", step.leg)
      .field("provider", provider_of(step.target).name)
      .field("model", targets_[step.target].model);
}

void run::record_leg_finished(const policy::step& step, const leg_end& end, instant started) {
  const provider& p = provider_of(step.target);
  auto line = core_.log().at(level::info, "ai_leg_finished");
  line.field("traceId", call_.trace_id)
      .field("runId", call_.run_id)
      .field("leg", step.leg)
      .field("provider", p.name)
      .field("model", targets_[step.target].model)
      .field("outcome", policy::name_of(end.result.outcome));
  if (end.result.outcome != policy::leg_outcome::success) {
    line.field("code", foundation::name_of(end.why().code)).field("reason", end.result.reason);
  }
  if (end.status != 0) line.field("status", end.status);
  line.field("retries", retries_).ms("durationMs", now() - started);
  p.metrics->attempt_done(policy::name_of(end.result.outcome));
}

void run::record_terminal(std::string_view event, std::string_view code) {
  if (recorded_) return;
  recorded_ = true;
  core_.log()
      .at(level::info, event)
      .field("runId", call_.run_id)
      .field("executionId", call_.run_id)
      .field("traceId", call_.trace_id)
      .field("code", code)
      .field("legs", legs_)
      .ms("durationMs", now() - started_);
  if (route_ == nullptr) {
    core_.metrics().exchange_done(name_of(call_.from), "", code);
  } else {
    route_->exchanges[static_cast<std::size_t>(call_.from)]->add(code);
  }
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

void run::count_tokens(const dialect::usage& tokens) const {
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
