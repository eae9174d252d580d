// How stores answer. Every call of a port takes a `done` and calls it exactly once: on the caller's thread
// before the call returns, or later on a thread of the store's. It is called with no lock held, must not
// throw and must not wait for the store. A gateway's loop hands over a `done` that posts back to the loop.
#pragma once

#include <cstdint>
#include <exception>
#include <expected>
#include <functional>
#include <future>
#include <string>
#include <string_view>
#include <utility>

namespace tidegate::storage {

enum class store_problem : std::uint8_t {
  not_found,    // what the call names is not there
  conflict,     // a unique name or id is taken
  too_large,    // beyond a bound that the port states
  overloaded,   // the queue is full; nothing was done
  timed_out,    // a read that took longer than the store allows one
  no_key,       // it would have to be sealed, and there is no master key
  unavailable,  // the store cannot read or write; nothing was done
};

// "unavailable"
std::string_view name_of(store_problem problem);

struct store_failure {
  store_problem problem = store_problem::unavailable;
  // For an operator's log; holds names of tables and of system errors, never a stored value.
  std::string message;
};

template <typename T>
using result = std::expected<T, store_failure>;

template <typename T>
using done = std::move_only_function<void(result<T>)>;

inline std::unexpected<store_failure> fail(store_problem problem, std::string message) {
  return std::unexpected{store_failure{problem, std::move(message)}};
}

// Waits for the answer of one call, for start-up, commands and tests; never for a loop.
//   const auto keys = wait_for<std::vector<client_key>>([&](auto answer) { store.list(std::move(answer)); });
template <typename T, typename Start>
result<T> wait_for(Start start) {
  std::promise<result<T>> given;
  std::future<result<T>> taken = given.get_future();
  start(done<T>{[&given](result<T> answer) { given.set_value(std::move(answer)); }});
  return taken.get();
}

}  // namespace tidegate::storage
