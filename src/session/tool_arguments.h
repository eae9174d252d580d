// What form a tool call's arguments have (TOOL-3), for policy::tool_call_gatherer::finish.
#pragma once

#include <string_view>

#include "policy/tool_rounds.h"

namespace tidegate::session {

// JSON of any nesting up to the reader's limit; a text that is no JSON, or nested deeper, is unparsable.
policy::arguments_form form_of_arguments(std::string_view arguments);

}  // namespace tidegate::session
