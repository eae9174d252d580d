// From the model a caller asks for to the targets that may serve it: route choice (RES-1), preflight (RES-4)
// and base URLs (CFG-3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "foundation/error.h"

namespace tidegate::policy {

// --- route choice

// `*` stands for any run of bytes, also none; `?` for one byte; all else for itself, case-sensitive. At most
// pattern x name steps, no recursion, no allocation.
bool glob_matches(std::string_view pattern, std::string_view name);

// The first pattern that matches; nothing means NOT_FOUND.
std::optional<std::size_t> first_route(std::span<const std::string_view> patterns, std::string_view model);
std::optional<std::size_t> first_route(std::span<const std::string> patterns, std::string_view model);

// The model sent to a target: `configured`, or the caller's name when it is "*", or blank in the first
// target. Empty when a backup names none (refused at load, T152).
std::string_view target_model(std::string_view configured, bool first_target, std::string_view asked);

// --- base URLs

struct base_url {
  bool tls = true;
  std::string host;  // lower case; an IPv6 address without its brackets
  std::uint16_t port = 443;
  std::string path_prefix;  // "" or "/p/v1": no slash at its end

  bool ipv6() const { return host.find(':') != std::string::npos; }
  // Host header and TLS name: "h", "h:8443", "[::1]:8080". Without the scheme's own port.
  std::string authority() const;
  // "https://h/p/v1": two URLs of the same meaning give the same text, so it serves as identity.
  std::string text() const;
  // The request target for an API path ("/v1/chat/completions"): prefix kept, a doubled "/v1" collapsed
  // (T85).
  std::string path_of(std::string_view api_path) const;
  // "https://h/p/v1/chat/completions", for records.
  std::string url_of(std::string_view api_path) const;
};

enum class url_fault : std::uint8_t {
  empty,
  too_long,  // over base_url_max bytes
  not_http,  // no "http://" or "https://"
  userinfo,
  query,
  fragment,
  bad_host,
  bad_port,
  bad_path,  // not visible ASCII, a backslash, a broken %-escape, or a "." or ".." segment
};
// "has a query", ...: completes "base_url ...".
std::string_view describe(url_fault fault);

inline constexpr std::size_t base_url_max = 2048;

// Blanks around it are trimmed. What comes out is safe in a request line and in headers.
std::expected<base_url, url_fault> parse_base_url(std::string_view text);

// --- preflight

enum class provider_kind : std::uint8_t { openai, anthropic, openai_compatible };
// "openai", "anthropic", "openai-compatible".
std::string_view name_of(provider_kind kind);
std::optional<provider_kind> provider_kind_of(std::string_view name);

// Kind openai at api.openai.com or kind anthropic at api.anthropic.com.
bool is_known_vendor(provider_kind kind, const base_url& url);

// Length >= 8 and ^(sk|pk|rk|ak)-[A-Za-z0-9._-]{2,}$ (CFG-5).
bool is_vendor_key(std::string_view key);

// The model bears the other vendor's prefix. Never for openai_compatible, nor for a model of neither family.
bool is_foreign_model(provider_kind kind, std::string_view model);

struct preflight_input {
  provider_kind kind = provider_kind::openai;
  bool known_vendor = false;
  bool credential_configured = false;  // a reference stands in the configuration
  std::string_view credential;         // what it resolves to
  std::string_view model;
};

// What forbids a call of this target before any network use; nothing = fit. PREFLIGHT_* codes only, in
// RES-4's order.
std::optional<foundation::error_code> preflight(const preflight_input& input);

}  // namespace tidegate::policy
