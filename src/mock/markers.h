// Words in a prompt that steer the scripted provider: [[mock:…]] for behaviors, [[tool:…]] for tool calls,
// [[system]] and [[echo-request]] for what it saw.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mock/behavior.h"

namespace tidegate::mock {

struct markers {
  std::optional<behavior> asked;          // the last [[mock:…]] that means something
  std::vector<scripted_call> tool_calls;  // arguments empty: none given
  bool system = false;
  bool echo_request = false;
  std::string rest;  // the text without the markers, trimmed
};

// [[mock:success]] [[mock:delay]] [[mock:timeout]] [[mock:upstream-error]] (NFR-5), [[mock:status=429
// retry-after=7]],
// [[mock:delay=50]], [[mock:cut=2]], [[mock:stall=2]], [[mock:garbage=2]], [[mock:bad-json=2]],
// [[mock:reset]],
// [[mock:hang]], [[mock:slow=100]], [[mock:in-stream-error=overloaded after=0]]; `interval=MS` goes with any.
// [[tool:NAME]] or [[tool:NAME {json}]]. What it does not know stays text.
markers read_markers(std::string_view text);

}  // namespace tidegate::mock
