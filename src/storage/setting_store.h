// Port: what operators change at run time (provider overrides, toggles, guard totals), each a JSON text under
// a name. The store does not look into the text. What a call reports done survives a power loss.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "foundation/time.h"
#include "storage/result.h"

namespace tidegate::storage {

using foundation::wall_time;

inline constexpr std::size_t settings_max = 10'000;
inline constexpr std::size_t setting_text_max = 256UL * 1024;

// No text: the setting is removed (also where there is none).
struct setting_change {
  std::string name;
  std::optional<std::string> json;
};

// A sealed secret that changes together with settings; nothing removes it.
struct secret_change {
  std::string name;
  std::optional<std::string> sealed;
};

struct setting {
  std::string name;
  std::string json;
  bool operator==(const setting&) const = default;
};

class setting_store {
 public:
  virtual ~setting_store() = default;
  // All of the changes or none (CFG-6: a provider's override and its key are one change). too_large: a text
  // is over `setting_text_max` or `sealed_secret_max`, or there would be more than `settings_max` settings.
  virtual void apply(std::vector<setting_change> changes, std::vector<secret_change> secrets, wall_time at,
                     done<void> answer) = 0;
  // Names that begin with `prefix`, by name (bytewise).
  virtual void list(std::string prefix, done<std::vector<setting>> answer) = 0;
  virtual void get(std::string name, done<std::optional<std::string>> answer) = 0;
};

}  // namespace tidegate::storage
