// Credentials are named in the configuration, never written there: `env:NAME`, `file:PATH`, `secret:NAME`
// (CFG-4). Nothing here puts a credential, or a text that may be one, into a message.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace tidegate::app {

enum class credential_source : std::uint8_t { none, environment, file, secret };

struct credential_reference {
  credential_source source = credential_source::none;
  // The variable, path or secret's name.
  std::string name;

  bool configured() const { return source != credential_source::none; }
  bool operator==(const credential_reference&) const = default;
};

// The reason a file_reader gives for a file that is not there, so that callers can tell.
inline constexpr std::string_view file_not_found = "no such file";

// The content of a file, or a reason fit for a message.
using file_reader = std::function<std::expected<std::string, std::string>(const std::string& path)>;

// "" is no credential. Anything but the three forms is refused with a message that does not repeat it.
std::expected<credential_reference, std::string> parse_credential(std::string_view text);
// "env:NAME", or "" for none: the reference, not what it stands for.
std::string to_text(const credential_reference& reference);

enum class credential_problem : std::uint8_t {
  not_configured,  // no reference at all (RES-3)
  blank,           // the variable is unset, or the source holds only blanks (RES-4)
  unreadable,      // the file cannot be read
  no_store,        // `secret:` and no sealed store to ask: counts as absent (CFG-4)
  not_stored,      // `secret:` and nothing of that name that can be unsealed: counts as absent
};

struct credential_failure {
  credential_problem problem = credential_problem::not_configured;
  // Names the reference, never the content.
  std::string message;
};

// What is sealed in the store under that name; nothing where there is none or it cannot be unsealed.
using secret_reader = std::function<std::optional<std::string>(std::string_view name)>;

// The credential itself, without surrounding blanks and line ends, never empty. A file is read up to 64 KiB.
std::expected<std::string, credential_failure> resolve_credential(
    const credential_reference& reference, const std::map<std::string, std::string, std::less<>>& env,
    const file_reader& read, const secret_reader& secrets = {});

}  // namespace tidegate::app
