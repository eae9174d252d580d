// Port: sealed credentials by name. The store never sees a plain text: callers seal (storage/seal.h) with the
// record id `secret_record(name)`. What a call reports done survives a power loss.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/time.h"
#include "storage/result.h"

namespace tidegate::storage {

using foundation::wall_time;

inline constexpr std::size_t secrets_max = 1'000;
inline constexpr std::size_t sealed_secret_max = 128UL * 1024;

inline std::string secret_record(std::string_view name) { return "secret/" + std::string{name}; }

struct secret_entry {
  std::string name;
  wall_time updated_at;
  bool operator==(const secret_entry&) const = default;
};

class secret_store {
 public:
  virtual ~secret_store() = default;
  // Makes or replaces. too_large: the blob is over `sealed_secret_max`, or it would be one more than
  // `secrets_max`.
  virtual void set(std::string name, std::string sealed, wall_time at, done<void> answer) = 0;
  // By name.
  virtual void list(done<std::vector<secret_entry>> answer) = 0;
  // Nothing: there is none of that name.
  virtual void get(std::string name, done<std::optional<std::string>> answer) = 0;
  // not_found: there is none of that name.
  virtual void remove(std::string name, done<void> answer) = 0;
};

}  // namespace tidegate::storage
