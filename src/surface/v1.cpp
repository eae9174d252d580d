#include "surface/v1.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "foundation/ids.h"
#include "foundation/text.h"
#include "gateway/model_list.h"
#include "protocol/dialect/models.h"
#include "surface/cors.h"

namespace tidegate::surface {

namespace dialect = protocol::dialect;
using foundation::error_code;
using foundation::failure;
using gateway::call;
using gateway::endpoint;
using runtime::downstream;
using runtime::task;

namespace {

// What the story needs of a connection.
class connection_sink final : public gateway::reply_sink {
 public:
  // `allow`: the methods that the path takes, named with every 405 (RFC 9110, 15.5.6).
  connection_sink(downstream& to, std::string_view allow) : to_{to}, allow_{allow} {}
  task<bool> whole(int status, std::string_view headers, std::string_view body) override {
    return status == 405 ? refuse_method(headers, body) : to_.respond(status, headers, body);
  }
  task<bool> begin_stream(int status, std::string_view headers) override {
    return to_.begin(status, headers);
  }
  task<bool> write(std::string_view bytes) override { return to_.write(bytes); }
  task<bool> end_stream() override { return to_.finish(); }
  void break_off() override { to_.close_after(); }
  void release_request() override { to_.release_request(); }
  runtime::cancel_source& gone() override { return to_.gone(); }
  void set_deadline(foundation::instant when) override { to_.set_deadline(when); }

 private:
  task<bool> refuse_method(std::string_view headers, std::string_view body) {
    std::string lines = "allow: " + std::string{allow_} + "\r\n";
    lines += headers;
    co_return co_await to_.respond(405, lines, body);
  }

  downstream& to_;
  std::string_view allow_;
};

struct route_entry {
  std::string_view path;
  endpoint what;
  dialect::dialect_id dialect;
  gateway::surface from;
};

constexpr route_entry posts[] = {
    {"/v1/chat/completions", endpoint::generate, dialect::dialect_id::openai_chat, gateway::surface::chat},
    {"/v1/messages", endpoint::generate, dialect::dialect_id::anthropic_messages, gateway::surface::messages},
    {"/v1/responses", endpoint::generate, dialect::dialect_id::openai_responses, gateway::surface::responses},
    {"/v1/embeddings", endpoint::embeddings, dialect::dialect_id::openai_chat, gateway::surface::embeddings},
    {"/v1/messages/count_tokens", endpoint::count_tokens, dialect::dialect_id::anthropic_messages,
     gateway::surface::count_tokens},
};

constexpr std::string_view models_path = "/v1/models";

std::string_view methods_of(const protocol::http1::request_head& head) {
  return head.path_query.starts_with(models_path) ? "GET, HEAD" : "POST";
}

// Of a project's or session's id: they become names of accounts.
constexpr std::size_t caller_id_max = 255;

// A dialect's own request headers pass to a target that speaks it; whatever names an account or a key does
// not.
bool passes(std::string_view name, dialect::dialect_id d) {
  if (d == dialect::dialect_id::anthropic_messages) return foundation::istarts_with(name, "anthropic-");
  return foundation::istarts_with(name, "openai-") && !foundation::iequals(name, "openai-organization") &&
         !foundation::iequals(name, "openai-project");
}

std::string dialect_headers(const protocol::http1::request_head& head, dialect::dialect_id d) {
  std::string lines;
  for (const auto& f : head.fields) {
    if (passes(f.name, d)) lines.append(f.name).append(": ").append(f.value).append("\r\n");
  }
  return lines;
}

// Unknown paths are answered in the dialect that the caller seems to speak.
dialect::dialect_id dialect_guess(const protocol::http1::request_head& head, std::string_view path) {
  const bool anthropic = path.starts_with("/v1/messages") || head.find("anthropic-version") != nullptr;
  return anthropic ? dialect::dialect_id::anthropic_messages : dialect::dialect_id::openai_chat;
}

failure make_failure(error_code code, std::string message, int status = 0) {
  failure f;
  f.code = code;
  f.message = std::move(message);
  f.status = status;
  return f;
}

failure overloaded(std::string_view reason, std::string message) {
  failure f = make_failure(error_code::server_overloaded, std::move(message));
  f.details = "{\"reason\":\"" + std::string{reason} + "\"}";
  f.retry_after = std::chrono::seconds{1};
  return f;
}

error_code code_of_http(int status) {
  switch (status) {
    case 413:
      return error_code::ipc_payload_too_large;
    case 408:
      return error_code::timeout;
    default:
      return error_code::validation_error;
  }
}

}  // namespace

call v1::begin(const downstream& exchange) const {
  const auto& head = exchange.request();
  call request;
  request.arrived = services_.loop.fresh_now();
  request.run_id = foundation::make_run_id(services_.loop.wall(), services_.random);
  if (auto given = foundation::trace_id_of(head.get("traceparent"))) {
    request.trace_id = std::move(*given);
  } else {
    request.trace_id = foundation::make_trace_id(services_.random);
  }
  const auto limit = foundation::parse_u64(head.get("x-tidegate-timeout-ms"));
  if (limit && *limit > 0 && *limit <= 86'400'000) request.timeout = foundation::milliseconds{*limit};
  return request;
}

task<void> v1::refuse(downstream& exchange, call request, failure why) {
  connection_sink reply{exchange, methods_of(exchange.request())};
  co_await gateway::refuse(core_, request.dialect, request.from, why, request.run_id, request.trace_id,
                           services_.records, reply);
}

// Nobody we know: told, counted and logged, but kept off the journal, which a stranger must not be able to
// fill.
task<void> v1::turn_away(downstream& exchange, call request, failure why) {
  connection_sink reply{exchange, methods_of(exchange.request())};
  co_await gateway::turn_away(core_, request.dialect, request.from, why, request.run_id, request.trace_id,
                              reply);
}

// No coroutine of its own: its frame would last as long as the exchange.
task<void> v1::handle(downstream& exchange) {
  const auto& head = exchange.request();
  const std::string_view target = head.path_query;
  const std::string_view path = target.substr(0, target.find('?'));
  if (path == "/healthz") return answer_health(exchange);
  call request = begin(exchange);
  request.dialect = dialect_guess(head, path);
  const auto refused = [&](error_code code, std::string message, int status = 0) {
    return refuse(exchange, std::move(request), make_failure(code, std::move(message), status));
  };
  if (const std::string_view origin = head.get("origin"); !origin.empty()) {
    if (!allows_origin(*core_.current(), origin)) {
      return turn_away(
          exchange, std::move(request),
          make_failure(error_code::forbidden, "this Origin is not allowed; see server.allowed_origins"));
    }
  }
  const bool models_asked = path == models_path || path.starts_with("/v1/models/");
  const auto* const found = std::ranges::find(posts, path, &route_entry::path);
  if (found != std::end(posts)) {
    request.what = found->what;
    request.dialect = found->dialect;
    request.from = found->from;
  }
  if (auto why = identify(head, request)) {
    return why->code == error_code::ai_auth_failed ? turn_away(exchange, std::move(request), std::move(*why))
                                                   : refuse(exchange, std::move(request), std::move(*why));
  }
  if (models_asked) {
    if (head.method != "GET" && head.method != "HEAD") {
      return refused(error_code::invalid_argument, "use GET for " + std::string{path}, 405);
    }
    const std::string_view id =
        path.size() > models_path.size() ? path.substr(models_path.size() + 1) : std::string_view{};
    return models(exchange, id, std::move(request));
  }
  if (found == std::end(posts)) {
    return refused(error_code::not_found, "unknown path " + std::string{path.substr(0, 200)});
  }
  if (head.method != "POST")
    return refused(error_code::invalid_argument, "use POST for " + std::string{path}, 405);
  request.query = target.substr(path.size());
  request.dialect_headers = dialect_headers(head, request.dialect);
  return generate(exchange, std::move(request));
}

// Who calls, for which project and session; why not, or nothing.
std::optional<failure> v1::identify(const protocol::http1::request_head& head, call& request) const {
  auto found = core_.callers().authenticate(head.get("authorization"), head.get("x-api-key"));
  if (!found) return std::move(found.error());
  const policy::principal& who = *found->who;
  request.who.key = who.id;
  request.who.policy = who.policy;
  for (const std::string_view name : {"x-tidegate-project", "x-tidegate-session"}) {
    const std::string_view id = foundation::trim(head.get(name));
    if (id.size() > caller_id_max) {
      failure f = make_failure(error_code::invalid_argument, std::string{name} + " is longer than " +
                                                                 std::to_string(caller_id_max) + " bytes");
      f.param = name;
      return f;
    }
    // Records hold text: two names that are none would be one there.
    if (!foundation::is_utf8(id)) {
      failure f = make_failure(error_code::invalid_argument, std::string{name} + " is not UTF-8");
      f.param = name;
      return f;
    }
    (name == "x-tidegate-project" ? request.who.project : request.who.session) = id;
  }
  if (head.get("idempotency-key").size() > gateway::idempotency_key_max) {
    failure f = make_failure(error_code::invalid_argument, "idempotency-key is longer than 255 bytes");
    f.param = "idempotency-key";
    return f;
  }
  if (!request.who.project.empty() && !policy::may_use_project(who, request.who.project)) {
    return make_failure(error_code::forbidden,
                        "this client key may not use project '" + request.who.project + "'");
  }
  return std::nullopt;
}

task<void> v1::answer_health(downstream& exchange) {
  static_cast<void>(co_await exchange.respond(200, "content-type: text/plain\r\n", "ok\n"));
}

// Neither is a coroutine: what they pass on stands in no frame of one that lasts as long as a stream.
task<void> v1::refuse_entry(downstream& exchange, call& request) {
  return refuse(exchange, std::move(request),
                core_.draining() ? overloaded("draining", "the gateway is shutting down")
                                 : overloaded("max_in_flight", "too many calls are in flight"));
}

task<void> v1::refuse_body(downstream& exchange, call& request, const runtime::http_refusal& why) {
  exchange.close_after();
  return refuse(exchange, std::move(request),
                make_failure(code_of_http(why.status), std::string{why.reason}, why.status));
}

task<void> v1::generate(downstream& exchange, call request) {
  const auto served = core_.current();
  const gateway::core::place place =
      core_.draining() ? gateway::core::place{} : core_.enter(served->max_in_flight);
  if (!place) {
    co_await refuse_entry(exchange, request);
    co_return;
  }
  if (const auto body = co_await exchange.read_body(served->max_body); !body) {
    if (body.error().status == 0) co_return;  // the caller has gone
    co_await refuse_body(exchange, request, body.error());
    co_return;
  }
  request.arrived = std::max(request.arrived, services_.loop.now());  // a slow upload is not our overhead
  request.body = exchange.take_body();
  connection_sink reply{exchange, methods_of(exchange.request())};
  std::string key{exchange.request().get("idempotency-key")};
  if (key.empty() || !core_.keyed().usable()) {
    co_await gateway::run_exchange(core_, services_, request, reply);
  } else {
    co_await gateway::run_idempotent(core_, services_, request, std::move(key), reply);
  }
}

task<void> v1::models(downstream& exchange, std::string_view id, call request) {
  std::string headers = "x-tidegate-run-id: " + request.run_id +
                        "\r\nx-tidegate-trace-id: " + request.trace_id +
                        "\r\ncontent-type: application/json\r\n";
  if (auto why = gateway::admit_listing(core_, services_, request.who)) {
    co_await refuse(exchange, std::move(request), std::move(*why));
    co_return;
  }
  static_cast<void>(co_await services_.records.durable(gateway::stage::note));
  if (id.empty()) {
    const auto list = co_await gateway::list_models(core_, services_, exchange.gone());
    static_cast<void>(
        co_await exchange.respond(200, headers, dialect::encode_model_list(request.dialect, list)));
    co_return;
  }
  const auto model = gateway::find_model(*core_.current(), id);
  if (!model) {
    failure f = make_failure(error_code::not_found, "The model `" + std::string{id.substr(0, 200)} +
                                                        "` does not exist: no route serves it");
    f.param = "model";
    co_await refuse(exchange, std::move(request), std::move(f));
    co_return;
  }
  static_cast<void>(co_await exchange.respond(200, headers, dialect::encode_model(request.dialect, *model)));
}

std::string v1::refusal_body(const runtime::http_refusal& why, std::string_view target,
                             std::string& headers) {
  const auto path = target.substr(0, target.find('?'));
  const auto run_id = foundation::make_run_id(services_.loop.wall(), services_.random);
  const auto trace_id = foundation::make_trace_id(services_.random);
  headers += "x-tidegate-run-id: " + run_id + "\r\nx-tidegate-trace-id: " + trace_id +
             "\r\ncontent-type: application/json\r\n";
  const failure f = make_failure(code_of_http(why.status), std::string{why.reason}, why.status);
  core_.metrics().refusal(foundation::name_of(f.code));
  const auto d = path.starts_with("/v1/messages") ? dialect::dialect_id::anthropic_messages
                                                  : dialect::dialect_id::openai_chat;
  return dialect::get(d).encode_error(f, run_id, trace_id);
}

}  // namespace tidegate::surface
