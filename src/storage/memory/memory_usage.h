// Usage in memory.
#pragma once

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "storage/memory/common.h"
#include "storage/usage_store.h"

namespace tidegate::storage::memory {

class memory_usage final : public usage_store {
 public:
  explicit memory_usage(common& shared) : shared_{shared} {}
  void record(std::vector<usage_call> calls, done<void> answer) override;
  void list(usage_filter filter, std::size_t limit, done<std::vector<usage_request>> answer) override;
  void totals(usage_filter filter, done<usage_totals> answer) override;
  void calls_of(std::string key_id, std::string request_id, done<std::vector<usage_call>> answer) override;
  void purge(wall_time before, std::size_t rows_max, done<std::size_t> answer) override;

 private:
  struct held_call {
    usage_call call;
    bool first = false;
  };
  // Key, model, skill, day since 1970.
  using place = std::tuple<std::string, std::string, std::string, std::int64_t>;

  void add(usage_call call);

  common& shared_;
  std::vector<held_call> calls_;
  std::set<std::string> ids_;
  std::vector<usage_request> requests_;
  std::map<place, usage_sum> totals_;
  std::map<std::string, wall_time> started_;
};

}  // namespace tidegate::storage::memory
