#include "runtime/net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "foundation/text.h"

namespace tidegate::runtime {
namespace {

std::string numeric_host(std::string_view host) {
  return host == "localhost" ? "127.0.0.1" : std::string{host};
}

std::string with_errno(std::string_view what) { return std::string{what} + ": " + std::strerror(errno); }

// A socket file that a dead process left behind would refuse every later start.
void remove_stale_socket(const std::string& path, const sockaddr* target, socklen_t length) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return;
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return;
  if (::connect(probe, target, length) != 0 && errno == ECONNREFUSED) ::unlink(path.c_str());
  ::close(probe);
}

}  // namespace

bool address::is_loopback() const {
  return is_unix() || host == "localhost" || host == "::1" || host.starts_with("127.");
}

std::expected<address, std::string> parse_address(std::string_view text) {
  address result;
  if (text.starts_with("unix:")) {
    result.unix_path = text.substr(5);
    if (result.unix_path.empty() || result.unix_path.size() >= sizeof(sockaddr_un::sun_path)) {
      return std::unexpected{"a Unix socket path has 1 to " +
                             std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes"};
    }
    return result;
  }
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos)
    return std::unexpected{std::string{"expected HOST:PORT or unix:/path"}};
  std::string_view host = text.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::unexpected{std::string{"an IPv6 address stands in brackets: [::1]:8787"}};
  }
  const auto port = foundation::parse_u64(text.substr(colon + 1));
  if (host.empty() || !port || *port > 65535)
    return std::unexpected{std::string{"expected HOST:PORT with a port of 0 to 65535"}};
  result.host = host;
  result.port = static_cast<std::uint16_t>(*port);
  return result;
}

std::string to_text(const address& a) {
  if (a.is_unix()) return "unix:" + a.unix_path;
  const bool v6 = a.host.find(':') != std::string::npos;
  return (v6 ? "[" + a.host + "]" : a.host) + ":" + std::to_string(a.port);
}

std::expected<socket_address, std::string> to_socket_address(const address& a) {
  socket_address result;
  if (a.is_unix()) {
    auto& to = reinterpret_cast<sockaddr_un&>(result.storage);
    to.sun_family = AF_UNIX;
    std::memcpy(to.sun_path, a.unix_path.c_str(), a.unix_path.size() + 1);
    result.length = sizeof(sockaddr_un);
    return result;
  }
  const std::string host = numeric_host(a.host);
  auto& v4 = reinterpret_cast<sockaddr_in&>(result.storage);
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(a.port);
    result.length = sizeof(sockaddr_in);
    return result;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(result.storage);
  if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(a.port);
    result.length = sizeof(sockaddr_in6);
    return result;
  }
  return std::unexpected{"'" + a.host + "' is not a numeric address"};
}

std::expected<void, std::string> check_free(const address& a) {
  if (a.is_unix() || a.port == 0) return {};
  const auto target = to_socket_address(a);
  if (!target) return std::unexpected{target.error()};
  const auto* const name = reinterpret_cast<const sockaddr*>(&target->storage);
  const int fd = ::socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::unexpected{with_errno("socket")};
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  std::expected<void, std::string> result;
  if (::bind(fd, name, target->length) != 0 || ::listen(fd, 1) != 0) {
    result = std::unexpected{with_errno("cannot listen on " + to_text(a))};
  }
  ::close(fd);
  return result;
}

std::expected<int, std::string> open_listener(const address& a) {
  const auto target = to_socket_address(a);
  if (!target) return std::unexpected{target.error()};
  const auto* const name = reinterpret_cast<const sockaddr*>(&target->storage);
  if (a.is_unix()) remove_stale_socket(a.unix_path, name, target->length);
  const int fd = ::socket(name->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::unexpected{with_errno("socket")};
  const int on = 1;
  if (!a.is_unix()) {
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // accepted sockets inherit it
  }
  if (::bind(fd, name, target->length) != 0 || ::listen(fd, 4096) != 0) {
    const std::string why = with_errno("cannot listen on " + to_text(a));
    ::close(fd);
    return std::unexpected{why};
  }
  return fd;
}

std::uint16_t bound_port(int fd) {
  sockaddr_storage name{};
  socklen_t length = sizeof name;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &length) != 0) return 0;
  if (name.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(name).sin_port);
  if (name.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(name).sin6_port);
  return 0;
}

}  // namespace tidegate::runtime
