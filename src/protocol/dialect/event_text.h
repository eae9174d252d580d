// The words in a stream event that is relayed as it came, for the running estimate of what was received
// (BUD-5). No parse: the fragment stands in one small object, or is one string, behind a key that cannot be
// mistaken, for quotes inside of strings are escaped.
#pragma once

#include <cstddef>
#include <string_view>

#include "protocol/dialect/prompt_estimate.h"
#include "protocol/sse/sse.h"

namespace tidegate::protocol::dialect {

class event_text {
 public:
  explicit event_text(dialect_id speaks) : speaks_{speaks} {}

  // Text, reasoning, refusals, tool names and arguments of one event. Any bytes are fine; of malformed ones
  // it finds what it can.
  void scan(const sse::event_view& event, text_sink& sink);

 private:
  void scan_chat(std::string_view data, text_sink& sink);
  void scan_messages(std::string_view data, text_sink& sink);
  void scan_responses(const sse::event_view& event, text_sink& sink);
  // Where the value of a member begins, with the place of the last find as the first guess; npos for none.
  std::size_t find_value(std::string_view data, std::string_view quoted_key, std::size_t from);

  dialect_id speaks_;
  // Chunks of one stream share their envelope, so that the key mostly stands where it stood.
  std::size_t guess_ = 0;
};

}  // namespace tidegate::protocol::dialect
