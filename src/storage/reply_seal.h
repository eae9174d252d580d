// How both adapters seal a kept reply: headers and body apart, each under both of its keys. What is empty is
// kept as it is.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "storage/reply_store.h"
#include "storage/seal.h"

namespace tidegate::storage {

// Lengths stand in front, so that no two pairs of keys give one record.
inline std::string reply_record(const reply_key& key, std::string_view field) {
  return "reply/" + std::to_string(key.key_id.size()) + ":" + key.key_id + "/" +
         std::to_string(key.idempotency_key.size()) + ":" + key.idempotency_key + "/" + std::string{field};
}

// Nothing: it would have to be sealed, and there is no sealer.
inline std::optional<std::string> seal_reply_text(const sealer* seal, const reply_key& key,
                                                  std::string_view field, const std::string& text) {
  if (text.empty()) return std::string{};
  if (seal == nullptr) return std::nullopt;
  return seal->seal(reply_record(key, field), text);
}

inline std::optional<std::string> unseal_reply_text(const sealer* seal, const reply_key& key,
                                                    std::string_view field, const std::string& sealed) {
  if (sealed.empty()) return std::string{};
  if (seal == nullptr) return std::nullopt;
  return seal->unseal(reply_record(key, field), sealed);
}

// Headers and body opened in place; where they cannot be, a mark is left of it.
inline void unseal_reply(const sealer* seal, const reply_key& key, kept_reply& reply) {
  auto headers = unseal_reply_text(seal, key, "headers", reply.headers);
  auto body = unseal_reply_text(seal, key, "body", reply.body);
  if (!headers || !body) reply.status = reply_mark;
  reply.headers = headers && body ? std::move(*headers) : std::string{};
  reply.body = headers && body ? std::move(*body) : std::string{};
}

// Against reply_bounds::entry_bytes.
inline std::size_t reply_bytes(const kept_reply& reply) { return reply.headers.size() + reply.body.size(); }
// Against reply_bounds::total_bytes.
inline std::size_t held_bytes(const kept_reply& reply) { return reply_bytes(reply) + reply_row_bytes; }

}  // namespace tidegate::storage
