// The low-level SHA-256 is deprecated in OpenSSL 3 for want of providers, not of safety; it is the only one
// whose state can be copied without an allocation (EVP costs three times as much a call).
#define OPENSSL_SUPPRESS_DEPRECATED

#include "storage/client_key.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sodium.h>

#include <algorithm>

namespace tidegate::storage {
namespace {

constexpr std::string_view prefix = "tg-";
constexpr std::size_t body_length = 43;
constexpr std::size_t checksum_length = 6;
constexpr std::string_view mac_prefix = "hmac-sha256:";

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb88320U : 0U);
    table[i] = value;
  }
  return table;
}

constexpr auto crc_table = make_crc_table();

std::uint32_t crc32_of(std::string_view text) {
  std::uint32_t crc = 0xffffffffU;
  for (const char c : text) crc = crc_table[(crc ^ static_cast<unsigned char>(c)) & 0xff] ^ (crc >> 8);
  return ~crc;
}

constexpr char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// RFC 4648 section 5, without padding.
std::string base64url_of(std::span<const std::uint8_t> bytes) {
  std::string out;
  out.reserve((bytes.size() * 4 + 2) / 3);
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const std::uint8_t b : bytes) {
    bits = (bits << 8) | b;
    for (count += 8; count >= 6; count -= 6) out += alphabet[(bits >> (count - 6)) & 63];
  }
  if (count > 0) out += alphabet[(bits << (6 - count)) & 63];
  return out;
}

bool is_base64url(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

std::string checksum_of(std::string_view body) {
  const std::uint32_t crc = crc32_of(body);
  const std::array<std::uint8_t, 4> big_endian{
      static_cast<std::uint8_t>(crc >> 24), static_cast<std::uint8_t>(crc >> 16),
      static_cast<std::uint8_t>(crc >> 8), static_cast<std::uint8_t>(crc)};
  return base64url_of(big_endian);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string format_client_key(std::span<const std::uint8_t, 32> random) {
  const std::string body = base64url_of(random);
  return std::string{prefix} + body + checksum_of(body);
}

std::string make_client_key() {
  std::array<std::uint8_t, 32> bytes{};
  ::randombytes_buf(bytes.data(), bytes.size());
  std::string text = format_client_key(bytes);
  ::sodium_memzero(bytes.data(), bytes.size());
  return text;
}

bool well_formed_client_key(std::string_view text) {
  if (text.size() != client_key_length || !text.starts_with(prefix)) return false;
  const std::string_view body = text.substr(prefix.size(), body_length);
  return std::ranges::all_of(body, is_base64url) &&
         checksum_of(body) == text.substr(prefix.size() + body_length, checksum_length);
}

std::string format_mac(const mac_bytes& mac) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text{mac_prefix};
  for (const std::uint8_t b : mac) {
    text += digits[b >> 4];
    text += digits[b & 15];
  }
  return text;
}

std::optional<mac_bytes> parse_mac(std::string_view text) {
  mac_bytes mac{};
  if (!text.starts_with(mac_prefix)) return std::nullopt;
  text.remove_prefix(mac_prefix.size());
  if (text.size() != mac.size() * 2) return std::nullopt;
  for (std::size_t i = 0; i < mac.size(); ++i) {
    const int high = hex_digit(text[2 * i]);
    const int low = hex_digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    mac[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return mac;
}

bool equal_macs(const mac_bytes& a, const mac_bytes& b) {
  return ::CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

struct key_mac::states {
  SHA256_CTX inner;
  SHA256_CTX outer;
  ~states() { ::OPENSSL_cleanse(this, sizeof *this); }
};

key_mac::key_mac(std::span<const std::uint8_t> key) : states_{std::make_unique<states>()} {
  std::array<std::uint8_t, SHA256_CBLOCK> block{};
  if (key.size() > block.size()) {
    ::SHA256(key.data(), key.size(), block.data());
  } else {
    std::ranges::copy(key, block.begin());
  }
  for (auto& b : block) b ^= 0x36;
  ::SHA256_Init(&states_->inner);
  ::SHA256_Update(&states_->inner, block.data(), block.size());
  for (auto& b : block) b ^= 0x36 ^ 0x5c;
  ::SHA256_Init(&states_->outer);
  ::SHA256_Update(&states_->outer, block.data(), block.size());
  ::OPENSSL_cleanse(block.data(), block.size());
}

std::optional<key_mac> key_mac::of(const master_key& key) {
  const auto sub = key.subkey(key_use::client_keys);
  if (!sub) return std::nullopt;
  return key_mac{sub->bytes()};
}

key_mac::key_mac(key_mac&&) noexcept = default;
key_mac& key_mac::operator=(key_mac&&) noexcept = default;
key_mac::~key_mac() = default;

mac_bytes key_mac::of_text(std::string_view text) const {
  mac_bytes mac{};
  SHA256_CTX state = states_->inner;
  ::SHA256_Update(&state, text.data(), text.size());
  ::SHA256_Final(mac.data(), &state);
  state = states_->outer;
  ::SHA256_Update(&state, mac.data(), mac.size());
  ::SHA256_Final(mac.data(), &state);
  return mac;
}

}  // namespace tidegate::storage
