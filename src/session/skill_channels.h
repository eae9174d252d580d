// skill:registry:list, read, toggle (PRM-1).
#pragma once

#include <span>
#include <vector>

#include "session/channels.h"
#include "session/skill_registry.h"
#include "storage/setting_store.h"

namespace tidegate::session {

// In the setting store under "skill-toggle/<full id>", as true or false.
inline constexpr std::string_view toggle_prefix = "skill-toggle/";
// What a registry starts with; entries that are none of ours are left out.
skill_toggles read_toggles(std::span<const storage::setting> stored);

class skill_channels {
 public:
  // Both must outlive it.
  skill_channels(skill_registry& skills, storage::setting_store& settings, const foundation::clock& time)
      : skills_{skills}, settings_{settings}, time_{time} {}
  std::vector<binding> bindings();

 private:
  runtime::task<channel_reply> list(json::value request, request_context& context);
  runtime::task<channel_reply> read(json::value request, request_context& context);
  runtime::task<channel_reply> toggle(json::value request, request_context& context);

  skill_registry& skills_;
  storage::setting_store& settings_;
  const foundation::clock& time_;
};

}  // namespace tidegate::session
