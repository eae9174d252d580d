// ai:chat:* and ai:chatsession:* (CHAT-1 to CHAT-6). `documentId` of a message is accepted and has no effect:
// chats belong to projects.
#pragma once

#include <vector>

#include "session/channels.h"
#include "session/chats.h"

namespace tidegate::session {

class chat_channels {
 public:
  // Must outlive it.
  explicit chat_channels(chats& stories) : stories_{stories} {}
  std::vector<binding> bindings();

 private:
  runtime::task<channel_reply> send(json::value request, request_context& context);
  runtime::task<channel_reply> list(json::value request, request_context& context);
  runtime::task<channel_reply> clear(json::value request, request_context& context);
  runtime::task<channel_reply> sessions(json::value request, request_context& context);
  runtime::task<channel_reply> archive(json::value request, request_context& context);
  runtime::task<channel_reply> erase(json::value request, request_context& context);

  chats& stories_;
};

}  // namespace tidegate::session
