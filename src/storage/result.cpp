#include "storage/result.h"

namespace tidegate::storage {

std::string_view name_of(store_problem problem) {
  switch (problem) {
    case store_problem::not_found:
      return "not_found";
    case store_problem::conflict:
      return "conflict";
    case store_problem::too_large:
      return "too_large";
    case store_problem::overloaded:
      return "overloaded";
    case store_problem::timed_out:
      return "timed_out";
    case store_problem::no_key:
      return "no_key";
    case store_problem::unavailable:
      return "unavailable";
  }
  return "";
}

}  // namespace tidegate::storage
