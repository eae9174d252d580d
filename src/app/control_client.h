// Keys and secrets of a running gateway, through DIR/control.sock: the same calls as the keyring takes,
// carried as HTTP to /admin/v1/keys and /admin/v1/secrets. For commands: every call waits for its answer.
#pragma once

#include <chrono>
#include <expected>
#include <string>
#include <string_view>

#include "surface/admin_keys.h"

namespace tidegate::app {

class control_client final : public surface::key_desk {
 public:
  // `dir` is the data directory. Nothing is opened yet.
  explicit control_client(std::string dir, std::chrono::seconds patience = std::chrono::seconds{10})
      : dir_{std::move(dir)}, patience_{patience} {}

  // Failures of the way itself are IO_ERROR; the gateway's own keep their code and message.
  void list_keys(surface::desk_answer<std::vector<surface::key_view>> answer) override;
  void create_key(surface::new_client_key wanted,
                  surface::desk_answer<surface::made_client_key> answer) override;
  void revoke_key(std::string id, surface::desk_answer<surface::key_view> answer) override;
  void rotate_key(std::string id, surface::desk_answer<surface::made_client_key> answer) override;
  void list_secrets(surface::desk_answer<std::vector<storage::secret_entry>> answer) override;
  void set_secret(std::string name, std::string value,
                  surface::desk_answer<surface::secret_outcome> answer) override;
  void remove_secret(std::string name, surface::desk_answer<void> answer) override;

  // Whether somebody listens on the control socket.
  bool answers() const;
  // One request; the body of an answer with status 2xx. `body` is JSON or empty.
  std::expected<std::string, foundation::failure> ask(std::string_view method, std::string_view target,
                                                      std::string_view body) const;

 private:
  std::string dir_;
  std::chrono::seconds patience_;
};

}  // namespace tidegate::app
