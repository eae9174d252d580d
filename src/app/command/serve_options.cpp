#include "app/command/commands.h"

namespace tidegate::app::command {

std::vector<configuration_override> serve_options::overrides() const {
  std::vector<configuration_override> result;
  if (listen) result.push_back({"--listen", "server", "listen", *listen});
  if (admin_listen) result.push_back({"--admin-listen", "admin", "listen", *admin_listen});
  if (data) result.push_back({"--data", "storage", "dir", *data});
  return result;
}

}  // namespace tidegate::app::command
