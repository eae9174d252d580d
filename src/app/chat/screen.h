// What the person sees of an answer as it comes: text, where it waits, who failed, what it used. Writes to
// two streams and looks at nothing else, so that tests read what a terminal would be sent.
#pragma once

#include <ostream>
#include <string>
#include <string_view>

#include "app/chat/messages.h"
#include "app/chat/text.h"

namespace tidegate::app::chat {

struct screen_style {
  bool live = false;    // a terminal: a line may be written over
  bool colour = false;  // ECMA-48 colours
};

class screen {
 public:
  // `answers` gets what was said and whose it is, `notes` all else; one and the same on a terminal.
  screen(std::ostream& answers, std::ostream& notes, screen_style style)
      : answers_{answers}, notes_{notes}, style_{style} {}

  // Before each answer.
  void begin();
  // A push of the run under way, done included.
  void take(const push& news);
  // An answer that came whole: its text, or its candidates, each with its number.
  void show(const answer& whole);
  void show(const problem& why);
  void show(const usage& used);
  void show(const message& past);
  void note(std::string_view text);
  // The connection broke, or was given up: what was shown so far stays, on lines of its own.
  void end_line();

 private:
  void take_queue(const push& news);
  void take_done(const push& done);
  void say(std::string_view text);
  void wipe();
  void line(std::ostream& to, std::string_view colour, std::string_view text);
  void tell_failover(std::string_view from, std::string_view to, std::string_view reason);
  void tell_finish(std::string_view finish_reason, std::string_view degraded);

  std::ostream& answers_;
  std::ostream& notes_;
  screen_style style_;
  std::string said_;          // the answer so far, as it came
  bool inside_line_ = false;  // the last character shown was no line end
  bool waiting_ = false;      // a line that may be written over stands
  std::string waits_at_;      // what was last said of the queue
};

// What to do about it, for a person; blank where there is nothing to do.
std::string advice(const problem& why);

}  // namespace tidegate::app::chat
