#include "surface/admin_keys.h"

#include <utility>

#include "surface/loop_call.h"

namespace tidegate::surface {

namespace json = protocol::json;
using foundation::error_code;
using foundation::failure;
using runtime::downstream;
using runtime::task;

namespace {

constexpr std::string_view keys_path = "/admin/v1/keys";
constexpr std::string_view secrets_path = "/admin/v1/secrets";
constexpr std::uint64_t body_max = 256 * 1024;
// A reply may hold a key: nobody on the way keeps it.
constexpr std::string_view reply_headers = "content-type: application/json\r\ncache-control: no-store\r\n";

template <typename T>
using outcome = std::expected<T, failure>;

failure make_failure(error_code code, std::string message) {
  failure f;
  f.code = code;
  f.message = std::move(message);
  return f;
}

template <typename T, typename Start>
loop_call<outcome<T>, Start> ask(downstream& exchange, Start start) {
  return {exchange.owner(), std::move(start)};
}

std::string failure_body(const failure& why) {
  std::string body;
  json::writer w{body};
  w.begin_object().member("ok", false).key("error").begin_object();
  w.member("code", foundation::name_of(why.code)).member("message", why.message);
  if (!why.details.empty()) w.key("details").raw(why.details);
  w.member("retryable", why.worth_retrying()).end_object().end_object();
  return body;
}

task<void> refuse(downstream& exchange, failure why) {
  static_cast<void>(co_await exchange.respond(why.http_status(), reply_headers, failure_body(why)));
}

task<void> unknown(downstream& exchange) {
  co_await refuse(exchange, make_failure(error_code::not_found, "unknown path or method"));
}

failure field_failure(std::string_view field, std::string_view expected) {
  failure f =
      make_failure(error_code::invalid_argument, std::string{field} + ": expected " + std::string{expected});
  json::writer w{f.details};
  w.begin_object().member("fieldName", field).end_object();
  return f;
}

// The body as a JSON object, alive as long as the exchange's body.
task<outcome<json::value>> read_object(downstream& exchange) {
  const auto body = co_await exchange.read_body(body_max);
  if (!body) {
    failure f = make_failure(error_code::validation_error, std::string{body.error().reason});
    f.status = body.error().status;
    if (f.status == 413) f.code = error_code::ipc_payload_too_large;
    co_return std::unexpected{std::move(f)};
  }
  const auto parsed = json::parse(*body);
  if (!parsed || !parsed->is_object()) {
    co_return std::unexpected{make_failure(error_code::validation_error, "expected a JSON object")};
  }
  co_return *parsed;
}

outcome<void> take_text(const json::member& from, std::string_view name, std::string& to) {
  auto text = from.content.as_string();
  if (!text) return std::unexpected{field_failure(name, "a string")};
  to = std::move(*text);
  return {};
}

outcome<void> take_names(const json::member& from, std::string_view name, std::vector<std::string>& to) {
  if (!from.content.is_array()) return std::unexpected{field_failure(name, "an array of strings")};
  to.clear();
  for (const json::value& item : from.content.elements()) {
    auto text = item.as_string();
    if (!text) return std::unexpected{field_failure(name, "an array of strings")};
    to.push_back(std::move(*text));
  }
  return {};
}

outcome<new_client_key> read_new_key(const json::value& from) {
  new_client_key wanted;
  for (const json::member& m : from.members()) {
    outcome<void> taken;
    if (m.key_is("name")) {
      taken = take_text(m, "name", wanted.name);
    } else if (m.key_is("policy")) {
      taken = take_text(m, "policy", wanted.policy);
    } else if (m.key_is("role")) {
      taken = take_text(m, "role", wanted.role);
    } else if (m.key_is("projects")) {
      taken = take_names(m, "projects", wanted.projects);
    } else if (m.key_is("channels")) {
      taken = take_names(m, "channels", wanted.channels);
    } else {
      taken = std::unexpected{field_failure(m.key(), "no such member")};
    }
    if (!taken) return std::unexpected{std::move(taken.error())};
  }
  return wanted;
}

std::string made_key_body(const made_client_key& made) {
  std::string body;
  json::writer w{body};
  w.begin_object().member("ok", true).key("key");
  write_key(w, made.view);
  w.member("hash", storage::format_mac(made.view.key.mac)).member("apiKey", made.text).end_object();
  return body;
}

std::string key_body(const key_view& view) {
  std::string body;
  json::writer w{body};
  w.begin_object().member("ok", true).key("key");
  write_key(w, view);
  w.end_object();
  return body;
}

std::string keys_body(const std::vector<key_view>& keys) {
  std::string body;
  json::writer w{body};
  w.begin_object().member("ok", true).key("keys").begin_array();
  for (const key_view& view : keys) write_key(w, view);
  w.end_array().end_object();
  return body;
}

std::string secrets_body(const std::vector<storage::secret_entry>& entries) {
  std::string body;
  json::writer w{body};
  w.begin_object().member("ok", true).key("secrets").begin_array();
  for (const auto& entry : entries) {
    w.begin_object().member("name", entry.name);
    w.member("updatedAt", foundation::to_rfc3339(entry.updated_at)).end_object();
  }
  w.end_array().end_object();
  return body;
}

std::string secret_body(const secret_outcome& set) {
  std::string body;
  json::writer w{body};
  w.begin_object().member("ok", true).member("changed", set.changed);
  if (!set.warning.empty()) w.member("warning", set.warning);
  w.end_object();
  return body;
}

template <typename T, typename Format>
task<void> answer(downstream& exchange, int status, outcome<T> given, Format format) {
  if (!given) {
    co_await refuse(exchange, std::move(given.error()));
    co_return;
  }
  static_cast<void>(co_await exchange.respond(status, reply_headers, format(*given)));
}

bool is_under(std::string_view path, std::string_view folder) {
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

}  // namespace

bool admin_keys::owns(std::string_view path) {
  return is_under(path, keys_path) || is_under(path, secrets_path);
}

task<void> admin_keys::handle(downstream& exchange) {
  const auto& head = exchange.request();
  const std::string_view path = head.path_query.substr(0, head.path_query.find('?'));
  const bool get = head.method == "GET";
  if (path == keys_path && get) {
    auto keys = co_await ask<std::vector<key_view>>(
        exchange, [this](auto reply) { desk_.list_keys(std::move(reply)); });
    co_await answer(exchange, 200, std::move(keys), keys_body);
  } else if (path == keys_path && head.method == "POST") {
    co_await create_key(exchange);
  } else if (path == secrets_path && get) {
    auto entries = co_await ask<std::vector<storage::secret_entry>>(
        exchange, [this](auto reply) { desk_.list_secrets(std::move(reply)); });
    co_await answer(exchange, 200, std::move(entries), secrets_body);
  } else if (path.starts_with(keys_path) && path.size() > keys_path.size() + 1) {
    co_await handle_key(exchange, path.substr(keys_path.size() + 1));
  } else if (path.starts_with(secrets_path) && path.size() > secrets_path.size() + 1) {
    co_await handle_secret(exchange, path.substr(secrets_path.size() + 1));
  } else {
    co_await unknown(exchange);
  }
}

// `rest`: ID, ID/rotate or ID/revoke. Ids are of unreserved characters: nothing is to be decoded.
task<void> admin_keys::handle_key(downstream& exchange, std::string_view rest) {
  const std::string_view method = exchange.request().method;
  const std::size_t slash = rest.find('/');
  const std::string id{rest.substr(0, slash)};
  const std::string_view verb = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
  if (method == "POST" && verb == "rotate") {
    auto made = co_await ask<made_client_key>(
        exchange, [this, id](auto reply) { desk_.rotate_key(id, std::move(reply)); });
    co_await answer(exchange, 200, std::move(made), made_key_body);
  } else if ((method == "POST" && verb == "revoke") || (method == "DELETE" && verb.empty())) {
    auto ended =
        co_await ask<key_view>(exchange, [this, id](auto reply) { desk_.revoke_key(id, std::move(reply)); });
    co_await answer(exchange, 200, std::move(ended), key_body);
  } else {
    co_await unknown(exchange);
  }
}

task<void> admin_keys::handle_secret(downstream& exchange, std::string_view rest) {
  const std::string name{rest};
  if (exchange.request().method == "PUT") {
    co_await set_secret(exchange, name);
  } else if (exchange.request().method == "DELETE") {
    auto gone = co_await ask<void>(exchange,
                                   [this, name](auto reply) { desk_.remove_secret(name, std::move(reply)); });
    if (!gone) {
      co_await refuse(exchange, std::move(gone.error()));
      co_return;
    }
    static_cast<void>(co_await exchange.respond(200, reply_headers, R"({"ok":true})"));
  } else {
    co_await unknown(exchange);
  }
}

task<void> admin_keys::create_key(downstream& exchange) {
  const auto body = co_await read_object(exchange);
  auto wanted = body ? read_new_key(*body) : outcome<new_client_key>{std::unexpected{body.error()}};
  if (!wanted) {
    co_await refuse(exchange, std::move(wanted.error()));
    co_return;
  }
  auto made = co_await ask<made_client_key>(
      exchange, [this, &wanted](auto reply) { desk_.create_key(std::move(*wanted), std::move(reply)); });
  co_await answer(exchange, 201, std::move(made), made_key_body);
}

task<void> admin_keys::set_secret(downstream& exchange, std::string name) {
  const auto body = co_await read_object(exchange);
  if (!body) {
    co_await refuse(exchange, body.error());
    co_return;
  }
  const auto member = body->find("value");
  auto value = member ? member->as_string() : std::nullopt;
  if (!value) {
    co_await refuse(exchange, field_failure("value", "a string"));
    co_return;
  }
  auto set = co_await ask<secret_outcome>(exchange, [this, &name, &value](auto reply) {
    desk_.set_secret(std::move(name), std::move(*value), std::move(reply));
  });
  co_await answer(exchange, 200, std::move(set), secret_body);
}

}  // namespace tidegate::surface
