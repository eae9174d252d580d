// Prices of the models that are called, found once a minute each: looking through the catalogue takes longer
// than everything else a guard does. Bounded, for model names come from callers. Thread safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "foundation/random.h"
#include "foundation/time.h"
#include "policy/keyed_hash.h"
#include "policy/pricing.h"

namespace tidegate::gateway {

class price_cache {
 public:
  static constexpr std::size_t models_max = 4'096;

  // As price_book::find; null for an unknown model. Of one provider: `target` differs by its model only.
  std::shared_ptr<const policy::model_price> find(const policy::price_book& book,
                                                  const policy::priced_target& target,
                                                  foundation::wall_time now) {
    const std::int64_t minute = std::chrono::floor<std::chrono::minutes>(now).time_since_epoch().count();
    const std::lock_guard lock{mutex_};
    const auto known = prices_.find(target.model);
    if (known != prices_.end() && known->second.minute == minute) return known->second.price;
    std::shared_ptr<const policy::model_price> price;
    if (auto found = book.find(target, now))
      price = std::make_shared<const policy::model_price>(std::move(*found));
    if (prices_.size() >= models_max) prices_.clear();
    prices_.insert_or_assign(std::string{target.model}, entry{price, minute});
    return price;
  }

 private:
  struct entry {
    std::shared_ptr<const policy::model_price> price;
    std::int64_t minute;
  };
  std::mutex mutex_;
  // Guarded by mutex_.
  std::unordered_map<std::string, entry, policy::keyed_hash, std::equal_to<>> prices_{
      16, policy::keyed_hash{foundation::system_seed()}};
};

}  // namespace tidegate::gateway
