// Secrets at rest (CFG-4): one 32-byte master key, subkeys derived from it by label, and sealing with
// XChaCha20-Poly1305 (IETF construction, draft-irtf-cfrg-xchacha-03). Key material lives in locked, guarded
// pages that are wiped when freed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tidegate::storage {

inline constexpr std::size_t secret_key_bytes = 32;

// 32 bytes of key material that are never swapped out or dumped and are wiped in the end. Never empty unless
// moved from.
class secret_key {
 public:
  // Copies; the caller wipes its own. Nothing when no locked page is to be had.
  static std::optional<secret_key> of(std::span<const std::uint8_t, secret_key_bytes> bytes);
  static std::optional<secret_key> random();

  std::span<const std::uint8_t, secret_key_bytes> bytes() const;

 private:
  struct release {
    void operator()(std::uint8_t* page) const;
  };
  explicit secret_key(std::unique_ptr<std::uint8_t, release> page) : page_{std::move(page)} {}
  static std::optional<secret_key> blank();
  std::unique_ptr<std::uint8_t, release> page_;
};

// What a subkey is for. The labels are part of the format on disk.
enum class key_use : std::uint8_t { sealing, client_keys, fingerprint };

class master_key {
 public:
  explicit master_key(secret_key key) : key_{std::move(key)} {}

  // The documented forms of TIDEGATE_MASTER_KEY and of the file's one line: 64 hex digits, or base64 or
  // base64url of 32 bytes (43 characters, or 44 with '='). Blanks around it are ignored.
  static std::optional<master_key> parse(std::string_view text);
  static std::optional<master_key> random();

  // BLAKE2b (crypto_kdf) of the master key under a label; the same for ever.
  std::optional<secret_key> subkey(key_use use) const;
  // 16 hex digits that tell whether two master keys are the same and nothing else.
  std::string fingerprint() const;
  // 64 hex digits, for the file.
  std::string to_hex() const;

 private:
  secret_key key_;
};

// Overwrites the content in a way that no optimiser removes.
void wipe(std::string& text);

// Where a master key comes from: the environment's text (a set and empty one is malformed) before the file.
struct master_key_source {
  std::optional<std::string> environment;
  std::string file;
};

// The key, nothing where the file does not exist, or why there is none to use: unreadable, a mode that lets
// others in, not a regular file, malformed. Messages name the place, never the content.
std::expected<std::optional<master_key>, std::string> find_master_key(const master_key_source& from);
// The same, made where it does not exist: whole or not at all, mode 0600, synced with its folder. Of two
// processes that make it at once both get the same one.
std::expected<master_key, std::string> find_or_make_master_key(const master_key_source& from);

// Seals and opens. Thread safe; copies of a sealer are not needed: share one.
class sealer {
 public:
  static std::optional<sealer> of(const master_key& key);

  // What seal() adds: a version byte, 24 bytes nonce, 16 bytes tag.
  static constexpr std::size_t overhead = 1 + 24 + 16;

  // `record_id` says what the text is ("secret/openai"): what was sealed for one record opens for no other.
  std::string seal(std::string_view record_id, std::string_view plain) const;
  // Nothing where it was altered, belongs to another record or another key, or has an unknown version.
  std::optional<std::string> unseal(std::string_view record_id, std::string_view sealed) const;

 private:
  explicit sealer(secret_key key) : key_{std::move(key)} {}
  secret_key key_;
};

}  // namespace tidegate::storage
