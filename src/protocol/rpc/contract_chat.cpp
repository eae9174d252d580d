// ai:chat:* and ai:chatsession:*.
#include <array>

#include "protocol/rpc/shapes.h"

namespace tidegate::protocol::rpc::shapes {
namespace {

constexpr std::array send_fields{need("message", text), need("projectId", id),
                                 may("sessionId", id, "Default: the project's current session"),
                                 may("documentId", id), may("newSession", flag)};
constexpr shape send_request = object_of(send_fields);
constexpr std::array send_reply_fields{need("accepted", truth), need("messageId", id), need("sessionId", id),
                                       need("echoed", text)};
constexpr shape send_reply = object_of(send_reply_fields);

constexpr std::array role_words{std::string_view{"user"}, std::string_view{"assistant"}};
constexpr shape role = words_of("ChatRole", role_words);
constexpr std::array message_fields{
    need("messageId", id),      need("projectId", id),
    need("sessionId", id),      need("role", role),
    need("content", text),      may("skillId", id),
    need("timestamp", instant), need("traceId", text, "Empty for a message that no run wrote")};
constexpr shape message = named("ChatMessage", message_fields, "A stored message");
constexpr shape message_list = list_of(message);

constexpr std::array list_fields{need("projectId", id),
                                 may("sessionId", id, "Default: the project's current session")};
constexpr shape list_request = object_of(list_fields);
constexpr std::array list_reply_fields{need("items", message_list, "Oldest first")};
constexpr shape list_reply = object_of(list_reply_fields);

constexpr std::array clear_fields{need("projectId", id), may("sessionId", id, "Default: all of the project")};
constexpr shape clear_request = object_of(clear_fields);
constexpr std::array clear_reply_fields{need("cleared", truth), need("removed", integer, "Messages")};
constexpr shape clear_reply = object_of(clear_reply_fields);

constexpr std::array session_fields{need("sessionId", id),      need("projectId", id),
                                    need("title", text),        need("archived", flag),
                                    need("createdAt", instant), need("updatedAt", instant)};
constexpr shape session = named("ChatSession", session_fields, "A chat of a project");
constexpr shape session_list = list_of(session);
constexpr std::array sessions_fields{need("projectId", id),
                                     may("query", text, "A part of the title or of a message")};
constexpr shape sessions_request = object_of(sessions_fields);
constexpr std::array sessions_reply_fields{need("sessions", session_list, "Last changed first")};
constexpr shape sessions_reply = object_of(sessions_reply_fields);

constexpr std::array one_session_fields{need("projectId", id), need("sessionId", id)};
constexpr shape one_session = object_of(one_session_fields);
constexpr std::array archive_reply_fields{need("archived", truth)};
constexpr shape archive_reply = object_of(archive_reply_fields);
constexpr std::array delete_reply_fields{need("deleted", truth)};
constexpr shape delete_reply = object_of(delete_reply_fields);

constexpr std::array channels{
    channel{.name = "ai:chat:send",
            .request = &send_request,
            .reply = &send_reply,
            .summary = "Store a user message"},
    channel{.name = "ai:chat:list",
            .request = &list_request,
            .reply = &list_reply,
            .summary = "Messages of a session"},
    channel{.name = "ai:chat:clear",
            .request = &clear_request,
            .reply = &clear_reply,
            .summary = "Remove the messages of a session or a project"},
    channel{.name = "ai:chat:sessions",
            .request = &sessions_request,
            .reply = &sessions_reply,
            .summary = "Sessions of a project, searched if asked"},
    channel{.name = "ai:chatsession:archive",
            .request = &one_session,
            .reply = &archive_reply,
            .summary = "Make a session read-only"},
    channel{.name = "ai:chatsession:delete",
            .request = &one_session,
            .reply = &delete_reply,
            .summary = "Delete a session with its messages"},
};

}  // namespace

part chat_part() {
  static constexpr std::array names{&role, &message, &session};
  return {.channels = channels, .shapes = names};
}

}  // namespace tidegate::protocol::rpc::shapes
