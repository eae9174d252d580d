// `tidegate key`: a new key goes to standard output alone, so that a script can take it; what is said about
// it goes to standard error.
#include <ostream>
#include <utility>

#include "app/command/commands.h"
#include "app/command/desk.h"
#include "app/command/table.h"
#include "protocol/json/json.h"

namespace tidegate::app::command {
namespace {

namespace json = protocol::json;
using surface::key_desk;
using surface::key_view;
using surface::made_client_key;

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ",") + name;
  return text;
}

std::string state_of(const key_view& view) {
  if (view.configured) return view.key.enabled ? "configured" : "configured, disabled";
  if (view.key.revoked_at) return "revoked " + foundation::to_rfc3339(*view.key.revoked_at);
  return view.key.enabled ? "live" : "disabled";
}

int list(key_desk& desk, bool as_json, console& terminal) {
  const auto keys = ask<std::vector<key_view>>([&](auto answer) { desk.list_keys(std::move(answer)); });
  if (!keys) return report(keys.error(), terminal);
  if (as_json) {
    std::string text;
    json::writer w{text};
    w.begin_object().key("keys").begin_array();
    for (const key_view& view : *keys) surface::write_key(w, view);
    w.end_array().end_object();
    terminal.out << text << '\n';
    return 0;
  }
  if (keys->empty()) {
    terminal.err << "no client keys; make one with: tidegate key create --name NAME\n";
    return 0;
  }
  std::vector<table_row> rows{{"ID", "NAME", "POLICY", "ROLE", "PROJECTS", "CHANNELS", "CREATED", "STATE"}};
  for (const key_view& view : *keys) {
    rows.push_back({view.key.id, view.key.name, view.key.policy, view.key.role, joined(view.key.projects),
                    joined(view.key.channels),
                    view.configured ? "-" : foundation::to_rfc3339(view.key.created_at), state_of(view)});
  }
  print_table(terminal.out, rows);
  return 0;
}

int show_made(const std::expected<made_client_key, foundation::failure>& made, std::string_view what,
              bool as_json, console& terminal) {
  if (!made) return report(made.error(), terminal);
  const storage::client_key& key = made->view.key;
  if (!as_json) {
    terminal.out << made->text << '\n';
    terminal.err << what << ' ' << key.id << " (" << key.name << "); the key is shown this once only\n";
    return 0;
  }
  std::string text;
  json::writer w{text};
  w.begin_object().member("id", key.id).member("name", key.name).member("policy", key.policy);
  w.member("role", key.role)
      .member("key", made->text)
      .member("hash", storage::format_mac(key.mac))
      .end_object();
  terminal.out << text << '\n';
  return 0;
}

int create(key_desk& desk, const key_options& options, console& terminal) {
  surface::new_client_key wanted;
  wanted.name = options.name;
  wanted.policy = options.policy;
  wanted.role = options.role;
  if (!options.projects.empty()) wanted.projects = options.projects;
  if (!options.channels.empty()) wanted.channels = options.channels;
  const auto made = ask<made_client_key>([&](auto answer) { desk.create_key(wanted, std::move(answer)); });
  return show_made(made, "made", options.json, terminal);
}

int rotate(key_desk& desk, const key_options& options, console& terminal) {
  const auto made =
      ask<made_client_key>([&](auto answer) { desk.rotate_key(options.id, std::move(answer)); });
  return show_made(made, "rotated", options.json, terminal);
}

int revoke(key_desk& desk, const key_options& options, console& terminal) {
  const auto ended = ask<key_view>([&](auto answer) { desk.revoke_key(options.id, std::move(answer)); });
  if (!ended) return report(ended.error(), terminal);
  if (options.json) {
    std::string text;
    json::writer w{text};
    surface::write_key(w, *ended);
    terminal.out << text << '\n';
  } else {
    terminal.out << "revoked " << ended->key.id << " (" << ended->key.name << ")\n";
  }
  return 0;
}

}  // namespace

int run_key(const key_options& options, console& terminal) {
  const desk_use use = options.action == key_action::create ? desk_use::make
                       : options.action == key_action::list ? desk_use::look
                                                            : desk_use::change;
  auto opened = opened_desk::open(options.place, use, terminal);
  if (!opened) return opened.error();
  key_desk& desk = ***opened;
  switch (options.action) {
    case key_action::create:
      return create(desk, options, terminal);
    case key_action::list:
      return list(desk, options.json, terminal);
    case key_action::revoke:
      return revoke(desk, options, terminal);
    case key_action::rotate:
      return rotate(desk, options, terminal);
  }
  return 1;
}

}  // namespace tidegate::app::command
