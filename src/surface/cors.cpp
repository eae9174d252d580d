#include "surface/cors.h"

#include <algorithm>
#include <string>

#include "foundation/text.h"
#include "surface/own_host.h"

namespace tidegate::surface {
namespace {

constexpr std::size_t asked_headers_max = 1'024;

// A page reads no other headers of an answer than these and a few that are always its own.
constexpr std::string_view exposed =
    "access-control-expose-headers: x-tidegate-run-id, x-tidegate-trace-id, x-tidegate-provider, "
    "x-tidegate-attempts, x-tidegate-failover, retry-after, retry-after-ms, x-should-retry, "
    "idempotent-replayed, x-request-id, request-id, openai-processing-ms, openai-version, openai-model\r\n";

// Names of headers, separated by commas.
bool is_name_list(std::string_view text) {
  return text.size() <= asked_headers_max && std::ranges::all_of(text, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                  c == '_' || c == ',' || c == ' ';
         });
}

}  // namespace

bool allows_origin(const gateway::snapshot& served, std::string_view origin) {
  return std::ranges::find(served.allowed_origins, origin) != served.allowed_origins.end();
}

bool trusts_host(const gateway::snapshot& served, std::string_view authority) {
  const std::string_view host = host_of(authority);
  if (host.empty() || served.listens_on_a_socket_file || is_loopback_name(host) || is_address(host))
    return true;
  return std::ranges::any_of(served.allowed_origins, [&](std::string_view origin) {
    const std::size_t scheme = origin.find("://");
    return scheme != std::string_view::npos && foundation::iequals(host_of(origin.substr(scheme + 3)), host);
  });
}

void admit_page(runtime::downstream& exchange, std::string_view origin) {
  std::string lines{"access-control-allow-origin: "};
  lines.append(origin).append("\r\nvary: Origin\r\n").append(exposed);
  exchange.add_headers(lines);
}

bool is_preflight(const protocol::http1::request_head& head) {
  return head.method == "OPTIONS" && head.find("access-control-request-method") != nullptr;
}

runtime::task<void> answer_preflight(runtime::downstream& exchange) {
  std::string lines{
      "access-control-allow-methods: GET, HEAD, POST\r\naccess-control-max-age: 600\r\n"
      "vary: Access-Control-Request-Method, Access-Control-Request-Headers\r\n"};
  // Whatever it asks for: clients bring headers of their own, and the origin is trusted to choose them.
  const std::string_view asked = exchange.request().get("access-control-request-headers");
  if (!asked.empty() && is_name_list(asked))
    lines.append("access-control-allow-headers: ").append(asked).append("\r\n");
  static_cast<void>(co_await exchange.respond(200, lines, {}));
}

}  // namespace tidegate::surface
