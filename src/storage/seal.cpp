#include "storage/seal.h"

#include <openssl/evp.h>
#include <sodium.h>

#include <climits>
#include <cstring>
#include <utility>

#include "foundation/check.h"
#include "foundation/text.h"

namespace tidegate::storage {
namespace {

constexpr std::uint8_t sealed_version = 1;
constexpr std::size_t nonce_bytes = 24;
// From here on OpenSSL is the faster of the two.
constexpr std::size_t long_text = 4'096;

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

// Nonces are public, so a thread may draw many at once: a call of the system for each costs more than the
// sealing of a short text.
void draw_nonce(unsigned char* to) {
  struct pool {
    std::array<unsigned char, 64 * nonce_bytes> drawn;
    std::size_t left = 0;
  };
  thread_local pool mine;
  if (mine.left == 0) {
    ::randombytes_buf(mine.drawn.data(), mine.drawn.size());
    mine.left = mine.drawn.size();
  }
  mine.left -= nonce_bytes;
  std::memcpy(to, mine.drawn.data() + mine.left, nonce_bytes);
}

void encrypt_with_sodium(unsigned char* to, std::string_view plain, std::string_view record_id,
                         const unsigned char* nonce, const unsigned char* key) {
  const int sealed = ::crypto_aead_xchacha20poly1305_ietf_encrypt(
      to, nullptr, bytes_of(plain), plain.size(), bytes_of(record_id), record_id.size(), nullptr, nonce, key);
  TG_CHECK(sealed == 0);
}

// The same bytes by the definition of XChaCha (draft-irtf-cfrg-xchacha-03, section 2.3): ChaCha20-Poly1305
// under a key derived by HChaCha20 from the first 16 bytes of the nonce. OpenSSL takes longer to begin, and
// then less than half the time a byte.
void encrypt_with_openssl(unsigned char* to, std::string_view plain, std::string_view record_id,
                          const unsigned char* nonce, const unsigned char* key) {
  static EVP_CIPHER* const cipher = ::EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
  // An OpenSSL that is set up for approved algorithms only has none.
  if (cipher == nullptr) return encrypt_with_sodium(to, plain, record_id, nonce, key);
  std::array<unsigned char, crypto_core_hchacha20_OUTPUTBYTES> derived;
  ::crypto_core_hchacha20(derived.data(), nonce, key, nullptr);
  std::array<unsigned char, 12> short_nonce{};
  std::memcpy(short_nonce.data() + 4, nonce + 16, 8);
  // Freeing wipes it.
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&::EVP_CIPHER_CTX_free)> context{::EVP_CIPHER_CTX_new(),
                                                                                  ::EVP_CIPHER_CTX_free};
  int length = 0;
  const bool sealed =
      context != nullptr &&
      ::EVP_EncryptInit_ex2(context.get(), cipher, derived.data(), short_nonce.data(), nullptr) == 1 &&
      ::EVP_EncryptUpdate(context.get(), nullptr, &length, bytes_of(record_id),
                          static_cast<int>(record_id.size())) == 1 &&
      ::EVP_EncryptUpdate(context.get(), to, &length, bytes_of(plain), static_cast<int>(plain.size())) == 1 &&
      ::EVP_EncryptFinal_ex(context.get(), to + plain.size(), &length) == 1 &&
      ::EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, 16, to + plain.size()) == 1;
  ::sodium_memzero(derived.data(), derived.size());
  TG_CHECK(sealed);
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
  static_assert(overhead == 1 + nonce_bytes + 16);
  const unsigned char* const key = key_.bytes().data();
  std::string out;
  out.resize_and_overwrite(overhead + plain.size(), [&](char* bytes, std::size_t) {
    auto* const at = reinterpret_cast<unsigned char*>(bytes);
    at[0] = sealed_version;
    draw_nonce(at + 1);
    const bool is_long = plain.size() >= long_text && plain.size() <= INT_MAX;
    (is_long ? encrypt_with_openssl : encrypt_with_sodium)(at + 1 + nonce_bytes, plain, record_id, at + 1,
                                                           key);
    return overhead + plain.size();
  });
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
