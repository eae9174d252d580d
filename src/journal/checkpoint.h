// Signed checkpoints: who holds the public key can tell that a journal still begins with the records that a
// checkpoint counted. Ed25519 (RFC 8032).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "foundation/time.h"
#include "journal/digest.h"
#include "journal/files.h"

namespace tidegate::journal {

inline constexpr std::string_view checkpoints_name = "checkpoints.jsonl";
inline constexpr std::string_view signing_key_name = "signing.key";

using public_key = std::array<std::byte, 32>;
using signature = std::array<std::byte, 64>;

struct checkpoint {
  // The sequence of the last record it covers, and that record's hash.
  std::uint64_t count = 0;
  digest head{};
  foundation::wall_time time;
  public_key signer{};
  signature signed_by{};
};

// The one text of a checkpoint: the payload of its record, and its line in checkpoints.jsonl.
std::string to_line(const checkpoint& c);
// Only what to_line makes, to the byte.
std::optional<checkpoint> checkpoint_of_line(std::string_view line);
// The byte string that is signed.
std::string signed_bytes(const checkpoint& c);

// Verifies signatures of one key; keeps it parsed.
class verifier {
 public:
  explicit verifier(const public_key& key);
  ~verifier();
  verifier(verifier&&) noexcept;
  verifier& operator=(verifier&&) noexcept;
  const public_key& key() const { return key_; }
  // False as well for a checkpoint of another key.
  bool holds(const checkpoint& c) const;

 private:
  public_key key_;
  void* handle_;  // EVP_PKEY
};

class signing_key {
 public:
  using seed = std::array<std::byte, 32>;

  explicit signing_key(const seed& secret);
  ~signing_key();
  signing_key(signing_key&&) noexcept;
  signing_key& operator=(signing_key&&) = delete;

  // A fresh seed from the operating system.
  static seed make_seed();
  const public_key& verifying() const { return public_; }
  // Fills in signer and signature.
  void sign(checkpoint& c) const;
  // HKDF-SHA-256 (RFC 5869) of the seed with the salt "tidegate-journal-derive-v1" and `label` as info.
  std::array<std::byte, 32> derive(std::string_view label) const;

 private:
  seed seed_;
  public_key public_{};
  void* handle_;  // EVP_PKEY
};

// The file's text: 64 lowercase hexadecimal digits and a line end.
std::optional<signing_key::seed> parse_seed(std::string_view text);
std::string format_seed(const signing_key::seed& seed);

}  // namespace tidegate::journal
