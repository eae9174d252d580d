#include "app/credential.h"

#include <utility>

#include "foundation/text.h"

namespace tidegate::app {

namespace {

constexpr std::size_t credential_file_max = 64 * 1024;

struct credential_form {
  std::string_view prefix;
  credential_source source;
};

constexpr credential_form forms[] = {
    {"env:", credential_source::environment},
    {"file:", credential_source::file},
    {"secret:", credential_source::secret},
};

// A line end or NUL in a name would reach logs and system calls.
bool is_printable(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  return true;
}

std::unexpected<credential_failure> fail(credential_problem problem, std::string message) {
  return std::unexpected{credential_failure{problem, std::move(message)}};
}

std::expected<std::string, credential_failure> trimmed(const credential_reference& reference,
                                                       std::string_view text) {
  const std::string_view credential = foundation::trim(text);
  if (credential.empty()) return fail(credential_problem::blank, to_text(reference) + " is blank");
  // It becomes part of a header line.
  if (!is_printable(credential)) {
    return fail(credential_problem::unreadable,
                to_text(reference) + " holds control characters or several lines");
  }
  return std::string{credential};
}

std::expected<std::string, credential_failure> read_file(const credential_reference& reference,
                                                         const file_reader& read) {
  const auto content = read(reference.name);
  if (!content) return fail(credential_problem::unreadable, to_text(reference) + ": " + content.error());
  if (content->size() > credential_file_max) {
    return fail(credential_problem::unreadable, to_text(reference) + " is larger than 64 KiB");
  }
  return trimmed(reference, *content);
}

}  // namespace

std::expected<credential_reference, std::string> parse_credential(std::string_view text) {
  if (text.empty()) return credential_reference{};
  for (const credential_form& form : forms) {
    if (!text.starts_with(form.prefix)) continue;
    const std::string_view name = text.substr(form.prefix.size());
    if (foundation::trim(name).empty() || !is_printable(name)) {
      return std::unexpected{"\"" + std::string{form.prefix} + "\" needs a name behind the colon"};
    }
    return credential_reference{form.source, std::string{foundation::trim(name)}};
  }
  return std::unexpected{std::string{
      "a credential is never written here; name it as \"env:NAME\", \"file:PATH\" or \"secret:NAME\""}};
}

std::string to_text(const credential_reference& reference) {
  for (const credential_form& form : forms) {
    if (form.source == reference.source) return std::string{form.prefix} + reference.name;
  }
  return {};
}

std::expected<std::string, credential_failure> resolve_credential(
    const credential_reference& reference, const std::map<std::string, std::string, std::less<>>& env,
    const file_reader& read, const secret_reader& secrets) {
  switch (reference.source) {
    case credential_source::none:
      return fail(credential_problem::not_configured, "no credential is configured");
    case credential_source::environment: {
      const auto found = env.find(reference.name);
      if (found == env.end()) return fail(credential_problem::blank, to_text(reference) + " is not set");
      return trimmed(reference, found->second);
    }
    case credential_source::file:
      return read_file(reference, read);
    case credential_source::secret: {
      if (!secrets) {
        return fail(credential_problem::no_store,
                    to_text(reference) + ": there is no sealed store to read it from");
      }
      auto stored = secrets(reference.name);
      if (!stored) {
        return fail(credential_problem::not_stored,
                    to_text(reference) + " is not in the store; see `tidegate secret set`");
      }
      return trimmed(reference, *stored);
    }
  }
  return fail(credential_problem::not_configured, "no credential is configured");
}

}  // namespace tidegate::app
