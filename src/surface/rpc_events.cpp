#include "surface/rpc_events.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "foundation/text.h"
#include "protocol/rpc/envelope.h"
#include "surface/cors.h"
#include "surface/push_stream.h"

namespace tidegate::surface {

using foundation::error_code;
using foundation::failure;
using runtime::downstream;
using runtime::task;
using session::push_batch;
using session::push_filter;
using session::push_hub;

namespace {

constexpr std::size_t value_max = 256;
constexpr std::size_t event_id_max = 512;

failure invalid(std::string path, std::string message, std::string expected) {
  protocol::rpc::issue i;
  i.path = std::move(path);
  i.message = std::move(message);
  i.expected = std::move(expected);
  i.received_type = "string";
  return protocol::rpc::validation_failure({&i, 1});
}

std::string* place_of(push_filter& filter, std::string_view name) {
  if (name == "project") return &filter.project;
  if (name == "session") return &filter.session;
  if (name == "executionId") return &filter.execution_id;
  if (name == "lastEventId") return &filter.last_event_id;
  return nullptr;
}

}  // namespace

std::expected<push_filter, failure> read_filter(std::string_view query) {
  push_filter filter;
  std::vector<std::string_view> seen;
  if (query.starts_with('?')) query.remove_prefix(1);
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    const std::string_view name = pair.substr(0, equals);
    std::string* const place = place_of(filter, name);
    const std::string shown{name.substr(0, 64)};
    if (place == nullptr) {
      return std::unexpected{
          invalid(shown, "no such parameter", "project, session, executionId or lastEventId")};
    }
    if (std::ranges::find(seen, name) != seen.end())
      return std::unexpected{invalid(shown, "named twice", "one value")};
    seen.push_back(name);
    const auto value =
        percent_decode(equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1), true);
    if (!value || value->size() > (name == "lastEventId" ? event_id_max : value_max) ||
        !foundation::is_utf8(*value)) {
      return std::unexpected{invalid(shown, "not a short text in UTF-8", "at most 256 bytes")};
    }
    *place = foundation::trim(*value);
  }
  return filter;
}

// No coroutine of its own: its frame would last as long as the stream.
task<void> rpc_events::handle(downstream& exchange) {
  rpc_request asked = begin_request(exchange, services_, "events");
  auto from = subscribe(exchange.request(), asked);
  if (!from) return answer_refusal(core_, services_, exchange, std::move(asked), std::move(from.error()));
  return stream(exchange, std::move(asked), std::move(*from));
}

std::expected<push_hub::subscription, rpc_refusal> rpc_events::subscribe(
    const protocol::http1::request_head& head, rpc_request& asked) {
  failure f;
  if (head.method != "GET") {
    f.code = error_code::invalid_argument;
    f.message = "use GET for the push stream";
    note_violation(core_, services_, asked.channel, f.message, asked.trace_id);
    return std::unexpected{rpc_refusal{std::move(f), 405, "GET"}};
  }
  if (auto why = identify(core_, head, asked)) return std::unexpected{rpc_refusal{std::move(*why)}};
  if (asked.caller.keys->empty() && !trusts_host(*core_.current(), head.get("host"))) {
    f.code = error_code::forbidden;
    f.message =
        "without client keys this Host is not served: use localhost, an address or the host of an allowed "
        "origin";
    return std::unexpected{rpc_refusal{std::move(f)}};
  }
  if (core_.draining()) {
    f.code = error_code::server_overloaded;
    f.message = "the gateway is shutting down";
    f.details = R"({"reason":"draining"})";
    f.retry_after = std::chrono::seconds{1};
    return std::unexpected{rpc_refusal{std::move(f)}};
  }
  const std::string_view target = head.path_query;
  auto filter = read_filter(target.substr(std::min(target.find('?'), target.size())));
  if (!filter) return std::unexpected{rpc_refusal{std::move(filter.error())}};
  if (!filter->project.empty() && !policy::may_use_project(*asked.caller.who, filter->project)) {
    f.code = error_code::forbidden;
    f.message = "this client key may not use that project";
    return std::unexpected{rpc_refusal{std::move(f)}};
  }
  // A browser repeats the header by itself; what it was first asked with stays in the address.
  if (const std::string_view last = foundation::trim(head.get("last-event-id"));
      !last.empty() && last.size() <= event_id_max)
    filter->last_event_id = last;
  filter->who = *asked.caller.who;
  auto subscribed = hub_.subscribe(services_.loop, std::move(*filter));
  if (!subscribed) return std::unexpected{rpc_refusal{std::move(subscribed.error())}};
  return std::move(*subscribed);
}

task<void> rpc_events::stream(downstream& exchange, rpc_request asked, push_hub::subscription from) {
  const std::string headers = rpc_headers(asked.trace_id, "text/event-stream");
  const auto room = [&] { exchange.set_deadline(services_.loop.fresh_now() + stalled_reader); };
  room();
  bool open = co_await exchange.begin(200, headers);
  exchange.release_request();
  if (open) open = co_await exchange.write(": open\n\n");
  while (open) {
    const push_batch batch = co_await from.next(exchange.gone(), services_.loop.fresh_now() + heartbeat);
    room();
    switch (batch.what) {
      case push_batch::state::events:
        open = co_await exchange.write(batch.text);
        break;
      case push_batch::state::idle:
        open = co_await exchange.write(": alive\n\n");
        break;
      case push_batch::state::closed:
        static_cast<void>(co_await exchange.finish());
        open = false;
        break;
      case push_batch::state::cut_off:  // it did not get all: the break says so, and the client resumes
      case push_batch::state::canceled:
        open = false;
        break;
    }
  }
  exchange.close_after();
}

std::string rpc_events::refusal_body(const runtime::http_refusal& why, std::string_view target,
                                     std::string& headers) {
  return rpc_refusal_body(core_, services_, why, target, headers);
}

}  // namespace tidegate::surface
