// Canonical values as text: equality of two of them is equality of their texts, and a difference can be read.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/dialect/canonical.h"

namespace tidegate::conformance {

std::string to_text(const protocol::dialect::request& r);
std::string to_text(const protocol::dialect::reply& r);
std::string to_text(const std::vector<protocol::dialect::stream_event>& events);
std::string to_text(const protocol::dialect::usage& tokens);

// JSON without blanks, members sorted, numbers in one spelling; other text as it is. Equal values, equal
// texts.
std::string normal_json(std::string_view text);

// What an answer says, however it came: a reply, or the sum of a stream's events.
struct answer {
  std::string text;  // with refusals in their place
  std::string thinking;
  struct call {
    std::string id;
    std::string name;
    std::string arguments;
  };
  std::vector<call> calls;
  protocol::dialect::finish_reason finish = protocol::dialect::finish_reason::none;
  std::string stop_sequence;
  protocol::dialect::usage tokens;
  bool ended = false;
  bool broken = false;  // an in-stream error
};
std::string to_text(const answer& a);
answer answer_of(const protocol::dialect::reply& r);
answer answer_of(const std::vector<protocol::dialect::stream_event>& events);

}  // namespace tidegate::conformance
