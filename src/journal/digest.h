// SHA-256 (FIPS 180-4) and its text form.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tidegate::journal {

using digest = std::array<std::byte, 32>;

// Keeps the algorithm and a context at hand: with OpenSSL 3 that is several times faster than its one-shot
// call on short inputs. Not thread safe.
class hasher {
 public:
  hasher();
  ~hasher();
  hasher(const hasher&) = delete;
  hasher& operator=(const hasher&) = delete;
  digest operator()(std::string_view bytes);

 private:
  struct openssl;
  std::unique_ptr<openssl> state_;
};

// Lowercase hexadecimal, two digits a byte.
std::string to_hex(std::string_view bytes);
std::string to_hex(const digest& value);
// `size` bytes from twice as many lowercase digits; nothing for any other text.
std::optional<std::string> from_hex(std::string_view text, std::size_t size);
std::optional<digest> digest_from_hex(std::string_view text);
std::string_view as_text(const digest& value);

}  // namespace tidegate::journal
