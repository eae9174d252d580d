#include "app/control_client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "app/data_directory.h"
#include "protocol/http1/http1.h"
#include "protocol/json/json.h"

namespace tidegate::app {

namespace http1 = protocol::http1;
namespace json = protocol::json;
using foundation::error_code;
using foundation::failure;
using surface::desk_answer;
using surface::key_view;
using surface::made_client_key;
using surface::secret_outcome;

namespace {

// More than 10,000 keys and their grants fill.
constexpr std::size_t reply_max = 256UL << 20;

class descriptor {
 public:
  explicit descriptor(int number) : number_{number} {}
  ~descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

std::unexpected<failure> refuse(error_code code, std::string message) {
  failure f;
  f.code = code;
  f.message = std::move(message);
  return std::unexpected{std::move(f)};
}

std::unexpected<failure> broken(std::string_view what) {
  return refuse(error_code::io_error, "the gateway's control socket: " + std::string{what});
}

std::unexpected<failure> broken_by_errno(std::string_view what) {
  const bool late = errno == EAGAIN || errno == EWOULDBLOCK;
  return broken(std::string{what} + ": " +
                (late ? "no answer in time" : std::generic_category().message(errno)));
}

std::expected<void, failure> connect_to(int fd, const std::string& path, std::chrono::seconds patience) {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, path.c_str(), path.size() + 1);
  const timeval limit{patience.count(), 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
    return broken_by_errno("connect");
  return {};
}

std::expected<void, failure> send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return broken_by_errno("send");
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

std::expected<std::string, failure> receive_all(int fd) {
  std::string bytes;
  char block[16'384];
  for (;;) {
    const ssize_t count = ::recv(fd, block, sizeof block, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return broken_by_errno("receive");
    if (count == 0) return bytes;
    bytes.append(block, static_cast<std::size_t>(count));
    if (bytes.size() > reply_max) return broken("the answer is too long");
  }
}

failure read_failure(std::string_view body, int status) {
  failure f;
  f.code = error_code::io_error;
  f.message = "the gateway answered with status " + std::to_string(status);
  const auto parsed = json::parse(body);
  if (!parsed) return f;
  const auto error = parsed->find("error");
  if (!error) return f;
  f.message = error->string_or("message", f.message);
  const std::string code = error->string_or("code", "");
  for (int i = 0; i <= static_cast<int>(error_code::trace_persistence_degraded); ++i) {
    if (foundation::name_of(static_cast<error_code>(i)) == code) f.code = static_cast<error_code>(i);
  }
  if (const auto details = error->find("details")) f.details = details->raw();
  return f;
}

// Our own server's answers to "connection: close": a length, and the end.
std::expected<std::string, failure> read_reply(std::string_view bytes, std::string_view method) {
  http1::response_head head;
  std::size_t scanned = 0;
  const auto parsed = http1::parse_response_head(bytes, {}, scanned, method, head);
  if (parsed.status != http1::parse_status::complete) return broken("the answer is not HTTP");
  const std::string_view body = bytes.substr(parsed.consumed);
  if (head.body != http1::framing::length || body.size() != head.content_length) {
    return broken("the answer is cut short");
  }
  if (head.status < 200 || head.status > 299) return std::unexpected{read_failure(body, head.status)};
  return std::string{body};
}

std::expected<made_client_key, failure> read_made_key(const std::expected<std::string, failure>& reply) {
  if (!reply) return std::unexpected{reply.error()};
  const auto parsed = json::parse(*reply);
  if (!parsed) return broken("the answer is not JSON");
  const auto key = parsed->find("key");
  auto view = key ? surface::read_key(*key) : std::nullopt;
  const auto mac = storage::parse_mac(parsed->string_or("hash", ""));
  std::string text = parsed->string_or("apiKey", "");
  if (!view || !mac || text.empty()) return broken("the answer holds no key");
  view->key.mac = *mac;
  return made_client_key{std::move(*view), std::move(text)};
}

std::string body_of(const surface::new_client_key& wanted) {
  std::string body;
  json::writer w{body};
  const auto list = [&](std::string_view key, const std::vector<std::string>& names) {
    w.key(key).begin_array();
    for (const std::string& name : names) w.string(name);
    w.end_array();
  };
  w.begin_object().member("name", wanted.name).member("policy", wanted.policy).member("role", wanted.role);
  list("projects", wanted.projects);
  list("channels", wanted.channels);
  w.end_object();
  return body;
}

constexpr bool is_unreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_';
}

// An id or name as typed becomes part of a target; what could not be one is not sent.
bool is_target_part(std::string_view text) {
  for (const char c : text) {
    if (!is_unreserved(c) && c != ':') return false;
  }
  return !text.empty() && text.size() <= 255 && text != "." && text != "..";
}

std::unexpected<failure> unknown_name() { return refuse(error_code::not_found, "no such id or name"); }

}  // namespace

bool control_client::answers() const {
  const auto place = control_path::of(dir_);
  if (!place) return false;
  const descriptor socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  return socket.number() >= 0 && connect_to(socket.number(), place->path(), patience_).has_value();
}

std::expected<std::string, failure> control_client::ask(std::string_view method, std::string_view target,
                                                        std::string_view body) const {
  const auto place = control_path::of(dir_);
  if (!place) return broken(place.error());
  const descriptor socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (socket.number() < 0) return broken_by_errno("socket");
  if (auto connected = connect_to(socket.number(), place->path(), patience_); !connected) {
    return std::unexpected{std::move(connected.error())};
  }
  std::string request{method};
  request.append(" ").append(target).append(" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
  request += "content-type: application/json\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n";
  request += body;
  if (auto sent = send_all(socket.number(), request); !sent) return std::unexpected{std::move(sent.error())};
  const auto bytes = receive_all(socket.number());
  if (!bytes) return std::unexpected{bytes.error()};
  return read_reply(*bytes, method);
}

void control_client::list_keys(desk_answer<std::vector<key_view>> answer) {
  const auto reply = ask("GET", "/admin/v1/keys", {});
  if (!reply) return answer(std::unexpected{reply.error()});
  const auto parsed = json::parse(*reply);
  const auto list = parsed ? parsed->find("keys") : std::nullopt;
  if (!list || !list->is_array()) return answer(broken("the answer holds no keys"));
  std::vector<key_view> views;
  for (const json::value& item : list->elements()) {
    if (auto view = surface::read_key(item)) views.push_back(std::move(*view));
  }
  answer(std::move(views));
}

void control_client::create_key(surface::new_client_key wanted, desk_answer<made_client_key> answer) {
  answer(read_made_key(ask("POST", "/admin/v1/keys", body_of(wanted))));
}

void control_client::revoke_key(std::string id, desk_answer<key_view> answer) {
  if (!is_target_part(id)) return answer(unknown_name());
  const auto reply = ask("POST", "/admin/v1/keys/" + id + "/revoke", {});
  if (!reply) return answer(std::unexpected{reply.error()});
  const auto parsed = json::parse(*reply);
  const auto key = parsed ? parsed->find("key") : std::nullopt;
  auto view = key ? surface::read_key(*key) : std::nullopt;
  if (!view) return answer(broken("the answer holds no key"));
  answer(std::move(*view));
}

void control_client::rotate_key(std::string id, desk_answer<made_client_key> answer) {
  if (!is_target_part(id)) return answer(unknown_name());
  answer(read_made_key(ask("POST", "/admin/v1/keys/" + id + "/rotate", {})));
}

void control_client::list_secrets(desk_answer<std::vector<storage::secret_entry>> answer) {
  const auto reply = ask("GET", "/admin/v1/secrets", {});
  if (!reply) return answer(std::unexpected{reply.error()});
  const auto parsed = json::parse(*reply);
  const auto list = parsed ? parsed->find("secrets") : std::nullopt;
  if (!list || !list->is_array()) return answer(broken("the answer holds no secrets"));
  std::vector<storage::secret_entry> entries;
  for (const json::value& item : list->elements()) {
    entries.push_back({item.string_or("name", ""),
                       surface::read_time(item, "updatedAt").value_or(foundation::wall_time{})});
  }
  answer(std::move(entries));
}

void control_client::set_secret(std::string name, std::string value, desk_answer<secret_outcome> answer) {
  if (!is_target_part(name)) {
    return answer(
        refuse(error_code::invalid_argument, "name: expected 1 to 64 of the characters A-Z a-z 0-9 . _ -"));
  }
  std::string body;
  json::writer{body}.begin_object().member("value", value).end_object();
  const auto reply = ask("PUT", "/admin/v1/secrets/" + name, body);
  storage::wipe(value);
  storage::wipe(body);
  if (!reply) return answer(std::unexpected{reply.error()});
  const auto parsed = json::parse(*reply);
  const auto changed = parsed ? parsed->find("changed") : std::nullopt;
  if (!changed) return answer(broken("the answer says nothing"));
  answer(secret_outcome{changed->as_bool().value_or(false), parsed->string_or("warning", "")});
}

void control_client::remove_secret(std::string name, desk_answer<void> answer) {
  if (!is_target_part(name)) return answer(unknown_name());
  const auto reply = ask("DELETE", "/admin/v1/secrets/" + name, {});
  if (!reply) return answer(std::unexpected{reply.error()});
  answer({});
}

}  // namespace tidegate::app
