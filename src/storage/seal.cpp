#include "storage/seal.h"

#include <sodium.h>

#include <utility>

#include "foundation/check.h"
#include "foundation/text.h"

namespace tidegate::storage {
namespace {

constexpr std::uint8_t sealed_version = 1;

bool sodium_ready() {
  static const bool ready = ::sodium_init() >= 0;
  return ready;
}

// Eight bytes each, as crypto_kdf asks.
const char* label_of(key_use use) {
  switch (use) {
    case key_use::sealing:
      return "tg-seal1";
    case key_use::client_keys:
      return "tg-keys1";
    case key_use::fingerprint:
      return "tg-name1";
  }
  return "";
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

bool decode_hex(std::string_view text, std::span<std::uint8_t, secret_key_bytes> out) {
  std::size_t length = 0;
  return ::sodium_hex2bin(out.data(), out.size(), text.data(), text.size(), nullptr, &length, nullptr) == 0 &&
         length == out.size();
}

bool decode_base64(std::string_view text, int variant, std::span<std::uint8_t, secret_key_bytes> out) {
  std::size_t length = 0;
  const char* end = nullptr;
  return ::sodium_base642bin(out.data(), out.size(), text.data(), text.size(), nullptr, &length, &end,
                             variant) == 0 &&
         length == out.size() && end == text.data() + text.size();
}

bool decode(std::string_view text, std::span<std::uint8_t, secret_key_bytes> out) {
  switch (text.size()) {
    case 64:
      return decode_hex(text, out);
    case 43:
      return decode_base64(text, sodium_base64_VARIANT_ORIGINAL_NO_PADDING, out) ||
             decode_base64(text, sodium_base64_VARIANT_URLSAFE_NO_PADDING, out);
    case 44:
      return decode_base64(text, sodium_base64_VARIANT_ORIGINAL, out) ||
             decode_base64(text, sodium_base64_VARIANT_URLSAFE, out);
    default:
      return false;
  }
}

std::string hex_of(std::span<const std::uint8_t> bytes) {
  std::string text(bytes.size() * 2 + 1, '\0');
  ::sodium_bin2hex(text.data(), text.size(), bytes.data(), bytes.size());
  text.pop_back();
  return text;
}

}  // namespace

void secret_key::release::operator()(std::uint8_t* page) const { ::sodium_free(page); }

std::optional<secret_key> secret_key::blank() {
  if (!sodium_ready()) return std::nullopt;
  // Locks where the process may lock at all (RLIMIT_MEMLOCK), and keeps the page out of core dumps.
  std::unique_ptr<std::uint8_t, release> page{static_cast<std::uint8_t*>(::sodium_malloc(secret_key_bytes))};
  if (page == nullptr) return std::nullopt;
  return secret_key{std::move(page)};
}

std::optional<secret_key> secret_key::of(std::span<const std::uint8_t, secret_key_bytes> bytes) {
  auto made = blank();
  if (made) std::copy(bytes.begin(), bytes.end(), made->page_.get());
  return made;
}

std::optional<secret_key> secret_key::random() {
  auto made = blank();
  if (made) ::randombytes_buf(made->page_.get(), secret_key_bytes);
  return made;
}

std::span<const std::uint8_t, secret_key_bytes> secret_key::bytes() const {
  TG_CHECK(page_ != nullptr);
  return std::span<const std::uint8_t, secret_key_bytes>{page_.get(), secret_key_bytes};
}

std::optional<master_key> master_key::parse(std::string_view text) {
  if (!sodium_ready()) return std::nullopt;
  std::array<std::uint8_t, secret_key_bytes> bytes{};
  std::optional<master_key> made;
  if (decode(foundation::trim(text), bytes)) {
    if (auto key = secret_key::of(bytes)) made.emplace(std::move(*key));
  }
  ::sodium_memzero(bytes.data(), bytes.size());
  return made;
}

std::optional<master_key> master_key::random() {
  auto key = secret_key::random();
  if (!key) return std::nullopt;
  return master_key{std::move(*key)};
}

std::optional<secret_key> master_key::subkey(key_use use) const {
  static_assert(crypto_kdf_KEYBYTES == secret_key_bytes);
  std::array<std::uint8_t, secret_key_bytes> bytes{};
  const int derived =
      ::crypto_kdf_derive_from_key(bytes.data(), bytes.size(), 1, label_of(use), key_.bytes().data());
  TG_CHECK(derived == 0);
  auto made = secret_key::of(bytes);
  ::sodium_memzero(bytes.data(), bytes.size());
  return made;
}

std::string master_key::fingerprint() const {
  const auto named = subkey(key_use::fingerprint);
  return named ? hex_of(named->bytes().first<8>()) : std::string{};
}

std::string master_key::to_hex() const { return hex_of(key_.bytes()); }

void wipe(std::string& text) {
  ::sodium_memzero(text.data(), text.size());
  text.clear();
}

std::optional<sealer> sealer::of(const master_key& key) {
  auto sub = key.subkey(key_use::sealing);
  if (!sub) return std::nullopt;
  return sealer{std::move(*sub)};
}

std::string sealer::seal(std::string_view record_id, std::string_view plain) const {
  static_assert(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES == 24);
  static_assert(crypto_aead_xchacha20poly1305_ietf_ABYTES == 16);
  std::string out(overhead + plain.size(), '\0');
  unsigned char* const at = bytes_of(out);
  at[0] = sealed_version;
  ::randombytes_buf(at + 1, 24);
  const int sealed = ::crypto_aead_xchacha20poly1305_ietf_encrypt(
      at + 25, nullptr, bytes_of(plain), plain.size(), bytes_of(record_id), record_id.size(), nullptr, at + 1,
      key_.bytes().data());
  TG_CHECK(sealed == 0);
  return out;
}

std::optional<std::string> sealer::unseal(std::string_view record_id, std::string_view sealed) const {
  if (sealed.size() < overhead || bytes_of(sealed)[0] != sealed_version) return std::nullopt;
  std::string plain(sealed.size() - overhead, '\0');
  const unsigned char* const at = bytes_of(sealed);
  if (::crypto_aead_xchacha20poly1305_ietf_decrypt(bytes_of(plain), nullptr, nullptr, at + 25,
                                                   sealed.size() - 25, bytes_of(record_id), record_id.size(),
                                                   at + 1, key_.bytes().data()) != 0) {
    return std::nullopt;
  }
  return plain;
}

}  // namespace tidegate::storage
