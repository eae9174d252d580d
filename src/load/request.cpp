#include "load/request.h"

#include <algorithm>

#include "foundation/text.h"
#include "protocol/json/json.h"

namespace tidegate::load {
namespace {

namespace json = protocol::json;

constexpr std::string_view words =
    "the tide turns twice a day and the gate opens when the water on both sides stands level; ";

struct body_parts {
  std::string before;
  std::string after;
};

// Everything but the filler text, which stands last so that what routers look at comes first.
body_parts make_parts(const target& to, const request_shape& shape) {
  const bool responses = to.path.ends_with("/responses");
  const bool messages = to.path.ends_with("/messages");
  body_parts parts;
  parts.before = "{\"model\":";
  json::append_quoted(parts.before, shape.model);
  parts.before += shape.stream ? ",\"stream\":true," : ",\"stream\":false,";
  parts.before += responses ? "\"max_output_tokens\":" : "\"max_tokens\":";
  foundation::append_number(parts.before, shape.max_llm_tokens);
  if (shape.stream && !responses && !messages) parts.before += ",\"stream_options\":{\"include_usage\":true}";
  parts.before += responses ? ",\"input\":\"" : ",\"messages\":[{\"role\":\"user\",\"content\":\"";
  parts.after = responses ? "\"}" : "\"}]}";
  return parts;
}

}  // namespace

std::expected<target, std::string> parse_target(std::string_view url) {
  target result;
  if (foundation::istarts_with(url, "https://")) {
    result.tls = true;
    url.remove_prefix(8);
  } else if (foundation::istarts_with(url, "http://")) {
    url.remove_prefix(7);
  } else {
    return std::unexpected{std::string{"expected http://HOST[:PORT][/PATH] or https://..."}};
  }
  if (std::ranges::any_of(url, [](char c) { return c <= ' ' || c == '\x7f' || c == '#' || c == '@'; })) {
    return std::unexpected{
        std::string{"blanks, control characters, users and fragments have no place in it"}};
  }
  const std::size_t slash = std::min(url.find_first_of("/?"), url.size());
  const std::string_view authority = url.substr(0, slash);
  result.path = url.substr(slash);
  if (result.path.empty() || result.path == "/") result.path = "/v1/chat/completions";
  if (result.path.front() == '?') result.path.insert(0, "/");
  result.authority = authority;

  std::string_view host = authority;
  const bool bracketed = host.starts_with('[');
  const std::size_t colon = host.find(':', bracketed ? std::min(host.find(']'), host.size()) : 0);
  result.port = result.tls ? 443 : 80;
  if (colon != std::string_view::npos) {
    const auto port = foundation::parse_u64(host.substr(colon + 1));
    if (!port || *port == 0 || *port > 65535)
      return std::unexpected{std::string{"the port must be 1 to 65535"}};
    result.port = static_cast<std::uint16_t>(*port);
    host = host.substr(0, colon);
  }
  if (bracketed) {
    if (host.size() < 3 || !host.ends_with(']'))
      return std::unexpected{std::string{"unfinished IPv6 address"}};
    host = host.substr(1, host.size() - 2);
  }
  if (host.empty()) return std::unexpected{std::string{"a host is missing"}};
  result.host = host;
  return result;
}

std::string make_request(const target& to, const request_shape& shape) {
  const body_parts parts = make_parts(to, shape);
  const std::uint64_t frame = parts.before.size() + parts.after.size();
  // One word at the least: vendors refuse empty messages.
  const std::uint64_t filler = shape.body_bytes > frame ? shape.body_bytes - frame : 3;

  std::string out;
  out.reserve(frame + filler + 512);
  out.append("POST ").append(to.path).append(" HTTP/1.1\r\nhost: ").append(to.authority);
  out.append("\r\ncontent-type: application/json\r\n");
  if (!shape.bearer.empty()) out.append("authorization: Bearer ").append(shape.bearer).append("\r\n");
  if (to.path.ends_with("/messages")) out.append("anthropic-version: 2023-06-01\r\n");
  if (shape.stream) out.append("accept: text/event-stream\r\n");
  out.append("content-length: ");
  foundation::append_number(out, static_cast<std::int64_t>(frame + filler));
  out.append("\r\n\r\n").append(parts.before);
  for (std::uint64_t left = filler; left > 0;) {
    const std::uint64_t take = std::min<std::uint64_t>(left, words.size());
    out.append(words.substr(0, take));
    left -= take;
  }
  return out.append(parts.after);
}

}  // namespace tidegate::load
