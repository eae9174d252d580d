#include "surface/rpc_request.h"

#include <algorithm>
#include <utility>

#include "foundation/ids.h"
#include "foundation/text.h"
#include "protocol/json/json.h"
#include "protocol/rpc/envelope.h"
#include "surface/cors.h"

namespace tidegate::surface {

namespace rpc_protocol = protocol::rpc;
using foundation::error_code;
using foundation::failure;
using observe::level;
using protocol::json::writer;
using runtime::downstream;
using runtime::task;

namespace {

constexpr std::size_t channel_shown = 120;  // of what a caller named, in records and logs

std::chrono::milliseconds wall_ms(const gateway::loop_services& services) {
  return services.loop.wall().time_since_epoch();
}

// The event of section 4 that tells of this refusal; empty: none.
std::string_view event_of(error_code code) {
  switch (code) {
    case error_code::ipc_channel_forbidden:
      return "ipc_channel_forbidden";
    case error_code::forbidden:
    case error_code::ai_auth_failed:
      return "ipc_acl_forbidden";
    case error_code::ipc_payload_too_large:
      return "ipc_payload_too_large";
    case error_code::ipc_subscription_limit_exceeded:
      return "ipc_subscription_limit_exceeded";
    default:
      return {};
  }
}

void record(gateway::core& shared, gateway::loop_services& services, const rpc_request& asked,
            const failure& why) {
  const std::string_view name = event_of(why.code);
  if (name.empty()) return;
  const std::string_view channel = std::string_view{asked.channel}.substr(0, channel_shown);
  const std::string_view code = foundation::name_of(why.code);
  if (asked.caller.who == nullptr) {
    shared.log()
        .at(level::info, name)
        .field("caller", "")
        .field("channel", channel)
        .ms("timestamp", wall_ms(services).count())
        .field("details", code)
        .field("traceId", asked.trace_id);
    return;
  }
  services.records.event(shared.log(), level::info, name, gateway::stage::note, [&](writer& w) {
    w.member("caller", asked.caller.who->id).member("channel", channel);
    w.member("timestamp", std::int64_t{wall_ms(services).count()});
    w.key("details").begin_object().member("code", code).member("message", why.message);
    w.member("traceId", asked.trace_id).end_object();
  });
}

std::string advice(const failure& why, std::string_view allow) {
  std::string lines;
  if (!allow.empty()) lines.append("allow: ").append(allow).append("\r\n");
  if (why.retry_after) {
    const std::int64_t ms = std::max<std::int64_t>(why.retry_after->count(), 0);
    lines += "retry-after: ";
    foundation::append_number(lines, (ms + 999) / 1000);
    lines += "\r\nretry-after-ms: ";
    foundation::append_number(lines, ms);
    lines += "\r\n";
  }
  return lines;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char low = foundation::lower(c);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

}  // namespace

rpc_request begin_request(const downstream& exchange, gateway::loop_services& services, std::string channel) {
  rpc_request asked;
  asked.id = foundation::make_run_id(services.loop.wall(), services.random);
  auto given = foundation::trace_id_of(exchange.request().get("traceparent"));
  asked.trace_id = given ? std::move(*given) : foundation::make_trace_id(services.random);
  asked.channel = std::move(channel);
  return asked;
}

std::optional<failure> identify(gateway::core& shared, const protocol::http1::request_head& head,
                                rpc_request& asked) {
  if (const std::string_view origin = head.get("origin"); !origin.empty()) {
    if (!allows_origin(*shared.current(), origin)) {
      failure f;
      f.code = error_code::forbidden;
      f.message = "this Origin is not allowed; see server.allowed_origins";
      return f;
    }
  }
  auto found = shared.callers().authenticate(head.get("authorization"), head.get("x-api-key"));
  if (!found) return std::move(found.error());
  asked.caller = std::move(*found);
  return std::nullopt;
}

void note_violation(gateway::core& shared, const gateway::loop_services& services, std::string_view channel,
                    std::string_view reason, std::string_view trace_id) {
  if (!shared.may_log_a_stranger(services.loop.now())) return;
  shared.log()
      .at(level::warn, "ipc_protocol_violation")
      .field("channel", channel.substr(0, channel_shown))
      .field("reason", reason)
      .field("traceId", trace_id);
}

task<void> answer_failure(gateway::loop_services& services, downstream& exchange, const rpc_request& asked,
                          const rpc_refusal& refused) {
  const failure shown = rpc_protocol::presentable(refused.why);
  std::string headers = rpc_headers(asked.trace_id, "application/json");
  headers += advice(shown, refused.allow);
  const std::string body = rpc_protocol::error_envelope(shown, asked.trace_id, asked.id, wall_ms(services));
  const int status = refused.status != 0 ? refused.status : shown.http_status();
  static_cast<void>(co_await exchange.respond(status, headers, body));
}

task<void> answer_refusal(gateway::core& shared, gateway::loop_services& services, downstream& exchange,
                          rpc_request asked, rpc_refusal refused) {
  shared.metrics().refusal(foundation::name_of(refused.why.code));
  record(shared, services, asked, refused.why);
  static_cast<void>(co_await services.records.durable(gateway::stage::note));
  co_await answer_failure(services, exchange, asked, refused);
}

std::string rpc_headers(std::string_view trace_id, std::string_view content_type) {
  std::string lines;
  lines.reserve(160);
  lines.append("x-tidegate-trace-id: ").append(trace_id);
  lines.append("\r\ncontent-type: ").append(content_type);
  lines.append("\r\ncache-control: no-store\r\n");
  return lines;
}

std::string rpc_refusal_body(gateway::core& shared, gateway::loop_services& services,
                             const runtime::http_refusal& why, std::string_view target,
                             std::string& headers) {
  const std::string trace_id = foundation::make_trace_id(services.random);
  std::string_view channel = target.substr(0, target.find('?'));
  channel.remove_prefix(std::min(channel.size(), std::string_view{"/rpc/"}.size()));
  note_violation(shared, services, channel, why.reason, trace_id);
  headers += rpc_headers(trace_id, "application/json");
  return rpc_protocol::error_envelope(body_refusal(why).why, trace_id,
                                      foundation::make_run_id(services.loop.wall(), services.random),
                                      wall_ms(services));
}

rpc_refusal body_refusal(const runtime::http_refusal& why) {
  rpc_refusal refused;
  refused.status = why.status;
  refused.why.message = why.reason;
  refused.why.code = why.status == 413   ? error_code::ipc_payload_too_large
                     : why.status == 408 ? error_code::timeout
                                         : error_code::validation_error;
  return refused;
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_blank) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '+' && plus_is_blank) c = ' ';
    if (c == '%') {
      if (text.size() - i < 3) return std::nullopt;
      const int high = hex_value(text[i + 1]);
      const int low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c == '\0') return std::nullopt;
    out += c;
  }
  return out;
}

}  // namespace tidegate::surface
