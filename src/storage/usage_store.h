// Port: what the calls of session runs used and cost (COST-3): every call, requests as sums of their calls,
// and totals that outlive both. Keys, sessions, models and skills are names given by callers; money is in
// micro-dollars. What is reported done survives the end of the process, and a power loss up to the last
// checkpoint.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "foundation/time.h"
#include "storage/result.h"

namespace tidegate::storage {

using foundation::wall_time;

// Newest requests that are listed: of a key for a key, of all for all.
inline constexpr std::size_t usage_listed_max = 500;

// One call at its end, however it ended.
struct usage_call {
  std::string id;  // unique
  std::string key_id;
  std::string request_id;
  std::string session_id;
  std::string model;
  std::string skill_id;
  std::int64_t input_tokens = 0;
  std::int64_t output_tokens = 0;
  std::int64_t cached_tokens = 0;
  bool cache_hit = false;
  std::int64_t duration_ms = 0;
  std::int64_t micro_usd = 0;
  std::optional<std::string> warning;
  wall_time created_at;
  bool operator==(const usage_call&) const = default;
};

// All calls of one request id of one key.
struct usage_request {
  std::string request_id;
  std::string key_id;
  std::string model;  // of the latest call that used tokens, else of the first
  std::string skill_id;
  std::int64_t input_tokens = 0;
  std::int64_t output_tokens = 0;
  std::int64_t cached_tokens = 0;
  std::int64_t micro_usd = 0;
  std::optional<std::string> warning;  // the latest
  wall_time created_at;                // of its first call
  bool operator==(const usage_request&) const = default;
};

struct usage_filter {
  std::optional<std::string> key_id = {};
  std::optional<std::string> skill_id = {};
  std::optional<wall_time> since = {};  // inclusive
};

// Of one model and skill. A request counts where its first call counts, so that requests add up.
struct usage_sum {
  std::string model;
  std::string skill_id;
  std::int64_t micro_usd = 0;
  std::int64_t requests = 0;
  std::int64_t input_tokens = 0;
  std::int64_t output_tokens = 0;
  std::int64_t cached_tokens = 0;
  bool operator==(const usage_sum&) const = default;
};

struct usage_totals {
  // By model, then skill.
  std::vector<usage_sum> sums;
  // Of the first call ever recorded (of the key, where the filter names one).
  std::optional<wall_time> started_at;
};

class usage_store {
 public:
  virtual ~usage_store() = default;
  // All or none; a call whose id is known changes nothing. One request id is one request as long as it is
  // known: until `purge` takes it.
  virtual void record(std::vector<usage_call> calls, done<void> answer) = 0;
  // Of the newest `usage_listed_max` requests those that pass the filter, newest first, at most `limit`.
  virtual void list(usage_filter filter, std::size_t limit, done<std::vector<usage_request>> answer) = 0;
  // Exact to the millisecond for days whose calls are kept; a day whose calls were purged counts whole.
  virtual void totals(usage_filter filter, done<usage_totals> answer) = 0;
  // The calls of a request, oldest first.
  virtual void calls_of(std::string key_id, std::string request_id, done<std::vector<usage_call>> answer) = 0;
  // Removes calls and requests of the UTC days before that of `before`, at most `rows_max` of each; answers
  // with how many calls went. Totals stay.
  virtual void purge(wall_time before, std::size_t rows_max, done<std::size_t> answer) = 0;
};

}  // namespace tidegate::storage
