// One conversation after the other with a gateway: what each line does, and what is kept between them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "app/chat/client.h"
#include "app/chat/input.h"
#include "app/chat/messages.h"
#include "app/chat/screen.h"
#include "foundation/random.h"

namespace tidegate::app::chat {

enum class outcome : std::uint8_t { good, failed, left };

struct wishes {
  std::string project = "chat";
  std::string session;  // blank: the project's current one
  std::string model;    // blank: the gateway's choice
  int candidates = 1;
};

class conversation {
 public:
  // Which of `count` candidates is taken, from 1; 0 for none. Empty: nobody is there to choose.
  using chooser = std::function<int(int count)>;
  conversation(client& through, interrupts& signals, screen& shown, wishes wanted, chooser choose);

  // Finds the conversation to go on with; a named one must exist.
  outcome open();
  outcome handle(const input& line);

 private:
  outcome ask(std::string text);
  outcome ask_streamed(question& asked);
  outcome ask_whole(question& asked);
  outcome begin_session(question& asked);
  void choose(const answer& whole);
  void tell_usage(std::optional<usage> used, const std::string& request_id);
  outcome show_history();
  outcome archive();
  void forget();

  struct told {
    received raw;
    std::expected<protocol::json::value, problem> data;  // a view into raw.body
    bool interrupted = false;
  };
  // Buffered; what failed is not shown.
  void call(std::string_view channel, std::string body, told& out, runtime::duration patience);
  outcome refuse(const told& reply);
  outcome refuse_transport(const std::string& fault, bool interrupted);

  client& client_;
  interrupts& interrupts_;
  screen& screen_;
  wishes wanted_;
  chooser choose_;
  foundation::random_source random_;
  std::string session_;  // blank: begun with the next question
  std::string memory_;   // a candidate that was taken and is not the one in the history
  std::int64_t total_ = 0;
};

}  // namespace tidegate::app::chat
