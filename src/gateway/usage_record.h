// Usage rows on the record (COST-3): a session run's row is journalled with the settlement that it belongs
// to, so that a row on its way into the usage store survives a kill -9. Each record also says how far the
// store has come; what it had not confirmed is what a start hands over again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/json/json.h"
#include "storage/usage_store.h"

namespace tidegate::gateway {

inline constexpr std::string_view usage_recorded = "usage_recorded";

struct usage_entry {
  std::int64_t number = 0;     // from 1, in the order in which rows were made; goes on behind a restart
  std::int64_t confirmed = 0;  // rows up to this one need nothing of the record any more
  storage::usage_call call;
};

// The record, one JSON object.
std::string to_record(const usage_entry& entry);
std::optional<usage_entry> read_usage_record(std::string_view record);

// The part of the fold that rows are: those that no later record has confirmed.
class unconfirmed_usage {
 public:
  // Far beyond what may wait for the store (usage_book::backlog_max); the oldest are given up.
  static constexpr std::size_t kept_max = 20'000;

  void apply(std::string_view record);
  void clear() { rows_.clear(); }
  // As elements of an open array, and back.
  void save(protocol::json::writer& w) const;
  void load(protocol::json::value rows);
  // In the order of their numbers.
  std::vector<usage_entry> entries() const;

 private:
  std::map<std::int64_t, std::string> rows_;  // records by their numbers
};

}  // namespace tidegate::gateway
