// How both adapters seal a kept reply: headers and body apart, each under both of its keys.
#pragma once

#include <string>
#include <string_view>

#include "storage/reply_store.h"

namespace tidegate::storage {

// Lengths stand in front, so that no two pairs of keys give one record.
inline std::string reply_record(const reply_key& key, std::string_view field) {
  return "reply/" + std::to_string(key.key_id.size()) + ":" + key.key_id + "/" +
         std::to_string(key.idempotency_key.size()) + ":" + key.idempotency_key + "/" + std::string{field};
}

// Against reply_bounds::entry_bytes.
inline std::size_t reply_bytes(const kept_reply& reply) { return reply.headers.size() + reply.body.size(); }
// Against reply_bounds::total_bytes.
inline std::size_t held_bytes(const kept_reply& reply) { return reply_bytes(reply) + reply_row_bytes; }

}  // namespace tidegate::storage
