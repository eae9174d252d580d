#include "journal/digest.h"

#include <openssl/evp.h>

#include <cstring>

#include "foundation/check.h"

namespace tidegate::journal {

struct hasher::openssl {
  EVP_MD* algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
};

hasher::hasher() : state_{std::make_unique<openssl>()} {
  TG_CHECK(state_->algorithm != nullptr && state_->context != nullptr);
}

hasher::~hasher() {
  EVP_MD_CTX_free(state_->context);
  EVP_MD_free(state_->algorithm);
}

digest hasher::operator()(std::string_view bytes) {
  digest out;
  unsigned size = 0;
  const bool done =
      EVP_DigestInit_ex2(state_->context, state_->algorithm, nullptr) == 1 &&
      EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1 &&
      EVP_DigestFinal_ex(state_->context, reinterpret_cast<unsigned char*>(out.data()), &size) == 1;
  TG_CHECK(done && size == out.size());
  return out;
}

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += digits[byte >> 4];
    text += digits[byte & 0x0FU];
  }
  return text;
}

std::string to_hex(const digest& value) { return to_hex(as_text(value)); }

std::optional<std::string> from_hex(std::string_view text, std::size_t size) {
  if (text.size() != size * 2) return std::nullopt;
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
  };
  std::string bytes;
  bytes.reserve(size);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = digit(text[i]);
    const int low = digit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

std::optional<digest> digest_from_hex(std::string_view text) {
  const auto bytes = from_hex(text, std::tuple_size_v<digest>);
  if (!bytes) return std::nullopt;
  digest value;
  std::memcpy(value.data(), bytes->data(), value.size());
  return value;
}

std::string_view as_text(const digest& value) {
  return {reinterpret_cast<const char*>(value.data()), value.size()};
}

}  // namespace tidegate::journal
