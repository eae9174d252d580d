#include "protocol/http1/http1.h"

#include <algorithm>
#include <cstring>
#include <expected>
#include <optional>

#include "foundation/text.h"
#include "protocol/http1/scan.h"

namespace tidegate::protocol::http1 {
namespace {

using verdict = std::expected<void, parse_failure>;

constexpr std::string_view line_end = "\r\n";
// Room for the longest method, two blanks and the version around the target.
constexpr std::size_t request_line_room = 48;

std::unexpected<parse_failure> refused(int status, std::string_view reason) {
  return std::unexpected(parse_failure{status, reason});
}

parse_result failed(parse_failure failure) {
  return {.status = parse_status::failed, .consumed = 0, .failure = failure};
}

// Where a head ends and what limits say about the part seen so far. Byte order decides: the first offence
// counts, so the verdict is the same for any split of the input.
struct scan_rules {
  std::size_t first_line_max;
  std::size_t leading;  // bytes of the empty line tolerated ahead of the head
};

parse_result scan_head(std::string_view bytes, const limits& limit, const scan_rules& rules,
                       std::size_t& scanned) {
  const std::size_t start = rules.leading;
  const std::size_t first_line_cap = start + rules.first_line_max + line_end.size();
  std::size_t position = std::max(scanned, start);
  auto lines =
      static_cast<std::size_t>(std::count(bytes.begin() + static_cast<std::ptrdiff_t>(start),
                                          bytes.begin() + static_cast<std::ptrdiff_t>(position), '\n'));
  for (;;) {
    const std::size_t cap = lines == 0 ? std::min(first_line_cap, limit.head_bytes) : limit.head_bytes;
    const std::size_t window = std::min(bytes.size(), cap);
    position = position < window ? find_control(bytes.data(), position, window) : window;
    const bool undecided = position >= window || (position + 1 == window && bytes[position] == '\r');
    if (undecided) {
      scanned = position;
      if (bytes.size() < cap) return {};
      return cap < limit.head_bytes ? failed({414, "request target too long"})
                                    : failed({431, "head too large"});
    }
    if (bytes[position] == '\n') return failed({400, "bare line feed"});
    if (bytes[position] != '\r') return failed({400, "control byte in head"});
    if (bytes[position + 1] != '\n') return failed({400, "bare carriage return"});
    if (position == start) return failed({400, "empty start line"});
    if (bytes[position - 1] == '\n') {
      return {.status = parse_status::complete, .consumed = position + line_end.size(), .failure = {}};
    }
    if (lines++ > limit.fields) return failed({431, "too many fields"});
    position += line_end.size();
  }
}

// What the fields say about framing, persistence and expectation.
struct field_facts {
  std::size_t content_lengths = 0;
  std::size_t transfer_encodings = 0;
  std::size_t hosts = 0;
  std::string_view content_length;
  std::string_view transfer_encoding;
  std::string_view host;
  bool close = false;
  bool keep_alive = false;
  bool expect_continue = false;
  bool expect_unknown = false;
};

std::string_view without_blanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Calls `each` with every element of a comma-separated list, blanks removed; empty elements too.
template <class Each>
void for_each_element(std::string_view list, Each&& each) {
  for (;;) {
    const std::size_t comma = list.find(',');
    each(without_blanks(list.substr(0, comma)));
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

void note_connection(std::string_view value, field_facts& facts) {
  for_each_element(value, [&facts](std::string_view option) {
    facts.close = facts.close || foundation::iequals(option, "close");
    facts.keep_alive = facts.keep_alive || foundation::iequals(option, "keep-alive");
  });
}

void note_expect(std::string_view value, field_facts& facts) {
  const bool known = foundation::iequals(value, "100-continue");
  facts.expect_continue = facts.expect_continue || known;
  facts.expect_unknown = facts.expect_unknown || !known;
}

void note(const field& item, field_facts& facts) {
  switch (item.name.size()) {
    case 4:
      if (foundation::iequals(item.name, "host")) {
        ++facts.hosts;
        facts.host = item.value;
      }
      break;
    case 6:
      if (foundation::iequals(item.name, "expect")) note_expect(item.value, facts);
      break;
    case 10:
      if (foundation::iequals(item.name, "connection")) note_connection(item.value, facts);
      break;
    case 14:
      if (foundation::iequals(item.name, "content-length")) {
        ++facts.content_lengths;
        facts.content_length = item.value;
      }
      break;
    case 17:
      if (foundation::iequals(item.name, "transfer-encoding")) {
        ++facts.transfer_encodings;
        facts.transfer_encoding = item.value;
      }
      break;
    default:
      break;
  }
}

// Takes the line off the front of `text`, which holds whole lines only: scan_head has seen to that.
std::string_view take_line(std::string_view& text) {
  const auto* end = static_cast<const char*>(std::memchr(text.data(), '\r', text.size()));
  const std::string_view line{text.data(), static_cast<std::size_t>(end - text.data())};
  text.remove_prefix(line.size() + line_end.size());
  return line;
}

verdict parse_fields(std::string_view lines, std::vector<field>& fields, field_facts& facts) {
  while (!lines.empty()) {
    // A name ends at its line's CR at the latest, which is no token byte: the search may look into the lines
    // behind.
    const std::size_t name = find_token_end(lines.data(), lines.size());
    const std::string_view line = take_line(lines);
    if (name == 0 && (line.front() == ' ' || line.front() == '\t'))
      return refused(400, "folded or indented field line");
    if (name == 0 || name == line.size() || line[name] != ':') return refused(400, "malformed field name");
    const field& added = fields.emplace_back(line.substr(0, name), without_blanks(line.substr(name + 1)));
    note(added, facts);
  }
  return {};
}

// Digits only. A leading zero is refused as well: some readers take such a number as octal.
verdict parse_content_length(std::string_view value, std::uint64_t& length) {
  const std::optional<std::uint64_t> parsed = foundation::parse_u64(value);
  if (!parsed || (value.size() > 1 && value.front() == '0')) return refused(400, "malformed content-length");
  length = *parsed;
  return {};
}

// Whether a coding list is well formed, ends in chunked and has only codings we know by name before it: such
// a body has one reading, we merely do not implement it (RFC 9112 6.1).
bool is_unimplemented_coding(std::string_view value) {
  bool known = true;
  std::string_view last;
  for_each_element(value, [&](std::string_view coding) {
    known = known && (last.empty() || !foundation::iequals(last, "chunked"));
    known = known && (foundation::iequals(coding, "gzip") || foundation::iequals(coding, "deflate") ||
                      foundation::iequals(coding, "compress") || foundation::iequals(coding, "chunked"));
    last = coding;
  });
  return known && foundation::iequals(last, "chunked");
}

// RFC 9112 6: at most one of the two framings, once, in one spelling. Leaves `none` where neither is present.
verdict parse_framing(const field_facts& facts, head& out) {
  if (facts.content_lengths != 0 && facts.transfer_encodings != 0) {
    return refused(400, "both content-length and transfer-encoding");
  }
  if (facts.content_lengths > 1) return refused(400, "repeated content-length");
  if (facts.transfer_encodings > 1) return refused(400, "repeated transfer-encoding");
  if (facts.content_lengths == 1) {
    out.body = framing::length;
    return parse_content_length(facts.content_length, out.content_length);
  }
  if (facts.transfer_encodings == 1) {
    if (out.minor_version == 0) return refused(400, "transfer-encoding in HTTP/1.0");
    if (!foundation::iequals(facts.transfer_encoding, "chunked")) {
      return is_unimplemented_coding(facts.transfer_encoding)
                 ? refused(501, "unimplemented transfer-encoding")
                 : refused(400, "malformed transfer-encoding");
    }
    out.body = framing::chunked;
  }
  return {};
}

bool persists(const field_facts& facts, std::uint8_t minor_version) {
  return !facts.close && (minor_version >= 1 || facts.keep_alive);
}

void reset(head& out) {
  out.fields.clear();
  out.minor_version = 1;
  out.body = framing::none;
  out.content_length = 0;
  out.keep_alive = true;
}

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "HTTP/1.0" and "HTTP/1.1"; any other well-formed version is 505.
verdict parse_version(std::string_view text, std::uint8_t& minor) {
  const bool well_formed = text.size() == 8 && text.starts_with("HTTP/") && is_digit(text[5]) &&
                           text[6] == '.' && is_digit(text[7]);
  if (!well_formed) return refused(400, "malformed HTTP version");
  if (text[5] != '1' || text[7] > '1') return refused(505, "HTTP version not supported");
  minor = static_cast<std::uint8_t>(text[7] - '0');
  return {};
}

// Decimal digits, at most as many as a port has; none at all is legal too.
bool is_port(std::string_view text) { return text.size() <= 5 && std::ranges::all_of(text, is_digit); }

// "[...]" with an optional port behind; what is inside is not looked into beyond its bytes.
bool is_ip_literal(std::string_view text, bool port_needed) {
  const std::size_t close = text.find(']');
  if (close == std::string_view::npos || close == 1 || !all_of_class(text, host_byte)) return false;
  if (text.find_first_of("[]", 1) != close || text.find_first_of("[]", close + 1) != std::string_view::npos) {
    return false;
  }
  const std::string_view behind = text.substr(close + 1);
  if (behind.empty()) return !port_needed;
  return behind.front() == ':' && is_port(behind.substr(1)) && (!port_needed || behind.size() > 1);
}

// host[:port] without userinfo; `port_needed` for CONNECT.
bool is_authority(std::string_view text, bool port_needed) {
  if (text.starts_with('[')) return is_ip_literal(text, port_needed);
  std::size_t host = 0;
  while (host < text.size() && has_class(text[host], host_byte) && text[host] != ':') {
    if (text[host] == '[' || text[host] == ']') return false;
    ++host;
  }
  if (host == text.size()) return !port_needed;
  if (text[host] != ':' || !is_port(text.substr(host + 1))) return false;
  return !port_needed || (host != 0 && host + 1 < text.size());
}

// The four target forms (RFC 9112 3.2).
verdict parse_target(request_head& out) {
  const std::string_view target = out.target;
  if (target.empty() || !all_of_class(target, target_byte)) return refused(400, "malformed request target");
  out.path_query = target;
  if (out.method == "CONNECT") {
    if (!is_authority(target, true)) return refused(400, "CONNECT needs host and port");
    out.host = target;
    return {};
  }
  if (target.front() == '/') return {};
  if (target == "*") {
    return out.method == "OPTIONS" ? verdict{} : refused(400, "asterisk target outside OPTIONS");
  }
  const std::size_t scheme = foundation::istarts_with(target, "http://")
                                 ? 7
                                 : (foundation::istarts_with(target, "https://") ? 8 : 0);
  if (scheme == 0) return refused(400, "unknown form of request target");
  const std::size_t path = std::min(target.find_first_of("/?", scheme), target.size());
  out.host = target.substr(scheme, path - scheme);
  if (out.host.empty() || !is_authority(out.host, false))
    return refused(400, "malformed authority in target");
  if (path == target.size()) {
    out.path_query = "/";
  } else if (target[path] == '?') {
    return refused(400, "query without path in target");
  } else {
    out.path_query = target.substr(path);
  }
  return {};
}

verdict parse_request_line(std::string_view line, const limits& limit, request_head& out) {
  const std::size_t method = find_token_end(line.data(), line.size());
  if (method == 0 || method == line.size() || line[method] != ' ') return refused(400, "malformed method");
  out.method = line.substr(0, method);
  line.remove_prefix(method + 1);
  const std::size_t blank = line.find(' ');
  if (blank == std::string_view::npos) return refused(400, "malformed request line");
  out.target = line.substr(0, blank);
  if (out.target.size() > limit.target) return refused(414, "request target too long");
  if (const verdict version = parse_version(line.substr(blank + 1), out.minor_version); !version)
    return version;
  return parse_target(out);
}

verdict check_host(const field_facts& facts, const limits& limit, request_head& out) {
  if (facts.hosts > 1) return refused(400, "repeated host");
  if (facts.hosts == 0) {
    const bool missing = limit.require_host && out.minor_version >= 1;
    return missing ? refused(400, "missing host") : verdict{};
  }
  if (!facts.host.empty() && !is_authority(facts.host, false)) return refused(400, "malformed host");
  // The target's own authority, where it has one, is already in place.
  if (out.host.empty()) out.host = facts.host;
  return {};
}

verdict parse_request(std::string_view lines, const limits& limit, request_head& out) {
  reset(out);
  out.host = {};
  out.expect_continue = false;
  if (const verdict line = parse_request_line(take_line(lines), limit, out); !line) return line;
  field_facts facts;
  if (const verdict fields = parse_fields(lines, out.fields, facts); !fields) return fields;
  if (const verdict host = check_host(facts, limit, out); !host) return host;
  if (const verdict framed = parse_framing(facts, out); !framed) return framed;
  // What follows a CONNECT may be meant for a tunnel: it must never be read as a next request.
  out.keep_alive = persists(facts, out.minor_version) && out.method != "CONNECT";
  if (out.minor_version == 0) return {};  // HTTP/1.0 has no expectations (RFC 9110 10.1.1)
  if (facts.expect_unknown) return refused(417, "unknown expectation");
  out.expect_continue = facts.expect_continue && out.body != framing::none;
  return {};
}

verdict parse_status_line(std::string_view line, response_head& out) {
  if (line.size() < 12 || line[8] != ' ') return refused(502, "malformed status line");
  if (!parse_version(line.substr(0, 8), out.minor_version)) return refused(502, "unsupported HTTP version");
  const std::string_view code = line.substr(9, 3);
  if (!std::ranges::all_of(code, is_digit) || code.front() == '0')
    return refused(502, "malformed status code");
  if (line.size() > 12 && line[12] != ' ') return refused(502, "malformed status line");
  out.status = (code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0');
  out.reason = line.size() > 13 ? line.substr(13) : std::string_view{};
  return {};
}

// RFC 9112 6.3, the client's side.
verdict settle_response_body(const field_facts& facts, std::string_view request_method, response_head& out) {
  if (out.status == 101) return refused(502, "protocol switch that nobody asked for");
  if (!parse_framing(facts, out)) return refused(502, "ambiguous response framing");
  const bool bodiless_status = out.status < 200 || out.status == 204;
  out.keep_alive = persists(facts, out.minor_version);
  if (bodiless_status || out.status == 304 || request_method == "HEAD") {
    // A body announced where none can be: its sender may write one, which must not be read as the next
    // response.
    const bool announced = out.body == framing::chunked || out.content_length != 0;
    if (announced && out.status < 200) return refused(502, "interim response that announces a body");
    if (announced && out.status == 204) out.keep_alive = false;
    out.body = framing::none;
    return {};
  }
  if (out.body == framing::none) {
    out.body = framing::until_close;
    out.keep_alive = false;
  }
  return {};
}

verdict parse_response(std::string_view lines, std::string_view request_method, response_head& out) {
  reset(out);
  if (const verdict line = parse_status_line(take_line(lines), out); !line) return line;
  field_facts facts;
  if (!parse_fields(lines, out.fields, facts)) return refused(502, "malformed response field");
  return settle_response_body(facts, request_method, out);
}

}  // namespace

const field* head::find(std::string_view lower_name) const {
  for (const field& item : fields) {
    if (item.name.size() == lower_name.size() && foundation::iequals(item.name, lower_name)) return &item;
  }
  return nullptr;
}

std::string_view head::get(std::string_view lower_name) const {
  const field* found = find(lower_name);
  return found == nullptr ? std::string_view{} : found->value;
}

parse_result parse_request_head(std::string_view bytes, const limits& limit, std::size_t& scanned,
                                request_head& out) {
  // One empty line may precede a request (RFC 9112 2.2).
  const scan_rules rules{.first_line_max = std::min(limit.target, limit.head_bytes) + request_line_room,
                         .leading = bytes.starts_with(line_end) ? line_end.size() : 0};
  const parse_result scan = scan_head(bytes, limit, rules, scanned);
  if (scan.status != parse_status::complete) return scan;
  const std::size_t size = scan.consumed - line_end.size() - rules.leading;
  if (const verdict parsed = parse_request(bytes.substr(rules.leading, size), limit, out); !parsed) {
    return failed(parsed.error());
  }
  return scan;
}

parse_result parse_response_head(std::string_view bytes, const limits& limit, std::size_t& scanned,
                                 std::string_view request_method, response_head& out) {
  const scan_rules rules{.first_line_max = limit.head_bytes, .leading = 0};
  const parse_result scan = scan_head(bytes, limit, rules, scanned);
  if (scan.status == parse_status::failed) return failed({502, scan.failure.reason});
  if (scan.status == parse_status::need_more) return scan;
  const std::size_t size = scan.consumed - line_end.size();
  if (const verdict parsed = parse_response(bytes.substr(0, size), request_method, out); !parsed) {
    return failed(parsed.error());
  }
  return scan;
}

}  // namespace tidegate::protocol::http1
