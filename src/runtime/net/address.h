// Socket addresses as operators write them: "127.0.0.1:8787", "[::1]:0", "localhost:80",
// "unix:/run/tidegate.sock".
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace tidegate::runtime {

struct address {
  std::string host;  // without brackets; empty for a Unix socket
  std::uint16_t port = 0;
  std::string unix_path;
  bool is_unix() const { return !unix_path.empty(); }
  bool is_loopback() const;  // literal loopback addresses, "localhost" and Unix sockets
};

std::expected<address, std::string> parse_address(std::string_view text);
std::string to_text(const address& a);

struct socket_address {
  sockaddr_storage storage{};
  socklen_t length = 0;
};
// A numeric host or a Unix path; nothing for names.
std::expected<socket_address, std::string> to_socket_address(const address& a);

// Whether nobody listens on that TCP address and port: open_listener alone would share it with another
// process.
std::expected<void, std::string> check_free(const address& a);
// A listening, non-blocking descriptor. TCP: SO_REUSEADDR and SO_REUSEPORT, so that each loop has its own.
std::expected<int, std::string> open_listener(const address& a);
// The port the kernel chose for port 0.
std::uint16_t bound_port(int fd);

}  // namespace tidegate::runtime
