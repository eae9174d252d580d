// A blocking HTTP client for tests that care about bytes: it parses for itself, notices how a connection
// ends, and never waits longer than it was told. Header only; loopback only.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tidegate::kit {

enum class connection_end : std::uint8_t { open, closed, reset };

struct raw_reply {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;                 // decoded
  std::vector<std::size_t> chunks;  // sizes, of a chunked body
  bool complete = false;            // the framing's own end was seen
  bool broken_framing = false;      // what stood where a chunk size belongs was none
  connection_end end = connection_end::open;

  // The first header of that name, in lower case; empty where there is none.
  std::string header(std::string_view name) const {
    for (const auto& [n, v] : headers) {
      if (n == name) return v;
    }
    return {};
  }
};

class raw_client {
 public:
  static constexpr int wait_ms_default = 10'000;

  // Nothing: refused. `receive_buffer`: the kernel's, for readers that shall be slow; 0 leaves it.
  static std::optional<raw_client> connect(std::uint16_t port, int receive_buffer = 0) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0) ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) return std::nullopt;
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
      ::close(fd);
      return std::nullopt;
    }
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return raw_client{fd};
  }

  static std::optional<raw_client> connect_unix(const std::string& path) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    if (fd < 0 || path.size() >= sizeof to.sun_path) return std::nullopt;
    path.copy(to.sun_path, path.size());
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
      ::close(fd);
      return std::nullopt;
    }
    return raw_client{fd};
  }

  raw_client(raw_client&& other) noexcept
      : fd_{std::exchange(other.fd_, -1)}, bytes_{std::move(other.bytes_)}, end_{other.end_} {}
  raw_client& operator=(raw_client&& other) noexcept {
    if (this == &other) return *this;
    close();
    fd_ = std::exchange(other.fd_, -1);
    bytes_ = std::move(other.bytes_);
    end_ = other.end_;
    return *this;
  }
  ~raw_client() { close(); }

  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  bool send_request(std::string_view method, std::string_view target, std::string_view body = {},
                    std::string_view headers = {}) const {
    std::string out{method};
    out.append(" ").append(target).append(" HTTP/1.1\r\nhost: localhost\r\n").append(headers);
    if (!body.empty()) out += "content-length: " + std::to_string(body.size()) + "\r\n";
    return send(out.append("\r\n").append(body));
  }

  raw_reply exchange(std::string_view method, std::string_view target, std::string_view body = {},
                     std::string_view headers = {}) {
    send_request(method, target, body, headers);
    return read_reply();
  }

  // Reads what there is, waiting at most so long for the first byte; false: nothing came.
  bool read_some(int wait_ms = wait_ms_default) {
    pollfd wanted{fd_, POLLIN, 0};
    if (end_ != connection_end::open || ::poll(&wanted, 1, wait_ms) != 1) return false;
    char block[65536];
    const ssize_t n = ::recv(fd_, block, sizeof block, 0);
    if (n > 0) {
      bytes_.append(block, static_cast<std::size_t>(n));
    } else if (n == 0) {
      end_ = connection_end::closed;
    } else if (errno != EINTR && errno != EAGAIN) {
      end_ = connection_end::reset;
    }
    return n > 0;
  }

  // Until the reply is complete, the connection ends or nothing comes for `wait_ms`.
  raw_reply read_reply(int wait_ms = wait_ms_default) {
    for (;;) {
      // A long reply is looked at again when it has doubled or when nothing more is there, not at every read.
      const std::size_t enough = bytes_.size() * 2;
      while (bytes_.size() < enough && read_some(0)) {
      }
      std::size_t used = 0;
      raw_reply out = parse(used);
      if (!out.complete && !out.broken_framing && read_some(wait_ms)) continue;
      out.end = end_;
      if (out.complete) bytes_.erase(0, used);
      return out;
    }
  }

  // The reply as far as it has come, without waiting; the bytes stay for a later look.
  raw_reply peek_reply() {
    while (read_some(0)) {
    }
    std::size_t used = 0;
    raw_reply out = parse(used);
    out.end = end_;
    return out;
  }

  // Whether and how the peer ends the connection within the time; bytes that come meanwhile are kept.
  connection_end wait_for_end(int wait_ms = wait_ms_default) {
    while (read_some(wait_ms)) {
    }
    return end_;
  }
  const std::string& unread() const { return bytes_; }
  int fd() const { return fd_; }

 private:
  explicit raw_client(int fd) : fd_{fd} {}

  raw_reply parse(std::size_t& used) const {
    raw_reply out;
    const std::string_view all = bytes_;
    const std::size_t head_end = all.find("\r\n\r\n");
    if (head_end == std::string_view::npos) return out;
    std::string_view head = all.substr(0, head_end);
    if (head.size() > 12) std::from_chars(head.data() + 9, head.data() + 12, out.status);
    for (std::size_t at = head.find("\r\n"); at != std::string_view::npos;) {
      head.remove_prefix(at + 2);
      at = head.find("\r\n");
      const std::string_view line = head.substr(0, at);
      const std::size_t colon = line.find(':');
      if (colon == std::string_view::npos) continue;
      std::string name{line.substr(0, colon)};
      for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
      const std::size_t value = line.find_first_not_of(' ', colon + 1);
      out.headers.emplace_back(std::move(name),
                               value == std::string_view::npos ? std::string_view{} : line.substr(value));
    }
    used = head_end + 4;
    parse_body(all.substr(used), out, used);
    return out;
  }

  void parse_body(std::string_view left, raw_reply& out, std::size_t& used) const {
    if (out.header("transfer-encoding") == "chunked") return parse_chunks(left, out, used);
    const std::string length = out.header("content-length");
    if (length.empty()) {
      out.body = left;
      out.complete = end_ == connection_end::closed;
      used += left.size();
      return;
    }
    out.body = left.substr(0, std::strtoull(length.c_str(), nullptr, 10));
    out.complete = out.body.size() == std::strtoull(length.c_str(), nullptr, 10);
    used += out.body.size();
  }

  static void parse_chunks(std::string_view left, raw_reply& out, std::size_t& used) {
    for (;;) {
      const std::size_t line_end = left.find("\r\n");
      if (line_end == std::string_view::npos) return;
      std::size_t size = 0;
      const auto [end, error] = std::from_chars(left.data(), left.data() + line_end, size, 16);
      if (error != std::errc{} || end != left.data() + line_end) {
        out.broken_framing = true;
        return;
      }
      if (left.size() < line_end + 2 + size + 2) return;
      used += line_end + 2 + size + 2;
      if (size == 0) {
        out.complete = true;
        return;
      }
      out.body += left.substr(line_end + 2, size);
      out.chunks.push_back(size);
      left.remove_prefix(line_end + 2 + size + 2);
    }
  }

  int fd_;
  std::string bytes_;
  connection_end end_ = connection_end::open;
};

}  // namespace tidegate::kit
