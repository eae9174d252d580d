// The names that the generated contract gives to what the table has: "ai:chat:send" -> AiChatSendRequest.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/rpc/contract.h"

namespace tidegate::protocol::rpc {

std::string request_name(std::string_view channel);    // AiChatSendRequest
std::string reply_name(std::string_view channel);      // AiChatSendReply
std::string push_name(std::string_view push);          // SkillStreamChunkPush
std::string operation_name(std::string_view channel);  // aiChatSend

// A shape under the name that the contract writes it by.
struct named_shape {
  std::string name;
  const shape* type = nullptr;
};

// Every request, reply, push payload and shared shape, by name; for a contract without faults.
std::vector<named_shape> all_named_shapes(const contract& source);

// The named shapes that `type` refers to, also through others, by name; `type` itself is not among them.
std::vector<const shape*> shapes_below(const shape& type);

// Names of the generated files' own.
bool is_reserved_name(std::string_view name);

}  // namespace tidegate::protocol::rpc
