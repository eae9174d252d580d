// The keys and secrets of a data directory for one command: the stores themselves where nobody serves from
// it, else the gateway that does, through its control socket, so that one process writes and a change holds
// at once.
#pragma once

#include <expected>
#include <future>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <utility>

#include "app/command/commands.h"
#include "app/control_client.h"
#include "app/data_directory.h"
#include "app/keyring.h"

namespace tidegate::app::command {

enum class desk_use : std::uint8_t {
  look,    // nothing is made or written
  change,  // what is there; nothing is made where there is nothing
  make,    // a directory without a database gets one
};

class opened_desk {
 public:
  // The exit code where there is none to be had; says why on the console.
  static std::expected<std::unique_ptr<opened_desk>, int> open(const desk_place& place, desk_use use,
                                                               console& terminal);
  ~opened_desk();
  surface::key_desk& operator*() { return *desk_; }

 private:
  struct record_keeper;
  opened_desk();
  std::expected<void, std::string> open_local(const configuration& settings, desk_use use,
                                              const environment& env);
  std::expected<bool, std::string> take_or_find_gateway(const std::string& dir);

  foundation::system_clock time_;
  std::optional<data_directory> directory_;
  // Of changes (TRC-2); null where none is made.
  std::unique_ptr<record_keeper> records_;
  // The keyring leaves before its store.
  std::unique_ptr<storage::stores> stores_;
  std::unique_ptr<surface::key_desk> desk_;
};

// Waits for one call of a desk.
//   const auto keys = ask<std::vector<surface::key_view>>([&](auto answer) {
//   desk.list_keys(std::move(answer)); });
template <typename T, typename Start>
std::expected<T, foundation::failure> ask(Start start) {
  std::promise<std::expected<T, foundation::failure>> given;
  auto taken = given.get_future();
  start(surface::desk_answer<T>{
      [&given](std::expected<T, foundation::failure> answer) { given.set_value(std::move(answer)); }});
  return taken.get();
}

// Prints a failure; its exit code: 2 for a wrong argument, else 1.
int report(const foundation::failure& why, console& terminal);

}  // namespace tidegate::app::command
