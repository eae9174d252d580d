// The legs of a run: call, retry inside the leg, read the reply, and say what its end means. Nothing has been
// sent to the caller before first content, so until then a leg can fail without trace (FO-12, GW-5).
#include <algorithm>
#include <exception>
#include <span>
#include <utility>

#include "foundation/text.h"
#include "gateway/run.h"
#include "observe/redact.h"
#include "protocol/json/json.h"

namespace tidegate::gateway {

namespace json = protocol::json;
using foundation::error_code;
using policy::leg_timeout;
using policy::reply_fault;
using policy::transport_fault;
using runtime::call_fault;
using runtime::task;

namespace {

constexpr std::uint64_t error_body_max = 1U << 20;
constexpr std::size_t preamble_max = 4U << 20;
constexpr std::size_t message_max = 4096;

bool is_event_stream(std::string_view content_type) {
  return foundation::istarts_with(foundation::trim(content_type), "text/event-stream");
}

// What of a provider's reply head is the caller's business in its own dialect.
std::string passed_reply_headers(const protocol::http1::response_head& head) {
  std::string lines;
  for (const auto& f : head.fields) {
    const bool wanted =
        foundation::iequals(f.name, "x-request-id") || foundation::iequals(f.name, "request-id") ||
        foundation::iequals(f.name, "openai-processing-ms") ||
        foundation::iequals(f.name, "openai-version") || foundation::iequals(f.name, "openai-model");
    if (wanted) lines.append(f.name).append(": ").append(f.value).append("\r\n");
  }
  return lines;
}

// A provider's own words. Masked before they are cut: half a credential would no longer be known as one.
std::string told_message(std::string_view told, std::span<const std::string_view> secrets) {
  std::string message = observe::redact(told.substr(0, 4 * message_max), secrets);
  if (message.size() > message_max) message.resize(message_max);
  return message;
}

std::string unless_secret(std::string_view word, std::string_view credential) {
  const bool repeats = !credential.empty() && word.find(credential) != std::string_view::npos;
  return repeats ? std::string{} : std::string{word};
}

transport_fault transport_of(call_fault fault) {
  switch (fault) {
    case call_fault::dns:
      return transport_fault::dns;
    case call_fault::tls:
      return transport_fault::tls;
    case call_fault::connect:
      return transport_fault::connect;
    default:
      return transport_fault::reset;
  }
}

}  // namespace

task<void> run::make_legs() {
  policy::failover_plan plan{mode_, refs_};
  leg_end end;
  policy::step step;
  for (;;) {
    // Nobody is called for a caller that has left, nor once its time is over (TMO-1).
    const bool over = reply_.gone().fired() || now() >= deadline_;
    step = core_.health().with([&](policy::health_bank& bank) {
      if (over) plan.abandon(bank, false, now());
      return plan.next(bank, now());
    });
    if (step.what == policy::step_kind::finish) {
      if (step.verdict != policy::run_verdict::broken || !co_await replays(end)) break;
      plan = policy::failover_plan{mode_, refs_, legs_};
      continue;
    }
    current_ = step.target;
    std::optional<leg_end> unfit = build_leg(step);
    if (!unfit) {
      const gate guards = co_await pass_guards(step, plan);
      if (guards == gate::passed) continue;
      if (guards == gate::refused) {
        co_await answer_refused();
        co_return;
      }
    }
    legs_ = step.leg;
    called_ = step.target;
    leg_started_ = now();
    if (end.result.outcome != policy::leg_outcome::success) {
      earlier_ = std::make_unique<failure>(std::as_const(end).why());
      earlier_unavailable_ = end.result.outcome == policy::leg_outcome::availability_failure;
    }
    try {
      if (unfit) {
        if (!started_recorded_) record_started();
        end = std::move(*unfit);
      } else {
        end = co_await make_leg(step, plan);
      }
    } catch (const std::exception&) {
      end = defect_end();  // out of memory: a probe's permit still returns, and the run has its terminal
    }
    const bool left = reply_.gone().fired();
    core_.health().with([&](policy::health_bank& bank) {
      if (left && end.result.outcome == policy::leg_outcome::neutral) {
        plan.abandon(bank, true, now());
      } else {
        plan.report(bank, end.result, end.retry_after, now());
      }
    });
    record_leg_finished(step, end, leg_started_);
    settle(end);
    record_events(plan);
    record_health(refs_[step.target].provider);
    if (end.result.outcome != policy::leg_outcome::success)
      attempts_.push_back({step.target, end.why().code});
  }
  co_await answer(step, end);
}

task<bool> run::replays(leg_end& broken) {
  if (story_ == nullptr || broken.result.outcome != policy::leg_outcome::availability_failure)
    co_return false;
  if (broken.why().code != error_code::skill_timeout) {
    failure& why = broken.why();
    why.code = error_code::llm_api_error;
    why.retryable = true;
    why.details = R"({"reason":"STREAM_DISCONNECTED","retryable":true})";
  }
  if (attempt_ > 1) co_return false;
  const auto wait = policy::next_wait(snapshot_->retry, 0, deadline_, now(), services_.random);
  if (!wait) co_return false;
  if (co_await services_.loop.sleep_until(now() + *wait, &reply_.gone()) == runtime::wake::canceled) {
    broken = canceled_end();
    co_return false;
  }
  attempt_ = 2;
  core_.metrics().open_streams(-1);
  streaming_ = false;
  core_.log()
      .at(observe::level::warn, "ai_stream_replay_retry")
      .field("runId", call_.run_id)
      .field("executionId", call_.run_id)
      .field("traceId", call_.trace_id)
      .field("attempt", attempt_);
  co_return true;
}

std::optional<leg_end> run::build_leg(const policy::step& step) {
  retries_ = 0;
  dispatched_ = false;
  usage_ = {};
  received_ = 0;
  error_bytes_.clear();
  const chosen_target& target = targets_[step.target];
  auto made = make_leg_request(call_, read_, *target.to, target.model, effective_max_);
  if (made) {
    leg_ = std::move(*made);
    return std::nullopt;
  }
  // A backup that cannot be asked is no answer to why the one before it failed.
  leg_end refused;
  refused.result = {policy::leg_outcome::neutral, made.error().code, false, "not_expressible"};
  if (!earlier_) {
    refused.why() = std::move(made.error());
  } else {
    refused.why() = earlier_unavailable_ ? unavailable_failure(*earlier_, std::nullopt) : *earlier_;
  }
  refused.result.code = refused.why().code;
  return refused;
}

task<leg_end> run::make_leg(policy::step step, policy::failover_plan& plan) {
  const chosen_target& target = targets_[step.target];
  const instant leg_deadline = std::min(now() + snapshot_->time.leg, deadline_);
  for (;;) {
    leg_end end = co_await send_once(step.target, leg_deadline, plan);
    std::optional<duration> wait;
    if (end.transport && step.transport_retries_allowed) {
      wait = policy::next_wait(snapshot_->retry, retries_, leg_deadline, now(), services_.random);
      core_.log()
          .at(observe::level::warn, "ai_fetch_transient_failure")
          .field("attempt", retries_)
          .field("url", target.to->url.url_of(leg_.speaks->path()))
          .field("message", end.why().message)
          .field("provider", target.to->name)
          .field("model", target.model)
          .field("runId", call_.run_id)
          .field("executionId", call_.run_id)
          .field("traceId", call_.trace_id);
    } else if (end.status != 0 && !end.content && step.transport_retries_allowed) {
      wait = policy::next_status_wait(snapshot_->retry, end.status, retries_, end.retry_after, leg_deadline,
                                      now(), services_.random);
    }
    if (!wait) co_return end;
    ++retries_;
    if (co_await services_.loop.sleep_until(now() + *wait, &reply_.gone()) == runtime::wake::canceled) {
      co_return canceled_end();
    }
  }
}

task<leg_end> run::send_once(std::size_t target, instant leg_deadline, policy::failover_plan& plan) {
  const provider& to = provider_of(target);
  runtime::call_deadlines by;
  by.connect = std::min(now() + snapshot_->time.connect, leg_deadline);
  by.first_byte = read_.summary.stream ? std::min(now() + to.first_byte, leg_deadline) : leg_deadline;
  const instant sent = services_.loop.fresh_now();
  auto reply = co_await services_.upstream.call(to.origin, leg_.head, leg_.body(), by, &reply_.gone());
  upstream_time_ += services_.loop.fresh_now() - sent;
  dispatched_ = dispatched_ || reply || reply.error().sent;
  if (!reply) co_return fault_end(reply.error().fault, false);
  runtime::upstream_reply& from = **reply;
  const int status = from.head().status;
  if (status < 200 || status >= 300) co_return co_await read_error(from, leg_deadline);
  passed_headers_ = leg_.same_dialect ? passed_reply_headers(from.head()) : std::string{};
  leg_end end;
  if (read_.summary.stream) {
    if (!is_event_stream(from.head().get("content-type"))) {
      co_return reply_fault_end(reply_fault::not_as_asked,
                                "the provider did not answer with an event stream");
    }
    end = co_await read_stream(from, leg_deadline, plan);
  } else {
    end = co_await read_whole(from, leg_deadline);
  }
  end.status = status;
  co_return end;
}

// Nothing when the body has been read whole.
task<std::optional<leg_end>> run::collect(runtime::upstream_reply& from, std::uint64_t limit,
                                          instant leg_deadline, std::string& into) {
  if (from.head().body == protocol::http1::framing::length && from.head().content_length <= limit) {
    into.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(from.head().content_length, 1U << 20)));
  }
  for (;;) {
    const instant asked = services_.loop.fresh_now();
    // A read that finds bytes does not look at the clock: a provider that never pauses must not outlast its
    // limit.
    if (asked >= leg_deadline) co_return fault_end(call_fault::idle_timeout, false);
    const auto piece =
        co_await from.read(std::min(asked + snapshot_->time.idle, leg_deadline), &reply_.gone());
    upstream_time_ += services_.loop.fresh_now() - asked;
    if (!piece) co_return fault_end(piece.error(), false);
    if (piece->empty()) co_return std::nullopt;
    if (into.size() + piece->size() > limit) {
      co_return reply_fault_end(reply_fault::too_large,
                                "the provider's reply is larger than server.max_upstream_body");
    }
    into.append(*piece);
  }
}

task<leg_end> run::read_whole(runtime::upstream_reply& from, instant leg_deadline) {
  std::string body;
  if (auto bad = co_await collect(from, snapshot_->max_upstream_body, leg_deadline, body))
    co_return std::move(*bad);
  const auto parsed = json::parse(body, 512);
  if (!parsed) co_return reply_fault_end(reply_fault::not_as_asked, "the provider's reply is not JSON");
  leg_end done;
  if (call_.what != endpoint::generate) {
    if (!parsed->is_object())
      co_return reply_fault_end(reply_fault::wrong_shape, "the provider's reply is no object");
    if (call_.what == endpoint::embeddings) note_usage(leg_.speaks->usage_of(*parsed));
    whole_ = std::move(body);
    co_return done;
  }
  const dialect::reply_facts facts = leg_.speaks->facts_of(*parsed);
  if (!facts.has_shape) {
    co_return reply_fault_end(reply_fault::wrong_shape,
                              "the provider's reply does not have the shape of its API");
  }
  if (!facts.tokens.known) received_ = estimate_reply(leg_.speaks->id(), *parsed);
  if (core_.keeps_texts() && story_ == nullptr)
    output_text_ = text_of_reply(leg_.speaks->id(), *parsed, storage::trace_text_max);
  if (leg_.same_dialect && story_ == nullptr) {
    note_usage(facts.tokens);
    whole_ = std::move(body);
    co_return done;
  }
  const auto decoded = leg_.speaks->decode_reply(*parsed);
  if (!decoded) {
    co_return reply_fault_end(reply_fault::wrong_shape,
                              "the provider's reply cannot be read: " + decoded.error().message);
  }
  note_usage(decoded->tokens);
  if (story_ == nullptr) {
    whole_ = caller_.encode_reply(*decoded, encode_context());
    co_return done;
  }
  story_->whole_reply(*decoded);
  if (auto why = story_->objection()) co_return objection_end(std::move(*why));
  co_return done;
}

task<bool> run::open_stream() {
  streaming_ = true;
  std::string headers = reply_headers();
  headers += passed_headers_;
  headers +=
      "content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: "
      "no\r\n";
  const bool open = co_await reply_.begin_stream(200, headers);
  provider_of(current_).metrics->ttft(services_.loop.fresh_now() - leg_started_);
  core_.metrics().open_streams(+1);
  if (story_ != nullptr) co_return true;  // may be asked for again (STR-8)
  // From here on no other target will be asked, so the request's bytes have done their work.
  reply_.release_request();
  read_.body = {};
  if (!core_.keeps_texts()) std::string{}.swap(call_.body);
  std::string{}.swap(leg_.head);
  std::string{}.swap(leg_.own_body);
  co_return open;
}

task<leg_end> run::read_stream(runtime::upstream_reply& from, instant leg_deadline,
                               policy::failover_plan& plan) {
  const relay_options options{
      .drop_usage_only = leg_.drop_usage_only,
      .keep_text = core_.keeps_texts() && story_ == nullptr ? storage::trace_text_max : 0};
  stream_relay relay = story_ != nullptr ? stream_relay{*leg_.speaks, story_->begin_output(attempt_), options}
                                         : stream_relay{*leg_.speaks, caller_, encode_context(), options};
  std::string out;
  relay_state state = relay_state::open;
  std::optional<leg_end> bad;
  while (state == relay_state::open) {
    const instant asked = services_.loop.fresh_now();
    // As in collect: bytes that are always there must not outrun the limit.
    if (asked >= leg_deadline) {
      bad = fault_end(call_fault::idle_timeout, relay.content());
      break;
    }
    const auto piece =
        co_await from.read(std::min(asked + snapshot_->time.idle, leg_deadline), &reply_.gone());
    upstream_time_ += services_.loop.fresh_now() - asked;
    if (!piece) {
      bad = fault_end(piece.error(), relay.content());
      if (piece.error() != call_fault::canceled) record_stream_failed(bad->why().message);
      break;
    }
    state = piece->empty() ? relay.finish(true, out) : relay.feed(*piece, out);
    if (!relay.content() && out.size() > preamble_max) state = relay_state::broken;
    if (!relay.content() || (out.empty() && story_ == nullptr)) continue;
    if (!streaming_) {
      core_.health().with([&](policy::health_bank& bank) { plan.content_started(bank, now()); });
      record_events(plan);
      record_health(refs_[current_].provider);
      from.release_head();
      if (!co_await open_stream()) {
        bad = canceled_end();
        break;
      }
    }
    if (story_ != nullptr) {
      if (auto why = story_->objection()) {
        bad = objection_end(std::move(*why));
        break;
      }
    } else if (!co_await reply_.write(out)) {
      bad = now() >= deadline_ ? timeout_end(leg_timeout::leg, true) : canceled_end();
      break;
    }
    if (out.capacity() > 4096) std::string{}.swap(out);
    out.clear();
  }
  record_malformed(relay);
  note_usage(relay.tokens());
  received_ = relay.received_tokens();
  output_text_ = std::move(relay.text());
  leg_end end;
  if (bad) {
    end = std::move(*bad);
  } else if (state == relay_state::failed) {
    end = stream_error_end(relay.error());
    // As the provider wrote it, unless it repeats a secret (SEC-3): then the failure is told in our words.
    const std::string_view secrets[] = {provider_of(current_).credential};
    if (observe::redact(relay.error_bytes(), secrets) == relay.error_bytes())
      error_bytes_ = relay.error_bytes();
  } else if (state == relay_state::broken) {
    end = reply_fault_end(reply_fault::cut, "the provider's stream ended before its end marker");
    record_stream_failed(end.why().message);
    end.transport = !relay.content();
  } else {
    tail_ = std::move(out);
    tail_ += relay.tail();
    // The end of the body usually stands right behind the end marker: reading it keeps the connection.
    static_cast<void>(co_await from.read(now(), nullptr));
  }
  end.content = relay.content();
  if (end.content) end.transport = false;
  co_return end;
}

task<leg_end> run::read_error(runtime::upstream_reply& from, instant leg_deadline) {
  const int status = from.head().status;
  std::string retry_after{from.head().get("retry-after")};
  if (const std::string_view ms = from.head().get("retry-after-ms"); !ms.empty()) {
    if (const auto exact = foundation::parse_u64(ms)) retry_after = std::to_string((*exact + 999) / 1000);
  }
  std::string body;
  const auto unread =
      co_await collect(from, error_body_max, std::min(leg_deadline, now() + snapshot_->time.idle), body);
  if (unread && reply_.gone().fired()) co_return canceled_end();
  // The status says enough even where the body did not come.
  co_return status_end(status, body, retry_after);
}

leg_end run::defect_end() const {
  leg_end end;
  end.result = {policy::leg_outcome::neutral, error_code::internal, false, "defect"};
  end.why().code = error_code::internal;
  end.why().message = "the gateway failed on this call";
  return end;
}

// Nobody's fault but the output's own (STR-7).
leg_end run::objection_end(failure why) const {
  leg_end end;
  end.result = {policy::leg_outcome::neutral, why.code, false, "output_refused"};
  end.why() = std::move(why);
  return end;
}

leg_end run::canceled_end() const {
  leg_end end;
  end.result = policy::result_of(policy::local_end::client_gone);
  end.why().code = error_code::canceled;
  end.why().message = reply_.gone().reason() == runtime::cancel_reason::shutdown
                          ? "the gateway is shutting down"
                      : reply_.gone().reason() == runtime::cancel_reason::requested ? "the run was canceled"
                                                                                    : "the caller left";
  return end;
}

leg_end run::timeout_end(leg_timeout limit, bool content) const {
  leg_end end;
  if (now() >= deadline_) {
    end.result = policy::result_of_deadline(now() - leg_started_, content, snapshot_->time.blame_after);
    end.why().code = error_code::skill_timeout;
    end.why().message = "the call did not end within its time limit of " +
                        std::to_string(foundation::to_ms(deadline_ - started_)) + " ms";
    return end;
  }
  end.result = policy::result_of(limit);
  end.why().code = end.result.code;
  end.why().message = "provider '" + provider_of(current_).name + "': " + std::string{end.result.reason};
  return end;
}

leg_end run::fault_end(call_fault fault, bool content) const {
  switch (fault) {
    case call_fault::canceled:
      return canceled_end();
    case call_fault::connect_timeout:
      return timeout_end(leg_timeout::connect, content);
    case call_fault::first_byte_timeout:
      return timeout_end(
          now() - leg_started_ >= snapshot_->time.leg ? leg_timeout::leg : leg_timeout::first_byte, content);
    case call_fault::idle_timeout:
      return timeout_end(now() - leg_started_ >= snapshot_->time.leg ? leg_timeout::leg : leg_timeout::idle,
                         content);
    default:
      break;
  }
  leg_end end;
  end.result = policy::result_of(transport_of(fault));
  end.transport = !content;
  end.why().code = error_code::llm_api_error;
  end.why().retryable = true;
  end.why().message =
      "provider '" + provider_of(current_).name + "': " + std::string{runtime::to_text(fault)};
  return end;
}

leg_end run::reply_fault_end(reply_fault fault, std::string_view message) const {
  leg_end end;
  end.result = policy::result_of(fault);
  end.why().code = end.result.code;
  end.why().retryable = end.result.retryable;
  end.why().message = "provider '" + provider_of(current_).name + "': " + std::string{message};
  return end;
}

leg_end run::status_end(int status, std::string_view body, std::string_view retry_after) const {
  const provider& p = provider_of(current_);
  leg_end end;
  end.result = policy::result_of_status(status);
  end.status = status;
  end.retry_after = policy::parse_retry_after(retry_after, services_.loop.wall());
  const std::string_view secrets[] = {p.credential};
  auto told = dialect::read_error(body);
  std::string message = told_message(told.message, secrets);
  end.why().code = end.result.code;
  end.why().retryable = end.result.retryable;
  switch (end.result.outcome) {
    case policy::leg_outcome::auth:
      end.why().status = 502;
      end.why().message = "provider '" + p.name + "' refused the gateway's credential";
      end.why().details = R"({"source":"upstream"})";
      return end;
    case policy::leg_outcome::pushback: {
      end.why().message =
          message.empty() ? "provider '" + p.name + "' limits the rate of calls" : std::move(message);
      return end;
    }
    default:
      break;
  }
  if (message.empty()) message = "provider '" + p.name + "' answered with status " + std::to_string(status);
  json::writer{end.why().details}
      .begin_object()
      .member("status", status)
      .member("upstreamMessage", message)
      .end_object();
  end.why().message = std::move(message);
  if (status >= 400 && status < 500) {
    end.why().status = status;
    end.why().param = unless_secret(told.param, p.credential);
    end.why().upstream_type = unless_secret(told.type, p.credential);
    end.why().upstream_code = unless_secret(told.code, p.credential);
  }
  return end;
}

leg_end run::stream_error_end(const dialect::stream_error& error) const {
  const provider& p = provider_of(current_);
  const auto fault = [&] {
    switch (dialect::classify(error)) {
      case dialect::error_kind::availability:
        return policy::stream_fault::overloaded;
      case dialect::error_kind::rate_limit:
        return policy::stream_fault::rate_limit;
      default:
        return policy::stream_fault::other;
    }
  }();
  const std::string_view secrets[] = {p.credential};
  leg_end end;
  end.result = policy::result_of(fault);
  end.why().code = end.result.code;
  end.why().retryable = end.result.retryable;
  end.why().message = told_message(error.message, secrets);
  if (end.why().message.empty()) end.why().message = "provider '" + p.name + "' sent an error in its stream";
  end.why().upstream_type = unless_secret(error.type, p.credential);
  end.why().upstream_code = unless_secret(error.code, p.credential);
  return end;
}

}  // namespace tidegate::gateway
