#include "policy/access.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace tidegate::policy {

namespace {

constexpr std::size_t place_bytes = 8;

std::uint64_t place_of(std::span<const std::byte, 32> mac) noexcept {
  std::uint64_t place = 0;
  for (const std::byte b : mac.first<place_bytes>()) place = place << 8U | std::to_integer<std::uint64_t>(b);
  return place;
}

bool equal_in_constant_time(std::span<const std::byte, 32> a, std::span<const std::byte, 32> b) noexcept {
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) difference |= std::to_integer<unsigned>(a[i] ^ b[i]);
  return difference == 0;
}

bool granted(const std::vector<std::string>& names, std::string_view wanted) noexcept {
  return std::ranges::any_of(names, [&](const std::string& name) { return name == "*" || name == wanted; });
}

}  // namespace

key_table::key_table(std::vector<key_entry> entries) {
  std::vector<std::size_t> order(entries.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return std::pair{place_of(entries[i].mac), i}; });
  entries_.reserve(entries.size());
  for (const std::size_t i : order) entries_.push_back(std::move(entries[i]));
}

const principal* key_table::find(std::span<const std::byte, 32> mac) const noexcept {
  const auto candidates = std::ranges::equal_range(entries_, place_of(mac), {},
                                                   [](const key_entry& e) { return place_of(e.mac); });
  const principal* found = nullptr;
  for (const key_entry& candidate : candidates) {
    if (equal_in_constant_time(candidate.mac, mac) && found == nullptr) found = &candidate.who;
  }
  return found != nullptr && found->enabled ? found : nullptr;
}

principal local_principal() { return {.id = "local", .name = "local", .role = caller_role::admin}; }

bool may_use_project(const principal& who, std::string_view project) noexcept {
  return granted(who.projects, project);
}

bool may_use_channel(const principal& who, std::string_view channel) noexcept {
  return granted(who.channels, channel);
}

bool needs_admin(std::string_view channel) noexcept {
  constexpr std::array<std::string_view, 5> guarded{"ai:config:update", "skill:registry:toggle",
                                                    "cost:budget:update", "cost:budget:reset",
                                                    "cost:pricing:update"};
  return std::ranges::find(guarded, channel) != guarded.end();
}

}  // namespace tidegate::policy
