// Reading and joining base URLs (CFG-3): the part of RFC 3986 that a provider's address needs, and nothing
// beyond it.
#include <algorithm>

#include "foundation/text.h"
#include "policy/routing.h"

namespace tidegate::policy {

namespace {

using fault = std::unexpected<url_fault>;

bool is_hex(char c) {
  const char low = foundation::lower(c);
  return (c >= '0' && c <= '9') || (low >= 'a' && low <= 'f');
}

bool is_alnum(char c) {
  const char low = foundation::lower(c);
  return (c >= '0' && c <= '9') || (low >= 'a' && low <= 'z');
}

// Letters, digits, '-' and '_' in non-empty labels: names and dotted IPv4.
bool is_host_name(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  bool label_open = false;
  for (const char c : host) {
    if (c == '.') {
      if (!label_open) return false;
      label_open = false;
    } else if (is_alnum(c) || c == '-' || c == '_') {
      label_open = true;
    } else {
      return false;
    }
  }
  return label_open;
}

bool is_ipv4(std::string_view text) {
  for (int part = 0; part < 4; ++part) {
    const std::size_t dot = text.find('.');
    if ((part < 3) == (dot == std::string_view::npos)) return false;
    const auto value = foundation::parse_u64(text.substr(0, dot));
    if (!value || *value > 255 || std::min(dot, text.size()) > 3) return false;
    text.remove_prefix(part < 3 ? dot + 1 : text.size());
  }
  return true;
}

// RFC 4291, 2.2, without zone ids: those name an interface of this host and do not belong into a Host header.
bool is_ipv6(std::string_view text) {
  int groups = 0;
  bool gap = false;
  if (text.starts_with("::")) {
    gap = true;
    text.remove_prefix(2);
  }
  while (!text.empty()) {
    const std::size_t colon = text.find(':');
    const std::string_view group = text.substr(0, colon);
    if (colon == std::string_view::npos && group.find('.') != std::string_view::npos) {
      if (!is_ipv4(group)) return false;
      groups += 2;
      break;
    }
    if (group.empty() || group.size() > 4 || !std::ranges::all_of(group, is_hex)) return false;
    ++groups;
    if (colon == std::string_view::npos) break;
    text.remove_prefix(colon + 1);
    if (text.empty()) return false;  // a single colon at the end
    if (text.front() != ':') continue;
    if (gap) return false;
    gap = true;
    text.remove_prefix(1);
  }
  return gap ? groups < 8 : groups == 8;
}

bool is_path(std::string_view path) {
  for (std::size_t i = 0; i < path.size(); ++i) {
    const char c = path[i];
    if (c <= ' ' || c >= '\x7f' || c == '\\' || c == '"' || c == '<' || c == '>') return false;
    if (c == '%' && (i + 2 >= path.size() || !is_hex(path[i + 1]) || !is_hex(path[i + 2]))) return false;
  }
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view segment = path.substr(0, slash);
    if (segment == "." || segment == "..") return false;
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return true;
}

std::optional<url_fault> read_authority(std::string_view authority, base_url& out) {
  std::string_view port;
  bool has_port = false;
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos || !is_ipv6(authority.substr(1, end - 1))) return url_fault::bad_host;
    out.host = foundation::to_lower(authority.substr(1, end - 1));
    authority.remove_prefix(end + 1);
    if (!authority.empty() && authority.front() != ':') return url_fault::bad_host;
    has_port = !authority.empty();
    port = authority.substr(has_port ? 1 : 0);
  } else {
    const std::size_t colon = authority.find(':');
    if (!is_host_name(authority.substr(0, colon))) return url_fault::bad_host;
    out.host = foundation::to_lower(authority.substr(0, colon));
    has_port = colon != std::string_view::npos;
    if (has_port) port = authority.substr(colon + 1);
  }
  out.port = out.tls ? 443 : 80;
  if (!has_port) return std::nullopt;
  const auto number = foundation::parse_u64(port);
  if (!number || *number == 0 || *number > 65'535) return url_fault::bad_port;
  out.port = static_cast<std::uint16_t>(*number);
  return std::nullopt;
}

}  // namespace

std::string_view describe(url_fault what) {
  switch (what) {
    case url_fault::empty:
      return "is empty";
    case url_fault::too_long:
      return "is too long";
    case url_fault::not_http:
      return "does not begin with http:// or https://";
    case url_fault::userinfo:
      return "holds user information";
    case url_fault::query:
      return "has a query";
    case url_fault::fragment:
      return "has a fragment";
    case url_fault::bad_host:
      return "has no valid host";
    case url_fault::bad_port:
      return "has no valid port";
    case url_fault::bad_path:
      return "has an invalid path";
  }
  return "";
}

std::expected<base_url, url_fault> parse_base_url(std::string_view text) {
  text = foundation::trim(text);
  if (text.empty()) return fault{url_fault::empty};
  if (text.size() > base_url_max) return fault{url_fault::too_long};
  base_url out;
  if (foundation::istarts_with(text, "https://")) {
    text.remove_prefix(8);
  } else if (foundation::istarts_with(text, "http://")) {
    out.tls = false;
    text.remove_prefix(7);
  } else {
    return fault{url_fault::not_http};
  }
  if (text.find('#') != std::string_view::npos) return fault{url_fault::fragment};
  if (text.find('?') != std::string_view::npos) return fault{url_fault::query};
  const std::size_t slash = text.find('/');
  const std::string_view authority = text.substr(0, slash);
  if (authority.find('@') != std::string_view::npos) return fault{url_fault::userinfo};
  if (const auto wrong = read_authority(authority, out)) return fault{*wrong};
  std::string_view path = slash == std::string_view::npos ? std::string_view{} : text.substr(slash);
  if (!is_path(path)) return fault{url_fault::bad_path};
  while (path.ends_with('/')) path.remove_suffix(1);
  out.path_prefix = path;
  return out;
}

std::string base_url::authority() const {
  std::string out = ipv6() ? "[" + host + "]" : host;
  if (port == (tls ? 443 : 80)) return out;
  out += ':';
  foundation::append_number(out, port);
  return out;
}

std::string base_url::text() const { return (tls ? "https://" : "http://") + authority() + path_prefix; }

std::string base_url::path_of(std::string_view api_path) const {
  const bool versioned = api_path == "/v1" || api_path.starts_with("/v1/");
  if (versioned && path_prefix.ends_with("/v1")) api_path.remove_prefix(3);
  return path_prefix + std::string{api_path};
}

std::string base_url::url_of(std::string_view api_path) const {
  return (tls ? "https://" : "http://") + authority() + path_of(api_path);
}

}  // namespace tidegate::policy
