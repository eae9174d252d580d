// What providers last answered to GET /v1/models, so that globs in routes do not make every listing a round
// of calls. One instance a process, shared by its loops.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "foundation/time.h"

namespace tidegate::gateway {

class model_cache {
 public:
  using ids = std::shared_ptr<const std::vector<std::string>>;

  static constexpr std::chrono::seconds fresh_for{60};
  // Configurations come and go, providers of old ones stay behind; beyond this the one asked longest ago
  // goes.
  static constexpr std::size_t providers_max = 64;

  // Null where nothing fresh is known. The key stands for all that an answer depends on: the endpoint and
  // whose credential asks.
  ids find(const std::string& key, foundation::instant now) const;
  // Only good answers belong here.
  void keep(const std::string& key, ids answer, foundation::instant now);

 private:
  struct entry {
    ids answer;
    foundation::instant asked;
  };
  mutable std::mutex mutex_;
  std::map<std::string, entry> entries_;  // guarded by mutex_
};

}  // namespace tidegate::gateway
