// What queueing, session budget and usage are keyed by (SCH-1). Pure.
#pragma once

#include <string>
#include <string_view>

namespace tidegate::policy {

// Places of one key begin with its id and this byte, which ids do not hold, shared ones with the byte: no
// caller can choose a name that falls together with another's.
inline constexpr char place_separator = '\x1f';

struct session_key {
  std::string name;   // as callers are told: "session:<id>", "project:<id>", "document:<id>" or "global"
  std::string place;  // unique among all callers: what the scheduler is given
};

struct session_naming {
  std::string_view client_key{};  // id of the caller's key
  std::string_view session{};     // context.sessionId or x-tidegate-session
  std::string_view project{};
  std::string_view document{};
  bool stored_chat = false;  // `session` is a stored chat session, which all keys share
};

// The first of session, project and document that is not blank, blanks around it dropped; else "global".
// Projects and stored chat sessions are the same for every key, all else is apart per key.
session_key session_key_of(const session_naming& naming);

}  // namespace tidegate::policy
