// What the parts of the keyring share: how it refuses, and how it counts what is under way.
#pragma once

#include <algorithm>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include "app/keyring.h"
#include "foundation/error.h"
#include "protocol/json/json.h"

namespace tidegate::app::keyring_inside {

using foundation::error_code;
using foundation::failure;

// Of ids of [[key]].
inline constexpr std::string_view configured_prefix = "config:";

inline failure make_failure(error_code code, std::string message) {
  failure f;
  f.code = code;
  f.message = std::move(message);
  return f;
}

inline std::unexpected<failure> refuse(error_code code, std::string message) {
  return std::unexpected{make_failure(code, std::move(message))};
}

inline std::unexpected<failure> refuse_field(std::string_view field, std::string_view expected) {
  failure f =
      make_failure(error_code::invalid_argument, std::string{field} + ": expected " + std::string{expected});
  protocol::json::writer w{f.details};
  w.begin_object().member("fieldName", field).end_object();
  return std::unexpected{std::move(f)};
}

inline failure of_store(const storage::store_failure& why) {
  switch (why.problem) {
    case storage::store_problem::not_found:
      return make_failure(error_code::not_found, why.message);
    case storage::store_problem::conflict:
      return make_failure(error_code::conflict, "the name is taken by a key that is not revoked");
    case storage::store_problem::too_large:
      return make_failure(error_code::invalid_argument, why.message);
    case storage::store_problem::overloaded:
      return make_failure(error_code::server_overloaded, why.message);
    case storage::store_problem::no_key:
      return make_failure(error_code::unsupported, why.message);
    case storage::store_problem::timed_out:
    case storage::store_problem::unavailable:
      break;
  }
  return make_failure(error_code::db_error, why.message);
}

inline bool is_printable(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

}  // namespace tidegate::app::keyring_inside

namespace tidegate::app {

// Counts a call of the store that is under way; the keyring stays until the last has gone.
class keyring::call {
 public:
  explicit call(keyring& of) : of_{&of} {
    const std::scoped_lock lock{of.mutex_};
    ++of.under_way_;
  }
  call(call&& other) noexcept : of_{std::exchange(other.of_, nullptr)} {}
  call& operator=(call&&) = delete;
  ~call() {
    if (of_ == nullptr) return;
    const std::scoped_lock lock{of_->mutex_};
    // Under the lock: behind it the keyring may be gone.
    if (--of_->under_way_ == 0) of_->idle_.notify_all();
  }

 private:
  keyring* of_;
};

// A store's answer, taken where waiting is allowed.
template <typename T, typename Then>
storage::done<T> keyring::answered(Then then) {
  return [this, held = call{*this}, then = std::move(then)](storage::result<T> given) mutable {
    elsewhere([held = std::move(held), then = std::move(then), given = std::move(given)]() mutable {
      then(std::move(given));
    });
  };
}

}  // namespace tidegate::app
