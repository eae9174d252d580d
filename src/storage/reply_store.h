// Port: replies kept for idempotency keys (GW-7). Headers and bodies are sealed by the store under both keys;
// without a sealer only marks are kept, which have neither. Rows that are reported done survive the end of
// the process.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "foundation/time.h"
#include "storage/result.h"

namespace tidegate::storage {

using foundation::wall_time;

struct reply_bounds {
  // Of headers and body of one reply.
  std::size_t entry_bytes = 4UL << 20;
  // Of all of them with reply_row_bytes for each; the oldest leave for a new one.
  std::size_t total_bytes = 256UL << 20;
};

// What a row weighs beside headers and body: keys, digest, seals, indexes. So those that keep neither (marks
// of streamed calls) are bounded in number too.
inline constexpr std::size_t reply_row_bytes = 512;

struct reply_key {
  std::string key_id;
  std::string idempotency_key;  // at most 255 bytes
  auto operator<=>(const reply_key&) const = default;
};

// In place of a status: a mark that the call was answered, without what it was answered.
inline constexpr int reply_mark = 0;

struct kept_reply {
  // A keyed hash of the request, so that another body under the same key is told.
  std::array<std::uint8_t, 32> request_digest{};
  int status = 200;
  // Complete lines, as they were sent.
  std::string headers;
  std::string body;
  wall_time created_at;
  bool operator==(const kept_reply&) const = default;
};

class reply_store {
 public:
  virtual ~reply_store() = default;
  // conflict: there is one already (it stays). too_large: over `entry_bytes`. no_key: it has headers or a
  // body, and there is no sealer.
  virtual void put(reply_key key, kept_reply reply, done<void> answer) = 0;
  // Nothing: none, or one that was made before `made_since` (it leaves). One that is not to be opened any
  // more comes as a mark.
  virtual void get(reply_key key, wall_time made_since, done<std::optional<kept_reply>> answer) = 0;
  // Removes the oldest of those made before, at most `rows_max`; answers with how many.
  virtual void purge(wall_time created_before, std::size_t rows_max, done<std::size_t> answer) = 0;
};

}  // namespace tidegate::storage
