// Client keys (SEC-1): their text, and the MAC under which a store knows them. The text itself is shown once,
// at its making, and kept nowhere.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "storage/seal.h"

namespace tidegate::storage {

// "tg-", base64url of 32 random bytes without padding (43 characters), and 6 characters of checksum:
// base64url of the big-endian CRC-32 (as in zlib) of those 43 characters. A mistyped or cut key is so told
// from an unknown one, by scanners of leaked keys too.
inline constexpr std::size_t client_key_length = 3 + 43 + 6;

std::string format_client_key(std::span<const std::uint8_t, 32> random);
// From the system's generator.
std::string make_client_key();
// Prefix, alphabet, length and checksum; says nothing about whether anyone knows the key.
bool well_formed_client_key(std::string_view text);

using mac_bytes = std::array<std::uint8_t, 32>;

// "hmac-sha256:" and 64 lowercase hex digits, as in [[key]] hash.
std::string format_mac(const mac_bytes& mac);
// Also takes upper-case digits.
std::optional<mac_bytes> parse_mac(std::string_view text);
// The time taken tells nothing of where they differ.
bool equal_macs(const mac_bytes& a, const mac_bytes& b);

// HMAC-SHA-256 (RFC 2104) with the key's two padded blocks hashed once: a client key's text then costs two
// blocks. Thread safe.
class key_mac {
 public:
  explicit key_mac(std::span<const std::uint8_t> key);
  // Under the master key's subkey for client keys.
  static std::optional<key_mac> of(const master_key& key);
  key_mac(key_mac&&) noexcept;
  key_mac& operator=(key_mac&&) noexcept;
  ~key_mac();

  mac_bytes of_text(std::string_view text) const;

 private:
  struct states;
  std::unique_ptr<states> states_;
};

}  // namespace tidegate::storage
