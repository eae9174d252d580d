#include "surface/admin.h"

#include "foundation/text.h"
#include "observe/registry.h"
#include "protocol/json/json.h"
#include "surface/loop_call.h"
#include "surface/own_host.h"
#include "surface/status.h"

namespace tidegate::surface {

namespace json = protocol::json;
using runtime::downstream;
using runtime::task;

namespace {

constexpr std::string_view json_type = "content-type: application/json\r\n";

std::string error_body(std::string_view code, std::string_view message) {
  std::string body;
  json::writer w{body};
  w.begin_object().member("ok", false).key("error").begin_object();
  w.member("code", code).member("message", message).end_object().end_object();
  return body;
}

// Empty for paths that are not served here.
std::string_view methods_of(std::string_view path) {
  if (path == "/metrics" || path == "/admin/v1/providers" || path == "/admin/v1/status") return "GET, HEAD";
  return path == "/admin/v1/reload" ? "POST" : std::string_view{};
}

bool is_authorized(const runtime::http1::request_head& head, std::string_view token) {
  if (token.empty()) return true;
  std::string_view given = head.get("authorization");
  if (!foundation::istarts_with(given, "Bearer ")) return false;
  given = foundation::trim(given.substr(7));
  return foundation::equal_in_constant_time(given, token);
}

}  // namespace

// A page whose name was made to lead here is of the same origin as what it finds here: nothing but the name
// tells it from the operator, unless there is a token, which it does not know.
bool admin::is_for_us(const runtime::http1::request_head& head, std::string_view token) const {
  const std::string_view host = host_of(head.get("host"));
  return guard_.token == nullptr || !token.empty() || guard_.host.empty() || host.empty() ||
         is_loopback_name(host) || foundation::iequals(host, guard_.host);
}

task<void> admin::handle(downstream& exchange) {
  const auto& head = exchange.request();
  const std::string_view path = head.path_query.substr(0, head.path_query.find('?'));
  const bool get = head.method == "GET" || head.method == "HEAD";
  const auto token =
      guard_.token != nullptr ? guard_.token->current() : std::make_shared<const std::string>();
  if (!is_for_us(head, *token)) {
    static_cast<void>(co_await exchange.respond(
        403, json_type,
        error_body("FORBIDDEN", "this Host is no name of the admin listener: use localhost or 127.0.0.1")));
    co_return;
  }
  if (path == "/healthz") {
    static_cast<void>(co_await exchange.respond(200, "content-type: text/plain\r\n", "ok\n"));
    co_return;
  }
  if (path == "/readyz") {
    const bool ready = !core_.draining() && core_.recording();
    static_cast<void>(co_await exchange.respond(ready ? 200 : 503, "content-type: text/plain\r\n",
                                                ready               ? "ready\n"
                                                : core_.recording() ? "draining\n"
                                                                    : "the journal has stopped\n"));
    co_return;
  }
  if (!is_authorized(head, *token)) {
    static_cast<void>(co_await exchange.respond(
        401, "www-authenticate: Bearer\r\ncontent-type: application/json\r\n",
        error_body("AI_AUTH_FAILED", "the admin listener asks for admin.token as Bearer")));
    co_return;
  }
  if (head.find("origin") != nullptr) {
    // No page of any origin has business here; a form in a browser must not reload a gateway.
    static_cast<void>(co_await exchange.respond(
        403, json_type, error_body("FORBIDDEN", "the admin listener answers no browser origin")));
    co_return;
  }
  // On a shared machine the loopback is not a credential.
  if (keys_ && (guard_.token == nullptr || !token->empty()) && admin_keys::owns(path)) {
    co_await keys_->handle(exchange);
    co_return;
  }
  if (path == "/metrics" && get) {
    refresh_breaker_gauges(exchange.owner().now());
    const std::string type = "content-type: " + std::string{observe::registry::content_type} + "\r\n";
    static_cast<void>(co_await exchange.respond(200, type, core_.metrics().expose()));
    co_return;
  }
  if (path == "/admin/v1/providers" && get) {
    auto& loop = exchange.owner();
    static_cast<void>(
        co_await exchange.respond(200, json_type, providers_json(core_, loop.now(), loop.wall())));
    co_return;
  }
  if (path == "/admin/v1/status" && get) {
    auto& loop = exchange.owner();
    static_cast<void>(co_await exchange.respond(200, json_type, status_json(core_, loop.now(), loop.wall())));
    co_return;
  }
  if (path == "/admin/v1/reload" && head.method == "POST") {
    co_await reload(exchange);
    co_return;
  }
  if (const std::string_view allow = methods_of(path); !allow.empty()) {
    const std::string headers = "allow: " + std::string{allow} + "\r\n" + std::string{json_type};
    static_cast<void>(
        co_await exchange.respond(405, headers, error_body("INVALID_ARGUMENT", "use " + std::string{allow})));
    co_return;
  }
  static_cast<void>(co_await exchange.respond(404, json_type, error_body("NOT_FOUND", "unknown path")));
}

task<void> admin::reload(downstream& exchange) {
  using outcome = std::expected<void, std::string>;
  const auto ask = [this](reload_answer answer) {
    reload_ ? reload_(std::move(answer)) : answer(std::unexpected{std::string{"nothing is to be reloaded"}});
  };
  const auto done = co_await loop_call<outcome, decltype(ask)>{exchange.owner(), ask};
  static_cast<void>(co_await exchange.respond(
      done ? 200 : 400, json_type, done ? R"({"ok":true})" : error_body("VALIDATION_ERROR", done.error())));
}

// Windows end, permits expire and reloads reset without any run that would say so.
void admin::refresh_breaker_gauges(foundation::instant now) {
  const auto served = core_.current();
  core_.health().with([&](const policy::health_bank& bank) {
    for (const auto& p : served->providers) {
      const policy::breaker_status status = bank.breaker_of(p->health).status(now);
      p->metrics->breaker_state(status == policy::breaker_status::healthy ? observe::breaker_gauge::closed
                                : status == policy::breaker_status::degraded
                                    ? observe::breaker_gauge::open
                                    : observe::breaker_gauge::half_open);
    }
  });
}

std::string admin::refusal_body(const runtime::http_refusal& why, std::string_view, std::string& headers) {
  headers += json_type;
  return error_body("VALIDATION_ERROR", why.reason);
}

}  // namespace tidegate::surface
