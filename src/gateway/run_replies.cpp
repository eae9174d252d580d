// A provider's reply as it is read: whole, as a stream relayed while it comes, or as an error. Nothing is
// sent to the caller before first content, so until then a leg can fail without trace (FO-12, GW-5).
#include <algorithm>
#include <span>
#include <utility>

#include "foundation/text.h"
#include "gateway/run.h"
#include "observe/redact.h"
#include "protocol/json/json.h"

namespace tidegate::gateway {

namespace json = protocol::json;
using policy::leg_timeout;
using policy::reply_fault;
using runtime::call_fault;
using runtime::task;

namespace {

constexpr std::uint64_t error_body_max = 1U << 20;
constexpr std::size_t preamble_max = 4U << 20;

}  // namespace

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

stream_relay run::make_relay() {
  const relay_options options{
      .drop_usage_only = leg_.drop_usage_only,
      .keep_text = core_.keeps_texts() && story_ == nullptr ? storage::trace_text_max : 0};
  if (story_ != nullptr) return {*leg_.speaks, story_->begin_output(attempt_), options};
  return {*leg_.speaks, caller_, encode_context(), options};
}

std::optional<leg_end> run::objection() {
  auto why = story_->objection();
  if (!why) return std::nullopt;
  return objection_end(std::move(*why));
}

// What a stream that ended by itself comes to.
leg_end run::stream_end(stream_relay& relay, relay_state state, std::string& out) {
  leg_end end;
  if (state == relay_state::failed) {
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
  }
  return end;
}

task<leg_end> run::read_stream(runtime::upstream_reply& from, instant leg_deadline,
                               policy::failover_plan& plan) {
  stream_relay relay = make_relay();
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
      bad = objection();
      if (bad) break;
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
  leg_end end = bad ? std::move(*bad) : stream_end(relay, state, out);
  // The end of the body usually stands right behind the end marker: reading it keeps the connection.
  if (!bad && state == relay_state::ended) static_cast<void>(co_await from.read(now(), nullptr));
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

}  // namespace tidegate::gateway
