// /admin/v1/keys and /admin/v1/secrets: client keys and sealed credentials for operators (interface section
// 2), served by the admin listener and by the control socket of the data directory. JSON both ways; the shape
// of a body is checked here, its content by the desk. Whether the caller may come here is for the handler in
// front to say.
//
//   GET    /admin/v1/keys                 {"ok":true,"keys":[key…]}
//   POST   /admin/v1/keys                 {"name","policy"?,"role"?,"projects"?,"channels"?} → 201
//                                         {"ok":true,"key":key,"hash":"hmac-sha256:…","apiKey":"tg-…"}
//   POST   /admin/v1/keys/ID/rotate       the same answer with 200
//   POST   /admin/v1/keys/ID/revoke       {"ok":true,"key":key}; DELETE /admin/v1/keys/ID does the same
//   GET    /admin/v1/secrets              {"ok":true,"secrets":[{"name","updatedAt"}…]}
//   PUT    /admin/v1/secrets/NAME         {"value"} → {"ok":true,"changed":bool,"warning"?}
//   DELETE /admin/v1/secrets/NAME         {"ok":true}
// A key: {"id","name","policy","role","projects","channels","enabled","source":"store"|"configuration",
// "createdAt"?,"rotatedAt"?,"revokedAt"?}, times as RFC 3339. Failures:
// {"ok":false,"error":{"code","message", "details"?}} with the code's status.
#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/error.h"
#include "protocol/json/json.h"
#include "runtime/server/downstream.h"
#include "storage/key_store.h"
#include "storage/secret_store.h"

namespace tidegate::surface {

struct new_client_key {
  std::string name;
  std::string policy = "default";
  std::string role = "client";
  std::vector<std::string> projects{"*"};
  std::vector<std::string> channels{"*"};
};

struct key_view {
  storage::client_key key;
  // From a [[key]] table: only the configuration changes it.
  bool configured = false;
};

// The one time that a key's text is seen.
struct made_client_key {
  key_view view;
  std::string text;
};

struct secret_outcome {
  // False: the same credential was stored already.
  bool changed = false;
  // Something the operator should read though the secret was taken; holds no part of it.
  std::string warning;
};

template <typename T>
using desk_answer = std::move_only_function<void(std::expected<T, foundation::failure>)>;

// Whoever keeps keys and secrets. Answers each call once, before it returns or later from another thread.
class key_desk {
 public:
  virtual ~key_desk() = default;
  virtual void list_keys(desk_answer<std::vector<key_view>> answer) = 0;
  virtual void create_key(new_client_key wanted, desk_answer<made_client_key> answer) = 0;
  virtual void revoke_key(std::string id, desk_answer<key_view> answer) = 0;
  virtual void rotate_key(std::string id, desk_answer<made_client_key> answer) = 0;
  virtual void list_secrets(desk_answer<std::vector<storage::secret_entry>> answer) = 0;
  // Blanks around the value go; an empty one removes the secret (CFG-5).
  virtual void set_secret(std::string name, std::string value, desk_answer<secret_outcome> answer) = 0;
  virtual void remove_secret(std::string name, desk_answer<void> answer) = 0;
};

class admin_keys {
 public:
  // `desk` outlives every loop that serves requests of it.
  explicit admin_keys(key_desk& desk) : desk_{desk} {}

  // Whether handle() is to answer this path (without its query).
  static bool owns(std::string_view path);
  // One request under these paths, from its body to the answer.
  runtime::task<void> handle(runtime::downstream& exchange);

 private:
  runtime::task<void> handle_key(runtime::downstream& exchange, std::string_view rest);
  runtime::task<void> handle_secret(runtime::downstream& exchange, std::string_view rest);
  runtime::task<void> create_key(runtime::downstream& exchange);
  runtime::task<void> set_secret(runtime::downstream& exchange, std::string name);

  key_desk& desk_;
};

// The wire's JSON, for both of its sides.
void write_key(protocol::json::writer& to, const key_view& view);
// Nothing where the value is not of that shape. A MAC is not on the wire.
std::optional<key_view> read_key(const protocol::json::value& from);
// A member "2026-11-23T09:13:34.123Z", as we write times.
std::optional<foundation::wall_time> read_time(const protocol::json::value& from, std::string_view member);

}  // namespace tidegate::surface
