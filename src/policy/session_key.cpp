#include "policy/session_key.h"

#include "foundation/text.h"

namespace tidegate::policy {
namespace {

session_key named(std::string_view prefix, std::string_view id, std::string_view owner) {
  session_key key;
  key.name.append(prefix).append(id);
  key.place.append(owner).append(1, place_separator).append(key.name);
  return key;
}

}  // namespace

session_key session_key_of(const session_naming& naming) {
  if (const auto id = foundation::trim(naming.session); !id.empty()) {
    return named("session:", id, naming.stored_chat ? std::string_view{} : naming.client_key);
  }
  if (const auto id = foundation::trim(naming.project); !id.empty()) return named("project:", id, {});
  if (const auto id = foundation::trim(naming.document); !id.empty()) {
    return named("document:", id, naming.client_key);
  }
  return named("global", {}, naming.client_key);
}

}  // namespace tidegate::policy
