#include "session/tool_arguments.h"

#include "protocol/json/json.h"

namespace tidegate::session {

policy::arguments_form form_of_arguments(std::string_view arguments) {
  const auto value = protocol::json::parse(arguments);
  if (!value) return policy::arguments_form::unparsable;
  return value->is_object() ? policy::arguments_form::object : policy::arguments_form::other;
}

}  // namespace tidegate::session
