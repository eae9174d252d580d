// Who a caller is and what it may touch (SEC-1, SEC-2): an immutable table of client keys by their
// HMAC-SHA-256.
//
// Built once per configuration and published as a snapshot; readers need no lock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate::policy {

enum class caller_role : std::uint8_t { client, admin };

struct principal {
  std::string id;    // of the stored key; the name for keys of the configuration
  std::string name;  // what limits and budgets are kept under
  std::string policy = "default";
  caller_role role = caller_role::client;
  bool enabled = true;
  std::vector<std::string> projects{"*"};  // "*" grants all
  std::vector<std::string> channels{"*"};
};

using key_mac = std::array<std::byte, 32>;

struct key_entry {
  key_mac mac{};
  principal who;
};

class key_table {
 public:
  key_table() = default;
  // Of two entries with the same HMAC the first counts.
  explicit key_table(std::vector<key_entry> entries);

  // The enabled principal whose key has this HMAC; nothing when unknown, revoked or disabled. The time taken
  // does not depend on how much of a stored HMAC agrees with the one given, beyond the 8 bytes that find its
  // place: those say nothing about the key, for only the server can compute an HMAC of its choice.
  const principal* find(std::span<const std::byte, 32> mac) const noexcept;
  // No keys are defined at all; disabled ones count as defined.
  bool empty() const noexcept { return entries_.empty(); }
  std::size_t size() const noexcept { return entries_.size(); }
  // In no particular order.
  std::span<const key_entry> entries() const noexcept { return entries_; }

 private:
  std::vector<key_entry> entries_;  // by the first 8 bytes of the HMAC
};

// Every caller where no keys are defined: key `local`, role admin, policy `default`, all projects and
// channels.
principal local_principal();

bool may_use_project(const principal& who, std::string_view project) noexcept;
bool may_use_channel(const principal& who, std::string_view channel) noexcept;
// Channels that only an admin may call (SEC-2).
bool needs_admin(std::string_view channel) noexcept;

}  // namespace tidegate::policy
