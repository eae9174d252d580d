// The part of contract/client.ts that does not depend on the table: TypeScript text.
#pragma once

#include <string_view>

namespace tidegate::protocol::rpc {

extern const std::string_view client_runtime;

}  // namespace tidegate::protocol::rpc
