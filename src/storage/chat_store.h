// Port: chat sessions and their messages (CHAT-1 to CHAT-6). Every call names its project and sees nothing of
// another. Each call is one transaction: all of it or nothing, also after a kill -9. What is reported done
// survives the end of the process, and a power loss up to the last checkpoint.
//
// Texts are kept in clear, unlike those of traces: a chat is what its user reads and searches (CHAT-6), and
// it must work where there is no master key. What is deleted is overwritten in the file.
//
// Places (CHAT-2) are room for messages that an admitted run will bring. They count like messages, and they
// live in the store's memory: no crash leaves any behind.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/time.h"
#include "storage/result.h"

namespace tidegate::storage {

using foundation::wall_time;

// A whole request body of /rpc (RPC-3).
inline constexpr std::size_t chat_content_max = 10UL << 20;
// Of all messages of one session, for they are listed at once: a session that holds as much is full. The
// last message, or the turns that hold places, may pass it.
inline constexpr std::size_t chat_session_bytes_max = 32UL << 20;
// Of one project; archived ones too.
inline constexpr std::size_t chat_sessions_max = 20'000;
// Deleted sessions that a second deletion still knows (CHAT-6: idempotent); the newest ones.
inline constexpr std::size_t chat_deleted_max = 100'000;
inline constexpr std::size_t chat_title_characters = 100;

enum class chat_role : std::uint8_t { user, assistant };
// "user"
std::string_view name_of(chat_role role);

struct chat_session {
  std::string id;
  std::string project_id;
  // The first `chat_title_characters` code points of the first message.
  std::string title;
  bool archived = false;
  wall_time created_at;
  // Of the latest message or clearing.
  wall_time updated_at;
  std::int64_t messages = 0;
  bool operator==(const chat_session&) const = default;
};

struct chat_message {
  std::string id;
  std::string project_id;
  std::string session_id;
  chat_role role = chat_role::user;
  std::string content;
  std::optional<std::string> skill_id;
  // Never before that of the message before it: a clock that was set back makes ties, which keep their order.
  wall_time timestamp;
  std::string trace_id;
  bool operator==(const chat_message&) const = default;
};

enum class chat_refusal : std::uint8_t {
  unknown_session,    // not in this project; a message id that is no user message of it too
  archived,           // takes no messages any more
  full,               // no place left, or `chat_session_bytes_max` reached
  too_many_sessions,  // `chat_sessions_max` reached
};

template <typename T>
using chat_result = std::expected<T, chat_refusal>;

struct chat_send {
  std::string project_id;
  // Nothing: the project's current session, the one that was made last unless it was archived or deleted; a
  // new one where there is none.
  std::optional<std::string> session_id;
  bool new_session = false;      // then no session_id
  std::string fresh_session_id;  // of the session, if one is made
  std::string message_id;
  std::string content;
  std::string trace_id;
  wall_time at;
  std::int64_t capacity = 0;  // messages of one session
};

struct chat_sent {
  std::string session_id;
};

struct chat_claim {
  std::string project_id;
  std::optional<std::string> session_id;  // as in chat_send; a session that is to be made is made by its turn
  // A user message already sent; its session is taken, which must be `session_id` where that is given.
  std::optional<std::string> message_id;
  std::string fresh_session_id;
  std::int64_t places = 2;
  std::int64_t capacity = 0;
};

struct chat_claimed {
  std::string session_id;
};

struct chat_turn {
  std::string project_id;
  std::string session_id;
  std::optional<std::string> user_message_id;  // none: the user's message is there already
  std::string user_content;
  std::string assistant_message_id;
  std::string assistant_content;
  std::optional<std::string> skill_id;
  std::string trace_id;
  wall_time at;
  std::int64_t places = 2;  // that were taken for it, given back by it
};

struct chat_turn_added {
  bool session_made = false;
};

// What takes a turn back.
struct chat_turn_removal {
  std::string project_id;
  std::string session_id;
  std::vector<std::string> message_ids;
  bool session_too = false;  // if it has no other message
};

class chat_store {
 public:
  virtual ~chat_store() = default;
  virtual void send(chat_send message, done<chat_result<chat_sent>> answer) = 0;
  // All of the places or none. A session is refused as `send` refuses it.
  virtual void take_places(chat_claim claim, done<chat_result<chat_claimed>> answer) = 0;
  // Places of a session that is gone are gone with it.
  virtual void return_places(std::string project_id, std::string session_id, std::int64_t places,
                             done<void> answer) = 0;
  // User message, if any, and answer, in this order. unknown_session: deleted since the places were taken;
  // archived: since then.
  virtual void add_turn(chat_turn turn, done<chat_result<chat_turn_added>> answer) = 0;
  // Removes what is still there of it; the places do not come back.
  virtual void remove_turn(chat_turn_removal turn, done<void> answer) = 0;
  // Oldest first. No session: the current one; none of those: nothing.
  virtual void list(std::string project_id, std::optional<std::string> session_id,
                    done<chat_result<std::vector<chat_message>>> answer) = 0;
  // The newest messages whose contents together are at most `bytes_max` (0: all), oldest first; those before
  // the message `before`, where it is given and still there. A session that is still to be made has none.
  virtual void history(std::string project_id, std::string session_id, std::optional<std::string> before,
                       std::size_t bytes_max, done<std::vector<chat_message>> answer) = 0;
  // Answers with how many messages went. No session: of all sessions of the project. Archived ones may be
  // cleared too; they stay archived.
  virtual void clear(std::string project_id, std::optional<std::string> session_id, wall_time at,
                     done<chat_result<std::size_t>> answer) = 0;
  // Latest update first. A query that is not empty keeps those that have it in title or content, byte by
  // byte.
  virtual void sessions(std::string project_id, std::string query,
                        done<std::vector<chat_session>> answer) = 0;
  // Again: as the first time.
  virtual void archive(std::string project_id, std::string session_id, done<chat_result<void>> answer) = 0;
  // With its messages. Again: as the first time, while it is among the latest `chat_deleted_max`.
  virtual void erase(std::string project_id, std::string session_id, done<chat_result<void>> answer) = 0;
  // Whose session it is; nothing for an unknown one. The one call that looks into every project: its caller
  // may tell nobody else.
  virtual void project_of(std::string session_id, done<std::optional<std::string>> answer) = 0;
};

// The first `chat_title_characters` code points.
std::string_view chat_title(std::string_view content);

}  // namespace tidegate::storage
