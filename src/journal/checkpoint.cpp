#include "journal/checkpoint.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <cstring>
#include <utility>

#include "foundation/check.h"
#include "foundation/text.h"
#include "protocol/json/json.h"

namespace tidegate::journal {

namespace {

namespace json = protocol::json;

template <std::size_t N>
std::string_view text_of(const std::array<std::byte, N>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), N};
}

template <std::size_t N>
const unsigned char* raw(const std::array<std::byte, N>& bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

template <std::size_t N>
unsigned char* raw(std::array<std::byte, N>& bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}

template <std::size_t N>
bool read_hex(const json::value& object, std::string_view key, std::array<std::byte, N>& into) {
  const auto member = object.find(key);
  const auto text = member ? member->as_plain_string() : std::nullopt;
  const auto bytes = text ? from_hex(*text, N) : std::nullopt;
  if (!bytes) return false;
  std::memcpy(into.data(), bytes->data(), N);
  return true;
}

void append_u64(std::string& out, std::uint64_t value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
}

EVP_PKEY* pkey(void* handle) { return static_cast<EVP_PKEY*>(handle); }

std::array<std::byte, 32> hmac(std::string_view key, std::string_view message) {
  std::array<std::byte, 32> out;
  unsigned size = 0;
  const unsigned char* done =
      HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(message.data()), message.size(), raw(out), &size);
  TG_CHECK(done != nullptr && size == out.size());
  return out;
}

}  // namespace

std::string to_line(const checkpoint& c) {
  std::string text;
  json::writer writer{text};
  writer.begin_object();
  writer.member("count", static_cast<std::int64_t>(c.count));
  writer.member("head", std::string_view{to_hex(c.head)});
  writer.member("time", static_cast<std::int64_t>(c.time.time_since_epoch().count()));
  writer.member("publicKey", std::string_view{to_hex(text_of(c.signer))});
  writer.member("signature", std::string_view{to_hex(text_of(c.signed_by))});
  writer.end_object();
  return text;
}

std::optional<checkpoint> checkpoint_of_line(std::string_view line) {
  const auto object = json::parse(line);
  if (!object || !object->is_object()) return std::nullopt;
  checkpoint c;
  const auto count = object->int_at("count");
  const auto time = object->int_at("time");
  if (!count || *count < 0 || !time) return std::nullopt;
  c.count = static_cast<std::uint64_t>(*count);
  c.time = foundation::wall_time{foundation::milliseconds{*time}};
  if (!read_hex(*object, "head", c.head) || !read_hex(*object, "publicKey", c.signer) ||
      !read_hex(*object, "signature", c.signed_by)) {
    return std::nullopt;
  }
  if (to_line(c) != line) return std::nullopt;
  return c;
}

std::string signed_bytes(const checkpoint& c) {
  std::string bytes{"tidegate-checkpoint-v1"};
  bytes += '\0';
  append_u64(bytes, c.count);
  append_u64(bytes, static_cast<std::uint64_t>(c.time.time_since_epoch().count()));
  bytes += text_of(c.head);
  bytes += text_of(c.signer);
  return bytes;
}

verifier::verifier(const public_key& key)
    : key_{key}, handle_{EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw(key), key.size())} {}

verifier::~verifier() { EVP_PKEY_free(pkey(handle_)); }

verifier::verifier(verifier&& other) noexcept
    : key_{other.key_}, handle_{std::exchange(other.handle_, nullptr)} {}

verifier& verifier::operator=(verifier&& other) noexcept {
  std::swap(key_, other.key_);
  std::swap(handle_, other.handle_);
  return *this;
}

bool verifier::holds(const checkpoint& c) const {
  if (c.signer != key_ || handle_ == nullptr) return false;
  const std::string bytes = signed_bytes(c);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  TG_CHECK(context != nullptr);
  const bool good = EVP_DigestVerifyInit(context, nullptr, nullptr, nullptr, pkey(handle_)) == 1 &&
                    EVP_DigestVerify(context, raw(c.signed_by), c.signed_by.size(),
                                     reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()) == 1;
  EVP_MD_CTX_free(context);
  return good;
}

signing_key::signing_key(const seed& secret)
    : seed_{secret},
      handle_{EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, raw(secret), secret.size())} {
  std::size_t size = public_.size();
  TG_CHECK(handle_ != nullptr && EVP_PKEY_get_raw_public_key(pkey(handle_), raw(public_), &size) == 1);
}

signing_key::~signing_key() {
  EVP_PKEY_free(pkey(handle_));
  OPENSSL_cleanse(seed_.data(), seed_.size());
}

signing_key::signing_key(signing_key&& other) noexcept
    : seed_{other.seed_}, public_{other.public_}, handle_{std::exchange(other.handle_, nullptr)} {}

signing_key::seed signing_key::make_seed() {
  seed made;
  TG_CHECK(RAND_priv_bytes(raw(made), static_cast<int>(made.size())) == 1);
  return made;
}

void signing_key::sign(checkpoint& c) const {
  c.signer = public_;
  const std::string bytes = signed_bytes(c);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  std::size_t size = c.signed_by.size();
  const bool done = context != nullptr &&
                    EVP_DigestSignInit(context, nullptr, nullptr, nullptr, pkey(handle_)) == 1 &&
                    EVP_DigestSign(context, raw(c.signed_by), &size,
                                   reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()) == 1;
  EVP_MD_CTX_free(context);
  TG_CHECK(done && size == c.signed_by.size());
}

std::array<std::byte, 32> signing_key::derive(std::string_view label) const {
  const auto extracted = hmac("tidegate-journal-derive-v1", text_of(seed_));
  return hmac(text_of(extracted), std::string{label} + '\x01');
}

std::optional<signing_key::seed> parse_seed(std::string_view text) {
  if (!text.ends_with('\n')) return std::nullopt;
  text.remove_suffix(1);
  return digest_from_hex(text);
}

std::string format_seed(const signing_key::seed& seed) { return to_hex(text_of(seed)) + '\n'; }

}  // namespace tidegate::journal
